"""Nothing that is shared says who a patient is."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from nnunet_pst.cli.main import main
from nnunet_pst.dataset.cohort_table import read_cohort
from nnunet_pst.dataset.covariates import screen_covariates
from nnunet_pst.io.volumes import Volume
from nnunet_pst.nnunet.models import segment
from nnunet_pst.segmentation.model_interface import ModelChoice, ModelFacts, Prediction

PRINTED = ("Mustermann", "Doe-4711", "Quasimodo", "secret-study-folder")


def test_planted_identifiers_are_there_to_be_found(planted_cohort, find_planted: Callable):
    table = planted_cohort.table
    found = {line.rpartition(": ")[2] for line in find_planted(table.parents[1])}
    from_names = {"secret-study-folder", "cohort-of-dr-x"}
    assert found >= {"Mustermann", "Doe-4711", "Quasimodo", "20190304", "8842917", *from_names}


def test_a_converted_dataset_names_nobody(planted_cohort, raw: Path, find_planted: Callable):
    words = ["convert", str(planted_cohort.table), "--dataset", "DatasetPST", "--workers", "1"]
    assert main([*words, "--simulate-coarse", "1", "--far-negatives"]) == 0
    key = raw / "DatasetPST_patients.csv"
    assert find_planted(raw, except_files=(key,)) == []
    assert "Mustermann" in key.read_text()
    assert key.parent not in (raw / "DatasetPST").rglob("*")
    with (raw / "DatasetPST" / "cases.csv").open(newline="") as file:
        assert csv.DictReader(file).fieldnames[8:] == ["image_digest", "age"]


def test_what_is_printed_names_nobody_either(planted_cohort, raw: Path, capsys):
    words = ["convert", str(planted_cohort.table), "--dataset", "DatasetPST", "--workers", "1"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    for word in ("Mustermann", "Doe-4711", "Quasimodo", "20190304", "8842917", "Klinikum"):
        assert word not in printed
    for column in ("scanned", "mrn", "impression", "origin"):
        assert f"column '{column}' is not copied" in printed


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("patient_name", ["a", "b"]),
        ("PatientNumber", ["1", "2"]),
        ("HospitalID", ["1", "2"]),
        ("birth_date", ["1", "2"]),
        ("MRN", ["1", "2"]),
        ("studyDate", ["1", "2"]),
        ("accession_number", ["1", "2"]),
        ("comment", ["1", "2"]),
        ("when", ["2019-03-04", ""]),
        ("when", ["4.3.2019", ""]),
        ("when", ["2019-03", ""]),
        ("when", ["March 2019", ""]),
        ("where", ["/mnt/x", ""]),
        ("who", ["x@y.org", ""]),
        ("what", ["a very long story about one patient alone", ""]),
        ("code", ["1", "2"]),
        ("code", ["x-patient1-y", ""]),
        ("sequence", ["1", "2"]),
    ],
)
def test_columns_that_are_left_out(tmp_path: Path, column: str, values: list[str]):
    identifiers = ["1", "2"] if column == "code" and values[0] == "1" else ["patient1", "patient2"]
    assert screened(tmp_path, column, identifiers, values) == ()


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("age", ["61", "62"]),
        ("volume_ml", ["1065.31", "17.20"]),
        ("spacing", ["0.9766x0.9766x3.2700", "1x1x4"]),
        ("malignancy", ["benign", "malignant"]),
        ("location", ["sacrum", "left ilium"]),
        ("size_cm", ["5.1", ""]),
        ("center", ["A", "B"]),
    ],
)
def test_columns_that_are_kept(tmp_path: Path, column: str, values: list[str]):
    assert screened(tmp_path, column, ["patient1", "patient2"], values) == (column,)


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        (["Ann", "Ben", "Cy", "Dan", "Eve", "Flo"], False),
        ([str(884291 + i) for i in range(6)], False),
        (["Ann", "Ben", "Ben", "Dan", "Eve", "Flo"], True),
        ([f"{i}x{i}x4" for i in range(6)], True),
    ],
)
def test_values_that_look_like_names(tmp_path: Path, values: list[str], kept: bool):
    identifiers = [f"patient{i}" for i in range(6)]
    assert bool(screened(tmp_path, "thing", identifiers, values)) == kept


def screened(
    folder: Path, column: str, identifiers: list[str], values: list[str]
) -> tuple[str, ...]:
    lines = [f"patient,T2,T2_label,{column}"]
    for identifier, value in zip(identifiers, values, strict=True):
        for name in (f"{identifier}.nii.gz", f"{identifier}_l.nii.gz"):
            (folder / name).touch()
        lines.append(f"{identifier},{identifier}.nii.gz,{identifier}_l.nii.gz,{value}")
    table = folder / "c.csv"
    table.write_text("\n".join(lines))
    return screen_covariates(read_cohort(table))[0]


class Bright:
    """A model whose tumor is what is bright."""

    facts = ModelFacts("model", ("MRI",), ("T2",), None, {"fold_0/x.pth": "a" * 64}, 1)

    def predict(self, channels: Sequence[Volume], *, probability: bool = False) -> Prediction:
        array = channels[0].array
        return Prediction(array > np.percentile(array, 90), None)


def test_a_segmented_study_names_nobody(
    planted_cohort, tmp_path: Path, find_planted: Callable, monkeypatch, capsys
):
    monkeypatch.setattr(segment, "load_models", lambda *_: ModelChoice(Bright(), None))
    folder = planted_cohort.table.parent
    output = tmp_path / "masks"
    files = [f"T2={folder / 'Mustermann_T2.nii.gz'}", f"T1={folder / 'Doe-4711_T2.mha'}"]
    assert main(["segment", *files, "--model", "m", "-o", str(output)]) == 0
    assert len(list(output.rglob("*.png"))) == 2
    assert find_planted(output) == []
    assert str(tmp_path) not in "".join(p.read_text() for p in output.rglob("report.*"))
    key = output.with_name("masks_studies.csv")
    assert "Mustermann" in key.read_text()
    assert key.stat().st_mode & 0o077 == 0
    printed = capsys.readouterr().out
    for word in PRINTED:
        assert word not in printed.replace(str(output), "")


@pytest.mark.parametrize(
    ("patients", "values"),
    [
        (["p01", "p02", "p03"], ["x", "P02", "y"]),
        (["Mueller_Anna", "Schmidt_Bert", "Weber_Cora"], ["ward 3", "see MUELLER", ""]),
        (["a-4711", "b-4712", "c-4713"], ["", "A-4711 (old)", ""]),
        (["1", "2", "3", "4"], ["1", "2", "5", "4"]),
    ],
    ids=["in capitals", "a family name", "as a part", "numbers in most rows"],
)
def test_a_covariate_that_repeats_identifiers_is_left_out(cohort_files, patients, values):
    for patient, value in zip(patients, values, strict=True):
        cohort_files.add(patient, ("T2",), label_kind="fine", ward=value)
    kept, notes = screen_covariates(read_cohort(cohort_files.table))
    assert "ward" not in kept
    assert len(notes) == 1


def test_a_covariate_that_meets_an_identifier_by_chance_is_kept(cohort_files):
    for patient, age in (("1", "41"), ("2", "2"), ("3", "55"), ("4", "9")):
        cohort_files.add(patient, ("T2",), label_kind="fine", age=age)
    kept, _ = screen_covariates(read_cohort(cohort_files.table))
    assert kept == ("age",)
