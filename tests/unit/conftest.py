"""Tiny DICOM files, written by the tests that read them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

ROOT = "1.2.826.0.1.3680043.8.498."
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def uid(*parts: object) -> str:
    """The same UID for the same parts."""
    return generate_uid(prefix=ROOT, entropy_srcs=[str(part) for part in parts])


def new_file(path: Path, sop_class: str, **elements: Any) -> FileDataset:
    """An empty file that belongs to a patient and a study."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID = sop_class
    made.PatientID = "patient-1"
    made.PatientName = "Doe^Jane"
    made.StudyInstanceUID = uid("study")
    made.FrameOfReferenceUID = uid("frame")
    for name, value in elements.items():
        setattr(made, name, value)
    return made


def save(made: FileDataset, path: Path) -> None:
    """Write a file under an SOP instance UID that follows from its place."""
    if "SOPInstanceUID" not in made:
        made.SOPInstanceUID = uid(path)
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path, enforce_file_format=True)


@pytest.fixture
def write_series() -> Callable[..., np.ndarray]:
    """Writes a series, a file a slice, and returns its (z, y, x) voxels."""

    def write(
        folder: Path,
        array: np.ndarray | None = None,
        *,
        number: int = 1,
        orientation: Sequence[float] = AXIAL,
        positions: Sequence[float] = (0.0, 4.0, 8.0, 12.0),
        origin: Sequence[float] = (-10.0, -20.0, 30.0),
        spacing: tuple[float, float] = (1.0, 1.0),
        edit: Callable[[FileDataset, int], None] | None = None,
        prefix: str = "",
        **elements: Any,
    ) -> np.ndarray:
        if array is None:
            shape = (len(positions), 12, 16)
            array = np.random.default_rng(number).integers(0, 900, shape).astype(np.uint16)
        normal = np.cross(orientation[:3], orientation[3:])
        for index, depth in enumerate(positions):
            # Names and numbers in another order than places.
            path = folder / f"{prefix}{(index * 7) % 97:02d}"
            made = new_file(path, "1.2.840.10008.5.1.4.1.1.4", Modality="MR")
            made.SeriesInstanceUID = uid("series", folder.name, number)
            made.SeriesNumber = number
            made.InstanceNumber = (index * 7) % 97
            made.Rows, made.Columns = array.shape[1:]
            made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
            made.BitsAllocated = made.BitsStored = 16
            made.HighBit = 15
            made.PixelRepresentation = int(array.dtype.kind == "i")
            made.PixelSpacing = list(spacing)
            made.ImageOrientationPatient = list(orientation)
            made.ImagePositionPatient = [
                round(float(o + depth * n), 6) for o, n in zip(origin, normal, strict=True)
            ]
            made.PixelData = array[index].tobytes()
            for name, value in elements.items():
                setattr(made, name, value)
            if edit is not None:
                edit(made, index)
            save(made, path)
        return array

    return write


@pytest.fixture
def write_structures() -> Callable[..., None]:
    """Writes an RTSTRUCT of named structures, each a list of (points, 3) contours in LPS mm."""

    def write(
        path: Path, structures: dict[str, list[np.ndarray]], *, series: str = "", image: str = "1.2"
    ) -> None:
        made = new_file(path, "1.2.840.10008.5.1.4.1.1.481.3", Modality="RTSTRUCT")
        made.SeriesInstanceUID = uid("structures", path)
        made.StructureSetROISequence, made.ROIContourSequence = [], []
        for number, (name, contours) in enumerate(structures.items(), 1):
            roi, drawn = Dataset(), Dataset()
            roi.ROINumber, roi.ROIName = number, name
            drawn.ReferencedROINumber, drawn.ContourSequence = number, []
            for points in contours:
                contour, reference = Dataset(), Dataset()
                reference.ReferencedSOPInstanceUID = image
                contour.ContourImageSequence = [reference]
                contour.ContourGeometricType = "CLOSED_PLANAR"
                contour.NumberOfContourPoints = len(points)
                contour.ContourData = [f"{value:.5f}" for value in np.ravel(points)]
                drawn.ContourSequence.append(contour)
            made.StructureSetROISequence.append(roi)
            made.ROIContourSequence.append(drawn)
        referenced, study, frame = Dataset(), Dataset(), Dataset()
        referenced.SeriesInstanceUID = series
        study.RTReferencedSeriesSequence = [referenced]
        frame.RTReferencedStudySequence = [study]
        made.ReferencedFrameOfReferenceSequence = [frame]
        save(made, path)

    return write


@pytest.fixture
def series_uid() -> Callable[[Path], str]:
    """The SeriesInstanceUID of a folder's first file."""
    return lambda folder: str(
        pydicom.dcmread(next(iter(sorted(folder.iterdir())))).SeriesInstanceUID
    )
