"""A small cohort as the host has planned it, and the trainings that it may have."""

from __future__ import annotations

import csv
import json
from pathlib import Path

DATASET = "DatasetUnit"


def stock_plans(**changes) -> dict:
    """The parts of the host's plans from which ours are made."""
    base = {
        "spacing": [0.8, 0.8],
        "median_image_size_in_voxels": [300.0, 280.0],
        "use_mask_for_norm": [False],
    }
    plans = {
        "plans_name": "nnUNetPlans",
        "transpose_forward": [0, 1, 2],
        "configurations": {"2d": base},
    }
    for name, value in changes.items():
        (base if name in base else plans)[name] = value
    return plans


def fingerprint(*cases: tuple[tuple[int, int, int], tuple[float, float, float]]) -> dict:
    return {
        "shapes_after_crop": [shape for shape, _ in cases],
        "spacings": [spacing for _, spacing in cases],
    }


SCANS = fingerprint(
    ((26, 320, 300), (5.0, 0.8, 0.8)),
    ((31, 128, 160), (7.0, 2.5, 2.5)),
    ((20, 512, 400), (4.0, 0.4, 0.4)),
)


def write_cases(folder: Path, count: int = 7) -> None:
    rows = [
        {
            "case": f"PST_{number:04}_{sequence}",
            "patient": f"PST_{number:04}",
            "sequence": sequence,
            "split": "test" if number == 6 else "train",
            "size_cm": str(number),
        }
        for number in range(count)
        for sequence in ("T1", "T2")
    ]
    with (folder / "cases.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def splits_of(folder: Path) -> list[dict[str, list[str]]]:
    return json.loads((folder / "splits_final.json").read_text())


def become_test(folder: Path, patient: str) -> None:
    """Move a patient to the test split of a case table."""
    table = folder / "cases.csv"
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join(x.replace(",train,", ",test,") if patient in x else x for x in lines))


def leave_training(root: Path, fold: str = "0") -> Path:
    """Leave what a training leaves that planning sees."""
    folder = root / "results" / DATASET / "T__nnUNetPlans__2d_5" / f"fold_{fold}"
    folder.mkdir(parents=True)
    (folder / "checkpoint_final.pth").touch()
    return folder
