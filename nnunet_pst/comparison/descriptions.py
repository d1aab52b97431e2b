"""What a single method scored, in sentences: one method alone gives nothing to conclude from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nnunet_pst.comparison.results import Comparison, MeanInterval
from nnunet_pst.io.wording import count, interval, measure_name, value

#: In this order: found tumors first, then what lost ones make of the same measure.
_MEASURES = ("dice_found", "dice", "hd95_found_mm", "hd95_mm")
#: More names than these are counted only.
_MOST_NAMES = 8


@dataclass(frozen=True)
class Description:
    """Sentences about a method, to be read."""

    method: str
    sentences: Sequence[str]


def descriptions(comparison: Comparison) -> list[Description]:
    """Describe every method: tumors found, means with intervals, and the cases that were lost."""
    return [
        Description(name, [*_found(comparison, name), *_means(comparison, name)])
        for name in comparison.methods
    ]


def _found(comparison: Comparison, method: str) -> list[str]:
    found, tumors = comparison.found_cases(method)
    if not tumors:
        return []
    lost = sorted(
        {s.case for s in comparison.cases if s.method == method and s.values.get("found") == 0}
    )
    sentence = f"The tumor was found in {found} of {count(tumors, 'case')}"
    if not lost:
        return [f"{sentence}."]
    more = len(lost) - _MOST_NAMES
    names = ", ".join(lost[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
    return [f"{sentence}; lost: {names}."]


def _means(comparison: Comparison, method: str) -> list[str]:
    """Give the mean of each measure with its interval."""
    rows = {row.measure: row for row in comparison.intervals if _is_overall(row, method)}
    lines = []
    for name in _MEASURES:
        row = rows.get(name)
        if row is None or math.isnan(row.mean):
            continue
        unit = comparison.measures[name].unit
        reach = interval(row.low, row.high, unit) or "too few patients for an interval"
        lost = "" if "found" in name else ", lost tumors included"
        lines.append(
            f"{measure_name(name, unit)}{lost}: mean {value(row.mean, unit)} ({reach}), median "
            f"{value(row.median, unit)}, over {count(row.patients, 'patient')}."
        )
    return lines


def _is_overall(row: MeanInterval, method: str) -> bool:
    return (row.method, row.stratum) == (method, "all")
