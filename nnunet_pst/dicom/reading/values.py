"""Values of DICOM elements as plain text and numbers; values that can't be read count as absent.

Scanners, archives and anonymizers write numbers as text, text as bytes, and blanks as values.
Callers check the elements that an image needs (its place, its size) and say what is missing.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag
from pydicom.valuerep import PersonName


def raw(dataset: Dataset, keyword: str) -> Any:  # noqa: ANN401 - DICOM values are of any type
    """Return the value of an element; None when it is absent, empty, or can't be converted."""
    tag = _tag(keyword)
    # Most elements that are asked for are absent; pydicom's own way takes some ten times as long.
    if tag not in dataset.keys():  # noqa: SIM118 - the data set would make a tag of the tag
        return None
    try:
        value = dataset[tag].value
    except Exception:  # pydicom converts on demand, and passes the exceptions of int() on
        return None
    return None if value in (None, "", b"") else value


@lru_cache(maxsize=512)
def _tag(keyword: str) -> BaseTag:
    return Tag(keyword)


def texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """Return all values of an element as text."""
    value = raw(dataset, keyword)
    if value is None:
        return ()
    if isinstance(value, bytes):
        value = value.decode("latin-1").split("\\")
    if isinstance(value, PersonName):  # which would be gone through letter by letter
        value = str(value)
    parts = value if isinstance(value, Iterable) and not isinstance(value, str) else [value]
    return tuple(clean for part in parts if (clean := _clean(part)))


def _clean(value: object) -> str:
    """Remove blanks around a text, and characters that break a line or a table."""
    plain = str(value)
    if plain.isascii() and plain.isprintable():
        return " ".join(plain.split())
    encoded = plain.encode("utf-8", "replace").decode("utf-8")
    return " ".join("".join(c if c.isprintable() else " " for c in encoded).split())


def text(dataset: Dataset, keyword: str) -> str:
    """Return an element as one text; empty when it is absent."""
    return " ".join(texts(dataset, keyword))


def numbers(dataset: Dataset, keyword: str, count: int | None = None) -> tuple[float, ...] | None:
    """Return the values of an element; None unless all are finite, and ``count`` in number."""
    try:
        values = tuple(float(part) for part in texts(dataset, keyword))
    except ValueError:
        return None
    wrong = not values or not all(map(math.isfinite, values))
    return None if wrong or (count is not None and len(values) != count) else values


def number(dataset: Dataset, keyword: str) -> float | None:
    """Return the first value of an element as a finite number."""
    values = numbers(dataset, keyword)
    return None if values is None else values[0]


def integer(dataset: Dataset, keyword: str) -> int | None:
    """Return the first value of an element as a whole number."""
    value = number(dataset, keyword)
    return None if value is None or value != int(value) else int(value)


def items(dataset: Dataset, keyword: str) -> list[Dataset]:
    """Return the items of a sequence; an empty list when it is absent or not a sequence."""
    value = raw(dataset, keyword)
    try:
        return [item for item in value or () if isinstance(item, Dataset)]
    except TypeError:
        return []


def item(dataset: Dataset, *keywords: str) -> Dataset:
    """Follow sequences of one item each; an empty data set when one is missing."""
    for keyword in keywords:
        content = items(dataset, keyword)
        if not content:
            return Dataset()
        dataset = content[0]
    return dataset


def private_value(
    dataset: Dataset, creator: str, group: int, element: int
) -> tuple[float, ...] | None:
    """Return the numbers of a private element of any VR.

    Parameters
    ----------
    creator
        Name of the private block, compared without regard to case.
    group, element
        Tag; ``element`` within the block.

    Notes
    -----
    Anonymizers drop the creator and keep the element, or change its VR to OB or UN: then the usual
    block (0x10) is taken, and bytes are read as text, or as a binary number of their length.
    """
    value = _private_raw(dataset, creator, group, element)
    return None if value is None else _as_numbers(value)


def private_text(dataset: Dataset, creator: str, group: int, element: int) -> str:
    """Return a private element of any VR as text, as `private_value` finds it."""
    value = _private_raw(dataset, creator, group, element)
    return "" if value is None else _clean(_decoded(value))


def _private_raw(dataset: Dataset, creator: str, group: int, element: int) -> Any:  # noqa: ANN401
    block = 0x10
    for number_of_block in range(0x10, 0x20):
        name = _private(dataset, group, number_of_block)
        if name is not None and _clean(_decoded(name)).casefold() == creator.casefold():
            block = number_of_block
            break
    else:
        if _private(dataset, group, block) is not None:
            return None  # the block is another maker's
    return _private(dataset, group, block * 0x100 + element)


def _private(dataset: Dataset, group: int, element: int) -> Any:  # noqa: ANN401 - of any type
    try:
        tag = BaseTag((group << 16) + element)
        # As in `raw`.
        return dataset[tag].value if tag in dataset.keys() else None  # noqa: SIM118
    except Exception:  # as in `raw`
        return None


def _decoded(value: object) -> object:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _as_numbers(value: object) -> tuple[float, ...] | None:
    if isinstance(value, bytes):
        try:
            return tuple(float(part) for part in value.decode("ascii").strip("\0 ").split("\\"))
        except ValueError:
            code = {4: "<f", 8: "<d"}.get(len(value))
            value = None if code is None else struct.unpack(code, value)[0]
    parts = value if isinstance(value, Iterable) and not isinstance(value, str) else [value]
    try:
        values = tuple(float(str(part)) for part in parts)
    except ValueError:
        return None
    return values if values and all(map(math.isfinite, values)) else None
