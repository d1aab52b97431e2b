"""``cases.csv``: what each case of a dataset is, in pseudonyms, for every room that must know.

It stands in the raw dataset and, after planning, in the preprocessed one. A dataset that stock
tools made has none; then every case counts as a patient of its own.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from nnunet_pst.errors import InputError

CASE_TABLE = "cases.csv"
#: Its columns that aren't covariates.
CASE_COLUMNS = ("case", "patient", "sequence", "split", "label_kind", "annotated", "first", "last")
_NEEDED_COLUMNS = CASE_COLUMNS[:4]


def read_case_table(path: Path) -> list[dict[str, str]]:
    """Read a case table: a dictionary a row, empty cells as empty strings.

    Raises
    ------
    InputError
        The file is missing, lacks a needed column, names a case twice, or has a name that can't be
        a file name.
    """
    if not path.is_file():
        raise InputError(f"{path}: is missing")
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        missing = [name for name in _NEEDED_COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise InputError(f"{path}: lacks the columns {', '.join(missing)}")
        rows = [{key: value or "" for key, value in row.items() if key} for row in reader]
    # Case names become file names, and a table may come from a stranger.
    names = [row["case"] for row in rows]
    problems = [
        f"{path}: case {name!r} is no plain file name"
        for name in names
        if not name or Path(name).name != name or "\\" in name
    ]
    twice = sorted({name for name in names if names.count(name) > 1})
    problems += [f"{path}: case {name} stands in several rows" for name in twice]
    if problems:
        raise InputError(problems)
    return rows


def cases_of_dataset(folder: Path) -> list[dict[str, str]]:
    """Read the case table of a dataset folder, raw or preprocessed; empty where there is none."""
    table = folder / CASE_TABLE
    return read_case_table(table) if table.is_file() else []


def rows_by_patient(
    rows: Sequence[Mapping[str, str]],
) -> dict[str, list[Mapping[str, str]]]:
    """Group the rows of a case table, in their order."""
    patients: dict[str, list[Mapping[str, str]]] = {}
    for row in rows:
        patients.setdefault(row["patient"], []).append(row)
    return patients
