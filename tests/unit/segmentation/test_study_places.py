"""A study whose series are in several places, and everything of it that is left out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset

from nnunet_pst.cli.main import main
from nnunet_pst.io.volumes import Volume
from nnunet_pst.nnunet.models import segment
from nnunet_pst.segmentation.dicom_studies import studies_of_dicom
from nnunet_pst.segmentation.model_interface import ModelChoice, ModelFacts, Prediction

WEIGHTED = {
    "T1": {"EchoTime": 12, "RepetitionTime": 500},
    "T2": {"EchoTime": 101, "RepetitionTime": 4000},
}
NUMBERS = {"T1": 3, "T2": 4}
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)


class Bright:
    """A model whose tumor is the bright part."""

    facts = ModelFacts("bright", ("MRI",), ("T1", "T2", "DWI", "CET1"), None, {}, 1)

    def predict(self, channels: Sequence[Volume], *, probability: bool = False) -> Prediction:
        array = channels[0].array
        return Prediction(array > 0.8 * array.max(), None)


@pytest.fixture(autouse=True)
def model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment, "load_models", lambda *_: ModelChoice(Bright(), None))


@pytest.fixture
def write(write_series: Callable[..., np.ndarray]) -> Callable[..., None]:
    """Writes a series of one study into a folder of its own."""

    def write_one(folder: Path, sequence: str, **elements: object) -> None:
        number = int(elements.pop("number", NUMBERS[sequence]))
        array = np.random.default_rng(number).integers(50, 300, (8, 40, 48)).astype(np.uint16)
        array[2:6, 10:18, 12:24] = 900
        written = {
            "SeriesInstanceUID": f"1.2.3.{number}",
            "SeriesDescription": f"{sequence.lower()}_tse_tra",
            "ImageType": ["ORIGINAL", "PRIMARY", "M"],
            "MRAcquisitionType": "2D",
            "ScanningSequence": "SE",
            "SequenceVariant": "SK",
            "SliceThickness": 4,
            **WEIGHTED[sequence],
            **elements,
        }
        write_series(
            folder, array, number=number, positions=tuple(4.0 * z for z in range(8)), **written
        )

    return write_one


def run(output: Path, *places: Path) -> int:
    return main(["segment", *map(str, places), "--model", "m", "-o", str(output)])


def report(output: Path, number: int = 1) -> dict:
    return json.loads((output / f"study_{number:04d}" / "report.json").read_text())


def names(output: Path) -> list[str]:
    return [one["name"] for one in report(output)["results"]]


def test_a_folder_for_each_series_is_one_study(tmp_path: Path, write: Callable[..., None]):
    write(tmp_path / "study" / "a", "T2")
    write(tmp_path / "study" / "b", "T1")
    assert run(tmp_path / "out", tmp_path / "study" / "a", tmp_path / "study" / "b") == 0
    assert names(tmp_path / "out") == ["T1", "T2"]
    assert not (tmp_path / "out" / "study_0002").exists()


def test_zips_folders_and_repetitions_are_one_study(tmp_path: Path, write: Callable[..., None]):
    for sequence in ("T1", "T2"):
        write(tmp_path / sequence, sequence)
        shutil.make_archive(str(tmp_path / f"{sequence}-packed"), "zip", tmp_path / sequence)
    packed = [tmp_path / f"{sequence}-packed.zip" for sequence in ("T1", "T2")]
    places = [packed[0], tmp_path / "T2", packed[1], tmp_path / "T2", tmp_path]
    assert run(tmp_path / "out" / "of" / "all", *places[:4]) == 0
    (study,), notes, unread = studies_of_dicom(places[:4])
    assert (notes, unread) == ([], [])
    assert [one.image.array.shape[0] for one in study.read()] == [8, 8], "no slice is doubled"


def test_half_of_a_series_in_another_folder_is_joined(tmp_path: Path, write: Callable[..., None]):
    write(tmp_path / "a", "T2")
    (tmp_path / "b").mkdir()
    for path in sorted((tmp_path / "a").iterdir())[::2]:
        shutil.move(path, tmp_path / "b" / path.name)
    (study,), *_ = studies_of_dicom([tmp_path / "b", tmp_path / "a"])
    (sequence,) = study.read()
    assert len(sequence.image.array) == 8


def test_of_two_copies_the_whole_one_counts(tmp_path: Path, write: Callable[..., None]):
    write(tmp_path / "a", "T2")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    victim = min((tmp_path / "a").iterdir())
    victim.write_bytes(victim.read_bytes()[:-100])
    assert run(tmp_path / "out", tmp_path / "a", tmp_path / "b") == 0
    assert names(tmp_path / "out") == ["T2"]


def test_every_series_that_is_left_out_is_named_with_its_reason(
    tmp_path: Path, write: Callable[..., None], capsys: pytest.CaptureFixture[str]
):
    study = tmp_path / "study"
    write(study / "t2", "T2")
    write(study / "again", "T2", number=5, SliceThickness=4)
    write(study / "localizer", "T1", number=1, SeriesDescription="localizer")
    write(study / "sag", "T1", number=7, orientation=SAGITTAL)
    write(study / "report", "T1", number=9, Modality="SR", Rows=0)
    write(study / "tumor", "T1", number=10, Modality="SEG", Rows=0)
    (study / "t2.nii.gz").write_bytes(b"any")
    assert run(tmp_path / "out", study) == 0
    printed = capsys.readouterr()
    notes = report(tmp_path / "out")["notes"]
    for number in (1, 7, 9):
        assert any(f"series {number}" in note for note in notes), notes
    assert any("series 4" in note or "series 5" in note for note in notes)
    assert any("1 series of SEG" in note for note in notes)
    assert all(note.startswith(("left out: ", "taken as ")) for note in notes)
    page = (tmp_path / "out" / "study_0001" / "report.html").read_text()
    assert "Left out: series 9: no images (SR)" in page
    assert "left out: series 9" in printed.out
    assert "note: study: left out an image file (t2.nii.gz), which is not DICOM" in printed.err


def test_a_folder_without_images_beside_others_does_not_stop_them(
    tmp_path: Path, write: Callable[..., None], capsys: pytest.CaptureFixture[str]
):
    write(tmp_path / "s" / "t2", "T2")
    write(tmp_path / "s" / "report", "T1", Modality="SR", Rows=0)
    (tmp_path / "s" / "DICOMDIR").write_bytes(b"")
    (tmp_path / "s" / "readme.txt").write_text("hello")
    assert run(tmp_path / "out", *sorted((tmp_path / "s").iterdir())) in (0, 3)
    printed = capsys.readouterr().err
    for name in ("report", "DICOMDIR", "readme.txt"):
        assert name in printed
    assert names(tmp_path / "out") == ["T2"]
    (tmp_path / "s" / "empty").mkdir()
    assert run(tmp_path / "out2", tmp_path / "s" / "t2", tmp_path / "s" / "empty") == 3
    assert "empty: holds no DICOM images" in capsys.readouterr().err


def test_one_uid_of_two_patients_is_said(tmp_path: Path, write: Callable[..., None]):
    write(tmp_path / "a", "T2", PatientID="AA")
    write(tmp_path / "b", "T1", PatientID="BB")
    assert run(tmp_path / "out", tmp_path / "a", tmp_path / "b") == 0
    for number in (1, 2):
        assert "another PatientID" in report(tmp_path / "out", number)["notes"][-1]


def test_frames_in_several_files_are_dicom_and_said(tmp_path: Path, write: Callable[..., None]):
    def enhanced(made: FileDataset, index: int) -> None:
        made.NumberOfFrames = 1
        place = Dataset()
        place.ImagePositionPatient = made.ImagePositionPatient
        groups = Dataset()
        groups.PlanePositionSequence = [place]
        made.PerFrameFunctionalGroupsSequence = [groups]

    write(tmp_path / "t2", "T2", edit=enhanced)
    assert run(tmp_path / "out", tmp_path / "t2") == 0
    made = report(tmp_path / "out")
    assert made["input"] == "DICOM"
    assert any("no DICOM objects" in line for line in made["results"][0]["warnings"])


def test_frames_of_reference_are_read_and_compared(tmp_path: Path, write: Callable[..., None]):
    write(tmp_path / "a", "T2", FrameOfReferenceUID="1.2.77")
    write(tmp_path / "b", "T1", FrameOfReferenceUID="1.2.78")
    assert run(tmp_path / "out", tmp_path / "a", tmp_path / "b") == 0
    made = report(tmp_path / "out")
    assert any("different frames of reference (T1 | T2)" in note for note in made["notes"])
    (pair,) = made["agreement"]["pairs"]
    assert pair["reason"] == "their frames of reference differ"
    assert "1.2.7" not in json.dumps(made)
