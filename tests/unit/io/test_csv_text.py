"""Tables that a spreadsheet opens without running anything, and that we read back unchanged."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnunet_pst.dataset.cohort_table import read_cohort
from nnunet_pst.dataset.conversion_journal import read_key, write_key
from nnunet_pst.io import csv_text as csv_module
from nnunet_pst.io.csv_text import csv_text, guarded, restored
from nnunet_pst.io.number_columns import as_number

FORMULA = "=cmd|' /C calc'!A0"
FIRST = "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"


@pytest.mark.parametrize("cell", [FORMULA, "+1-2", "-A1", "@SUM(A1)", "\t=A1", "\uff1dA1", "'=A1"])
def test_formulas_get_an_apostrophe_in_front(cell: str):
    assert guarded(cell) == f"'{cell}"
    assert restored(guarded(cell)) == cell


@pytest.mark.parametrize("cell", ["-5", "+1.5e-3", "-", "+", "", "anna", "7-17", "a=b", "o'neil"])
def test_numbers_and_words_stay_as_they_are(cell: str):
    assert guarded(cell) == restored(cell) == cell


@given(st.text(alphabet=f"'{FIRST}a1.", max_size=6))
def test_every_text_comes_back(cell: str):
    written = guarded(cell)
    assert restored(written) == cell
    assert written[:1] not in FIRST or len(cell) < 2 or as_number(cell) == as_number(cell)


def test_a_table_is_guarded_and_numbers_are_not():
    text = csv_text([["patient", "size"], [FORMULA, -1.5], ["anna", "-2"]])
    assert list(csv.reader(io.StringIO(text))) == [
        ["patient", "size"],
        [f"'{FORMULA}", "-1.5"],
        ["anna", "-2"],
    ]


def test_the_key_names_the_patient_and_runs_nothing(cohort_files, tmp_path):
    cohort_files.add("anna")
    cohort_files.rows[0]["patient"] = FORMULA
    patients = read_cohort(cohort_files.table).patients
    key = tmp_path / "key.csv"
    write_key(key, {FORMULA.casefold(): "PST_0001"}, patients)
    assert f"PST_0001,'{FORMULA}" in key.read_text()
    assert read_key(key) == {FORMULA.casefold(): "PST_0001"}


def test_no_other_file_writes_csv():
    package = Path(csv_module.__file__).parents[1]
    assert (package / "errors.py").is_file()
    writers = [path.name for path in package.rglob("*.py") if "csv.writer(" in path.read_text()]
    writers += [path.name for path in package.rglob("*.py") if "DictWriter" in path.read_text()]
    assert writers == ["csv_text.py"]
