"""SEG and RTSTRUCT read back by other code: every voxel is where the NIfTI has it.

The readers here share no code with the writers: pydicom and NumPy for the SEG, a point-in-polygon
test of matplotlib's for the contours, nibabel for the NIfTI.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from matplotlib.path import Path as Polygon
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from dicom_export_example import (
    CASES,
    NAME,
    make_grid,
    make_headers,
    make_mask,
    write_objects,
)
from nnunet_pst.dicom.writing.measurement_report import MeasuredSegment, make_measurement_report
from nnunet_pst.dicom.writing.segmentation_object import make_segmentation
from nnunet_pst.dicom.writing.source_images import DicomSource
from nnunet_pst.dicom.writing.structure_set import make_structure_set
from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.volumes import Volume, write_volume


def places(mask_file: Path) -> np.ndarray:
    """Sorted LPS positions of all voxels of a NIfTI mask."""
    image = nibabel.load(mask_file)
    index = np.argwhere(np.asarray(image.dataobj) > 0)
    return in_order(nibabel.affines.apply_affine(image.affine, index) * (-1, -1, 1))


def in_order(points: np.ndarray) -> np.ndarray:
    rounded = np.round(points, 2) + 0.0
    return points[np.lexsort(rounded.T)]


def places_in_seg(file: Path) -> np.ndarray:
    """The same of a SEG, from its bits and its functional groups only."""
    seg = dcmread(file)
    count = int(seg.NumberOfFrames) * seg.Rows * seg.Columns
    bits = np.unpackbits(np.frombuffer(seg.PixelData, np.uint8), bitorder="little")[:count]
    shared = seg.SharedFunctionalGroupsSequence[0]
    points = []
    for frame, groups in zip(
        bits.reshape(-1, seg.Rows, seg.Columns), seg.PerFrameFunctionalGroupsSequence, strict=True
    ):
        position = groups.PlanePositionSequence[0].ImagePositionPatient
        orientation = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
        row_mm, column_mm = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
        for row, column in np.argwhere(frame):
            along = column * column_mm * orientation[:3] + row * row_mm * orientation[3:]
            points.append(np.array(position, float) + along)
    return in_order(np.array(points))


def places_in_contours(file: Path, mask_file: Path) -> np.ndarray:
    """The same of an RTSTRUCT: centers of the NIfTI's voxels within its contours."""
    image = nibabel.load(mask_file)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine
    inside = np.zeros(image.shape, int)
    centers = np.argwhere(np.ones(image.shape[:2]))
    for contour in dcmread(file).ROIContourSequence[0].ContourSequence:
        points = np.array(contour.ContourData, float).reshape(-1, 3)
        index = nibabel.affines.apply_affine(np.linalg.inv(lps), points)
        (slice_number,) = set(np.round(index[:, 2]).astype(int))
        assert np.abs(index[:, 2] - slice_number).max() < 1e-3
        within = Polygon(index[:, :2]).contains_points(centers)
        inside[..., slice_number] += within.reshape(image.shape[:2])
    return in_order(nibabel.affines.apply_affine(lps, np.argwhere(inside % 2)))


@pytest.fixture(params=CASES)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, list[Dataset]]:
    """A folder with mask.nii.gz, seg.dcm and rtstruct.dcm, and the headers behind them."""
    return tmp_path, write_objects(tmp_path, request.param)


def test_every_voxel_is_in_its_place(written: tuple[Path, list[Dataset]]):
    folder, _ = written
    expected = places(folder / "mask.nii.gz")
    assert len(expected) == make_mask().sum()
    seg, contours = (
        places_in_seg(folder / "seg.dcm"),
        places_in_contours(folder / "rtstruct.dcm", folder / "mask.nii.gz"),
    )
    assert seg.shape == contours.shape == expected.shape
    assert np.abs(seg - expected).max() < 2e-3
    assert np.abs(contours - expected).max() < 2e-3


def test_references_are_the_slices_own(written: tuple[Path, list[Dataset]]):
    folder, headers = written
    by_uid = {header.SOPInstanceUID: header for header in headers}
    seg = dcmread(folder / "seg.dcm")
    for groups in seg.PerFrameFunctionalGroupsSequence:
        (image,) = groups.DerivationImageSequence[0].SourceImageSequence
        position = by_uid[image.ReferencedSOPInstanceUID].ImagePositionPatient
        assert groups.PlanePositionSequence[0].ImagePositionPatient == position
    structures = dcmread(folder / "rtstruct.dcm")
    for contour in structures.ROIContourSequence[0].ContourSequence:
        header = by_uid[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
        first = np.array(contour.ContourData[:3], float)
        normal = np.cross(header.ImageOrientationPatient[:3], header.ImageOrientationPatient[3:])
        assert abs(normal @ (first - np.array(header.ImagePositionPatient, float))) < 1e-3
        assert contour.NumberOfContourPoints * 3 == len(contour.ContourData)
    (frame,) = structures.ReferencedFrameOfReferenceSequence
    images = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0].ContourImageSequence
    assert {image.ReferencedSOPInstanceUID for image in images} == set(by_uid)


