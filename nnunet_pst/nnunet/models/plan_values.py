"""Tests of single values of a JSON file, and their text for messages."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence


def written(values: Sequence[float]) -> str:
    """Write sizes or spacings: ``5 x 0.7 x 0.7``."""
    return " x ".join(f"{value:g}" for value in values)


def shown(value: object) -> str:
    """Write a value in at most 60 printable characters."""
    text = "".join(c if c.isprintable() else "?" for c in repr(value))
    return text if len(text) <= 60 else f"{text[:57]}..."


def is_whole(value: object, low: int, high: int) -> bool:
    """Whether a value from a JSON file is a whole number between two, both included."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def is_number(value: object, low: float = -math.inf, high: float = math.inf) -> bool:
    """Whether a value from a JSON file is a finite number between two, both included."""
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and low <= value <= high
        and abs(value) < math.inf
    )


def is_list_of(values: object, counts: Sequence[int], fits: Callable[[object], bool]) -> bool:
    """Whether a value is a list with one of these lengths, and every item fits."""
    return isinstance(values, list) and len(values) in counts and all(map(fits, values))
