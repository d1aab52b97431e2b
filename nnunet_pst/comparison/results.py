"""A comparison: scores of cases, intervals of means, paired differences, and how it was made."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunet_pst.evaluation.averaging import CaseValue, patient_means


@dataclass(frozen=True)
class ComparedMeasure:
    """What a measure's numbers are; ``best`` is None where no value is better than another."""

    name: str
    unit: str
    best: float | None


@dataclass(frozen=True)
class CaseRow:
    """The measures of one case by one method (and one repeat of its training)."""

    method: str
    repeat: str
    case: str
    patient: str
    sequence: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class MeanInterval:
    """A row of ``intervals.csv``; ``stratum`` and ``level`` are ``all`` for everything together."""

    measure: str
    stratum: str
    level: str
    method: str
    patients: int
    mean: float
    low: float
    high: float
    median: float


@dataclass(frozen=True)
class Difference:
    """A row of ``differences.csv``: ``method`` less ``baseline``, paired by patient.

    Parameters
    ----------
    p, p_holm
        Of the paired test, before and after Holm's correction; NaN outside the declared family.
    p_mean, p_mean_holm
        Of the mean: below 0.05 where the interval leaves 0 out; NaN where there is no interval.
    effect
        Rank-biserial correlation in [-1, 1]; positive where the method is better.
    wins, ties, losses
        Patients for whom the method is better, equal, worse.
    p_noninferior, p_equivalent, noninferior, equivalent
        As `margins.MarginTest`; NaN and empty where no margin was declared.
    """

    measure: str
    stratum: str
    level: str
    method: str
    baseline: str
    patients: int
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    p_mean: float
    p_mean_holm: float
    effect: float
    wins: int
    ties: int
    losses: int
    p_noninferior: float
    p_equivalent: float
    noninferior: str
    equivalent: str


@dataclass(frozen=True)
class ReaderRow:
    """A row of ``readers.csv``, where a second reader was given.

    Parameters
    ----------
    against
        ``first``, ``second`` or ``consensus``: the reference. ``range``: how much better a method
        agrees with both readers, on the mean, than they with each other.
    method
        A method, or ``second reader``.
    at_least
        Patients in whom a method agrees with the readers as well as they do, or better.
    p, within
        Of the declared margin, as `margins.MarginTest`; NaN and empty where none was declared.
    """

    against: str
    measure: str
    method: str
    patients: int
    mean: float
    low: float
    high: float = math.nan
    at_least: int = 0
    p: float = math.nan
    within: str = ""


@dataclass(frozen=True)
class ScoredFile:
    """A row of ``files.csv``: first digits of the SHA-256 of a mask, or of a label (no method)."""

    method: str
    repeat: int
    case: str
    digest: str


@dataclass(frozen=True)
class DistanceScore:
    """Agreement on the slices of a case that lie so far from the annotated window."""

    case: str
    patient: str
    distance_slices: int
    dice: float
    recall: float


@dataclass(frozen=True)
class Comparison:
    """Everything that a comparison folder holds, but its pictures.

    Parameters
    ----------
    folder
        Where it lies; never printed.
    facts
        ``comparison.json``.
    methods
        In the order of the comparison.
    measures
        By name: those that were compared, then the others that evaluations declare.
    distances
        By method; of all its repeats.
    readers
        Rows about a second reader; empty where there is none.
    files
        What was scored; empty in comparisons of earlier versions.
    digest
        First digits of the SHA-256 of scores and description: which comparison this is.
    """

    folder: Path
    facts: Mapping[str, Any]
    methods: tuple[str, ...]
    baseline: str
    measures: Mapping[str, ComparedMeasure]
    cases: Sequence[CaseRow]
    intervals: Sequence[MeanInterval]
    differences: Sequence[Difference]
    distances: Mapping[str, Sequence[DistanceScore]]
    digest: str
    readers: Sequence[ReaderRow] = ()
    files: Sequence[ScoredFile] = ()

    @property
    def patients(self) -> list[str]:
        """Pseudonyms of all patients."""
        return sorted({case.patient for case in self.cases})

    @property
    def sequences(self) -> list[str]:
        """Names of all sequences; empty for bare folders."""
        return sorted({case.sequence for case in self.cases if case.sequence})

    @property
    def interval_kind(self) -> str:
        """Kind of the intervals, such as ``95 % interval (bootstrap over patients)``."""
        described, level = self.facts.get("interval"), self.facts.get("level")
        share = f"{100 * level:g} % " if isinstance(level, int | float) else ""
        return (
            f"{share}interval ({described})" if isinstance(described, str) else f"{share}interval"
        )

    @property
    def margin(self) -> float | None:
        """By how much a ratio may be worse and still count as not inferior; None: not declared."""
        margin = self.facts.get("margin")
        return float(margin) if isinstance(margin, int | float) else None

    @property
    def family(self) -> frozenset[str]:
        """Names of the measures whose tests are corrected for each other."""
        declared = self.facts.get("family")
        if isinstance(declared, list):
            return frozenset(map(str, declared))
        rows = [row for row in self.differences if row.stratum == "all"]
        tested = frozenset(row.measure for row in rows if not math.isnan(row.p_holm))
        return tested or frozenset(row.measure for row in rows)

    def found_cases(self, method: str) -> tuple[int, int]:
        """Count the cases, of all repeats, whose tumor a method found, and those with a tumor."""
        found = [
            score.values.get("found", math.nan) for score in self.cases if score.method == method
        ]
        known = [value for value in found if not math.isnan(value)]
        return round(sum(known)), len(known)

    def patient_means(
        self, measure: str, method: str, sequence: str | None = None
    ) -> dict[str, float]:
        """Average a measure by patient, in the order of `evaluation.averaging`.

        Patients without a defined value are left out.
        """
        means = patient_means(
            CaseValue(score.patient, score.case, score.values.get(measure, math.nan))
            for score in self.cases
            if score.method == method and sequence in {None, score.sequence}
        )
        return {patient: value for patient, value in means.items() if not math.isnan(value)}
