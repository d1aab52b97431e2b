"""What a comparison allows to say, in a sentence or two for each pair of methods.

A difference is called shown when its interval leaves zero out, Holm's corrected p in the declared
family is below 0.05, and mean and test lean to one side: the signed-rank test weighs patients by
rank, so a few lost tumors can pull the mean one way and most patients the test the other way.
Everything else is called not shown, and never "no difference": only a margin that was declared
beforehand lets a comparison say that one method is not worse.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from nnunet_pst.comparison.results import ComparedMeasure, Comparison, Difference
from nnunet_pst.io.wording import count, measure_name, p_value, signed, signed_interval

_ALPHA = 0.05
Verdict = Literal["better", "worse", "not shown", "disagree"]


@dataclass(frozen=True)
class Conclusion:
    """Words about one method against the baseline.

    Parameters
    ----------
    verdict
        For the color beside the words; ``disagree`` where mean and test lean to different sides.
    sentences
        To be read.
    """

    method: str
    baseline: str
    verdict: Verdict
    sentences: Sequence[str]


def conclusions(comparison: Comparison) -> list[Conclusion]:
    """Conclude on every method that was compared with the baseline on all cases."""
    found = []
    for method in comparison.methods:
        rows = [
            row
            for row in comparison.differences
            if row.method == method and row.stratum == "all" and row.baseline != method
        ]
        for baseline in dict.fromkeys(row.baseline for row in rows):
            against = [row for row in rows if row.baseline == baseline]
            found.append(_conclusion(comparison, method, baseline, against))
    return found


def _conclusion(
    comparison: Comparison, method: str, baseline: str, rows: Sequence[Difference]
) -> Conclusion:
    main = next((row for row in rows if row.measure == "dice"), None)
    if main is None:
        return Conclusion(method, baseline, "not shown", ["Dice was not compared."])
    verdict = verdict_of(main, ComparedMeasure("dice", "1", 1.0))
    sentences = [_main_sentence(comparison, main, verdict), *_limits(main, comparison)]
    if main.noninferior:
        within = "not worse" if main.noninferior == "yes" else "not shown to be not worse"
        margin = "" if comparison.margin is None else f" of {comparison.margin:g}"
        sentences.append(f"With the declared margin{margin}, it is {within} (non-inferiority).")
    elif comparison.margin is not None and math.isnan(main.low):
        sentences.append("Without an interval nothing is said about the declared margin.")
    return Conclusion(method, baseline, verdict, [*sentences, *_other_measures(comparison, rows)])


def verdict_of(row: Difference, measure: ComparedMeasure) -> Verdict:
    """Decide what a row shows; ``not shown`` of all that is outside the family."""
    if math.isnan(row.p_holm) or row.p_holm >= _ALPHA:
        return "not shown"
    if measure.best is not None:
        gain = row.difference if measure.best > 0 else -row.difference
        if gain * row.effect < 0:
            return "disagree"
    if math.isnan(row.low) and math.isnan(row.high) and row.difference and measure.best is not None:
        # All differences are equal: there is no interval, and the test has decided.
        return "better" if (row.difference > 0) == (measure.best > 0) else "worse"
    return leaning(row, measure) or "not shown"


def leaning(row: Difference, measure: ComparedMeasure) -> Verdict | None:
    """Say which way an interval that leaves zero out lies; None where it doesn't, or none is best.

    It says nothing about the test.
    """
    if measure.best is None or math.isnan(row.low) or row.low <= 0 <= row.high:
        return None
    return "better" if (row.difference > 0) == (measure.best > 0) else "worse"


def _main_sentence(comparison: Comparison, row: Difference, verdict: Verdict) -> str:
    reach = signed_interval(row.low, row.high)
    none = "no interval" if math.isnan(row.p) else "no interval, as all differences are equal"
    size = f"{signed(row.difference)} ({reach or none})"
    where = f"mean paired difference in Dice {size} over {count(row.patients, 'patient')}"
    tally = f"it wins in {row.wins}, ties in {row.ties} and loses in {row.losses}"
    p = f"p = {p_value(row.p)}".replace("= <", "<")
    if not math.isnan(row.p_holm):
        p += f", corrected {p_value(row.p_holm)}"
    if math.isnan(row.p):
        head, p = "Too few patients for a test, so nothing is concluded", "no p"
    elif row.measure not in comparison.family:
        head = "Dice is not in the declared family, so nothing is concluded from it"
    else:
        head = _HEADS[verdict]
    return f"{head}: {where}; {tally}; {p}."


_HEADS: dict[Verdict, str] = {
    "better": "Higher Dice than the baseline",
    "worse": "Lower Dice than the baseline",
    "not shown": "No difference in Dice was shown, which doesn't show that there is none",
    "disagree": "The mean of Dice and the test lean to different sides, so nothing is concluded; "
    "look at the patients one by one in the paired plot",
}


def _limits(row: Difference, comparison: Comparison) -> list[str]:
    """Say where the number of patients alone decides, and where interval and test disagree."""
    if math.isnan(row.p_holm):
        return []
    lines = []
    if (row.low > 0 or row.high < 0) and row.p_holm >= _ALPHA:
        lines.append("The interval leaves zero out, but the corrected test does not confirm it.")
    family = [other for other in comparison.differences if not math.isnan(other.p_holm)]
    differing, smallest = row.wins + row.losses, _smallest_p(row)
    # Holm multiplies the smallest p of the family by their number, the next by one less, and so on:
    # tests that can fall lower than this one may come before it, all others count.
    factor = sum(_smallest_p(other) >= smallest for other in family)
    if differing and factor * smallest >= _ALPHA:
        tests = f" and {factor} such tests in the family" if factor > 1 else ""
        which = "corrected p" if factor > 1 else "p"
        needed = 1 + math.ceil(math.log2(factor / _ALPHA))
        lines.append(
            f"With {count(differing, 'patient')} who differ{tests} the {which} can't fall "
            f"below {factor * smallest:.2g}, whatever the data: it takes {needed} patients who "
            "differ."
        )
    return lines


def _smallest_p(row: Difference) -> float:
    """Return the smallest two-sided p of the signed-rank test: 2 of the 2^n signs of n patients."""
    differing = row.wins + row.losses
    return float(0.5 ** (differing - 1)) if differing else 1.0


def _other_measures(comparison: Comparison, rows: Sequence[Difference]) -> list[str]:
    """Gather the other measures: a sentence for the family, one for what lies outside it."""
    inside: dict[str, list[str]] = {}
    outside: dict[str, list[str]] = {}
    for row in rows:
        measure = comparison.measures.get(row.measure)
        if row.measure == "dice" or measure is None or measure.best is None:
            continue
        if math.isnan(row.p):
            continue
        groups, key = inside, str(verdict_of(row, measure))
        if row.measure not in comparison.family:
            groups, key = outside, leaning(row, measure) or "not shown"
            if math.isnan(row.low) and row.difference:
                key = "no interval"
        groups.setdefault(key, []).append(measure_name(row.measure, measure.unit))
    return [
        *_gathered("Other measures of the family", inside),
        *_gathered("Outside the family, by intervals alone and without correction", outside),
    ]


def _gathered(head: str, groups: dict[str, list[str]]) -> list[str]:
    words = {
        "better": "better on",
        "worse": "worse on",
        "not shown": "no difference shown on",
        "disagree": "mean and test lean to different sides on",
        "no interval": "no interval, as all differences are equal, on",
    }
    parts = [f"{text} {', '.join(groups[key])}" for key, text in words.items() if key in groups]
    return [f"{head}: {'; '.join(parts)}."] if parts else []
