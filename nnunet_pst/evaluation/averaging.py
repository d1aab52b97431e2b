"""The order of averaging, decided here once for every mean over patients: table, figure or page.

1. The repeats of a case (trainings with other seeds, or folds that all predict it) are averaged.
2. The cases of a patient (sequences, lesions) are averaged.
3. The patients are averaged.

So a patient with four sequences or three seeds weighs as much as one with a single case. Values
that are not defined (NaN) are left out of every step; where none is left, the mean is not defined.
The order matters as soon as one value is undefined: a patient whose first case scores 0.5 and 0.7
in two repeats, and whose second one is undefined and then 0.9, has a mean of 0.75 in this order and
of 0.65 if cases were averaged before repeats.

The agreement of volumes (Bland-Altman, `report.volume_agreement`) is about single cases and says
so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple


class CaseValue(NamedTuple):
    """A measure of one case by one method; several of the same case are its repeats."""

    patient: str
    case: str
    value: float


def mean(values: Iterable[float]) -> float:
    """Mean of the defined values; NaN if there is none."""
    defined = [value for value in values if not math.isnan(value)]
    return math.fsum(defined) / len(defined) if defined else math.nan


def patient_means(values: Iterable[CaseValue]) -> dict[str, float]:
    """Average over the repeats of each case, then over the cases of each patient.

    Parameters
    ----------
    values
        Of one method and one measure.

    Returns
    -------
    dict
        By patient, in the order of their names; NaN for a patient without any defined value.
    """
    patients: dict[str, dict[str, list[float]]] = {}
    for patient, case, value in values:
        patients.setdefault(patient, {}).setdefault(case, []).append(value)
    return {
        patient: mean(mean(repeats) for _, repeats in sorted(cases.items()))
        for patient, cases in sorted(patients.items())
    }


def patients_mean(values: Iterable[CaseValue]) -> tuple[float, int]:
    """Average over repeats, cases, then patients.

    Returns
    -------
    tuple
        The mean, NaN if nothing is defined, and the number of patients with a defined value.
    """
    defined = [value for value in patient_means(values).values() if not math.isnan(value)]
    return mean(defined), len(defined)
