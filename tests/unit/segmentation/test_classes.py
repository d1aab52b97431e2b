"""Models that segment several classes: every class is named, measured and exported by itself."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from dicom_export_example import make_grid, make_headers
from nnunet_pst.cli.segment import _lines
from nnunet_pst.dicom.writing.segmentation_object import make_segmentation
from nnunet_pst.dicom.writing.source_images import DicomSource
from nnunet_pst.dicom.writing.structure_set import make_structure_set
from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.viewer_labels import class_color
from nnunet_pst.io.volumes import Volume
from nnunet_pst.segmentation.batch import segment_studies
from nnunet_pst.segmentation.measures_table import ALL_CLASSES
from nnunet_pst.segmentation.model_interface import Prediction, choose_models
from nnunet_pst.segmentation.study import SegmentationSettings
from segmentation_example import UNREGISTERED, Threshold, run, study


class TwoClasses(Threshold):
    """The bright part is bone on the left and soft tissue on the right."""

    def __init__(self, *channels: str) -> None:
        super().__init__(*channels)
        self.facts = replace(self.facts, classes=("bone", "soft tissue"))

    def predict(self, channels: Sequence[Volume], *, probability: bool = False) -> Prediction:
        found = super().predict(channels, probability=probability)
        labels = found.labels.astype(np.uint8)
        labels[:, :, 9:] *= 2
        return Prediction(labels, found.probability)


def test_every_class_is_named_and_measured(tmp_path: Path):
    outcome = run([study("T2")], tmp_path / "out", TwoClasses("MRI"))
    folder = tmp_path / "out" / "study_0001"
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "T2_mask.nii.gz")))
    assert set(np.unique(mask)) == {0, 1, 2}
    with (tmp_path / "out" / "measures.csv").open(newline="") as file:
        volumes = {row["class"]: float(row["volume_ml"]) for row in csv.DictReader(file)}
    assert set(volumes) == {ALL_CLASSES, "bone", "soft tissue"}
    assert volumes[ALL_CLASSES] == pytest.approx(volumes["bone"] + volumes["soft tissue"], abs=2e-3)
    assert volumes["bone"] == pytest.approx((mask == 1).sum() * 1.5 * 1.5 * 5 / 1000, abs=1e-3)
    lines = _lines(outcome, tmp_path / "out")
    for name in ("T2 bone: ", "T2 soft tissue: "):
        assert any(line.strip().startswith(name) for line in lines)
    page = (folder / "report.html").read_text()
    assert "soft tissue" in page
    assert "tumor found" not in page
    assert '"soft tissue"' in (folder / "itksnap_labels.txt").read_text()
    assert "2 soft_tissue 230 159 0 255" in (folder / "slicer_colors.ctbl").read_text()


def test_one_class_of_another_name(tmp_path: Path):
    model = Threshold("MRI")
    model.facts = replace(model.facts, classes=("lesion",))
    run([study("T2")], tmp_path / "out", model)
    with (tmp_path / "out" / "measures.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["class"] == "lesion"
    report = json.loads((tmp_path / "out" / "study_0001" / "report.json").read_text())
    assert report["models"][0]["classes"] == ["lesion"]
    assert report["results"][0]["classes"] == []


def test_a_class_without_a_voxel_is_said(tmp_path: Path):
    model = TwoClasses("MRI")
    model.facts = replace(model.facts, classes=("bone", "soft tissue", "cyst"))
    outcome = run([study("T2")], tmp_path / "out", model)
    (result,) = outcome.finished["study_0001"]["results"]
    assert result["measures"]["slices"] > 0
    assert [part["measures"]["slices"] > 0 for part in result["classes"]] == [True, True, False]
    assert "T2 cyst: no cyst found" in "\n".join(_lines(outcome, tmp_path / "out"))


def test_a_consensus_of_several_classes_is_refused(tmp_path: Path):
    settings = SegmentationSettings(consensus=True, registration=UNREGISTERED.registration)
    outcome = segment_studies(
        [study("T1", "T2")], choose_models([TwoClasses("MRI")]), tmp_path / "out", settings
    )
    assert [problem.fault for problem in outcome.failed] == [Fault.UNSUPPORTED]
    assert not (tmp_path / "out").exists()


def test_models_of_different_classes_are_refused():
    with pytest.raises(InputError) as caught:
        choose_models([TwoClasses("MRI"), Threshold("T2", "CET1")])
    assert caught.value.fault is Fault.CONTRADICTION


def test_dicom_objects_hold_a_segment_and_a_region_for_each_class_that_was_found():
    grid = make_grid("axial")
    source = DicomSource(tuple(make_headers(grid)))
    labels = np.zeros(grid.shape_zyx, np.uint8)
    labels[1:3, 2:6, 2:5] = 1
    labels[2:5, 2:6, 6:9] = 3
    about = {"name": "T2", "model_id": "abc", "classes": ("tumor", "cyst", "edema")}
    made = make_segmentation(source, labels, **about)
    segments = [(one.SegmentNumber, one.SegmentLabel) for one in made.SegmentSequence]
    assert segments == [(1, "tumor"), (2, "edema")]
    codes = [one.SegmentedPropertyTypeCodeSequence[0].CodeMeaning for one in made.SegmentSequence]
    assert codes == ["Neoplasm", "Tissue"]
    voxels = {1: 0, 2: 0}
    for frame, groups in enumerate(made.PerFrameFunctionalGroupsSequence):
        number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        voxels[number] += int(made.pixel_array[frame].sum())
    assert voxels == {1: int((labels == 1).sum()), 2: int((labels == 3).sum())}
    structures = make_structure_set(source, labels, grid, **about)
    assert [one.ROIName for one in structures.StructureSetROISequence] == ["tumor", "edema"]
    contours = structures.ROIContourSequence
    assert [one.ReferencedROINumber for one in contours] == [1, 2]
    assert [len(one.ContourSequence) for one in contours] == [2, 3]
    assert tuple(contours[1].ROIDisplayColor) == class_color(3)
