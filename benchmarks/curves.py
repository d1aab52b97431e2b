"""What conversion, training and prediction cost as the cohort and the images grow.

    python benchmarks/curves.py --out benchmarks/results --figure docs/cost_curves.png

Conversion: `nnunet_pst convert` of a table of synthetic patients (size ``small``, four sequences
each), seconds and the largest process's memory, by patients and workers. A few patients are drawn
and their files linked under many names, so every row is read, checked and written like any other.
Training: from the trainer's start to its first batch, and a batch afterwards, by patients; the
preprocessed cases are links too. Prediction: one volume, by slices and by matrix, nnU-Net's own
predictor with mirroring, network time and memory.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import machine
from contest import Entry, hold
from synthetic_cohort import DATASET, Geometry, make_cohort

from nnunet_pst.nnunet.environment import make_folders, shell_environment
from nnunet_pst.whole_files import write_atomically, written_whole

PARTS = ("conversion", "training", "prediction")
PATIENTS = (10, 100, 1000)
WORKERS = (1, 2)
SLICES, MATRICES = (13, 26, 52, 104), (192, 256, 320, 512)
#: Patients that are drawn; the others are their files under other names.
DRAWN = 10
SEQUENCES = ("T1", "T2", "DWI", "CET1")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure what was asked for; parts measured before are taken from ``--out``'s file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--most-patients", type=int, default=max(PATIENTS))
    parser.add_argument("--out", type=Path, required=True, help="folder for JSON and Markdown")
    parser.add_argument("--figure", type=Path, help="PNG")
    arguments = parser.parse_args(argv)
    arguments.out.mkdir(parents=True, exist_ok=True)
    described = machine.describe("cpu")
    name = f"{date.today().isoformat()}-curves-{machine.file_name(described)}"
    file = arguments.out / f"{name}.json"
    results: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    results |= {"date": date.today().isoformat(), "machine": described}
    counts = [count for count in PATIENTS if count <= arguments.most_patients]
    for part in arguments.only:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            if part == "prediction":
                results[part] = list(prediction(Path(folder)))
            else:
                measure = conversion if part == "conversion" else training
                results[part] = list(measure(Path(folder), counts))
        write_atomically(file, json.dumps(results, indent=1) + "\n")
    text = render(results)
    write_atomically(file.with_suffix(".md"), text)
    print(text)
    if arguments.figure:
        draw(results, arguments.figure)


def conversion(folder: Path, counts: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Convert tables of so many patients with so many workers."""
    program = Path(sysconfig.get_path("scripts")) / "nnunet_pst"
    drawn = folder / "drawn"
    _quietly(program, "phantom", drawn, "--patients", DRAWN, "--size", "small", "--coarse")
    for count in counts:
        table = _table_of(drawn / "cohort.csv", folder / f"cohort{count}", count)
        for workers in WORKERS:
            data = folder / f"data{count}-{workers}"
            variables = shell_environment(data)
            make_folders(variables)
            begin = time.perf_counter()
            peak_mb = _quietly(
                program, "convert", table, "--dataset", "DatasetCurve", "--workers", workers,
                environment={**os.environ, **variables},
            )  # fmt: skip
            seconds = time.perf_counter() - begin
            yield _said({"patients": count, "workers": workers, "seconds": round(seconds, 2),
                         "peak_mb": round(peak_mb)})  # fmt: skip


def _table_of(source: Path, folder: Path, count: int) -> Path:
    """Write a cohort of ``count`` patients whose files are links to those of a few."""
    folder.mkdir()
    with source.open(newline="") as file:
        rows = list(csv.DictReader(file))
    written = []
    for number in range(count):
        row = dict(rows[number % len(rows)], patient=f"curve-{number:05d}", split="train")
        for column in [key for key in row if key.removesuffix("_label") in SEQUENCES]:
            if row[column]:
                target = folder / f"{number:05d}-{column}.nii.gz"
                target.hardlink_to(source.parent / row[column])
                row[column] = target.name
        written.append(row)
    table = folder / "cohort.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(written[0]))
        writer.writeheader()
        writer.writerows(written)
    return table


def _quietly(*words: object, environment: dict[str, str] | None = None) -> float:
    """Run a command; return the largest memory of one of its processes, in MB."""
    # A process of its own, because the system sums up a process's children, not one child.
    script = (
        "import resource, subprocess, sys; "
        "code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode; "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, words)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{words[1]} failed:\n{done.stderr}")
    # Kilobytes on Linux.
    return int(done.stdout) / 2**10


