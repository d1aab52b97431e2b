"""From the scores of cases to what may be said about methods: the tables of a comparison.

Averages go case -> patient, repeats of a training (seeds) are averaged within the patient, and
everything after that is statistics over patients (`cohort_statistics`). Differences are a method
less the baseline; p, effect and wins ask who is better, whichever way the measure points.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TypeAlias

from nnunet_pst.cohort_statistics import (
    RESAMPLES,
    Interval,
    holm,
    is_noninferior,
    mean_interval,
    paired_test,
)
from nnunet_pst.comparison_strata import ALL, Strata, Stratum
from nnunet_pst.errors import InputError
from nnunet_pst.scores import Row, mean

#: Value of each patient.
Column: TypeAlias = dict[str, float]
KEYS = ("method", "repeat", "case", "patient", "sequence")


@dataclass(frozen=True)
class Compared:
    """A measure that methods are compared by.

    Parameters
    ----------
    name, unit
        As in the tables; "1" for a ratio.
    best
        Value of a perfect prediction: above 0, more is better; 0, less is.
    """

    name: str
    unit: str
    best: float

    @property
    def sign(self) -> float:
        """1 where more is better, else -1."""
        return 1.0 if self.best > 0 else -1.0


@dataclass(frozen=True)
class Settings:
    """How a comparison is made.

    Parameters
    ----------
    baseline
        The method that all others are compared with.
    measures
        The first one is printed first; all of them form the declared family.
    margin
        By how much a ratio may be worse and still count as not inferior; None: not asked.
    seed, resamples
        Of the bootstrap.
    """

    baseline: str
    measures: tuple[Compared, ...]
    margin: float | None = None
    seed: int = 0
    resamples: int = RESAMPLES


@dataclass(frozen=True)
class Tables:
    """``patients.csv``, ``intervals.csv`` and ``differences.csv`` as rows."""

    patients: list[Row]
    intervals: list[Row]
    differences: list[Row]


def same_cases(rows: Sequence[Row]) -> None:
    """Refuse methods, or repeats of one, that don't have the same cases.

    Raises
    ------
    InputError
        With a line for each method and repeat: the cases that it lacks.
    """
    cases: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        cases.setdefault((str(row["method"]), str(row["repeat"])), set()).add(str(row["case"]))
    everything = set().union(*cases.values())
    problems = []
    for (method, repeat), own in cases.items():
        lacking = sorted(everything - own)
        if lacking:
            others = sorted({name for (name, _), theirs in cases.items() if theirs & set(lacking)})
            problems.append(
                f"{method} (repeat {repeat}): lacks {', '.join(lacking)}, which "
                f"{', '.join(others)} predicted; methods are compared on the same cases only"
            )
    if problems:
        raise InputError(problems)


def compare_methods(rows: Sequence[Row], strata: Strata, settings: Settings) -> Tables:
    """Average cases to patients and compare every method with the baseline, in every stratum.

    Parameters
    ----------
    rows
        A row per method, repeat and case: `KEYS`, then every measure. Methods keep their order.
    strata
        From `comparison_strata.strata_of`.
    settings
        Holm's correction is over the family of every method and measure in all patients; strata
        are exploratory, and their p-values stay as they are.

    Raises
    ------
    InputError
        If the methods don't have the same cases.
    """
    same_cases(rows)
    methods = list(dict.fromkeys(str(row["method"]) for row in rows))
    intervals: list[Row] = []
    differences: list[Row] = []
    for part in strata.parts:
        for measure in settings.measures:
            columns = {m: patient_column(rows, m, measure.name, part) for m in methods}
            where = {"measure": measure.name, "stratum": part.name, "level": part.level}
            for method, column in columns.items():
                interval = _bounded(_interval(list(column.values()), settings), measure, column)
                intervals.append({**where, "method": method, **asdict(interval)})
            differences += [
                {**where, **_difference(method, columns, measure, settings)}
                for method in methods
                if method != settings.baseline
            ]
    family = [row for row in differences if row["stratum"] == ALL]
    for row, adjusted in zip(family, holm([float(row["p"]) for row in family]), strict=True):
        row["p_holm"] = adjusted
    names = [name for name in rows[0] if name not in KEYS]
    return Tables(_patient_rows(rows, methods, names, strata.parts[0]), intervals, differences)


def patient_column(rows: Sequence[Row], method: str, measure: str, part: Stratum) -> Column:
    """Value of each patient of a stratum: the mean over repeats of the mean over cases."""
    values: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        patient = str(row["patient"])
        if row["method"] != method or patient not in part.patients:
            continue
        if part.sequence is None or row["sequence"] == part.sequence:
            repeats = values.setdefault(patient, {})
            repeats.setdefault(str(row["repeat"]), []).append(float(row[measure]))
    return {
        patient: mean([mean(cases) for cases in values[patient].values()])
        for patient in sorted(values)
    }


def _patient_rows(
    rows: Sequence[Row], methods: Sequence[str], names: Sequence[str], everything: Stratum
) -> list[Row]:
    table: list[Row] = []
    for method in methods:
        columns = {name: patient_column(rows, method, name, everything) for name in names}
        table += [
            {"method": method, "patient": patient, **{n: columns[n][patient] for n in names}}
            for patient in columns[names[0]]
        ]
    return table


def _interval(values: Sequence[float], settings: Settings) -> Interval:
    return mean_interval(values, seed=settings.seed, resamples=settings.resamples)


def _bounded(interval: Interval, measure: Compared, column: Column) -> Interval:
    """End the interval of a mean at the best value, which no mean can pass."""
    defined = [value for value in column.values() if not math.isnan(value)]
    low, high = interval.low, interval.high
    if defined and max(defined) <= measure.best and high > measure.best:
        high = measure.best
    if defined and min(defined) >= measure.best and low < measure.best:
        low = measure.best
    return Interval(interval.patients, interval.mean, low, high, interval.median)


def _difference(
    method: str, columns: Mapping[str, Column], measure: Compared, settings: Settings
) -> Row:
    """Compare one method with the baseline over the patients for whom both have a value."""
    ours, theirs = columns[method], columns[settings.baseline]
    pairs = [ours[patient] - theirs[patient] for patient in ours]
    interval = _interval(pairs, settings)
    test = paired_test([measure.sign * pair for pair in pairs])
    gain_low = interval.low if measure.sign > 0 else -interval.high
    asked = settings.margin is not None and measure.unit == "1"
    verdict = is_noninferior(gain_low, settings.margin or 0.0) if asked else None
    return {
        "method": method,
        "baseline": settings.baseline,
        "patients": interval.patients,
        "difference": interval.mean,
        "low": interval.low,
        "high": interval.high,
        "p": test.p,
        "p_holm": math.nan,
        "effect": test.effect,
        "wins": test.wins,
        "ties": test.ties,
        "losses": test.losses,
        "noninferior": "" if verdict is None else "yes" if verdict else "no",
    }
