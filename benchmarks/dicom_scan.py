"""How long a scan of a large study takes, and how much memory: 5,000 files in 40 series.

    python benchmarks/dicom_scan.py

Writes a synthetic study (T1, T2, diffusion of five b-values, derived images), scans
it as `nnunet_pst scan` does, and prints seconds and the peak of memory.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

SERIES, SLICES, SIDE = 40, 125, 64
SPIN = {"ScanningSequence": "SE", "RepetitionTime": 4000.0, "EchoTime": 100.0}
SHORT = {"ScanningSequence": "SE", "RepetitionTime": 600.0, "EchoTime": 12.0}
PLANAR = {"ScanningSequence": "EP", "RepetitionTime": 5000.0, "EchoTime": 70.0}
KINDS = (
    ("AX T2 TSE", SPIN, ["ORIGINAL", "PRIMARY", "M", "ND"]),
    ("AX T1 TSE", SHORT, ["ORIGINAL", "PRIMARY", "M", "ND"]),
    ("AX T1 TSE FS +C", SHORT, ["ORIGINAL", "PRIMARY", "M", "ND"]),
    ("DWI", PLANAR, ["DERIVED", "PRIMARY", "DIFFUSION", "TRACEW"]),
    ("AX T1 MPR", SHORT, ["DERIVED", "SECONDARY", "MPR"]),
)


def write_study(folder: Path) -> None:
    """Write the files; every series has a folder of its own."""
    study, frame = generate_uid(), generate_uid()
    random = np.random.default_rng(0)
    for number in range(1, SERIES + 1):
        name, elements, kinds = KINDS[number % len(KINDS)]
        (folder / f"{number}").mkdir(parents=True)
        uid = generate_uid()
        for index in range(SLICES):
            meta = FileMetaDataset()
            meta.TransferSyntaxUID = ExplicitVRLittleEndian
            made = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
            made.SOPClassUID, made.SOPInstanceUID = MRImageStorage, generate_uid()
            made.Modality, made.Manufacturer = "MR", "SIEMENS"
            made.PatientID, made.PatientName = "p1", "Test"
            made.StudyInstanceUID, made.SeriesInstanceUID = study, uid
            made.FrameOfReferenceUID, made.SeriesNumber = frame, number
            made.SeriesDescription = made.ProtocolName = name
            made.ImageType, made.InstanceNumber = kinds, index + 1
            made.AcquisitionTime = f"10{number:02d}00"
            place = index
            if name == "DWI":
                made.DiffusionBValue = float((0, 100, 400, 800, 1000)[index // 25])
                place = index % 25
            for keyword, value in elements.items():
                setattr(made, keyword, value)
            made.ImagePositionPatient = [0, 0, 4.0 * place]
            made.ImageOrientationPatient, made.PixelSpacing = [1, 0, 0, 0, 1, 0], [1, 1]
            made.Rows = made.Columns = SIDE
            made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
            made.BitsAllocated = made.BitsStored = 16
            made.HighBit, made.PixelRepresentation = 15, 0
            pixels = random.integers(0, 900, (SIDE, SIDE)).astype(np.uint16)
            made.PixelData = pixels.tobytes()
            made.save_as(folder / f"{number}" / f"{index:03d}.dcm", enforce_file_format=True)


def main() -> None:
    """Write the study if it isn't there, scan it, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=Path, help="folder of the study, kept and used again")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary) / "study"
        if not folder.exists():
            write_study(folder)
        from nnunet_pst.dicom.scan.scanning import scan

        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        begun, used = time.perf_counter(), time.process_time()
        with contextlib.redirect_stderr(io.StringIO()):
            summary = scan(folder, Path(temporary) / "cohort.csv")
        seconds, processor = time.perf_counter() - begun, time.process_time() - used
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"{SERIES * SLICES} files, {summary.rows} stacks: {seconds:.1f} s ({processor:.1f} s of "
        f"processor), {(peak - before) / 1024:.0f} MB more than before"
    )


if __name__ == "__main__":
    main()
