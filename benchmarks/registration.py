"""How exactly and how fast each engine finds a known motion: synthetic patients, one core.

    python benchmarks/registration.py --patients 20 --out benchmarks/results

The error is the distance between where a registration and where the truth put the tumour's voxels.
Both engines see the same pairs in turn. DWI is bent by echo-planar imaging, which no rigid motion
undoes: its error is reported, not judged.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe

from nnunet_pst.phantom.cohort import RenderedPatient, render_patient
from nnunet_pst.phantom.patients import draw_patient
from nnunet_pst.registration import ants_backend, simpleitk_backend
from nnunet_pst.registration.transforms import SpatialTransform

ENGINES = {
    "ants": lambda reference, moving: ants_backend.estimate(reference, moving, "rigid", 0),
    "simpleitk": lambda reference, moving: simpleitk_backend.estimate(reference, moving, "rigid"),
}
MOVING = ("CET1", "T1", "DWI")


def main() -> None:
    """Measure and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=20)
    parser.add_argument("--size", choices=["small", "paper"], default="paper")
    parser.add_argument("--moving", nargs="+", default=list(MOVING), choices=MOVING)
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=list(ENGINES))
    parser.add_argument("--out", type=Path, help="folder for JSON and Markdown")
    arguments = parser.parse_args()
    rows = []
    for number in range(arguments.patients):
        patient = render_patient(draw_patient(0, number), 0, arguments.size)
        for moving in arguments.moving:
            for engine in arguments.engines:
                rows.append({"patient": number, **measure(patient, moving, engine)})
                print(rows[-1], flush=True)
    text = table(rows, arguments.size)
    print(text)
    if arguments.out:
        stem = arguments.out / f"{date.today().isoformat()}-registration-{arguments.size}"
        stem.with_suffix(".md").write_text(text)
        stem.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n")


def measure(patient: RenderedPatient, moving: Any, engine: str) -> dict[str, Any]:
    """Register one pair; error over the tumour before and after, in mm, and seconds."""
    begin = time.perf_counter()
    found = ENGINES[engine](patient.images["T2"], patient.images[moving])
    seconds = time.perf_counter() - begin
    after = error_mm(patient, moving, found)
    before = error_mm(patient, moving, SpatialTransform.identity())
    return {
        "moving": moving,
        "engine": engine,
        "before_mm": round(float(np.median(before)), 3),
        "median_mm": round(float(np.median(after)), 3),
        "max_mm": round(float(after.max()), 3),
        "seconds": round(seconds, 2),
    }


def error_mm(patient: RenderedPatient, moving: Any, found: SpatialTransform) -> np.ndarray:
    """Distance of every tumour voxel's place from the true one."""
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
        f"{date.today().isoformat()}, {cpu}; one core, rigid. Error over the tumour's",
        "voxels; median of the patients' medians, largest of all voxels of all patients.",
        "",
        "| moving | engine | before, mm | median, mm | largest, mm | seconds a pair |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for moving in MOVING:
        for engine in ENGINES:
            part = [row for row in rows if (row["moving"], row["engine"]) == (moving, engine)]
            if part:
                middle = {
                    key: np.median([row[key] for row in part])
                    for key in ("before_mm", "median_mm", "seconds")
                }
                lines.append(
                    f"| {moving} | {engine} | {middle['before_mm']:.2f} | "
                    f"{middle['median_mm']:.2f} | {max(row['max_mm'] for row in part):.2f} | "
                    f"{middle['seconds']:.1f} |"
                )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
