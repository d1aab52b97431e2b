"""From cases that their network has not learned from to intervals and thresholds.

Every case's expected Dice comes from a regression that was fitted without its patient, so residuals
are those of new patients. What is kept is the regression of all patients.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nnunet_pst.calibration.conformal import conformal_quantile
from nnunet_pst.calibration.expected_dice import ExpectedDice, fit_expected_dice
from nnunet_pst.calibration.signs import Signs

#: Coverage of the intervals of Dice and volume.
COVERAGE = 0.9
#: A mask with a smaller Dice is called failed.
FAILED_BELOW = 0.5
#: Share of failed masks that may be called usual.
MISS_RATE = 0.1
#: Added to volumes before their ratio is taken: a missing milliliter is no infinite error.
SMALL_ML = 1.0
#: Where failures are too few to set a threshold, so many of the masks are checked anyway.
LEAST_CHECKED = 0.1
#: Fewer patients with masks are not fitted at all.
FEWEST_PATIENTS = 3


@dataclass(frozen=True)
class CalibrationCase:
    """One case and its mask by a network that has not learned from its patient.

    Attributes
    ----------
    patient, sequence
        Pseudonym, and T1, T2, ...
    signs
        Of the mask.
    dice
        With the label, on known voxels.
    predicted_ml, reference_ml
        Volumes; the reference's is None where not every slice was drawn.
    """

    patient: str
    sequence: str
    signs: Signs
    dice: float
    predicted_ml: float
    reference_ml: float | None


@dataclass(frozen=True)
class CheckThreshold:
    """The expected Dice below which a mask should be checked.

    Attributes
    ----------
    below
        The threshold.
    failures, failed_patients
        Number of failed masks that it was set on, and of their patients.
    miss_rate
        Chance that a failed mask of a new patient is not flagged, at most, where failed masks are
        like these; None with no failed mask.
    flagged_good
        Share of the masks that did not fail below the threshold.
    """

    below: float
    failures: int
    failed_patients: int
    miss_rate: float | None
    flagged_good: float


@dataclass(frozen=True)
class FittedIntervals:
    """The regression with the quantiles of its residuals.

    Attributes
    ----------
    expected_dice
        Fitted to all cases.
    dice_quantile, volume_quantile
        Of the residuals; None with too few patients, and for the volume without whole references.
    """

    expected_dice: ExpectedDice
    dice_quantile: float | None
    volume_quantile: float | None

    def expected(self, signs: Signs, sequence: str) -> float | None:
        """Return the expected Dice; see `ExpectedDice.of`."""
        return self.expected_dice.of(signs, sequence)

    def dice_interval(self, expected: float) -> tuple[float, float] | None:
        """Interval of the Dice of a mask with this expected Dice."""
        if self.dice_quantile is None:
            return None
        reach = self.dice_quantile * spread(expected)
        return max(0.0, expected - reach), min(1.0, expected + reach)

    def volume_interval_ml(
        self, expected: float, volume_ml: float, image_ml: float = math.inf
    ) -> tuple[float, float] | None:
        """Interval of the true volume of a mask with this expected Dice, in an image of a size."""
        if self.volume_quantile is None:
            return None
        factor = math.exp(min(self.volume_quantile * spread(expected), 50.0))
        shifted = volume_ml + SMALL_ML
        low, high = shifted / factor - SMALL_ML, shifted * factor - SMALL_ML
        return max(0.0, low), min(high, image_ml)


def spread(expected: float) -> float:
    """Scale of residuals: a share's standard deviation, with a floor for what is nearly certain."""
    return 0.05 + math.sqrt(max(expected * (1 - expected), 0.0))


def dice_residual(case: CalibrationCase, expected: float) -> float:
    """Distance of the Dice from the expected one, in units of `spread`."""
    return abs(case.dice - expected) / spread(expected)


def volume_residual(case: CalibrationCase, expected: float) -> float:
    """Distance of the log volumes, each with `SMALL_ML` added, in units of `spread`."""
    assert case.reference_ml is not None
    ratio = (case.reference_ml + SMALL_ML) / (case.predicted_ml + SMALL_ML)
    return abs(math.log(ratio)) / spread(expected)


