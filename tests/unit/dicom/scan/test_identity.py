"""Identifiers that are shared or repeated, several studies, left-over masks; exit codes."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nnunet_pst.cli.main import main
from nnunet_pst.dicom.scan.scanning import ScanSummary, scan
from nnunet_pst.errors import Fault, InputError

Writer = Callable[..., np.ndarray]
T2 = {"ScanningSequence": "SE", "EchoTime": 100.0, "RepetitionTime": 4000.0}
T1 = {"ScanningSequence": "SE", "EchoTime": 12.0, "RepetitionTime": 600.0}
DEPTHS = tuple(4.0 * i for i in range(6))
#: A triangle on the second slice of `write_series`.
CONTOUR = np.array([[-8, -18, 34], [-2, -18, 34], [-2, -12, 34]])


@pytest.fixture
def write(write_series: Writer) -> Writer:
    """Writes a series of six slices: enough for a volume, and quick."""
    return lambda folder, **rest: write_series(folder, **{"positions": DEPTHS, **rest})


@pytest.fixture
def scanned(tmp_path: Path) -> Callable[..., ScanSummary]:
    """Scans the folder of the test."""
    return lambda **words: scan(tmp_path, tmp_path / "out" / "cohort.csv", overwrite=True, **words)


def two_persons(folder: Path, write: Writer, **second: str) -> None:
    write(folder / "a", number=1, **T2)
    write(folder / "b", number=2, StudyInstanceUID="1.2.3", **second, **T2)


def faults(summary: ScanSummary) -> list[Fault]:
    return [line.fault for line in summary.warnings]


@pytest.mark.parametrize(
    ("second", "by"),
    [({"PatientName": "Roe^Richard"}, "name"), ({"PatientBirthDate": "19700101"}, "birth-date")],
)
def test_persons_under_one_id_are_said_and_can_be_told_apart(
    tmp_path: Path, write: Writer, scanned: Callable, second: dict, by: str
):
    two_persons(tmp_path, write, **({"PatientBirthDate": "19500101"} | second))
    for path in (tmp_path / "a").iterdir():
        if "PatientBirthDate" in second:
            _edit(path, PatientBirthDate="19500101")
    summary = scanned()
    assert len(summary.taken) == 1
    assert Fault.CONTRADICTION in faults(summary)
    assert not any("Roe" in line or "1970" in line for line in summary.warnings)
    apart = scanned(patients_by=by)
    assert list(apart.taken) == ["patient-1", "patient-1-2"]
    assert Fault.CONTRADICTION not in faults(apart)


def _edit(path: Path, **elements: str) -> None:
    import pydicom

    made = pydicom.dcmread(path)
    for name, value in elements.items():
        setattr(made, name, value)
    made.save_as(path)


@pytest.mark.parametrize("name", ["DOE^JANE^^", "Doe, Jane", "doe jane", "DOÉ^Jane"])
def test_spellings_of_a_name_are_one_person(
    tmp_path: Path, write: Writer, scanned: Callable, name: str
):
    two_persons(tmp_path, write, PatientName=name, SpecificCharacterSet="ISO_IR 192")
    assert faults(scanned()) == []


def test_each_study_can_be_a_patient(tmp_path: Path, write: Writer, scanned: Callable):
    two_persons(tmp_path, write)
    assert len(scanned().taken) == 1
    assert len(scanned(patients_by="study").taken) == 2


def test_a_study_of_several_patients_is_said(tmp_path: Path, write: Writer, scanned: Callable):
    write(tmp_path / "a", number=1, **T2)
    write(tmp_path / "b", number=2, PatientID="other", **T1)
    summary = scanned()
    assert len(summary.taken) == 2
    assert faults(summary) == [Fault.CONTRADICTION] * 2


def test_unknown_ways_are_refused(scanned: Callable):
    for words in ({"patients_by": "face"}, {"study_by": "luck"}):
        with pytest.raises(InputError) as caught:
            scanned(**words)
        assert caught.value.fault is Fault.UNKNOWN_NAME


def test_copies_are_left_out_and_it_is_said(tmp_path: Path, write: Writer, scanned: Callable):
    write(tmp_path / "a", **T2)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    summary = scanned()
    assert summary.warnings == []
    assert any("6 files are copies" in note for note in summary.notes)


@pytest.mark.parametrize(
    ("study_by", "taken"), [("mask", "T2"), ("fullest", "T1 T2"), ("latest", "T2")]
)
def test_of_two_studies_the_one_with_a_mask_is_taken_unless_told_otherwise(
    tmp_path: Path,
    write: Writer,
    write_structures: Callable,
    series_uid: Callable,
    scanned: Callable,
    study_by: str,
    taken: str,
):
    write(tmp_path / "full" / "t1", number=1, **T1)
    write(tmp_path / "full" / "t2", number=2, **T2)
    write(tmp_path / "drawn", number=3, StudyInstanceUID="1.2.3", SeriesDate="20300101", **T2)
    write_structures(tmp_path / "rs", {"GTV": [CONTOUR]}, series=series_uid(tmp_path / "drawn"))
    summary = scanned(study_by=study_by)
    assert " ".join(summary.taken["patient-1"]) == taken
    assert len(summary.notes) == 1
    left_over = [line for line in summary.warnings if line.fault is Fault.UNEXPECTED]
    assert bool(left_over) == (study_by == "fullest")


def test_a_mask_that_fits_two_sequences_is_not_attached(
    tmp_path: Path, write: Writer, write_structures: Callable, scanned: Callable
):
    write(tmp_path / "t1", number=1, **T1)
    write(tmp_path / "t2", number=2, **T2)
    write_structures(tmp_path / "rs", {"GTV": [CONTOUR]}, series="1.2.3.4")
    summary = scanned()
    assert summary.masks == 0
    assert [line.fault for line in summary.problems] == [Fault.AMBIGUOUS]


def test_a_mask_of_another_place_is_left_over(
    tmp_path: Path, write: Writer, write_structures: Callable, scanned: Callable
):
    write(tmp_path / "t2", number=2, **T2)
    write_structures(tmp_path / "rs", {"GTV": [CONTOUR + 500]}, series="1.2.3.4")
    summary = scanned()
    assert (summary.masks, faults(summary)) == (0, [Fault.UNEXPECTED])


def test_a_patient_without_a_sequence_is_exit_code_3(tmp_path: Path, write: Writer, capsys):
    write(tmp_path / "a", number=1, **T2)
    words = ["scan", str(tmp_path), "-o", str(tmp_path / "out" / "cohort.csv"), "--overwrite"]
    assert main(words) == 0
    write(tmp_path / "b", number=2, PatientID="other", SeriesDescription="localizer", **T2)
    assert main(words) == 3
    assert "other" in capsys.readouterr().out
    with (tmp_path / "out" / "cohort.csv").open(newline="") as file:
        assert [row["patient"] for row in csv.DictReader(file)] == ["patient-1"]
