"""Slice numbers as people write them: ``7-17,20``."""

from __future__ import annotations

import re
from collections.abc import Iterable


def parse_slices(text: str) -> tuple[int, ...]:
    """Read ``7-17``, ``7,9,11`` or a mixture into sorted slice numbers.

    Raises
    ------
    ValueError
        When the text is anything else.
    """
    ranges = parse_extents(text)
    return tuple(sorted({z for start, stop in ranges for z in range(start, stop + 1)}))


def parse_extents(text: str) -> tuple[tuple[int, int], ...]:
    """Read ``6-19;30-34`` into ranges, first and last slice of each, as they are written.

    Raises
    ------
    ValueError
        When the text is anything else.
    """
    ranges = []
    for part in re.split(r"[,;]", text):
        match = re.fullmatch(r"\s*(\d{1,5})(?:\.0+)?\s*(?:-\s*(\d{1,5})\s*)?", part)
        if match is None:
            raise ValueError(f"not slice numbers: {text!r}")
        start, stop = int(match[1]), int(match[2] or match[1])
        if stop < start:
            raise ValueError(f"a range that runs backwards: {text!r}")
        ranges.append((start, stop))
    return tuple(ranges)


def format_extents(extents: Iterable[tuple[int, int]]) -> str:
    """Write ranges as `parse_extents` reads them: ``6-19;30-34``."""
    return ";".join(str(a) if a == b else f"{a}-{b}" for a, b in extents)


def format_slices(slices: Iterable[int]) -> str:
    """Write slice numbers as `parse_slices` reads them, with ranges: ``7-17,20``."""
    parts: list[list[int]] = []
    for number in sorted(set(slices)):
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ",".join(str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts)
