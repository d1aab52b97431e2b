"""What a comparison allows to say, in a sentence or two for each pair of methods.

A difference is called shown when two tests say so, each corrected over the declared family (Holm):
that of the mean, and the signed-rank test; and when both lean to one side. The first alone may rest
on a few patients, the second weighs patients by rank and does not see how much a lost tumor costs.
Everything else is called not shown, and never "no difference": only a margin that was declared
beforehand lets a comparison say that one method is not worse.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from nnunet_pst.comparison.margins import patients_needed
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
    sentences += [*_found(comparison, method, baseline), *_margin_sentences(comparison, main)]
    return Conclusion(method, baseline, verdict, [*sentences, *_other_measures(comparison, rows)])


def verdict_of(row: Difference, measure: ComparedMeasure) -> Verdict:
    """Decide what a row shows; ``not shown`` of all that is outside the family."""
    if math.isnan(row.p_holm) or row.p_holm >= _ALPHA:
        return "not shown"
    if measure.best is not None:
        gain = row.difference if measure.best > 0 else -row.difference
        if gain * row.effect < 0:
            return "disagree"
    if math.isnan(row.p_mean_holm) or row.p_mean_holm >= _ALPHA:
        return "not shown"
    return leaning(row, measure) or "not shown"


def leaning(row: Difference, measure: ComparedMeasure) -> Verdict | None:
    """Say which way an interval that leaves zero out lies; None where it doesn't, or none is best.

    It says nothing about the test.
    """
    if measure.best is None or math.isnan(row.low) or row.low <= 0 <= row.high:
        return None
    return "better" if (row.difference > 0) == (measure.best > 0) else "worse"


def _main_sentence(comparison: Comparison, row: Difference, verdict: Verdict) -> str:
    reach = signed_interval(row.low, row.high) or "too few patients for an interval"
    size = f"{signed(row.difference)} ({reach})"
    where = f"mean paired difference in Dice {size} over {count(row.patients, 'patient')}"
    tally = f"it wins in {row.wins}, ties in {row.ties} and loses in {row.losses}"
    p = f"signed-rank test {_p_words(row.p, row.p_holm)}"
    if not math.isnan(row.p_mean):
        p = f"test of the mean {_p_words(row.p_mean, row.p_mean_holm)}; {p}"
    if math.isnan(row.p):
        head, p = "Too few patients for a test, so nothing is concluded", "no p"
    elif row.measure not in comparison.family:
        head = "Dice is not in the declared family, so nothing is concluded from it"
    else:
        head = _HEADS[verdict]
    return f"{head}: {where}; {tally}; {p}."


def _p_words(p: float, corrected: float) -> str:
    words = f"p = {p_value(p)}".replace("= <", "<")
    return words if math.isnan(corrected) else f"{words}, corrected {p_value(corrected)}"


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
    if (row.low > 0 or row.high < 0) and max(row.p_holm, row.p_mean_holm) >= _ALPHA:
        lines.append("The interval leaves zero out, but the corrected tests do not confirm it.")
    elif row.p_holm < _ALPHA and row.p_mean_holm >= _ALPHA and row.difference * row.effect > 0:
        side = "gains" if row.effect > 0 else "losses"
        lines.append(
            f"Most patients lean to one side ({side}), but {row.patients} patients do not show the "
            "mean: a tumor that is lost in a few others could undo it."
        )
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


def _found(comparison: Comparison, method: str, baseline: str) -> list[str]:
    """Say how many tumors were found: what a mean hides most easily."""
    (found, tumors), (others, all_theirs) = map(comparison.found_cases, (method, baseline))
    if not tumors or not all_theirs:
        return []
    theirs = f"the baseline in {others} of {all_theirs}"
    return [f"It found the tumor in {found} of {tumors} cases, {theirs}."]


def _margin_sentences(comparison: Comparison, row: Difference) -> list[str]:
    """Say what the declared margin allows, in the words of non-inferiority and equivalence."""
    margin = comparison.margin
    if margin is None:
        return []
    if not row.noninferior:
        return [
            f"Too few patients to test the declared margin of {margin:g}: nothing is said about it."
        ]
    one_sided = f"one-sided p {_bare(row.p_noninferior)}, corrected over the methods, to be < 0.025"
    if row.noninferior == "yes":
        lines = [
            f"Non-inferior: shown not to be worse by more than the declared margin of {margin:g} "
            f"in mean Dice ({one_sided})."
        ]
    else:
        lines = [
            f"Non-inferiority not shown: it may be worse by more than the declared margin of "
            f"{margin:g} in mean Dice ({one_sided})."
        ]
        methods = len({d.method for d in comparison.differences if d.noninferior})
        needed = patients_needed(margin, methods)
        if row.patients < needed:
            lines.append(
                f"{row.patients} patients are too few for this margin: methods that never differ "
                f"would need {needed}."
            )
    equivalent = "Equivalent" if row.equivalent == "yes" else "Equivalence not shown"
    return [
        *lines,
        f"{equivalent} within {margin:g} (two one-sided tests, p {_bare(row.p_equivalent)}).",
    ]


def _bare(p: float) -> str:
    return f"= {p_value(p)}".replace("= <", "<")


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
        if math.isnan(row.low):
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
        "no interval": "no interval (too few patients, or equal differences), so nothing is "
        "concluded, on",
    }
    parts = [f"{text} {', '.join(groups[key])}" for key, text in words.items() if key in groups]
    return [f"{head}: {'; '.join(parts)}."] if parts else []
