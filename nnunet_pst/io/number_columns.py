"""Which columns of a cohort hold numbers, and which of their cells keep them from doing so.

A column of numbers with one slip of the keyboard (``5O`` for 50) must not become one of words
unseen: it would lose its mean, its thirds and its test.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from nnunet_pst.errors import Fault, Problem

#: Numbers with so few different values are codes, and words as they stand.
MOST_CODES = 5
#: A column of which so large a share are numbers was meant to hold nothing else.
_SHARE_OF_NUMBERS = 0.8
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")


def as_number(text: str) -> float:
    """Read a finite number; NaN for anything else."""
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def is_numeric(values: Sequence[str]) -> bool:
    """Whether values are measurements: numbers, and more different ones than codes have."""
    numbers = [as_number(value) for value in values]
    return not any(map(math.isnan, numbers)) and len(set(numbers)) > MOST_CODES


def odd_cells(cells: Sequence[str]) -> list[int]:
    """Find the cells of a column of numbers that hold none.

    A column is one of numbers when four fifths or more of its filled cells are numbers, or would be
    with a point for the comma, and it has more different values than codes have.

    Returns
    -------
    list[int]
        Places in ``cells``; empty for a column of words, of codes, or of numbers throughout.
    """
    filled = {place: cell.strip() for place, cell in enumerate(cells) if cell.strip()}
    if len(set(filled.values())) <= MOST_CODES:
        return []
    odd = [place for place, cell in filled.items() if math.isnan(as_number(cell))]
    words = [place for place in odd if not _DECIMAL_COMMA.fullmatch(filled[place])]
    return odd if len(filled) - len(words) >= _SHARE_OF_NUMBERS * len(filled) else []


def no_number(cell: str) -> Problem:
    """Say of such a cell what is wrong and what to do."""
    cell = cell.strip()
    if _DECIMAL_COMMA.fullmatch(cell):
        text = f"'{cell}' has a comma; write {cell.replace(',', '.')}"
    else:
        text = (
            f"'{cell}' is not a number, but the column holds numbers; correct it, or empty the "
            "cell where the number is not known"
        )
    return Problem(text, Fault.NOT_A_NUMBER)