def test_patient_study_and_codes(written: tuple[Path, list[Dataset]]):
    folder, headers = written
    for name in ("seg.dcm", "rtstruct.dcm"):
        made = dcmread(folder / name)
        assert str(made.PatientName) == NAME
        assert (made.PatientID, made.StudyInstanceUID, made.FrameOfReferenceUID) == (
            "4711",
            headers[0].StudyInstanceUID,
            headers[0].FrameOfReferenceUID,
        )
        assert made.SeriesInstanceUID != headers[0].SeriesInstanceUID
        assert "AccessionNumber" in made  # type 2: present, though the source lacks it
    (segment,) = dcmread(folder / "seg.dcm").SegmentSequence
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "108369006"
    assert segment.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "49755003"
    assert segment.SegmentAlgorithmType == "AUTOMATIC"


def test_images_without_a_frame_of_reference():
    headers = make_headers(make_grid("axial"))
    for header in headers:
        del header.FrameOfReferenceUID
    with pytest.raises(InputError, match="FrameOfReferenceUID"):
        make_segmentation(DicomSource(tuple(headers)), make_mask(), name="T2", model_id="abc")


@pytest.mark.filterwarnings("ignore::UserWarning")  # of pydicom, over the damage itself
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ImagePositionPatient", None),
        ("Rows", 3),
        ("PatientSex", "Mustermann"),
        ("SOPClassUID", "x"),
    ],
)
def test_damaged_headers_are_one_line_without_names(name: str, value: object):
    headers = make_headers(make_grid("axial"))
    for header in headers:
        if name in header:
            delattr(header, name)
        if value is not None:
            setattr(header, name, value)
    with pytest.raises(InputError) as caught:
        make_segmentation(DicomSource(tuple(headers)), make_mask(), name="T2", model_id="abc")
    (line,) = caught.value.problems
    assert line.fault is Fault.DAMAGED
    assert "Mustermann" not in line


def test_headers_are_not_changed():
    headers = make_headers(make_grid("axial"))
    before = [header.to_json() for header in headers]
    grid = make_grid("axial")
    make_structure_set(DicomSource(tuple(headers)), make_mask(), grid, name="T2", model_id="abc")
    assert [header.to_json() for header in headers] == before


def test_warnings_name_no_patient(recwarn: pytest.WarningsRecorder):
    headers = make_headers(make_grid("axial"), name="Mustermann")  # highdicom warns of such names
    make_segmentation(DicomSource(tuple(headers)), make_mask(), name="T2", model_id="abc")
    assert [str(one.message) for one in recwarn if "Mustermann" in str(one.message)] == []


def make_multiframe(headers: list[Dataset], order: list[int]) -> Dataset:
    """The same series as one enhanced MR instance, its frames in another order."""
    from pydicom.uid import EnhancedMRImageStorage

    made = Dataset()
    made.update(headers[0])
    made.file_meta = headers[0].file_meta
    made.SOPClassUID, made.SOPInstanceUID = EnhancedMRImageStorage, generate_uid()
    made.NumberOfFrames = len(order)
    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = headers[0].PixelSpacing
    measures.SliceThickness = headers[0].SliceThickness
    orientation.ImageOrientationPatient = headers[0].ImageOrientationPatient
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    made.SharedFunctionalGroupsSequence = [shared]
    made.PerFrameFunctionalGroupsSequence = []
    for index in order:
        groups, position = Dataset(), Dataset()
        position.ImagePositionPatient = headers[index].ImagePositionPatient
        groups.PlanePositionSequence = [position]
        made.PerFrameFunctionalGroupsSequence.append(groups)
    for name in ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing"):
        delattr(made, name)
    return made


def test_a_multiframe_source(tmp_path: Path):
    grid, mask = make_grid("all at once"), make_mask()
    order = [3, 0, 5, 1, 4, 2]
    image = make_multiframe(make_headers(grid), order)
    source = DicomSource((image,), frames=tuple(order.index(index) + 1 for index in range(6)))
    write_volume(tmp_path / "mask.nii.gz", Volume(mask.astype(np.uint8), grid))
    seg = make_segmentation(source, mask, name="T2", model_id="abc")
    seg.save_as(tmp_path / "seg.dcm", enforce_file_format=True)
    structures = make_structure_set(source, mask, grid, name="T2", model_id="abc")
    structures.save_as(tmp_path / "rtstruct.dcm", enforce_file_format=True)
    expected = places(tmp_path / "mask.nii.gz")
    assert np.abs(places_in_seg(tmp_path / "seg.dcm") - expected).max() < 2e-3
    contours = places_in_contours(tmp_path / "rtstruct.dcm", tmp_path / "mask.nii.gz")
    assert np.abs(contours - expected).max() < 2e-3
    for contour in structures.ROIContourSequence[0].ContourSequence:
        (reference,) = contour.ContourImageSequence
        groups = image.PerFrameFunctionalGroupsSequence[reference.ReferencedFrameNumber - 1]
        position = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
        normal = np.reshape(grid.direction, (3, 3))[:, 2]
        assert abs(normal @ (np.array(contour.ContourData[:3], float) - position)) < 1e-3


