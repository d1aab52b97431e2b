"""Which columns of a cohort hold numbers, and which of their cells are not numbers.

A column of numbers with one typing error (``5O`` for 50) must not silently become a column of
words: it would lose its mean, its thirds and its test.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

import numpy as np

from nnunet_pst.errors import Fault, Problem

#: A column with no more different numbers than this holds codes, which are treated as words.
MOST_CODES = 5
#: A column with this share of numbers or more is a column of numbers.
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
    """Whether values are measurements: all numbers, and more different ones than codes have."""
    numbers = [as_number(value) for value in values]
    return not any(map(math.isnan, numbers)) and len(set(numbers)) > MOST_CODES


def terciles(values: Iterable[float]) -> tuple[float, float]:
    """Return the two values that cut a column of numbers into thirds; see `third_of`."""
    low, high = np.quantile(list(values), [1 / 3, 2 / 3])
    return float(low), float(high)


def third_of(value: float, cuts: tuple[float, float]) -> int:
    """Return 0, 1 or 2: the third that a value is in; a value on a cut belongs below it."""
    low, high = cuts
    return 0 if value <= low else 1 if value <= high else 2


def odd_cells(cells: Sequence[str]) -> list[int]:
    """Find the cells in a column of numbers that are not numbers.

    A column holds numbers when at least four fifths of its filled cells are numbers, or would be
    with a point for the comma, and it has more different values than codes have.

    Returns
    -------
    list[int]
        Indices of ``cells``; empty for a column of words, of codes, or of numbers only.
    """
    filled = {place: cell.strip() for place, cell in enumerate(cells) if cell.strip()}
    if len(set(filled.values())) <= MOST_CODES:
        return []
    odd = [place for place, cell in filled.items() if math.isnan(as_number(cell))]
    words = [place for place in odd if not _DECIMAL_COMMA.fullmatch(filled[place])]
    return odd if len(filled) - len(words) >= _SHARE_OF_NUMBERS * len(filled) else []


def number_problem(cell: str) -> Problem:
    """Say what is wrong with a cell that `odd_cells` found, and what to do."""
    cell = cell.strip()
    if _DECIMAL_COMMA.fullmatch(cell):
        text = f"'{cell}' has a comma; write {cell.replace(',', '.')}"
    else:
        text = (
            f"'{cell}' is not a number, but the column holds numbers; correct it, or empty the "
            "cell where the number is not known"
        )
    return Problem(text, Fault.NOT_A_NUMBER)
