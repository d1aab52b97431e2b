"""The cost of conversion, training and prediction as the cohort and the images grow.

    python benchmarks/curves.py --out benchmarks/results --figure docs/cost_curves.png

Conversion: `nnunet_pst convert` of a table of synthetic patients (size ``small``, four sequences
each), seconds and the largest process's memory, by patients and workers. A few patients are drawn
and their files copied under many names, so every row is read, checked and written.
Training: from the trainer's start to its first batch, and a batch afterwards, by patients; the
preprocessed cases are links too. Prediction: one volume, by slices and by matrix, nnU-Net's own
predictor with mirroring, network time and memory.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import machine
from contest import Entry, hold
from synthetic_cohort import DATASET, TINY, Geometry, make_cohort

from nnunet_pst.io.atomic_files import write_atomically, written_whole
from nnunet_pst.nnunet.environment import make_folders, shell_environment

PARTS = ("conversion", "training", "prediction")
WORKERS = (1, 2)
SEQUENCES = ("T1", "T2", "DWI", "CET1")


@dataclass(frozen=True)
class Scale:
    """The extent of the measurements.

    Attributes
    ----------
    drawn
        Synthetic patients; all others are copies of their files.
    case
        Of the training cases; predicted volumes differ in slices and matrix.
    suffix
        Of the results' file.
    """

    patients: tuple[int, ...]
    slices: tuple[int, ...]
    matrices: tuple[int, ...]
    drawn: int = 10
    case: Geometry = field(default_factory=Geometry)
    rounds: int = 5
    suffix: str = ""


FULL = Scale(patients=(10, 100, 1000), slices=(13, 26, 52, 104), matrices=(192, 256, 320, 512))
QUICK = Scale((2, 4), (8, 10), (32, 64), drawn=2, case=TINY, rounds=1, suffix="-quick")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the requested parts; parts measured before are taken from ``--out``'s file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--most-patients", type=int, default=max(FULL.patients))
    parser.add_argument(
        "--quick", action="store_true", help="smoke test on tiny arrays; the numbers mean nothing"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for JSON and Markdown")
    parser.add_argument("--figure", type=Path, help="PNG")
    arguments = parser.parse_args(argv)
    arguments.out.mkdir(parents=True, exist_ok=True)
    described = machine.describe("cpu")
    scale = QUICK if arguments.quick else FULL
    name = f"{date.today().isoformat()}-curves-{machine.file_name(described)}{scale.suffix}"
    file = arguments.out / f"{name}.json"
    results: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    results |= {"date": date.today().isoformat(), "machine": described, "quick": arguments.quick}
    counts = [count for count in scale.patients if count <= arguments.most_patients]
    measures = {"conversion": conversion, "training": training, "prediction": prediction}
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        for part in arguments.only:
            results[part] = list(measures[part](Path(folder), counts, scale))
            write_atomically(file, json.dumps(results, indent=1) + "\n")
    text = render(results)
    write_atomically(file.with_suffix(".md"), text)
    print(text)
    if arguments.figure:
        draw(results, scale, arguments.figure)


def conversion(folder: Path, counts: Sequence[int], scale: Scale) -> Iterator[dict[str, Any]]:
    """Convert tables of these numbers of patients with these numbers of workers."""
    program = Path(sysconfig.get_path("scripts")) / "nnunet_pst"
    drawn = folder / "drawn"
    _quietly(program, "phantom", drawn, "--patients", scale.drawn, "--size", "small", "--coarse")
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
    """Write a cohort of ``count`` patients whose files are copies of those of a few."""
    folder.mkdir()
    with source.open(newline="") as file:
        rows = list(csv.DictReader(file))
    written = []
    for number in range(count):
        row = dict(rows[number % len(rows)], patient=f"curve-{number:05d}", split="train")
        for column in [key for key in row if key.removesuffix("_label") in SEQUENCES]:
            if row[column]:
                target = folder / f"{number:05d}-{column}.nii.gz"
                # Links would be one file under two patients, which convert refuses.
                shutil.copyfile(source.parent / row[column], target)
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
    # In its own process, because the system reports the memory of all children, not of one.
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


def training(folder: Path, counts: Sequence[int], scale: Scale) -> Iterator[dict[str, Any]]:
    """Start trainings on these numbers of cases, and draw batches from all cases."""
    home = _cohort(folder, replace(scale.case, cases=scale.drawn))
    for count in counts:
        _link_cases(home / "nnUNet_preprocessed" / DATASET, scale.drawn, count)
        entry = Entry("2d_5", "training_input", "2d_5", {"batches": 20})
        title = f"training on {count} patients"
        (row,) = hold([entry], device="cpu", rounds=scale.rounds, title=title)
        yield _said({
            "patients": count, "start_s": round(row["start_s"], 2),
            "bags_per_second": round(row["items_per_second"]["median"]),
            "peak_mb": round(row["peak_mb"]),
        })  # fmt: skip


def _cohort(folder: Path, geometry: Geometry) -> Path:
    """Replace the last cohort: the measuring process is forked with the host's folders set."""
    home = folder / "nnunet_data"
    if home.exists():
        shutil.rmtree(home)
    home.mkdir()
    make_cohort(home, geometry)
    return home


def _link_cases(preprocessed: Path, drawn: int, count: int) -> None:
    """Link the cases under other names up to this number."""
    for data in (path for path in preprocessed.iterdir() if path.is_dir()):
        for file in list(data.glob("BENCH_000[0-9]*")):
            for number in range(int(file.name[6:10]) + drawn, count, drawn):
                copy = file.with_name(f"BENCH_{number:04d}{file.name[10:]}")
                if not copy.exists():
                    copy.hardlink_to(file)


def prediction(folder: Path, _counts: Sequence[int], scale: Scale) -> Iterator[dict[str, Any]]:
    """Predict one volume of each size."""
    slices, side = scale.case.slices, scale.case.rows
    sizes = [(count, side) for count in scale.slices]
    sizes += [(slices, other) for other in scale.matrices if other != side]
    for slices, side in sizes:
        _cohort(folder, replace(scale.case, cases=2, slices=slices, rows=side, columns=side))
        entry = Entry("2d_5", "prediction", "2d_5", {"slices": slices, "mirroring": True})
        title = f"{slices} x {side} x {side}"
        (row,) = hold([entry], device="cpu", rounds=min(scale.rounds, 3), title=title)
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
        *(["**Smoke test: these numbers mean nothing.**"] if results.get("quick") else []),
    ]
    for part in PARTS:
        rows = results.get(part)
        if rows:
            keys = list(rows[0])
            lines += ["", f"## {part.capitalize()}", "", f"| {' | '.join(keys)} |"]
            lines.append(f"|{'--:|' * len(keys)}")
            lines += [f"| {' | '.join(str(row[key]) for key in keys)} |" for row in rows]
    return "\n".join(lines) + "\n"


def draw(results: dict[str, Any], scale: Scale, path: Path) -> None:
    """Draw the measurements: three panels, with the memory beside the points."""
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
    slices, side = scale.case.slices, scale.case.rows
    title = f"start of a training, {slices} x {side} x {side}"
    second.set(title=title, xlabel="patients", xscale="log")
    by_slices = [row for row in results["prediction"] if row["matrix"] == side]
    by_matrix = sorted((row for row in results["prediction"] if row["slices"] == slices),
                       key=lambda row: row["matrix"])  # fmt: skip
    labels = (f"slices of {side} x {side}", f"{slices} slices, by matrix")
    for rows, label in zip((by_slices, by_matrix), labels, strict=True):
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
