"""Masks and labels of four tiny test cases, and evaluations of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nnunet_pst.errors import InputError
from nnunet_pst.evaluation.evaluate import evaluate_predictions
from nnunet_pst.evaluation.references import references_of_dataset
from nnunet_pst.evaluation.score_tables import Evaluation
from nnunet_pst.io.geometry import Grid
from nnunet_pst.io.volumes import Volume, write_volume

SHAPE = (7, 12, 10)
GRID = Grid((10, 12, 7), (1.0, 1.0, 5.0), (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
TUMOR = np.zeros(SHAPE, np.uint8)
TUMOR[2:5, 4:8, 4:8] = 1
#: Half of it: Dice 2/3, IoU 1/2.
HALF = TUMOR.copy()
HALF[:, :, 6:] = 0
NOTHING = np.zeros(SHAPE, np.uint8)
#: Case: patient, sequence, split, label, prediction.
CASES = {
    "PST_0001_T1": ("PST_0001", "T1", "test", TUMOR, TUMOR),
    "PST_0001_T2": ("PST_0001", "T2", "test", TUMOR, NOTHING),
    "PST_0002_T2": ("PST_0002", "T2", "test", TUMOR, HALF),
    "PST_0003_T2": ("PST_0003", "T2", "test", TUMOR, TUMOR),
}


def save(path: Path, array: np.ndarray, grid: Grid = GRID) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(path, Volume(array, grid))


def rewrite_case(dataset: Path, name: str) -> None:
    """Give the first case of ``cases.csv`` another name."""
    table = dataset / "cases.csv"
    table.write_text(table.read_text().replace("PST_0001_T1,", f"{name},", 1))


def score(predictions: Path, dataset: Path, output: Path | None = None, **rest) -> Evaluation:
    references = references_of_dataset(dataset)
    return evaluate_predictions(predictions, references, output=output, **rest)


def problems_of(predictions: Path, dataset: Path, output: Path, **rest) -> list[str]:
    """Problems of an evaluation that must fail, and must leave nothing, hidden or not."""
    before = sorted(output.parent.rglob("*"))
    with pytest.raises(InputError) as error:
        score(predictions, dataset, output, **rest)
    assert sorted(output.parent.rglob("*")) == before
    return error.value.problems


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}
