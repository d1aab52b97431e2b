"""Accuracy and speed of each engine for a known motion: synthetic patients, one core.

    OMP_NUM_THREADS=1 python benchmarks/registration.py --patients 20 --out benchmarks/results

The error is the distance between the tumor's voxels after registration and after the true motion.
Both engines get the same pairs in turn, and ANTs's first use in the process is not counted. DWI is
distorted by echo-planar imaging, which no rigid motion undoes: its error is reported, not judged.

Seconds are the processor's, on one thread, so that a busy machine doesn't count: for the estimate,
and for the whole of `register`, which measures and judges it too. Each pair is written to
``--rows`` when it is done; the same command again goes on from there.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import date
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe

from nnunet_pst.io.atomic_files import write_atomically
from nnunet_pst.io.volumes import use_one_thread
from nnunet_pst.phantom.cohort import RenderedPatient, render_patient
from nnunet_pst.phantom.patients import draw_patient
from nnunet_pst.registration import ants_backend, policy
from nnunet_pst.registration.policy import RegistrationSettings, register
from nnunet_pst.registration.transforms import SpatialTransform

ENGINES = ("ants", "simpleitk")
MOVING = ("CET1", "T1", "DWI")


def main() -> None:
    """Measure the missing pairs, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=20)
    parser.add_argument("--size", choices=["small", "paper"], default="paper")
    parser.add_argument("--moving", nargs="+", default=list(MOVING), choices=MOVING)
    parser.add_argument("--out", type=Path, required=True, help="folder for JSON and Markdown")
    parser.add_argument("--rows", type=Path, default=Path("registration-rows.jsonl"))
    arguments = parser.parse_args()
    use_one_thread()
    rows = [row for row in read_rows(arguments.rows) if row["size"] == arguments.size]
    for number in range(arguments.patients):
        done = {(row["moving"], row["engine"]) for row in rows if row["patient"] == number}
        todo = [pair for pair in product(arguments.moving, ENGINES) if pair not in done]
        patient = render_patient(draw_patient(0, number), 0, arguments.size) if todo else None
        for moving, engine in todo:
            found = measure(patient, moving, engine)
            rows.append({"size": arguments.size, "patient": number, **found})
            with arguments.rows.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
            print(rows[-1], flush=True)
    rows = [row for row in rows if row["patient"] < arguments.patients]
    text = table(rows, arguments.size)
    print(text)
    stem = arguments.out / f"{date.today().isoformat()}-registration-{arguments.size}"
    write_atomically(stem.with_suffix(".md"), text)
    write_atomically(stem.with_suffix(".json"), json.dumps(rows, indent=1) + "\n")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read the finished pairs; an incomplete line of a killed run is dropped."""
    if not path.is_file():
        return []
    lines = [line for line in path.read_text().splitlines() if line.endswith("}")]
    write_atomically(path, "".join(f"{line}\n" for line in lines))
    return [json.loads(line) for line in lines]


def measure(patient: RenderedPatient, moving: Any, engine: str) -> dict[str, Any]:
    """Register one pair; error over the tumor before and after, in mm, and seconds."""
    settings = RegistrationSettings(engine=engine)
    if engine == "ants":
        ants_backend.require_ants()
        import ants  # noqa: F401 - loading it takes seconds, once
    images = patient.images["T2"], patient.images[moving]
    spent: list[float] = []
    estimates: list[SpatialTransform] = []
    estimate = policy._estimate

    def timed(*words: Any) -> SpatialTransform:
        begin = time.process_time()
        estimates.append(estimate(*words))
        spent.append(time.process_time() - begin)
        return estimates[-1]

    policy._estimate = timed
    try:
        begin = time.process_time()
        judged = register(*images, settings)
        whole = time.process_time() - begin
    finally:
        policy._estimate = estimate
    # The engine's transform, even if `register` rejects it.
    after = error_mm(patient, moving, estimates[0])
    before = error_mm(patient, moving, SpatialTransform.identity())
    return {
        "moving": moving,
        "engine": engine,
        "before_mm": round(float(np.median(before)), 3),
        "median_mm": round(float(np.median(after)), 3),
        "max_mm": round(float(after.max()), 3),
        "estimate_s": round(spent[0], 2),
        "register_s": round(whole, 2),
        "refused": judged.reason,
    }


def error_mm(patient: RenderedPatient, moving: Any, found: SpatialTransform) -> np.ndarray:
    """Distance of every tumor voxel from its true position, in mm."""
    label = patient.labels["T2"]
    affine = label.grid.affine_lps_mm
    points = np.argwhere(label.array)[:, ::-1] @ affine[:3, :3].T + affine[:3, 3]
    scans = patient.scans
    true = scans[moving].pose.after(scans["T2"].pose.inverse()).matrix()
    return np.linalg.norm(
        found.map_points(points) - (points @ true[:3, :3].T + true[:3, 3]), axis=1
    )


def table(rows: list[dict[str, Any]], size: str) -> str:
    """Markdown: medians over patients, and the worst."""
    count = len({row["patient"] for row in rows})
    cpu = describe("cpu")["cpu"]
    lines = [
        f"# Registration to T2, {count} synthetic patients, size {size}",
        "",
        f"{date.today().isoformat()}, {cpu}; rigid. Error over the tumor's voxels: median and",
        "largest of the patients' medians, largest of all voxels of all patients. Seconds of one",
        "core: estimate alone, and with judging it (median, largest).",
        "",
        "| moving | engine | before, mm | median, mm | worst median, mm | largest, mm "
        "| estimate, s | whole, s (largest) | refused |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for moving, engine in product(MOVING, ENGINES):
        part = [row for row in rows if (row["moving"], row["engine"]) == (moving, engine)]
        if not part:
            continue
        column = {
            key: np.array([row[key] for row in part])
            for key in part[0]
            if key.endswith(("_mm", "_s"))
        }
        lines.append(
            f"| {moving} | {engine} | {np.median(column['before_mm']):.2f} | "
            f"{np.median(column['median_mm']):.2f} | {column['median_mm'].max():.2f} | "
            f"{column['max_mm'].max():.2f} | {np.median(column['estimate_s']):.1f} | "
            f"{np.median(column['register_s']):.1f} ({column['register_s'].max():.1f}) | "
            f"{sum(bool(row['refused']) for row in part)} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