def test_a_volume_among_others_in_one_file(tmp_path: Path):
    """Two volumes of one enhanced file lie in the same place, as b-values, echoes or phases do."""
    grid, mask = make_grid("tilted"), make_mask()
    order = [3, 0, 5, 1, 4, 2]
    image = make_multiframe(make_headers(grid), order + order)
    frames = tuple(6 + order.index(index) + 1 for index in range(6))
    source = DicomSource((image,), frames=frames)
    write_volume(tmp_path / "mask.nii.gz", Volume(mask.astype(np.uint8), grid))
    seg = make_segmentation(source, mask, name="DWI", model_id="abc")
    seg.save_as(tmp_path / "seg.dcm", enforce_file_format=True)
    assert (
        np.abs(places_in_seg(tmp_path / "seg.dcm") - places(tmp_path / "mask.nii.gz")).max() < 2e-3
    )
    assert image.NumberOfFrames == 12
    for groups in seg.PerFrameFunctionalGroupsSequence:
        (reference,) = groups.DerivationImageSequence[0].SourceImageSequence
        assert reference.ReferencedFrameNumber in frames
        described = image.PerFrameFunctionalGroupsSequence[reference.ReferencedFrameNumber - 1]
        position = described.PlanePositionSequence[0].ImagePositionPatient
        assert groups.PlanePositionSequence[0].ImagePositionPatient == position


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="apt-get install dicom3tools")
@pytest.mark.parametrize("frames", [0, 6, 12], ids=["classic", "enhanced", "several volumes"])
def test_an_independent_checker_finds_no_error(tmp_path: Path, frames: int):
    grid, mask = make_grid("tilted"), make_mask()
    headers = make_headers(grid)
    source = DicomSource(tuple(headers))
    if frames:
        image = make_multiframe(headers, [*range(6)] * (frames // 6))
        source = DicomSource((image,), frames=tuple(range(frames - 5, frames + 1)))
    about = {"name": "DWI", "model_id": "abc"}
    seg = make_segmentation(source, mask, **about)
    seg.save_as(tmp_path / "seg.dcm", enforce_file_format=True)
    made = make_structure_set(source, mask, grid, **about)
    made.save_as(tmp_path / "rtstruct.dcm", enforce_file_format=True)
    report = make_measurement_report(source, seg, [MEASURED], **about)
    report.save_as(tmp_path / "sr.dcm", enforce_file_format=True)
    for name in ("seg.dcm", "rtstruct.dcm", "sr.dcm"):
        command = ["dciodvfy", "-new", str(tmp_path / name)]
        checked = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = (checked.stdout + checked.stderr).splitlines()
        assert [line for line in lines if line.startswith("Error")] == []


MEASURED = MeasuredSegment("tumor", 12.34567, 45.61, 30.1, (8.0, 20.0), "looks usual", 0.9)


@pytest.mark.parametrize("interval", [(8.0, 20.0), None])
def test_a_report_says_volume_diameters_and_whether_to_believe_them(
    interval: tuple[float, float] | None,
):
    source = DicomSource(tuple(make_headers(make_grid("tilted"))))
    seg = make_segmentation(source, make_mask(), name="DWI", model_id="abc")
    one = replace(MEASURED, volume_interval_ml=interval)
    made = make_measurement_report(source, seg, [one], name="DWI", model_id="abc")
    items = list(walked(made.ContentSequence))
    numbers = {
        item.ConceptNameCodeSequence[0].CodeMeaning: (
            float(item.MeasuredValueSequence[0].NumericValue),
            item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue,
        )
        for item in items
        if item.ValueType == "NUM"
    }
    assert numbers["Volume"] == (12.346, "ml")
    assert numbers["Long axis"] == (45.61, "mm")
    assert numbers["Short axis"] == (30.1, "mm")
    upper = numbers.get("+, range of upper measurement uncertainty")
    assert upper == (None if interval is None else (7.654, "ml"))
    (seen,) = [i for i in items if i.ValueType == "IMAGE" and "ReferencedSOPSequence" in i]
    assert seen.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == seg.SOPInstanceUID
    assert "looks usual" in [
        i.ConceptCodeSequence[0].CodeMeaning for i in items if i.ValueType == "CODE"
    ]
    assert made.PatientID == source.first.PatientID
    assert made.StudyInstanceUID == source.first.StudyInstanceUID


def walked(items: Sequence[Dataset]) -> Iterator[Dataset]:
    """Yield every content item below."""
    for item in items:
        yield item
        yield from walked(item.get("ContentSequence", []))
