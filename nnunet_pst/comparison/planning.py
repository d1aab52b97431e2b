"""How many patients the next study needs: studies are drawn from the patients of a comparison.

The spread between patients, lost tumors among it, is that of the comparison; the mean difference is
what the next study should be able to show. A study shows it when both tests of
`conclusions.verdict_of` do, without correction: the next study is about one method and one measure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nnunet_pst.comparison.results import Comparison
from nnunet_pst.comparison.statistics import (
    MINIMUM_PATIENTS,
    Vector,
    p_of_mean,
    paired_test,
)
from nnunet_pst.errors import Fault, InputError

SIZES = (10, 20, 40, 60, 80, 120, 160, 200, 300, 400)
STUDIES = 400
_RESAMPLES = 2000
_BOUNDS = (-1.0, 1.0)


@dataclass(frozen=True)
class Planned:
    """A number of patients, and the share of simulated studies of this size that show it."""

    patients: int
    power: float


def dice_differences(comparison: Comparison, method: str) -> list[float]:
    """Paired differences in Dice to the baseline, a number a patient.

    Raises
    ------
    InputError
        The method is not one that was compared, or has too few patients to know a spread.
    """
    others = [name for name in comparison.methods if name != comparison.baseline]
    if method not in others:
        raise InputError(
            f"{method}: was not compared with a baseline; known are {', '.join(others) or 'none'}",
            Fault.UNKNOWN_NAME,
        )
    ours = comparison.patient_means("dice", method)
    theirs = comparison.patient_means("dice", comparison.baseline)
    found = [ours[patient] - theirs[patient] for patient in ours if patient in theirs]
    if len(found) < MINIMUM_PATIENTS:
        raise InputError(
            f"{method}: {len(found)} patients tell nothing of the spread between patients; compare "
            f"on {MINIMUM_PATIENTS} or more",
            Fault.TOO_FEW,
        )
    return found


def planned(
    differences: Sequence[float],
    difference: float,
    *,
    sizes: Sequence[int] = SIZES,
    studies: int = STUDIES,
    seed: int = 0,
) -> list[Planned]:
    """Simulate studies of several sizes.

    Parameters
    ----------
    differences
        (patients,) paired differences in Dice whose spread is taken.
    difference
        True mean difference of the next study, in (0, 1).
    sizes, studies, seed
        Numbers of patients; simulated studies of each; of the draws.
    """
    spread = np.asarray(differences) - np.mean(differences)
    patients = np.clip(spread + difference, *_BOUNDS)
    return [
        Planned(
            size,
            float(np.mean([_shows(sample) for sample in _drawn(patients, size, studies, seed)])),
        )
        for size in sizes
    ]


def _drawn(patients: Vector, size: int, studies: int, seed: int) -> Vector:
    """Draw (studies, size) patients with replacement."""
    generator = np.random.default_rng((seed, size))
    drawn: Vector = patients[generator.integers(0, len(patients), (studies, size))]
    return drawn


def _shows(sample: Vector) -> bool:
    """Whether a study shows that the method is better."""
    if sample.mean() <= 0 or p_of_mean(sample, bounds=_BOUNDS, resamples=_RESAMPLES) >= 0.05:
        return False
    test = paired_test(sample)
    return test.p < 0.05 and test.effect > 0
