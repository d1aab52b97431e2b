"""Which columns hold numbers: typing errors are found, words and codes are left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnunet_pst.cli.main import main
from nnunet_pst.io.number_columns import as_number, is_numeric, number_problem, odd_cells

AGES = ["41", "52", "63", "38", "70", "55.5", "47", "", "61", "66"]


@pytest.mark.parametrize("error", ["5O", "unknown", "nan", "inf", "6,5"])
def test_a_typing_error_in_a_column_of_numbers_is_found(error: str):
    assert is_numeric([age for age in AGES if age])
    assert odd_cells([*AGES, error]) == [len(AGES)]


@pytest.mark.parametrize(
    "cells",
    [
        AGES,
        ["1", "2", "3", "2", "1", "2", "3", "1", "x"],  # codes
        ["sacrum", "iliac", "pubis", "other", "femur", "7", "8"],
        ["40-50", "50-60", "60-70", "70-80", "80-90", "<40", "90"],
        [],
    ],
)
def test_numbers_codes_and_words_are_left_alone(cells: list[str]):
    assert odd_cells(cells) == []


def test_decimal_commas_throughout_are_found():
    assert odd_cells(["4,1", "5,2", "6,3", "3,9", "7,7", "5,5"]) == list(range(6))
    assert number_problem("4,1") == "'4,1' has a comma; write 4.1"


def test_other_texts_are_nan():
    assert [as_number(text) for text in ("1e3", " 2 ")] == [1000, 2]
    assert all(as_number(text) != as_number(text) for text in ("", "nan", "-inf", "5O"))


def cohort_with(cohort_files, ages: list[str]) -> Path:
    for number, age in enumerate(ages):
        cohort_files.add(f"anna{number}", split="test" if number % 3 else "train", age=age)
    return cohort_files.table


def test_cohort_and_convert_refuse_a_typing_error(cohort_files, raw: Path, capsys):
    table = cohort_with(cohort_files, ["41", "52", "5O", "38", "70", "55"])
    line = (
        "error: cohort.csv, row 4, column age: '5O' is not a number, but the column holds numbers; "
        "correct it, or empty the cell where the number is not known"
    )
    for words in (["cohort", str(table)], ["convert", str(table), "--dataset", "DatasetPST"]):
        assert main(words) == 1
        assert capsys.readouterr().err.splitlines() == [line]
    assert not (raw / "DatasetPST").exists()


def test_a_case_table_with_a_typing_error_is_refused(tmp_path: Path, capsys):
    rows = [f"c{n},p{n},T2,train,{age}" for n, age in enumerate(AGES)]
    text = "\n".join(["case,patient,sequence,split,age", *rows, "c,p,T2,test,5O"])
    (tmp_path / "cases.csv").write_text(text)
    assert main(["cohort", "--dataset", str(tmp_path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: cases.csv, row 12, column age: '5O' is not a number")