def fit_intervals(cases: Sequence[CalibrationCase]) -> FittedIntervals:
    """Fit to cases whose masks are not empty, of at least `FEWEST_PATIENTS` patients."""
    expected = expected_without_own(cases)
    patients = [case.patient for case in cases]
    errors = [dice_residual(c, e) for c, e in zip(cases, expected, strict=True)]
    volumes = None
    if all(case.reference_ml is not None for case in cases):
        volumes = [volume_residual(c, e) for c, e in zip(cases, expected, strict=True)]
    return FittedIntervals(
        _fit(cases),
        conformal_quantile(errors, patients, COVERAGE),
        None if volumes is None else conformal_quantile(volumes, patients, COVERAGE),
    )


def _fit(cases: Sequence[CalibrationCase], without: str = "") -> ExpectedDice:
    return fit_expected_dice(
        [case.signs for case in cases],
        [case.sequence for case in cases],
        [case.patient for case in cases],
        [case.dice for case in cases],
        without=without,
    )


def expected_without_own(cases: Sequence[CalibrationCase]) -> list[float]:
    """Return each case's expected Dice by a regression that was fitted without its patient."""
    fitted = {patient: _fit(cases, patient) for patient in {case.patient for case in cases}}
    found = [fitted[case.patient].of(case.signs, case.sequence) for case in cases]
    assert all(value is not None for value in found), "signs and sequences are those of all cases"
    return [value for value in found if value is not None]


def check_threshold(cases: Sequence[CalibrationCase], expected: Sequence[float]) -> CheckThreshold:
    """Set the threshold so that at most `MISS_RATE` of new patients' failed masks are above it.

    Patients are the unit, as for the intervals. Where too few of them, k, have failed masks for
    that rate, the threshold is above all of these, and the rate is 1 / (k + 1).
    """
    failed = [(e, c) for c, e in zip(cases, expected, strict=True) if c.dice < FAILED_BELOW]
    good = [e for c, e in zip(cases, expected, strict=True) if c.dice >= FAILED_BELOW]
    owners = [case.patient for _, case in failed]
    below, rate = float(np.quantile(expected, LEAST_CHECKED)), None
    if failed:
        values = [value for value, _ in failed]
        found = conformal_quantile(values, owners, 1 - MISS_RATE)
        rate = MISS_RATE if found is not None else 1 / (len(set(owners)) + 1)
        # The failed mask itself is below its threshold.
        below = float(np.nextafter(max(values) if found is None else found, 2))
    below = max(below, FAILED_BELOW)
    flagged = float(np.mean([e < below for e in good])) if good else 0.0
    return CheckThreshold(below, len(failed), len(set(owners)), rate, flagged)


def failure_auroc(dice: Sequence[float], expected: Sequence[float]) -> float | None:
    """Chance that a failed mask has a smaller expected Dice than one that did not; ties count half.

    Returns
    -------
    float or None
        None where none, or every mask, failed.
    """
    scores = np.asarray(expected, dtype=float)
    failed = np.asarray(dice, dtype=float) < FAILED_BELOW
    if failed.all() or not failed.any():
        return None
    apart = scores[~failed][:, None] - scores[failed][None, :]
    return float(np.mean((apart > 0) + 0.5 * (apart == 0)))


def area_under_risk(dice: Sequence[float], order: Sequence[float]) -> float:
    """Area under the risk-coverage curve: mean of 1 - Dice over the masks that rank first.

    Masks are taken in from the largest ``order`` on (Geifman and El-Yaniv 2017, arXiv 1705.08500;
    the sum over coverages as in Jaeger et al. 2023, arXiv 2211.15259); equal ones share their mean.

    Parameters
    ----------
    dice, order
        Of each mask.
    """
    risks, order_ = 1 - np.asarray(dice, dtype=float), np.asarray(order, dtype=float)
    tied = {value: float(risks[order_ == value].mean()) for value in np.unique(order_)}
    ranked: npt.NDArray[np.float64] = np.array([tied[v] for v in np.sort(order_)[::-1]])
    return float(np.mean(np.cumsum(ranked) / np.arange(1, len(ranked) + 1)))


def risk_areas(dice: Sequence[float], expected: Sequence[float]) -> Mapping[str, float]:
    """`area_under_risk` of this order, of the best possible one and of a random one."""
    return {
        "aurc": area_under_risk(dice, expected),
        "aurc_best": area_under_risk(dice, dice),
        "aurc_random": float(1 - np.mean(dice)),
    }
