"""Grids, a mask and headers from which SEG and RTSTRUCT are written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from nnunet_pst.dicom.writing.segmentation_object import make_segmentation
from nnunet_pst.dicom.writing.source_images import DicomSource
from nnunet_pst.dicom.writing.structure_set import make_structure_set
from nnunet_pst.io.geometry import Grid
from nnunet_pst.io.volumes import Volume, write_volume

SHAPE_ZYX = (6, 14, 18)
NAME = "Müller^Jürgen"


def rotation(degrees: float, axis: int) -> np.ndarray:
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    turned = np.eye(3)
    one, other = [i for i in range(3) if i != axis]
    turned[one, one] = turned[other, other] = cosine
    turned[one, other], turned[other, one] = -sine, sine
    return turned


#: Columns: along columns, along rows, slice normal.
SAGITTAL = np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
CORONAL = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
CASES = {
    "axial": (np.eye(3), (1.0, 1.0, 4.0)),
    "non-square": (np.eye(3), (0.7, 1.9, 5.0)),
    "tilted": (rotation(23.3, 0), (0.625, 0.625, 3.6)),
    "sagittal": (SAGITTAL, (0.8, 1.1, 4.0)),
    "coronal": (CORONAL, (1.1, 0.8, 4.0)),
    "all at once": (rotation(20, 2) @ rotation(-35, 0) @ SAGITTAL, (0.7, 1.9, 3.3)),
}


def make_grid(case: str) -> Grid:
    direction, spacing = CASES[case]
    z, y, x = SHAPE_ZYX
    return Grid((x, y, z), spacing, (-31.25, 12.5, 101.75), tuple(direction.ravel()))


def make_mask() -> np.ndarray:
    """A lesion with two holes, a part that touches it at a corner, and parts at the border."""
    mask = np.zeros(SHAPE_ZYX, bool)
    mask[1:5, 2:11, 3:13] = True
    mask[2:4, 4:7, 5:7] = False
    mask[2:4, 8, 9:11] = False
    mask[3, 11, 13] = True
    mask[4, 0, 0] = mask[4, 13, 17] = True
    return mask


def make_headers(grid: Grid, *, name: str = NAME) -> list[Dataset]:
    """Headers of a series, a slice each, in the grid's order."""
    study, series, frame = (generate_uid() for _ in range(3))
    direction = np.reshape(grid.direction, (3, 3))
    headers = []
    for index in range(grid.size_xyz[2]):
        header = Dataset()
        header.file_meta = FileMetaDataset()
        header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        header.SpecificCharacterSet = "ISO_IR 100"
        header.SOPClassUID, header.SOPInstanceUID = MRImageStorage, generate_uid()
        header.Modality, header.PatientName, header.PatientID = "MR", name, "4711"
        header.StudyInstanceUID, header.SeriesInstanceUID = study, series
        header.FrameOfReferenceUID, header.SeriesNumber = frame, 7
        header.InstanceNumber = index + 1
        header.Rows, header.Columns = grid.size_xyz[1], grid.size_xyz[0]
        header.ImageOrientationPatient = [*direction[:, 0], *direction[:, 1]]
        position = (grid.affine_lps_mm @ (0, 0, index, 1))[:3]
        header.ImagePositionPatient = [f"{value:.6f}" for value in position]
        header.PixelSpacing = [grid.spacing_xyz_mm[1], grid.spacing_xyz_mm[0]]
        header.SliceThickness = 3.0  # not the distance, as with a gap between slices
        headers.append(header)
    return headers


def write_objects(folder: Path, case: str) -> list[Dataset]:
    """Write mask.nii.gz, seg.dcm and rtstruct.dcm of a case, and return the images' headers."""
    grid = make_grid(case)
    headers = make_headers(grid)
    source, about = DicomSource(tuple(headers)), {"name": "T2", "model_id": "abc"}
    write_volume(folder / "mask.nii.gz", Volume(make_mask().astype(np.uint8), grid))
    seg = make_segmentation(source, make_mask(), **about)
    seg.save_as(folder / "seg.dcm", enforce_file_format=True)
    structures = make_structure_set(source, make_mask(), grid, **about)
    structures.save_as(folder / "rtstruct.dcm", enforce_file_format=True)
    return headers
