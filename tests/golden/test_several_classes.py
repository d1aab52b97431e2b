"""A stock dataset of two classes and another ignore value, from planning to scores."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from nnunet_pst.io.label_values import read_label_values
from nnunet_pst.nnunet.training.case_reader import SliceCache

pytestmark = pytest.mark.slow

NUMBERED, TINY = "Dataset502_Classes", "nnUNetTrainerPST25D_tiny"
LABELS = {"background": 0, "bone": 1, "soft": 2, "ignore": 3}


@pytest.fixture(scope="module")
def workplace(converted, tmp_path_factory: pytest.TempPathFactory):
    """The dataset of `converted` as others would have made it, planned with ``--extend``."""
    root = tmp_path_factory.mktemp("classes")
    place = converted.but(
        nnUNet_raw=root / "raw",
        nnUNet_preprocessed=root / "preprocessed",
        nnUNet_results=root / "results",
        TINY_EPOCHS="1",
    )
    folder = place.raw / NUMBERED
    shutil.copytree(converted.raw / "DatasetPST", folder)
    description = json.loads((folder / "dataset.json").read_text())
    description["labels"] = LABELS
    del description["nnunet_pst"]
    (folder / "dataset.json").write_text(json.dumps(description))
    for path in [*(folder / "labelsTr").iterdir(), *(folder / "labelsTs").iterdir()]:
        image = sitk.ReadImage(str(path))
        array = sitk.GetArrayFromImage(image)
        array[array == 2] = 3
        column = np.flatnonzero((array == 1).any(axis=(0, 1))).mean()
        array[(array == 1) & (np.arange(array.shape[2]) > column)] = 2
        changed = sitk.GetImageFromArray(array)
        changed.CopyInformation(image)
        sitk.WriteImage(changed, str(path), True)
    place.call("nnUNetv2_plan_and_preprocess", "-d", "502", "-c", "2d", "-np", "1", "-npfp", "1")
    place.call("nnunet_pst", "plan", NUMBERED, "--extend")
    return place


def test_a_training_predicts_and_validates_every_class(workplace):
    workplace.check("nnUNetv2_train", NUMBERED, "2d_5", "0", "-tr", TINY, "-device", "cpu")
    fold = workplace.results / NUMBERED / f"{TINY}__nnUNetPlans__2d_5" / "fold_0"
    summary = json.loads((fold / "validation" / "summary.json").read_text())
    assert set(summary["mean"]) == {"1", "2"}


def test_segment_gives_what_nnunet_predicts_and_names_the_classes(workplace, tmp_path: Path, host):
    model = workplace.results / NUMBERED / f"{TINY}__nnUNetPlans__2d_5"
    image = sorted((workplace.raw / NUMBERED / "imagesTs").glob("*.nii.gz"))[0]
    (tmp_path / "in").mkdir()
    shutil.copy(image, tmp_path / "in")
    workplace.check(
        *("nnUNetv2_predict", "-d", "502", "-c", "2d_5", "-tr", TINY, "-f", "0"),
        *("-i", tmp_path / "in", "-o", tmp_path / "out", "-device", "cpu"),
    )
    (stock,) = (tmp_path / "out").glob("*.nii.gz")
    printed = workplace.check(
        *("nnunet_pst", "segment", f"T2={image}", "--model", model, "-o", tmp_path / "masks"),
        *("--device", "cpu"),
    )
    study = tmp_path / "masks" / "study_0001"
    ours, theirs = (
        sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
        for path in (study / "T2_mask.nii.gz", stock)
    )
    assert np.array_equal(ours, theirs), host("predictions")
    (result,) = json.loads((study / "report.json").read_text())["results"]
    assert [part["name"] for part in result["classes"]] == ["bone", "soft"]
    assert "T2 bone: " in printed
    assert "T2 soft: " in printed


def test_the_test_masks_as_predictions_are_perfect_in_every_class(workplace, tmp_path: Path):
    folder = workplace.raw / NUMBERED / "labelsTs"
    shutil.copytree(folder, tmp_path / "predictions")
    printed = workplace.check(
        *("nnunet_pst", "evaluate", tmp_path / "predictions", "--dataset", NUMBERED),
        *("-o", tmp_path / "scores"),
    )
    assert "bone 1.000, soft 1.000" in printed
    with (tmp_path / "scores" / "classes.csv").open(newline="") as file:
        assert {float(row["dice"]) for row in csv.DictReader(file)} == {1.0}


def test_wholly_unknown_slices_are_not_drawn(workplace, host: Callable):
    from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

    from nnunet_pst.io.slice_kinds import SliceKind
    from nnunet_pst.nnunet.training.case_reader import CaseReader, case_slices

    folder = workplace.preprocessed / NUMBERED
    dataset = nnUNetDatasetBlosc2(str(folder / "nnUNetPlans_2d"))
    ignore = read_label_values(json.loads((folder / "dataset.json").read_text()), "d").ignore
    reader = CaseReader(
        dataset,
        intensity="unit",
        unknown_is_background=False,
        cache=SliceCache(0),
        ignore_label=ignore,
    )
    kinds = set()
    for case in case_slices(reader, dataset.identifiers, {}):
        label = reader.label(case.case)
        unknown = (label == 3).all(axis=(1, 2))
        assert ((case.kinds == SliceKind.UNKNOWN) == unknown).all(), host("labels")
        assert ((case.kinds == SliceKind.LESION) == np.isin(label, (1, 2)).any(axis=(1, 2))).all()
        kinds |= set(case.kinds.tolist())
    assert SliceKind.UNKNOWN in kinds


def test_regions_end_a_training_in_one_line(workplace):
    for folder in (workplace.raw / NUMBERED, workplace.preprocessed / NUMBERED):
        file = folder / "dataset.json"
        description = json.loads(file.read_text())
        description["labels"] = {"background": 0, "whole": [1, 2], "soft": [2], "ignore": 3}
        description["regions_class_order"] = [1, 2]
        file.write_text(json.dumps(description))
    done = workplace.run("nnUNetv2_train", NUMBERED, "2d_5", "0", "-tr", TINY, "-device", "cpu")
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if "regions" in line]
    assert len(lines) == 1
    assert "Traceback" not in done.stderr
