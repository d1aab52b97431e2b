"""Our reader of DICOM SEG and highdicom's: the same voxels at the same places."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, RLELossless, generate_uid

from nnunet_pst.dicom.masks.segments import segment_mask
from nnunet_pst.dicom.reading.datasets import read_dataset
from nnunet_pst.dicom.reading.files import Origin
from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.geometry import Grid

SHAPE_ZYX = (5, 12, 16)
COSINE, SINE = np.cos(0.4), np.sin(0.4)
#: Along rows, along columns; spacing (x, y, z).
PLANES = {
    "axial": ((1, 0, 0, 0, 1, 0), (0.8, 0.8, 4.0)),
    "oblique": ((COSINE, 0, SINE, 0, 1, 0), (0.7, 1.3, 3.3)),
    "sagittal": ((0, 1, 0, 0, 0, -1), (0.9, 1.1, 5.0)),
    "coronal": ((1, 0, 0, 0, 0, -1), (1.1, 0.9, 5.0)),
}
NAMES = ("bone", "tumor")


def grid_of(plane: str) -> Grid:
    axes, spacing = PLANES[plane]
    row, column = np.reshape(axes, (2, 3)).astype(float)
    direction = np.stack([row, column, np.cross(row, column)], axis=1)
    z, y, x = SHAPE_ZYX
    return Grid((x, y, z), spacing, (-31.25, 12.5, 101.75), tuple(direction.ravel()))


def images(grid: Grid) -> list[Dataset]:
    """Headers of a series, in another order than that of their places."""
    study, series, frame = (generate_uid() for _ in range(3))
    direction = np.reshape(grid.direction, (3, 3))
    made = []
    for index in (3, 0, 4, 1, 2):
        header = Dataset()
        header.file_meta = FileMetaDataset()
        header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        header.SOPClassUID, header.SOPInstanceUID, header.Modality = (
            MRImageStorage,
            generate_uid(),
            "MR",
        )
        for name in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID"):
            setattr(header, name, "")
        for name in ("StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName"):
            setattr(header, name, "")
        header.StudyInstanceUID, header.SeriesInstanceUID = study, series
        header.FrameOfReferenceUID, header.SeriesNumber = frame, 7
        header.InstanceNumber = index + 1
        header.Rows, header.Columns = SHAPE_ZYX[1:]
        header.ImageOrientationPatient = [float(v) for v in direction[:, :2].T.ravel()]
        place = (grid.affine_lps_mm @ (0, 0, index, 1))[:3]
        header.ImagePositionPatient = [f"{value:.6f}" for value in place]
        header.PixelSpacing = [grid.spacing_xyz_mm[1], grid.spacing_xyz_mm[0]]
        header.SliceThickness = grid.spacing_xyz_mm[2]
        made.append(header)
    return made


def masks() -> np.ndarray:
    """Two segments that don't overlap, (2, z, y, x); the second is on few slices."""
    both = np.zeros((2, *SHAPE_ZYX), bool)
    both[0, 0:4, 1:6, 2:9] = True
    both[1, 2:4, 7:11, 1:15] = True
    both[1, 3, 0, 15] = both[1, 2, 11, 0] = True
    return both


def write_seg(
    path: Path, grid: Grid, kind: str, *, syntax: str = ExplicitVRLittleEndian, empty: bool = False
) -> None:
    """Write a SEG by highdicom; fractions inside are above one half."""
    headers = images(grid)
    order = [header.InstanceNumber - 1 for header in headers]
    pixels = np.moveaxis(masks(), 0, -1)[order]
    array = np.where(pixels, 0.6, 0.3) if kind == "FRACTIONAL" else pixels.astype(np.uint8)
    described = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=name,
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=codes.SCT.Neoplasm,
            algorithm_type="MANUAL",
        )
        for number, name in enumerate(NAMES, 1)
    ]
    hd.seg.Segmentation(
        source_images=headers,
        pixel_array=array,
        segmentation_type=kind,
        segment_descriptions=described,
        series_instance_uid=generate_uid(),
        series_number=9,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="tests",
        manufacturer_model_name="tests",
        software_versions="1",
        device_serial_number="1",
        omit_empty_frames=not empty,
        transfer_syntax_uid=syntax,
    ).save_as(path)


def places(mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Sorted LPS positions of the voxels that are set, by the affine of their indices."""
    index = np.argwhere(mask)
    points = np.round(index @ affine[:3, :3].T + affine[:3, 3], 3) + 0.0
    return points[np.lexsort(points.T)]


def our_places(mask: np.ndarray, grid: Grid) -> np.ndarray:
    return places(mask.transpose(2, 1, 0), grid.affine_lps_mm)


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
@pytest.mark.parametrize("plane", PLANES)
def test_voxels_are_where_highdicom_has_them(tmp_path: Path, plane: str, kind: str):
    grid = grid_of(plane)
    write_seg(tmp_path / "seg.dcm", grid, kind)
    theirs = hd.seg.segread(tmp_path / "seg.dcm")
    dataset = read_dataset(Origin(tmp_path / "seg.dcm"), pixels=True)
    for number, (name, truth) in enumerate(zip(NAMES, masks(), strict=True), 1):
        ours = segment_mask(dataset, grid, name)
        assert ours.name == name
        np.testing.assert_array_equal(ours.mask, truth)
        volume = theirs.get_volume(segment_numbers=[number])
        inside = np.asarray(volume.array)[..., 0] > 0.5
        np.testing.assert_allclose(
            our_places(ours.mask, grid), places(inside, volume.affine), atol=2e-3
        )


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_empty_and_compressed_frames(tmp_path: Path, syntax: str, *, empty: bool):
    kind = "BINARY" if syntax == ExplicitVRLittleEndian else "FRACTIONAL"
    write_seg(tmp_path / "seg.dcm", grid_of("oblique"), kind, syntax=syntax, empty=empty)
    dataset = read_dataset(Origin(tmp_path / "seg.dcm"), pixels=True)
    for name, truth in zip(NAMES, masks(), strict=True):
        np.testing.assert_array_equal(segment_mask(dataset, grid_of("oblique"), name).mask, truth)


@pytest.mark.parametrize(
    "change",
    [
        {"origin_lps_mm": (-31.25, 12.5, 103.0)},
        {"origin_lps_mm": (-31.0, 12.5, 101.75)},
        {"spacing_xyz_mm": (0.82, 0.8, 4.0)},
        {"size_xyz": (16, 11, 5)},
        {"size_xyz": (16, 12, 3)},
    ],
    ids=["between slices", "moved", "other pixels", "other matrix", "fewer slices"],
)
def test_another_grid_is_refused(tmp_path: Path, change: dict):
    write_seg(tmp_path / "seg.dcm", grid_of("axial"), "BINARY")
    dataset = read_dataset(Origin(tmp_path / "seg.dcm"), pixels=True)
    with pytest.raises(InputError) as caught:
        segment_mask(dataset, replace(grid_of("axial"), **change), "tumor")
    assert caught.value.fault is Fault.GEOMETRY
