"""The public Python API: every function's example, run as it is printed in its docstring."""

from __future__ import annotations

import contextlib
import doctest
import io
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

import nnunet_pst

FUNCTIONS = ("scan", "convert", "plan", "segment", "evaluate", "compare")


def write_t2(folder: Path) -> None:
    """A study of one axial T2 series."""
    folder.mkdir(parents=True)
    study, series, frame = (generate_uid() for _ in range(3))
    for number in range(6):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = MRImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image = FileDataset(str(folder), {}, file_meta=meta, preamble=b"\0" * 128)
        image.SOPClassUID, image.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
        image.PatientID, image.PatientName, image.Modality = "p01", "A^B", "MR"
        image.StudyInstanceUID, image.SeriesInstanceUID = study, series
        image.FrameOfReferenceUID, image.SeriesNumber = frame, 5
        image.InstanceNumber = number + 1
        image.SeriesDescription, image.ScanningSequence = "t2_tse_tra", "SE"
        image.ImageType, image.MRAcquisitionType = ["ORIGINAL", "PRIMARY", "M"], "2D"
        image.RepetitionTime, image.EchoTime = 4000, 101
        image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        image.ImagePositionPatient = [0, 0, 5.0 * number]
        image.PixelSpacing, image.SliceThickness = [1, 1], 5
        image.Rows = image.Columns = 32
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
        image.PixelRepresentation = 0
        rng = np.random.default_rng(number)
        image.PixelData = rng.integers(0, 900, (32, 32)).astype(np.uint16).tobytes()
        pydicom.dcmwrite(folder / f"{number}.dcm", image, enforce_file_format=True)


@pytest.fixture(scope="module")
def desk(trained, predicted: Path, table: Path, tmp_path_factory) -> Path:
    """A folder with everything that the examples name."""
    folder = tmp_path_factory.mktemp("desk")
    write_t2(folder / "dicom" / "p01")
    shutil.copytree(table.parent, folder / "cohort")
    (folder / "cohort" / table.name).rename(folder / "cohort" / "cohort.csv")
    shutil.copytree(predicted, folder / "predictions")
    shutil.copytree(predicted, folder / "predictions_again")
    shutil.copytree(trained.model, folder / "model")
    image = next((trained.raw / "DatasetPST" / "imagesTs").iterdir())
    (folder / "study").mkdir()
    shutil.copy(image, folder / "study" / "t2.nii.gz")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_example_of(name: str, desk: Path, trained, monkeypatch: pytest.MonkeyPatch):
    place = trained.but(nnUNet_raw=desk / "raw", nnUNet_preprocessed=desk / "preprocessed")
    monkeypatch.chdir(desk)
    (test,) = doctest.DocTestFinder(recurse=False).find(getattr(nnunet_pst, name), name, globs={})
    assert test.examples
    report = io.StringIO()
    with place.entered():
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
        # What nnU-Net prints while it plans is not the example's.
        with contextlib.redirect_stderr(io.StringIO()):
            runner.run(test, out=report.write)
    assert runner.failures == 0, report.getvalue()


def test_every_public_name_is_there_and_documented():
    assert {"__version__", *FUNCTIONS} < set(nnunet_pst.__all__)
    for name in set(nnunet_pst.__all__) - {"__version__"}:
        assert getattr(nnunet_pst, name).__doc__, name
    assert set(nnunet_pst.__all__) <= set(dir(nnunet_pst))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError):
        nnunet_pst.train  # noqa: B018


def test_importing_loads_neither_torch_nor_nnunet():
    code = "import sys, nnunet_pst as p; p.evaluate; print({'torch', 'nnunetv2'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


def test_the_types_are_published():
    assert (Path(nnunet_pst.__file__).parent / "py.typed").is_file()
