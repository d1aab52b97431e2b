"""CSV as all our tables are written: without cells that a spreadsheet would run as a formula.

Identifiers, covariates and names of files come from strangers, and a spreadsheet takes a cell such
as ``=cmd|...`` for a formula, with or without quotes. Such a cell gets an apostrophe in front, the
usual guard (OWASP, "CSV injection"), which `restored` removes when we read our own tables. Numbers
stay as they are.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable

from nnunet_pst.io.number_columns import as_number

#: The signs that begin a formula, their full-width forms, and blanks that spreadsheets skip.
#: Apostrophes before them are our guards, or would be mistaken for them.
_FORMULA = re.compile("'*[-=+@\t\r\n\uff0d\uff1d\uff0b\uff20].", re.DOTALL)


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """Write rows as CSV, the header first; texts that begin a formula are guarded."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows(
        [guarded(cell) if isinstance(cell, str) else cell for cell in row] for row in rows
    )
    return text.getvalue()


def guarded(cell: str) -> str:
    """Put an apostrophe before what a spreadsheet would take for a formula."""
    return f"'{cell}" if _is_formula(cell) else cell


def restored(cell: str) -> str:
    """Return the text of a cell that `guarded` wrote."""
    return cell[1:] if cell.startswith("'") and _is_formula(cell[1:]) else cell


def _is_formula(cell: str) -> bool:
    return bool(_FORMULA.match(cell)) and math.isnan(as_number(cell))
