"""Tiny masks from which the tests of ``compare`` make theirs."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

from nnunet_pst.cli.main import main
from nnunet_pst.io.geometry import Grid
from nnunet_pst.io.volumes import Volume, write_volume

SHAPE = (4, 8, 8)
GRID = Grid((8, 8, 4), (1.0, 1.0, 5.0), (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
PATIENTS = 7


def tumor(columns: int) -> np.ndarray:
    """A box of two slices, six rows and some columns."""
    array = np.zeros(SHAPE, np.uint8)
    array[1:3, 1:7, 1 : 1 + columns] = 1
    return array


def image(patient: int) -> np.ndarray:
    """Noise that no other patient has."""
    return np.random.default_rng(patient).normal(100, 20, SHAPE).astype(np.float32)


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(path, Volume(array, GRID))


def predict(dataset: Path, folder: Path, columns: dict[str, int] | int) -> Path:
    """Masks with so many of the six columns, for every case or by case."""
    for label in sorted((dataset / "labelsTs").iterdir()):
        name = label.name.removesuffix(".nii.gz")
        width = columns if isinstance(columns, int) else columns[name]
        save(folder / label.name, tumor(width))
    return folder


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def compare(tmp_path: Path, dataset: Path, *words: str, output: str = "out") -> Path:
    out = tmp_path / output
    quiet = ("--no-overlays", "--workers", "1")
    assert main(["compare", *words, "--dataset", str(dataset), "-o", str(out), *quiet]) == 0
    return out


def cross_validated(tmp_path: Path, dataset: Path, name: str, width: int) -> Path:
    """A training in two folds, as nnU-Net leaves it; the labels become training labels."""
    home = tmp_path / "results" / "DatasetPST" / f"{name}__nnUNetPlans__2d"
    for label in sorted((dataset / "labelsTr").iterdir()):
        fold = int(label.name.split("_")[1]) % 2
        folder = home / f"fold_{fold}" / "validation"
        save(folder / label.name, tumor(width))
        summary = {"foreground_mean": {"Dice": width / 10}}
        (folder / "summary.json").write_text(json.dumps(summary))
    return home