def training(folder: Path, counts: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Start a training on so many cases, and draw batches from all of them."""
    make_cohort(folder, Geometry(cases=DRAWN))
    for count in counts:
        _link_cases(folder / "nnUNet_preprocessed" / DATASET, count)
        entry = Entry("2d_5", "training_input", "2d_5", {"batches": 20})
        (row,) = hold([entry], device="cpu", rounds=5, title=f"training on {count} patients")
        yield _said({
            "patients": count, "start_s": round(row["start_s"], 2),
            "bags_per_second": round(row["items_per_second"]["median"]),
            "peak_mb": round(row["peak_mb"]),
        })  # fmt: skip


def _link_cases(preprocessed: Path, count: int) -> None:
    """Give the cases other names until there are so many."""
    for data in (path for path in preprocessed.iterdir() if path.is_dir()):
        for file in list(data.glob("BENCH_000[0-9]*")):
            for number in range(int(file.name[6:10]) + DRAWN, count, DRAWN):
                copy = file.with_name(f"BENCH_{number:04d}{file.name[10:]}")
                if not copy.exists():
                    copy.hardlink_to(file)


def prediction(folder: Path) -> Iterator[dict[str, Any]]:
    """Predict one volume of each size."""
    sizes = [(slices, 320) for slices in SLICES] + [(26, side) for side in MATRICES if side != 320]
    for slices, side in sizes:
        home = folder / f"{slices}-{side}"
        home.mkdir()
        make_cohort(home, Geometry(cases=2, slices=slices, rows=side, columns=side))
        entry = Entry("2d_5", "prediction", "2d_5", {"slices": slices, "mirroring": True})
        (row,) = hold([entry], device="cpu", rounds=3, title=f"{slices} x {side} x {side}")
        yield _said({
            "slices": slices, "matrix": side, "seconds": round(row["seconds"]["median"], 2),
            "peak_mb": round(row["peak_mb"]),
        })  # fmt: skip


def _said(row: dict[str, Any]) -> dict[str, Any]:
    print(row, file=sys.stderr)
    return row


def render(results: dict[str, Any]) -> str:
    """Markdown: the machine and a table for each part."""
    found = results["machine"]
    lines = [
        f"# Cost curves, {results['date']}",
        "",
        f"{found['cpu']}, {found['cores']} cores.",
        "",
    ]
    for part in PARTS:
        rows = results.get(part)
        if rows:
            keys = list(rows[0])
            lines += ["", f"## {part.capitalize()}", "", f"| {' | '.join(keys)} |"]
            lines.append(f"|{'--:|' * len(keys)}")
            lines += [f"| {' | '.join(str(row[key]) for key in keys)} |" for row in rows]
    return "\n".join(lines) + "\n"


def draw(results: dict[str, Any], path: Path) -> None:
    """Draw what was measured: three panels, memory written beside the points."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.8), layout="constrained")
    first, second, third = figure.subplots(1, 3)
    for workers in WORKERS:
        rows = [row for row in results["conversion"] if row["workers"] == workers]
        first.plot([row["patients"] for row in rows], [row["seconds"] for row in rows], "o-",
                   label=f"{workers} worker{'s' * (workers > 1)}, "
                   f"{max(row['peak_mb'] for row in rows)} MB a process")  # fmt: skip
    first.set(title="convert, four sequences a patient", xlabel="patients", ylabel="seconds",
              xscale="log", yscale="log")  # fmt: skip
    rows = results["training"]
    second.plot([row["patients"] for row in rows], [row["start_s"] for row in rows], "o-",
                label="seconds to the first batch")  # fmt: skip
    second.plot([row["patients"] for row in rows], [row["peak_mb"] / 1024 for row in rows], "s--",
                label="memory of the process, GB")  # fmt: skip
    second.set(title="start of a training, 26 x 320 x 320", xlabel="patients", xscale="log")
    by_slices = [row for row in results["prediction"] if row["matrix"] == 320]
    by_matrix = sorted((row for row in results["prediction"] if row["slices"] == 26),
                       key=lambda row: row["matrix"])  # fmt: skip
    for rows, label in ((by_slices, "slices of 320 x 320"), (by_matrix, "26 slices, by matrix")):
        voxels = [row["slices"] * row["matrix"] ** 2 / 1e6 for row in rows]
        third.plot(voxels, [row["seconds"] for row in rows], "o-", label=label)
        for x, row in zip(voxels, rows, strict=True):
            third.annotate(f"{row['peak_mb'] / 1024:.1f} GB", (x, row["seconds"]), fontsize=7,
                           xytext=(4, -9), textcoords="offset points")  # fmt: skip
    third.set(title="prediction of a volume, 4 mirrorings", xlabel="million voxels",
              ylabel="seconds")  # fmt: skip
    for axes in (first, second, third):
        axes.grid(alpha=0.3)
        axes.set_ylim(bottom=None if axes is first else 0)
        axes.legend(fontsize=8)
    with written_whole(path) as partial:
        figure.savefig(partial, format="png", dpi=120)


if __name__ == "__main__":
    main()
