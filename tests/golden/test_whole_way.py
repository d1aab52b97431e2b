"""From table to scores with the commands that users type, and every use of a trained model."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

pytestmark = pytest.mark.slow

DATASET = "DatasetPST"
TINY = "nnUNetTrainerPST25D_tiny"
OURS = ("-d", DATASET, "-c", "2d_5", "-tr", TINY, "-f", "0", "-device", "cpu")
#: Preprocess, predict and export in turn in this process.
HERE = ("-npp", "0", "-nps", "0")


def test_converted_labels_are_coarse_for_training_and_fine_for_test(converted, voxels: Callable):
    training = [voxels(path) for path in (converted.raw / DATASET / "labelsTr").iterdir()]
    assert len(training) == 6
    for label in training:
        lesion = np.flatnonzero((label == 1).any(axis=(1, 2)))
        assert len(lesion) == 3
        assert (label[lesion] != 2).all()
        # The band between the lesion and the far negatives is unknown, the far end is not.
        assert (label[lesion[-1] + 1] == 2).all()
        assert (label[-1] == 0).all()
    for path in (converted.raw / DATASET / "labelsTs").iterdir():
        assert set(np.unique(voxels(path))) == {0, 1}


def test_every_fold_has_other_patients(planned):
    splits = json.loads((planned.preprocessed / DATASET / "splits_final.json").read_text())
    assert len(splits) == 5
    for fold in splits:
        assert not set(fold["train"]) & set(fold["val"])
    assert len({case for fold in splits for case in fold["val"]}) == 6


def test_training_leaves_a_model_with_our_settings(trained):
    kept = json.loads((trained.model / "plans.json").read_text())
    planned = json.loads((trained.preprocessed / DATASET / "nnUNetPlans.json").read_text())
    assert kept["configurations"]["2d_5"] == planned["configurations"]["2d_5"]
    fold = trained.model / "fold_0"
    assert (fold / "checkpoint_final.pth").is_file()
    assert not (fold / "checkpoint_latest.pth").exists()
    log = next(fold.glob("training_log_*.txt")).read_text()
    assert "Encoder weights: none" in log
    assert "Epochs 0 to 3, 20 iterations of 12 bags" in log


def test_one_tile_covers_every_case_of_the_cohort(host: Callable, planned):
    plans = json.loads((planned.preprocessed / DATASET / "nnUNetPlans.json").read_text())
    patch = plans["configurations"]["2d_5"]["patch_size"]
    assert len(patch) == len(plans["configurations"]["2d"]["spacing"]) + 1, host("adds an axis")
    # 11 slices and 4 to spare; 56 x 64 pixels on multiples of 32.
    assert patch == [15, 64, 64]


def test_a_prediction_has_the_grid_of_its_image(predicted: Path, trained, voxels: Callable):
    for path in (trained.raw / DATASET / "labelsTs").iterdir():
        found, wanted = sitk.ReadImage(str(predicted / path.name)), sitk.ReadImage(str(path))
        assert found.GetSize() == wanted.GetSize()
        for grid in ("GetSpacing", "GetOrigin", "GetDirection"):
            assert np.allclose(getattr(found, grid)(), getattr(wanted, grid)(), atol=1e-5)
        assert set(np.unique(voxels(predicted / path.name))) == {0, 1}


def test_evaluate_scores_the_prediction(predicted: Path, trained, tmp_path: Path):
    words = ("nnunet_pst", "evaluate", predicted, "--dataset", DATASET, "-o", tmp_path / "scores")
    trained.check(*words)
    with (tmp_path / "scores" / "cases.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["case"] for row in rows] == ["PST_0007_T2", "PST_0008_T2"]
    # Seconds of training find a bright ellipsoid; a broken orientation or label scores near 0.
    assert all(float(row["dice"]) > 0.3 for row in rows)
    pictures = {path.name for path in (tmp_path / "scores").rglob("*.png")}
    assert "contact_sheet.png" in pictures
    assert len(pictures) == 3


def test_a_missing_prediction_is_an_error(predicted: Path, trained, tmp_path: Path):
    shutil.copy(next(predicted.glob("*.nii.gz")), tmp_path)
    done = trained.run("nnunet_pst", "evaluate", tmp_path, "--dataset", DATASET)
    assert done.returncode == 1
    assert "PST_000" in done.stderr


def test_validation_equals_prediction(
    host: Callable, trained, validation_cases: list[str], tmp_path: Path, voxels: Callable
):
    images = trained.raw / DATASET / "imagesTr"
    for case in validation_cases:
        shutil.copy(images / f"{case}_0000.nii.gz", tmp_path)
    trained.call("nnUNetv2_predict", "-i", tmp_path, "-o", tmp_path / "out", *OURS, *HERE)
    for case in validation_cases:
        validated = voxels(trained.model / "fold_0" / "validation" / f"{case}.nii.gz")
        assert validated.any(), "an empty mask would prove nothing"
        assert np.array_equal(voxels(tmp_path / "out" / f"{case}.nii.gz"), validated), host(
            f"validation and prediction of {case} differ"
        )


def test_from_the_model_folder(predicted: Path, trained, tmp_path: Path, voxels: Callable):
    images = trained.raw / DATASET / "imagesTs"
    words = ("-i", images, "-o", tmp_path, "-m", trained.model, "-f", "0", "-device", "cpu")
    trained.call("nnUNetv2_predict_from_modelfolder", *words, "-npp", "1", "-nps", "1")
    same_masks(predicted, tmp_path, voxels)


def test_ensemble_with_the_hosts_own_network(
    predicted: Path, trained, tmp_path: Path, voxels: Callable
):
    # Hardly trained: the test is that its probabilities and ours can be combined.
    stock = "nnUNetTrainer_tiny"
    trained.call("nnUNetv2_train", DATASET, "2d", "0", "-tr", stock, "-device", "cpu")
    second, both = tmp_path / "2d", tmp_path / "both"
    words = ("-d", DATASET, "-c", "2d", "-tr", stock, "-f", "0", "-device", "cpu", *HERE)
    images = trained.raw / DATASET / "imagesTs"
    trained.call("nnUNetv2_predict", "-i", images, "-o", second, *words, "--save_probabilities")
    trained.call("nnUNetv2_ensemble", "-i", predicted, second, "-o", both, "-np", "1")
    files = list(predicted.glob("*.npz"))
    assert len(files) == 2
    for file in files:
        mean = (probabilities(file) + probabilities(second / file.name)) / 2
        assert mean.shape[0] == 2
        found = voxels(both / file.name.replace(".npz", ".nii.gz"))
        assert np.array_equal(found, mean.argmax(axis=0))


def probabilities(file: Path) -> np.ndarray:
    return np.load(file)["probabilities"].astype(np.float32)


def same_masks(one: Path, other: Path, voxels: Callable) -> None:
    files = sorted(path.name for path in one.glob("*.nii.gz"))
    assert files
    for name in files:
        assert np.array_equal(voxels(one / name), voxels(other / name)), name
