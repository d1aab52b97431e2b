"""What two readers allow to say, in a sentence each."""

from __future__ import annotations

import math

from nnunet_pst.comparison.results import Comparison, ReaderRow
from nnunet_pst.io.wording import count, interval, measure_name, p_value, signed, signed_interval
from nnunet_pst.io.wording import value as written

#: The row of the second reader's own masks.
SECOND = "second reader"
_TOO_FEW = "too few for an interval"


def reader_sentences(comparison: Comparison) -> list[str]:
    """Say how far the readers agree, and where each method lies; empty without a second reader."""
    lines = []
    for row in comparison.readers:
        if row.method == SECOND and row.measure in comparison.family:
            unit = comparison.measures[row.measure].unit
            reach = interval(row.low, row.high, unit) or _TOO_FEW
            lines.append(
                f"Between the readers: {measure_name(row.measure, unit)} {written(row.mean, unit)} "
                f"({reach}) over {count(row.patients, 'patient')}."
            )
    return lines + [_range(comparison, row) for row in comparison.readers if row.against == "range"]


def _range(comparison: Comparison, row: ReaderRow) -> str:
    reach = signed_interval(row.low, row.high) or _TOO_FEW
    size = f"{signed(row.mean)} ({reach})"
    return (
        f"{row.method}: {_verdict(comparison, row)}. Its mean Dice with both readers less the "
        f"readers' with each other: {size}; it agrees at least as well in {row.at_least} of "
        f"{count(row.patients, 'patient')}."
    )


def _verdict(comparison: Comparison, row: ReaderRow) -> str:
    if math.isnan(row.low):
        return "too few patients to say whether it is within the readers' range"
    if row.low > 0:
        return "agrees better with the readers than they with each other"
    if comparison.margin is not None and row.within:
        shown = "within" if row.within == "yes" else "not shown to be within"
        p = f"one-sided p = {p_value(row.p)}".replace("= <", "<")
        return f"{shown} the readers' range, with a margin of {comparison.margin:g} ({p})"
    if row.high < 0:
        return "outside the readers' range: it agrees less with them than they with each other"
    return (
        "neither shown to be within the readers' range nor outside; --margin says which loss "
        "would not matter"
    )
