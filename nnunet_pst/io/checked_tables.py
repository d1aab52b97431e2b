"""Tables and descriptions from a folder that may come from a stranger, with every problem noted.

Sizes are checked before anything is read, and what can't be used becomes a line in ``problems``, so
that a caller can report all of them at once.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from nnunet_pst.errors import Fault, Problem
from nnunet_pst.io.csv_text import restored

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Row = TypeVar("Row", bound=DataclassInstance)

#: 500 cases x 5 methods x 5 repeats are some 5 MB; a file of 200 MB is not one of our tables.
_MOST_BYTES = 200 * 2**20
_MOST_COUNTED = 10**9
#: No measure of a tumor is larger, and nothing larger can be plotted.
_LARGEST = 1e12


def read_table(path: Path, columns: Sequence[str], problems: list[Problem]) -> list[dict[str, str]]:
    """Read a CSV with a header, as a dictionary of texts for each row.

    Parameters
    ----------
    path
        The file; messages name it by its last two parts.
    columns
        The columns that it must have.
    problems
        Gets a line when the file is missing, too large, not text, or lacks a column; then the table
        is empty.
    """
    if not _readable(path, problems):
        return []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                text = f"lacks the columns {', '.join(missing)}; make it again with this version"
                problems.append(_problem(path, text, Fault.MISSING))
                return []
            rows = list(reader)
        # csv puts cells without a heading under None, and None where cells are missing.
        odd = [n for n, row in enumerate(rows, 2) if None in row or None in row.values()]
        if odd:
            text = f"row {odd[0]} is cut off or too long; make it again"
            problems.append(_problem(path, text, Fault.DAMAGED))
            return []
        return [{key: restored(value or "") for key, value in row.items() if key} for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        text = f"can't be read as a CSV table ({error}); make it again"
        problems.append(_problem(path, text, Fault.DAMAGED))
        return []


def read_object(path: Path, problems: list[Problem]) -> dict[str, Any]:
    """Read a JSON object; empty, with a line in ``problems``, where it can't be read."""
    if not _readable(path, problems):
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        text = f"is not valid JSON ({error}); make it again"
        problems.append(_problem(path, text, Fault.DAMAGED))
        return {}
    if not isinstance(content, dict):
        text = "holds no JSON object; make it again"
        problems.append(_problem(path, text, Fault.WRONG_TYPE))
        return {}
    return content


def read_rows(kind: type[Row], path: Path, problems: list[Problem]) -> list[Row]:
    """Read a CSV as objects of a dataclass: a column for each field, of type str, int or float.

    An empty cell of a number is NaN, and 0 for a count.
    """
    types = {field.name: str(field.type) for field in fields(kind)}
    rows = []
    for row in read_table(path, list(types), problems):
        values: dict[str, Any] = {name: row[name] for name in types}
        for name, type_name in types.items():
            if type_name != "str":
                value = number(row[name], name, path, problems)
                is_float = type_name == "float"
                values[name] = value if is_float else _count(value, name, path, problems)
        rows.append(kind(**values))
    return rows


def number(text: str, column: str, path: Path, problems: list[Problem]) -> float:
    """Return a cell as a number; NaN for an empty cell, and NaN with a problem for a text."""
    if not text.strip():
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.inf
    if abs(value) > _LARGEST:
        line = f"column {column} holds {text[:40]!r}, which is not a number"
        problems.append(_problem(path, line, Fault.NOT_A_NUMBER))
        return math.nan
    return value


def _count(value: float, column: str, path: Path, problems: list[Problem]) -> int:
    if math.isnan(value):
        return 0
    if value != int(value) or not 0 <= value < _MOST_COUNTED:
        text = f"column {column} holds {value:g}, which is not a count"
        problems.append(_problem(path, text, Fault.NOT_A_NUMBER))
        return 0
    return int(value)


def shown(path: Path) -> str:
    """Name a file by its folder and its name."""
    return f"{path.parent.name}/{path.name}"


def is_plain_name(name: str) -> bool:
    """Whether a text can only name something inside a folder."""
    return bool(name) and name not in {".", ".."} and not set(name) & {"/", "\\", "\0"}


def _readable(path: Path, problems: list[Problem]) -> bool:
    if not path.is_file():
        problems.append(_problem(path, "is missing", Fault.MISSING))
        return False
    if path.stat().st_size > _MOST_BYTES:
        text = f"is larger than {_MOST_BYTES // 2**20} MiB, so it is not a table of ours"
        problems.append(_problem(path, text, Fault.TOO_LARGE))
        return False
    return True


def _problem(path: Path, text: str, fault: Fault) -> Problem:
    return Problem(text, fault).within(shown(path))
