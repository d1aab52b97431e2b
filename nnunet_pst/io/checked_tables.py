"""Tables and descriptions from a folder that may come from a stranger, every problem noted.

Sizes are looked at before anything is read, and what can't be used is a line in ``problems``, so
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

from nnunet_pst.io.csv_text import restored

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Row = TypeVar("Row", bound=DataclassInstance)

#: 500 cases x 5 methods x 5 repeats are some 5 MB; a table of 200 MB is no table of ours.
_MOST_BYTES = 200 * 2**20
_MOST_COUNTED = 10**9
#: No measure of anybody's tumor is larger, and nothing larger can be drawn.
_LARGEST = 1e12


def read_table(path: Path, columns: Sequence[str], problems: list[str]) -> list[dict[str, str]]:
    """Read a CSV with a header, as a dictionary of texts a row.

    Parameters
    ----------
    path
        The file; messages name it by its last two parts.
    columns
        What it must have.
    problems
        Gets a line when the file is missing, too large, no text, or lacks a column; the table is
        empty then.
    """
    if not _readable(path, problems):
        return []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                problems.append(
                    f"{shown(path)}: lacks the columns {', '.join(missing)}; make it anew with "
                    "this version"
                )
                return []
            rows = list(reader)
        # csv puts cells without a heading under None, and None where cells are missing.
        odd = [n for n, row in enumerate(rows, 2) if None in row or None in row.values()]
        if odd:
            problems.append(f"{shown(path)}: row {odd[0]} is cut off or too long; make it anew")
            return []
        return [{key: restored(value or "") for key, value in row.items() if key} for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        problems.append(f"{shown(path)}: can't be read as a CSV table ({error}); make it anew")
        return []


def read_object(path: Path, problems: list[str]) -> dict[str, Any]:
    """Read a JSON object; empty, with a line in ``problems``, where there is none."""
    if not _readable(path, problems):
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        problems.append(f"{shown(path)}: is not valid JSON ({error}); make it anew")
        return {}
    if not isinstance(content, dict):
        problems.append(f"{shown(path)}: holds no JSON object; make it anew")
        return {}
    return content


def read_rows(kind: type[Row], path: Path, problems: list[str]) -> list[Row]:
    """Read a CSV as objects of a dataclass: a column a field, of type str, int or float.

    An empty cell of a number is NaN, and 0 for a count.
    """
    types = {field.name: str(field.type) for field in fields(kind)}
    rows = []
    for row in read_table(path, list(types), problems):
        values: dict[str, Any] = {name: row[name] for name in types}
        for name, wanted in types.items():
            if wanted != "str":
                value = number(row[name], name, path, problems)
                values[name] = value if wanted == "float" else _count(value, name, path, problems)
        rows.append(kind(**values))
    return rows


def number(text: str, column: str, path: Path, problems: list[str]) -> float:
    """Return a cell as a number; NaN for an empty one, and with a problem for a text."""
    if not text.strip():
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.inf
    if abs(value) > _LARGEST:
        problems.append(f"{shown(path)}: column {column} holds {text[:40]!r}, which is no number")
        return math.nan
    return value


def _count(value: float, column: str, path: Path, problems: list[str]) -> int:
    if math.isnan(value):
        return 0
    if value != int(value) or not 0 <= value < _MOST_COUNTED:
        problems.append(f"{shown(path)}: column {column} holds {value:g}, which is no count")
        return 0
    return int(value)


def shown(path: Path) -> str:
    """Name a file by its folder and its name."""
    return f"{path.parent.name}/{path.name}"


def is_plain_name(name: str) -> bool:
    """Whether a text can only name something inside a folder."""
    return bool(name) and name not in {".", ".."} and not set(name) & {"/", "\\", "\0"}


def _readable(path: Path, problems: list[str]) -> bool:
    if not path.is_file():
        problems.append(f"{shown(path)}: is missing")
        return False
    if path.stat().st_size > _MOST_BYTES:
        problems.append(f"{shown(path)}: is larger than {_MOST_BYTES // 2**20} MiB, so no table")
        return False
    return True
