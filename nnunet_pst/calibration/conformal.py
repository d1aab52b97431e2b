"""Intervals of a stated coverage from residuals of patients that no training has seen.

Cases of one patient are alike, so patients are the unit. Every patient has the same weight, split
evenly over the patient's cases, and as much as one patient's is kept for what was never seen:
hierarchical conformal prediction (Lee, Barber and Willett 2023, arXiv 2306.06342). For one case of
a new patient, the coverage is at least the stated one, whatever the distribution, where the
residuals are of cases that had no part in what they are residuals from.
`benchmarks/conformal_simulation.py` measures what remains of it after a cross-validation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def fewest_patients(coverage: float) -> int:
    """Number of patients from which on an interval of this coverage is finite."""
    return math.ceil(round(coverage / (1 - coverage), 9))


def conformal_quantile(
    residuals: Sequence[float], patients: Sequence[str], coverage: float
) -> float | None:
    """Return the residual that a new patient's case exceeds with a chance of 1 - coverage at most.

    Parameters
    ----------
    residuals
        Of each case, 0 or more.
    patients
        Whose each case is.
    coverage
        Between 0 and 1.

    Returns
    -------
    float or None
        None with fewer patients than `fewest_patients`: no finite interval has that coverage.
    """
    names, inverse, counts = np.unique(
        np.asarray(patients, dtype=str), return_inverse=True, return_counts=True
    )
    if len(names) < fewest_patients(coverage):
        return None
    weights = 1 / counts[inverse] / (len(names) + 1)
    order = np.argsort(np.asarray(residuals, dtype=float), kind="stable")
    reached = np.cumsum(weights[order])
    # Rounding must not ask for the unseen patient's share.
    place = int(np.searchsorted(reached, coverage - 1e-9))
    return float(np.asarray(residuals, dtype=float)[order[min(place, len(order) - 1)]])
