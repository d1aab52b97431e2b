"""The cells of a cohort table by row and column, before anything is known of their meaning."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nnunet_pst.errors import Fault, InputError, Problem
from nnunet_pst.io.csv_text import restored
from nnunet_pst.io.sequence_columns import classify_columns, near_miss

#: No table of patients is larger; an image given by mistake often is.
MAX_TABLE_BYTES = 50_000_000
#: How Excel workbooks begin, new and old.
_WORKBOOK_STARTS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
#: A first line by which Excel is told the separator.
_SEPARATOR_LINE = re.compile(r"\"?sep=([,;\t])\"?", re.IGNORECASE)


@dataclass
class TableProblems:
    """Collects problems with their place in the table: file, row and column."""

    table: Path
    problems: list[Problem] = field(default_factory=list)

    def add(self, problem: Problem, *, row: int | None = None, column: str | None = None) -> None:
        """Note a problem of the table, or of one of its rows, columns or cells."""
        place = [self.table.name]
        place += [f"row {row}"] if row is not None else []
        place += [f"column {column}"] if column is not None else []
        self.problems.append(problem.within(", ".join(place)))


@dataclass(frozen=True)
class TableRow:
    """The cells of a row by column, its number in the spreadsheet, and where to report problems."""

    number: int
    cells: Mapping[str, str]
    problems: TableProblems

    def report(self, text: str, fault: Fault | None = None, *, column: str | None = None) -> None:
        """Note a problem of this row, or of one of its cells."""
        self.problems.add(Problem(text, fault), row=self.number, column=column)

    def get(self, column: str) -> str:
        """Return a cell; empty where the table lacks the column."""
        return self.cells.get(column, "")


def read_cells(table: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the header and the non-empty rows, each with its number in the spreadsheet.

    Raises
    ------
    InputError
        When the file is not a table with a column ``patient`` and at least one row.
    """
    text = _read_text(table)
    lines = [line for line in text.splitlines() if line.strip()]
    hint = _SEPARATOR_LINE.fullmatch(lines[0].strip()) if lines else None
    if len(lines) < (2 if hint else 1):
        raise InputError(
            f"{table.name}: the table is empty; expected a header and rows", Fault.EMPTY
        )
    delimiter = hint[1] if hint else max(",;\t", key=lines[0].count)
    try:
        records = [
            (number, [restored(cell.strip()) for cell in record])
            for number, record in enumerate(
                csv.reader(io.StringIO(text, newline=""), delimiter=delimiter),
                start=0 if hint else 1,  # a spreadsheet does not show the hint
            )
        ]
    except csv.Error as error:
        raise InputError(
            f"{table.name}: cannot be read as a table ({error})", Fault.DAMAGED
        ) from error
    filled = [record for record in records if any(record[1])]
    (_, header), *rows = filled[1:] if hint else filled
    while header and not header[-1]:  # a spreadsheet's trailing separators
        header.pop()
    if "patient" not in header:
        raise InputError(_without_patients(table, header))
    if not rows:
        raise InputError(f"{table.name}: the table has a header but no rows", Fault.EMPTY)
    return header, rows


def _read_text(table: Path) -> str:
    """Return the content of a file that may be a table."""
    if table.is_dir():
        raise InputError(
            f"{table}: is a folder; give the cohort table in it, a CSV file", Fault.WRONG_TYPE
        )
    if not table.is_file():
        raise InputError(f"{table}: no such file; give the cohort table, a CSV file", Fault.MISSING)
    if table.stat().st_size > MAX_TABLE_BYTES:
        raise InputError(
            f"{table.name}: is larger than 50 MB, so it is not a cohort table; give the CSV file",
            Fault.TOO_LARGE,
        )
    raw = table.read_bytes()
    if raw.startswith(_WORKBOOK_STARTS):
        raise InputError(
            f"{table.name}: is an Excel workbook; save it as 'CSV UTF-8' and give that",
            Fault.WRONG_TYPE,
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{table.name}: is not UTF-8 text (byte {error.start}); save it as 'CSV UTF-8'",
            Fault.WRONG_TYPE,
        ) from error
    if "\0" in text:
        raise InputError(
            f"{table.name}: is a binary file, not a table; give the CSV file", Fault.WRONG_TYPE
        )
    return text


def _without_patients(table: Path, header: list[str]) -> list[Problem]:
    """List the problems of a header without the column ``patient``."""
    meant = next((n for n in header if n and near_miss(n, ["patient", "patient_id"])), None)
    hint = f"rename '{meant}' to it" if meant else "add one with a name or number per patient"
    problems = TableProblems(table)
    problems.add(Problem(f"there is no column 'patient'; {hint}", Fault.MISSING), row=1)
    others = classify_columns(dict.fromkeys(n for n in header if n and n != meant))
    for column, problem in others.problems:
        problems.add(problem, column=column)
    return problems.problems


def named_rows(
    header: list[str], rows: list[tuple[int, list[str]]], problems: TableProblems
) -> Iterator[TableRow]:
    """Yield the rows of `read_cells`; those whose cells don't fit the header are reported instead.

    Excel leaves out the separators of empty cells at the ends of rows, so a row may be short; only
    the last one could also be cut off.
    """
    nameless = [place for place, name in enumerate(header) if not name]
    for number, cells in rows:
        surplus = cells[len(header) :]
        cut_off = len(cells) < len(header) and number == rows[-1][0]
        if any(surplus) or cut_off:
            text = (
                f"{len(cells)} cells under {len(header)} columns; put quotes around cells that "
                "hold the separator, or save the table again if it is cut off"
            )
            problems.add(Problem(text, Fault.MALFORMED), row=number)
            continue
        cells = [*cells, *[""] * (len(header) - len(cells))]
        if lost := next((cells[place] for place in nameless if cells[place]), None):
            text = f"'{lost[:60]}' is in a column without a name; name the column or empty it"
            problems.add(Problem(text, Fault.MALFORMED), row=number)
        named = {name: cell for name, cell in zip(header, cells, strict=False) if name}
        yield TableRow(number, named, problems)
