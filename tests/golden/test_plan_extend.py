"""``plan --extend`` after the host's own planning gives what ``plan`` alone gives."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import blosc2
import numpy as np
import pytest

pytestmark = pytest.mark.slow

DATASET, NUMBERED = "DatasetPST", "Dataset501_PST"


@pytest.fixture(scope="module")
def folders(planned, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Preprocessed data by ``plan``, and by the host with ``plan --extend`` after it."""
    root = tmp_path_factory.mktemp("extend")
    workplace = planned.but(nnUNet_raw=root / "raw", nnUNet_preprocessed=root / "preprocessed")
    shutil.copytree(planned.raw / DATASET, workplace.raw / NUMBERED)
    workplace.call(
        "nnUNetv2_plan_and_preprocess", "-d", "501", "-c", "2d", "-np", "1", "-npfp", "1"
    )
    workplace.call("nnunet_pst", "plan", NUMBERED, "--extend")
    return planned.preprocessed / DATASET, workplace.preprocessed / NUMBERED


def test_the_same_plans_but_for_the_name(folders: tuple[Path, Path]):
    ours, theirs = (json.loads((folder / "nnUNetPlans.json").read_text()) for folder in folders)
    assert ours.pop("dataset_name") == DATASET
    assert theirs.pop("dataset_name") == NUMBERED
    assert list(ours["configurations"]) == list(theirs["configurations"])
    assert ours == theirs


@pytest.mark.parametrize(
    "name", ["splits_final.json", "dataset.json", "dataset_fingerprint.json", "cases.csv"]
)
def test_the_same_tables(folders: tuple[Path, Path], name: str):
    ours, theirs = ((folder / name).read_text() for folder in folders)
    assert ours == theirs


def test_the_same_files(host: Callable, folders: tuple[Path, Path]):
    ours, theirs = (
        sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
        for folder in folders
    )
    assert ours == theirs, host("preprocessing writes files that our planning doesn't")
    assert "gt_segmentations/PST_0001_T2.nii.gz" in ours


def test_the_same_arrays_and_properties(host: Callable, folders: tuple[Path, Path]):
    ours, theirs = (folder / "nnUNetPlans_2d" for folder in folders)
    arrays = sorted(path.name for path in ours.glob("*.b2nd"))
    assert len(arrays) == 12
    for name in arrays:
        one, other = (blosc2.open(str(folder / name), mode="r") for folder in (ours, theirs))
        assert np.array_equal(one[:], other[:]), host(f"{name} differs")
        assert one.chunks == other.chunks
    for path in ours.glob("*.pkl"):
        one, other = (pickle.loads((f / path.name).read_bytes()) for f in (ours, theirs))
        np.testing.assert_equal(one, other)
