"""``cases.csv``: what each case of a dataset is, in pseudonyms.

It is in the raw dataset and, after planning, in the preprocessed one. A dataset made by stock tools
has no such file; then every case counts as a patient of its own.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from nnunet_pst.errors import Fault, InputError, Problem, few_of_each_kind
from nnunet_pst.io.csv_text import restored
from nnunet_pst.io.number_columns import number_problem, odd_cells

CASE_TABLE = "cases.csv"
#: Its columns that aren't covariates.
CASE_COLUMNS = (
    *("case", "patient", "sequence", "split"),
    *("label_kind", "annotated", "first", "last", "image_digest"),
)
_NEEDED_COLUMNS = CASE_COLUMNS[:4]
SPLITS = ("train", "val", "test")


def read_case_table(path: Path) -> list[dict[str, str]]:
    """Read a case table: a dictionary for each row, empty cells as empty strings.

    Raises
    ------
    InputError
        The file is missing or lacks a needed column; or, with a line for each, a case is in several
        rows or has a name that can't be a file name, or a split is not one of `SPLITS`: its patient
        would be in no table and no mean.
    """
    if not path.is_file():
        raise InputError(f"{path}: is missing", Fault.MISSING)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            _check_columns(path, reader.fieldnames or ())
            read = list(reader)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: is not UTF-8 text (byte {error.start}), perhaps saved by a spreadsheet; save "
            "it as 'CSV UTF-8', or convert the dataset again",
            Fault.WRONG_TYPE,
        ) from error
    except csv.Error as error:
        raise InputError(f"{path}: is not a table ({error})", Fault.DAMAGED) from error
    # csv puts cells without a heading under None.
    surplus = [place for place, row in enumerate(read, 2) if any(row.get(None) or ())]
    if surplus:
        raise InputError(
            f"{path}: row {surplus[0]} has more cells than the header; convert the dataset again",
            Fault.MALFORMED,
        )
    rows = [{key: restored(cell or "") for key, cell in row.items() if key} for row in read]
    if problems := few_of_each_kind((f"{path}, {place}", text) for place, text in _problems(rows)):
        raise InputError(problems)
    return rows


def _check_columns(path: Path, names: Sequence[str]) -> None:
    """Refuse a table that lacks a needed column, or whose cells are apart by semicolons."""
    missing = [name for name in _NEEDED_COLUMNS if name not in names]
    if not missing:
        return
    if any(all(needed in name.split(";") for needed in _NEEDED_COLUMNS) for name in names):
        raise InputError(
            f"{path}: has semicolons between its cells; save it with commas, or convert the "
            "dataset again",
            Fault.MALFORMED,
        )
    raise InputError(f"{path}: lacks the columns {', '.join(missing)}", Fault.MISSING)


def _problems(rows: Sequence[Mapping[str, str]]) -> Iterator[tuple[str, Problem]]:
    """Give the row, as a spreadsheet numbers it, and what is wrong with it."""
    expected = " or ".join(f"'{split}'" for split in SPLITS)
    seen: set[str] = set()
    for place, row in enumerate(rows, 2):
        name, split = row["case"], row["split"]
        # Case names become file names, and a table may come from a stranger.
        if not name or Path(name).name != name or "\\" in name:
            text = f"case {name!r} is not a plain file name"
            yield f"row {place}", Problem(text, Fault.MALFORMED)
        elif name in seen:
            text = f"case {name} is in several rows; keep one"
            yield f"row {place}", Problem(text, Fault.REPEATED)
        seen.add(name)
        if split not in SPLITS:
            text = f"{split!r} is not a split; write {expected}"
            yield f"row {place}, column split", Problem(text, Fault.UNKNOWN_NAME)


def number_problems(rows: Sequence[Mapping[str, str]]) -> list[Problem]:
    """Name the cells that are not numbers in columns of numbers, a line for each."""
    covariates = dict.fromkeys(name for row in rows for name in row if name not in CASE_COLUMNS)
    return few_of_each_kind(
        (f"{CASE_TABLE}, row {place + 2}, column {name}", number_problem(cells[place]))
        for name in covariates
        for cells in [[row.get(name, "") for row in rows]]
        for place in odd_cells(cells)
    )


def cases_of_dataset(folder: Path) -> list[dict[str, str]]:
    """Read the case table of a dataset folder, raw or preprocessed; empty where there is none."""
    table = folder / CASE_TABLE
    return read_case_table(table) if table.is_file() else []


def image_digests(row: Mapping[str, str]) -> tuple[str, ...]:
    """Return the digests of the voxels of a case's images; empty in tables without them."""
    return tuple(filter(None, row.get("image_digest", "").split("+")))


def patients_of_images(rows: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return whose each image is, by the digest of its voxels."""
    return {digest: row["patient"] for row in rows for digest in image_digests(row)}


def rows_by_patient(
    rows: Sequence[Mapping[str, str]],
) -> dict[str, list[Mapping[str, str]]]:
    """Group the rows of a case table, in their order."""
    patients: dict[str, list[Mapping[str, str]]] = {}
    for row in rows:
        patients.setdefault(row["patient"], []).append(row)
    return patients
