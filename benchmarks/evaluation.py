"""Time and memory of `evaluate`, and the cost of an interruption.

    python benchmarks/evaluation.py --cases 500 --methods 5 --out benchmarks/results

Synthetic masks of a realistic size, one lesion each, predicted by made-up methods that move,
shrink and sprinkle it. Tables only: no pictures. Every run is its own process, whose largest
resident memory, and that of its largest worker, are read when it ends.
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe

from nnunet_pst.evaluation.evaluate import evaluate_predictions
from nnunet_pst.evaluation.references import references_in_folder
from nnunet_pst.io.geometry import Grid
from nnunet_pst.io.volumes import Volume, write_volume

SHAPE = (26, 320, 320)
SPACING_ZYX_MM = (5.0, 1.1, 1.1)


def main() -> None:
    """Measure and write the tables; with ``--run``, be one of the measured processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--methods", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--out", type=Path, help="folder for JSON and Markdown")
    parser.add_argument("--run", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.run:
        run(*map(Path, arguments.run[:3]), int(arguments.run[3]))
        return
    with tempfile.TemporaryDirectory() as folder:
        write_cohort(Path(folder), arguments.cases, arguments.methods)
        rows = [
            measure(Path(folder), arguments.methods, workers, interrupted)
            for workers in arguments.workers
            for interrupted in (False, True)
        ]
    text = table(rows, arguments.cases, arguments.methods)
    print(text)
    if arguments.out:
        size = f"{arguments.cases}x{arguments.methods}"
        stem = arguments.out / f"{date.today().isoformat()}-evaluation-{size}"
        stem.with_suffix(".md").write_text(text)
        stem.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n")


def write_cohort(folder: Path, cases: int, methods: int) -> None:
    """Write references, and the predictions of every method."""
    z, y, x = SHAPE
    grid = Grid((x, y, z), SPACING_ZYX_MM[::-1], (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    for name in ("references", *(f"method{method}" for method in range(methods))):
        (folder / name).mkdir()
    for case in range(cases):
        generator = np.random.default_rng(case)
        center = np.array([13.0, 160.0, 160.0]) + generator.uniform(-1, 1, 3) * (4, 60, 60)
        radii_mm = generator.uniform(15, 60, 3)
        file = f"PST_{case:04d}_T2.nii.gz"
        write_volume(folder / "references" / file, Volume(lesion(center, radii_mm), grid))
        for method in range(methods):
            moved = center + generator.normal(0, 1 + method, 3) * (0.5, 1, 1)
            mask = lesion(moved, radii_mm * generator.uniform(0.85, 1.1))
            mask[tuple(generator.integers(0, SHAPE, (5 * method, 3)).T)] = 1
            write_volume(folder / f"method{method}" / file, Volume(mask, grid))


def lesion(center: np.ndarray, radii_mm: np.ndarray) -> np.ndarray:
    """Mask of an ellipsoid."""
    away = np.zeros(SHAPE)
    for axis, index in enumerate(np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]):
        away = away + ((index - center[axis]) * SPACING_ZYX_MM[axis] / radii_mm[axis]) ** 2
    return (away <= 1).astype(np.uint8)


def measure(folder: Path, methods: int, workers: int, interrupted: bool) -> dict[str, Any]:
    """Evaluate every method; interrupted, each is killed halfway and started again."""
    seconds, kept, memory = 0.0, 0, [0, 0]
    for method in range(methods):
        output = folder / f"scores{method}-{workers}-{interrupted}"
        words = [sys.executable, __file__, "--run", str(folder / f"method{method}")]
        words += [str(folder / "references"), str(output), str(workers)]
        begin = time.perf_counter()
        if interrupted:
            kill_halfway(words, output, len(list((folder / "references").iterdir())) // 2)
        report = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
        seconds += time.perf_counter() - begin
        kept += report["kept"]
        memory = [max(pair) for pair in zip(memory, report["memory_mb"], strict=True)]
        whole = folder / f"scores{method}-{workers}-False"
        same = all(
            (whole / path.name).read_bytes() == path.read_bytes() for path in output.iterdir()
        )
        if not same:
            raise SystemExit(f"method {method}: an interruption changed the result")
    row = {"workers": workers, "interrupted": interrupted, "seconds": round(seconds, 1)}
    row |= {"kept": kept, "main_process_mb": memory[0], "largest_worker_mb": memory[1]}
    print(row, flush=True)
    return row


def kill_halfway(words: list[str], output: Path, number: int) -> None:
    """Kill an evaluation without warning when it has scored this number of cases."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    scored = output.with_name(f".partial-{output.name}") / "cases"
    while process.poll() is None and len(list(scored.glob("*.json"))) < number:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()


def run(predictions: Path, references: Path, output: Path, workers: int) -> None:
    """Evaluate one folder; print the number of kept cases and the largest memory, in MB."""
    done = evaluate_predictions(
        predictions, references_in_folder(references), output=output, workers=workers
    )
    peaks = [
        resource.getrusage(who).ru_maxrss // 1024
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    ]
    print(json.dumps({"kept": done.kept, "memory_mb": peaks}))


def table(rows: list[dict[str, Any]], cases: int, methods: int) -> str:
    """Markdown: one line per number of workers, with and without an interruption."""
    machine = describe("cpu")
    shape = " x ".join(map(str, SHAPE))
    lines = [
        f"# Evaluation of {cases} cases x {methods} methods, masks of {shape}",
        "",
        f"{date.today().isoformat()}, {machine['cpu']}, {machine['cores']} cores; tables only.",
        "Interrupted: each method killed halfway (SIGKILL) and started again, both starts timed;",
        "the result was the same, byte by byte. Memory: largest resident size of one process.",
        "",
        "| workers | interrupted | seconds | ms a case | kept | main process, MB | a worker, MB |",
        "|--:|---|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        each = 1000 * row["seconds"] / (cases * methods)
        lines.append(
            f"| {row['workers']} | {'yes' if row['interrupted'] else 'no'} | {row['seconds']:.0f} "
            f"| {each:.0f} | {row['kept']} | {row['main_process_mb']} "
            f"| {row['largest_worker_mb'] or '-'} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
