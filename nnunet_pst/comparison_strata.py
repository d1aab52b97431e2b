"""Parts of a cohort in which methods are compared besides all patients together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nnunet_pst.case_table import CASE_COLUMNS, rows_by_patient

#: The stratum of everything, and its level.
ALL = "all"
#: Numbers with so few different values are codes, and categories as they stand.
_MOST_CODES = 5
#: More categories than this hold too few patients each to say anything.
_MOST_LEVELS = 10


@dataclass(frozen=True)
class Stratum:
    """Some of the patients, or of everybody's cases.

    Parameters
    ----------
    name, level
        Such as ``location`` and ``sacrum``; both ``all`` for everything.
    patients
        Who belongs to it.
    sequence
        The sequence whose cases count; None for all.
    """

    name: str
    level: str
    patients: frozenset[str]
    sequence: str | None = None


@dataclass(frozen=True)
class Strata:
    """All strata of a comparison.

    Parameters
    ----------
    parts
        In the order of the tables; the first is everything.
    cut_points
        Of the covariates that were cut into thirds.
    missing
        Patients without a value, by covariate.
    warnings
        What was left out, and why.
    """

    parts: tuple[Stratum, ...]
    cut_points: Mapping[str, tuple[float, float]]
    missing: Mapping[str, int]
    warnings: tuple[str, ...]


def strata_of(rows: Sequence[Mapping[str, str]]) -> Strata:
    """Divide the compared patients by sequence and by every covariate.

    Parameters
    ----------
    rows
        Rows of a case table; columns beyond `case_table.CASE_COLUMNS` are covariates. A covariate
        belongs to the patient: the first case that has a value gives it. Numbers are cut at the
        patients' tertiles (NumPy's linear quantiles; a value on a cut counts below it).
    """
    patients = rows_by_patient(rows)
    parts = [Stratum(ALL, ALL, frozenset(patients))]
    sequences = sorted({row["sequence"] for row in rows if row["sequence"]})
    if len(sequences) > 1:
        parts += [
            Stratum("sequence", name, frozenset(_with(rows, "sequence", name)), name)
            for name in sequences
        ]
    cuts, missing, warnings = {}, {}, []
    for column in dict.fromkeys(key for row in rows for key in row if key not in CASE_COLUMNS):
        values = {
            patient: value
            for patient, cases in patients.items()
            if (value := next((case[column] for case in cases if case.get(column)), ""))
        }
        levels, cut = _levels(values)
        if cut is not None:
            cuts[column] = cut
        if len(set(levels.values())) > _MOST_LEVELS:
            warnings.append(f"no strata by {column}: it has more than {_MOST_LEVELS} categories")
        elif len(set(levels.values())) > 1:
            missing[column] = len(patients) - len(values)
            parts += [
                Stratum(column, level, frozenset(p for p, own in levels.items() if own == level))
                for level in sorted(set(levels.values()))
            ]
    return Strata(tuple(parts), cuts, missing, tuple(warnings))


def as_number(text: str) -> float:
    """Read a finite number; NaN for anything else."""
    try:
        number = float(text)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan


def is_numeric(values: Sequence[str]) -> bool:
    """Whether a column holds measurements: numbers, and more different ones than codes have."""
    numbers = [as_number(value) for value in values]
    return not any(map(math.isnan, numbers)) and len(set(numbers)) > _MOST_CODES


def _with(rows: Sequence[Mapping[str, str]], column: str, value: str) -> list[str]:
    return [row["patient"] for row in rows if row[column] == value]


def _levels(
    values: Mapping[str, str],
) -> tuple[dict[str, str], tuple[float, float] | None]:
    """Level of each patient, and where numbers were cut."""
    if not is_numeric(list(values.values())):
        return dict(values), None
    numbers = {patient: float(value) for patient, value in values.items()}
    low, high = (float(cut) for cut in np.quantile(list(numbers.values()), [1 / 3, 2 / 3]))
    names = (f"1: up to {low:.4g}", f"2: up to {high:.4g}", f"3: above {high:.4g}")
    return {p: names[(n > low) + (n > high)] for p, n in numbers.items()}, (low, high)
