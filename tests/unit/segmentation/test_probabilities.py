"""The probability of tumor as a file of its own."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813

from nnunet_pst.segmentation.batch import segment_studies
from nnunet_pst.segmentation.model_interface import choose_models
from segmentation_example import UNREGISTERED, Threshold, image, run, study

WANTED = replace(UNREGISTERED, probabilities=True)


def segmented(output: Path, settings=WANTED, names=("T2",)) -> Path:
    segment_studies([study(*names)], choose_models([Threshold("MRI")]), output, settings)
    return output / "study_0001"


def test_the_probability_lies_on_the_image_and_agrees_with_the_mask(tmp_path: Path):
    folder = segmented(tmp_path / "out")
    found = sitk.ReadImage(str(folder / "T2_probability.nii.gz"))
    mask = sitk.ReadImage(str(folder / "T2_mask.nii.gz"))
    assert found.GetSize() == mask.GetSize()
    assert found.GetOrigin() == mask.GetOrigin()
    values = sitk.GetArrayFromImage(found)
    expected = 1 / (1 + np.exp(-(image(0).array.astype(float) - 500) / 50))
    assert np.abs(values - expected).max() <= 0.5 / 255 + 1e-6
    assert np.array_equal(values > 0.5, sitk.GetArrayFromImage(mask) == 1)
    report = json.loads((folder / "report.json").read_text())
    assert report["results"][0]["files"]["probability"] == "T2_probability.nii.gz"


def test_none_is_written_unasked(tmp_path: Path):
    run([study("T2")], tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*probability*"))


def test_asking_for_it_later_is_another_result(tmp_path: Path):
    run([study("T2")], tmp_path / "out")
    outcome = segment_studies(
        [study("T2")], choose_models([Threshold("MRI")]), tmp_path / "out", WANTED, overwrite=True
    )
    assert outcome.kept == 0
    assert list((tmp_path / "out").rglob("T2_probability.nii.gz"))


def test_the_consensus_has_one_too(tmp_path: Path):
    folder = segmented(tmp_path / "out", replace(WANTED, consensus=True), ("T1", "T2"))
    assert (folder / "consensus_probability.nii.gz").is_file()
