"""Images of a patient, written as a DICOM study as from a scanner; for benchmarks and tests.

The tags that scanners of all makers fill tell the kind of a series: sequence, echo and repetition
time, b-value, contrast agent. The caller gives the identifiers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from nnunet_pst.io.volumes import Volume

#: Tags by sequence, in the order of acquisition.
PROTOCOL: dict[str, dict[str, Any]] = {
    "T1": {
        "SeriesDescription": "t1_tse_tra",
        "ScanningSequence": "SE",
        "RepetitionTime": 550,
        "EchoTime": 10,
    },
    "T2": {
        "SeriesDescription": "t2_tse_tra",
        "ScanningSequence": "SE",
        "RepetitionTime": 4200,
        "EchoTime": 95,
    },
    "DWI": {
        "SeriesDescription": "ep2d_diff_tra_b1000",
        "SequenceName": "*ep_b1000t",
        "ScanningSequence": "EP",
        "RepetitionTime": 5200,
        "EchoTime": 75,
        "DiffusionBValue": 1000.0,
    },
    "CET1": {
        "SeriesDescription": "t1_tse_tra_km",
        "ScanningSequence": "SE",
        "RepetitionTime": 550,
        "EchoTime": 10,
        "ContrastBolusAgent": "Gadobutrol",
    },
}


@dataclass(frozen=True)
class Identity:
    """The identifiers of a study, which shared files must not hold."""

    name: str
    patient_id: str
    birth_date: str
    study_date: str
    accession: str


def write_study(folder: Path, images: Mapping[str, Volume], identity: Identity) -> None:
    """Write a file for each slice of each image, in a folder for each series."""
    study, frame = generate_uid(), generate_uid()
    for number, name in enumerate((n for n in PROTOCOL if n in images), start=1):
        series = generate_uid()
        place = folder / f"{number:02d}_{identity.name.replace('^', '_')}"
        place.mkdir(parents=True)
        volume = images[name]
        for index in range(len(volume.array)):
            header = _header(volume, index, identity)
            header.update(_tags(PROTOCOL[name]))
            header.StudyInstanceUID, header.SeriesInstanceUID = study, series
            header.FrameOfReferenceUID, header.SeriesNumber = frame, number
            header.AcquisitionTime = f"{100000 + 1000 * number}"
            header.PixelData = _pixels(volume.array[index]).tobytes()
            header.save_as(place / f"IM{index:04d}", enforce_file_format=True)


def _tags(values: Mapping[str, Any]) -> FileDataset:
    made = FileDataset("", {}, preamble=b"\0" * 128)
    for name, value in values.items():
        setattr(made, name, value)
    return made


def _header(volume: Volume, index: int, identity: Identity) -> FileDataset:
    grid = volume.grid
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    made.SpecificCharacterSet = "ISO_IR 192"
    made.SOPClassUID, made.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
    made.Modality, made.ImageType = "MR", ["ORIGINAL", "PRIMARY", "M", "ND"]
    made.PatientName, made.PatientID = identity.name, identity.patient_id
    made.PatientBirthDate, made.PatientSex = identity.birth_date, "O"
    made.StudyDate = made.SeriesDate = made.AcquisitionDate = identity.study_date
    made.StudyTime, made.AccessionNumber = "100000", identity.accession
    made.StudyID, made.ReferringPhysicianName = identity.accession, identity.name
    made.MRAcquisitionType, made.InstanceNumber = "2D", index + 1
    direction = np.reshape(grid.direction, (3, 3))
    position = (grid.affine_lps_mm @ (0, 0, index, 1))[:3]
    made.ImagePositionPatient = [f"{value:.6f}" for value in position]
    made.ImageOrientationPatient = [f"{v:.9f}" for v in (*direction[:, 0], *direction[:, 1])]
    made.PixelSpacing = [f"{value:.6f}" for value in grid.spacing_zyx_mm[1:]]
    made.SliceThickness = made.SpacingBetweenSlices = f"{grid.spacing_zyx_mm[0]:.6f}"
    made.Columns, made.Rows = grid.size_xyz[:2]
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit = 16, 12, 11
    made.PixelRepresentation = 0
    return made


def _pixels(array: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(array), 0, 4095).astype("<u2")
