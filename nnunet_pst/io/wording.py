"""How numbers and names are written: few digits, units, intervals as `0.70 to 0.78`."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence

#: Written for a value that is not defined.
UNDEFINED = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
_WORDS = {"dice": "Dice", "iou": "IoU", "hd95": "HD95", "nsd": "NSD", "assd": "ASSD"}
#: Names that can't be made from their parts.
_NAMES = {
    "assd_found_mm": "ASSD of found tumors",
    "dice_found": "Dice of found tumors",
    "false_alarms": "false alarms without a tumor",
    "false_positive_ml_on_free_slices": "false positives on tumor-free slices",
    "found": "tumors found",
    "free_slices": "tumor-free slices",
    "hd95_found_mm": "HD95 of found tumors",
    "known_share": "share of voxels that are known",
    "lesion_f1": "lesion F1",
    "predicted_ml": "predicted volume",
    "reference_ml": "reference volume",
}
#: How a unit is written in a column's name.
_UNIT_WORDS = {"mm": "mm", "ml": "ml", "%": "percent", "slices": "slices"}
_DIGITS = {"1": 3, "mm": 1, "ml": 1, "slices": 1, "%": 1, "lesions": 2}


def printable(text: str) -> str:
    """Replace control characters and half characters (names from strangers may hold any bytes)."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def measure_name(name: str, unit: str = "1") -> str:
    """Write a measure as words with its unit: ``hd95_mm`` becomes ``HD95 (mm)``."""
    words = measure_words(name, unit)
    return words if unit in {"", "1", "lesions"} else f"{words} ({unit})"


def measure_words(name: str, unit: str = "1") -> str:
    """Write a measure as words, without its unit; a tolerance such as ``2mm`` stays."""
    if name in _NAMES:
        return _NAMES[name]
    parts = [part for part in name.split("_") if part]
    unit_word = _UNIT_WORDS.get(unit)
    # "slices" is a unit at the end only: false positives are also counted on slices.
    if unit_word in parts[1:] and (unit != "slices" or parts[-1] == unit_word):
        del parts[len(parts) - 1 - parts[::-1].index(unit_word)]
    text = " ".join(_WORDS.get(part, part) for part in parts) or name
    return re.sub(r"(\d)mm", r"\1 mm", text)


def digits(unit: str) -> int:
    """Return the number of decimals for a value of this unit."""
    return _DIGITS.get(unit, 2)


def value(x: float, unit: str = "1") -> str:
    """Write a value; an en dash where it is not defined."""
    if math.isnan(x):
        return UNDEFINED
    if math.isinf(x):
        return "∞" if x > 0 else f"{MINUS}∞"
    return _minus(_rounded(x, unit))


def _rounded(x: float, unit: str) -> str:
    """Round as the unit asks; a small volume keeps two digits, for it may be a whole tumor."""
    text = f"{x:.{digits(unit)}f}"
    return f"{x:.2g}" if unit == "ml" and 1e-4 < abs(x) < 0.1 else text


def signed(x: float, unit: str = "1") -> str:
    """Write a difference with its sign."""
    if not math.isfinite(x):
        return value(x, unit)
    text = _rounded(x, unit)
    if not float(text):
        return _minus(text)
    return _minus(text) if x < 0 else f"+{text}"


def interval(low: float, high: float, unit: str = "1") -> str:
    """Write an interval; empty where there is none."""
    if math.isnan(low) or math.isnan(high):
        return ""
    return f"{value(low, unit)} to {value(high, unit)}"


def signed_interval(low: float, high: float, unit: str = "1") -> str:
    """Write an interval of a difference; empty where there is none."""
    if math.isnan(low) or math.isnan(high):
        return ""
    return f"{signed(low, unit)} to {signed(high, unit)}"


def p_value(p: float) -> str:
    """Write a p-value with two or three digits, as journals ask."""
    if math.isnan(p):
        return UNDEFINED
    if p < 0.001:
        return "< 0.001"
    return f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def count(number: int, one: str, many: str | None = None) -> str:
    """Write a number with its noun."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def _minus(text: str) -> str:
    """Replace the hyphen by a minus sign, and never write a negative zero."""
    if text.startswith("-"):
        return text[1:] if not float(text) else MINUS + text[1:]
    return text


def aligned(rows: Sequence[Sequence[str]], *, numbers: bool = False) -> list[str]:
    """Lay out rows for the terminal, two blanks between columns.

    Parameters
    ----------
    rows
        Of the same length; the first may be the heading.
    numbers
        Align every column but the first on the right.
    """
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        "  ".join(
            cell.rjust(width) if numbers and place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def suggestion(name: str, known: Sequence[str]) -> str:
    """Ask for the name that was probably meant: one that begins with it, or a similar one."""
    longer = [other for other in known if name and other.startswith(name)]
    meant = longer or difflib.get_close_matches(name.casefold(), known, n=1, cutoff=0.5)
    return f"did you mean '{meant[0]}'? Else " if meant else ""
