"""Expected Dice, its intervals and the threshold for a check."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nnunet_pst.calibration.expected_dice import fit_expected_dice
from nnunet_pst.calibration.fitting import (
    CalibrationCase,
    area_under_risk,
    check_threshold,
    expected_without_own,
    failure_auroc,
    fit_intervals,
    risk_areas,
)
from nnunet_pst.calibration.signs import Signs


def cases(patients: int = 20, seed: int = 0) -> list[CalibrationCase]:
    """Masks of which every third is lost; the signs tell which."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(patients):
        dice = rng.uniform(0, 0.3) if number % 3 == 0 else rng.uniform(0.75, 0.95)
        for sequence in ("T1", "T2"):
            soft = 0.3 + 0.6 * dice + rng.normal(0, 0.03)
            signs = Signs(soft, min(soft + 0.05, 1.0))
            found.append(CalibrationCase(f"P{number}", sequence, signs, dice, 50 * dice + 1, 50.0))
    return found


def test_surer_masks_are_expected_to_be_better():
    fitted = fit_intervals(cases()).expected_dice
    low, high = (fitted.of(Signs(value, value), "T1") for value in (0.4, 0.9))
    assert low is not None
    assert high is not None
    assert low < 0.4 < 0.7 < high


def test_a_sequence_that_is_worse_with_equal_signs_is_expected_to_be_worse():
    half = [replace(c, dice=c.dice * (0.6 if c.sequence == "T1" else 1)) for c in cases(40)]
    fitted = fit_intervals(half).expected_dice
    signs = Signs(0.8, 0.85)
    assert fitted.of(signs, "t1") < fitted.of(signs, "T2") - 0.1  # type: ignore[operator]


def test_a_sign_that_some_masks_lack_is_not_used():
    mixed = [replace(c, signs=replace(c.signs, passes_dice=None)) for c in cases()]
    fitted = fit_intervals(mixed).expected_dice
    assert set(fitted.slopes) == {"soft_dice"}
    both = fit_intervals(cases()).expected_dice
    assert both.of(Signs(0.8), "T1") is None


def test_the_regression_agrees_with_a_penalized_likelihood():
    from scipy.optimize import minimize

    some = cases(12)
    fitted = fit_expected_dice(
        [c.signs for c in some], [c.sequence for c in some], [c.patient for c in some],
        [c.dice for c in some],
    )  # fmt: skip
    odds = np.log([[s / (1 - s) for s in (c.signs.soft_dice, c.signs.passes_dice)] for c in some])
    names = np.array([[c.sequence == name for name in ("T1", "T2")] for c in some], float)
    design, dice = np.hstack([odds, names]), np.array([c.dice for c in some])

    def loss(x: np.ndarray) -> float:
        eta = x[0] + design @ x[1:]
        fit = dice * np.logaddexp(0, -eta) + (1 - dice) * np.logaddexp(0, eta)
        return float((fit / 2).sum() + 0.5 * (x[1:] ** 2).sum() + 0.5e-6 * x[0] ** 2)

    best = minimize(loss, np.zeros(5), tol=1e-12).x
    ours = [fitted.intercept, *fitted.slopes.values(), *fitted.sequences.values()]
    np.testing.assert_allclose(ours, best, atol=2e-4)


def test_no_patient_is_expected_from_itself():
    some = cases(9)
    changed = [replace(c, dice=1 - c.dice) if c.patient == "P0" else c for c in some]
    own = [number for number, c in enumerate(some) if c.patient == "P0"]
    before, after = expected_without_own(some), expected_without_own(changed)
    assert [before[n] for n in own] == [after[n] for n in own]
    assert before != after


def test_intervals_hold_the_values_of_new_patients():
    fitted = fit_intervals(cases(40))
    held_dice, held_volume = [], []
    for case in cases(60, seed=1):
        expected = fitted.expected(case.signs, case.sequence)
        assert expected is not None
        dice = fitted.dice_interval(expected)
        volume = fitted.volume_interval_ml(expected, case.predicted_ml)
        assert dice is not None
        assert volume is not None
        assert 0 <= dice[0] <= expected <= dice[1] <= 1
        assert 0 <= volume[0] <= case.predicted_ml <= volume[1] + 1e-9
        held_dice.append(dice[0] <= case.dice <= dice[1])
        held_volume.append(volume[0] <= 50.0 <= volume[1])
    assert np.mean(held_dice) >= 0.8
    assert np.mean(held_volume) >= 0.8


def test_eight_patients_give_an_expected_dice_and_no_interval():
    fitted = fit_intervals(cases(8))
    assert fitted.dice_quantile is None
    assert fitted.dice_interval(0.8) is None
    assert fitted.volume_interval_ml(0.8, 10) is None


def test_coarse_labels_give_no_interval_of_the_volume():
    coarse = [replace(case, reference_ml=None) for case in cases()]
    fitted = fit_intervals(coarse)
    assert fitted.dice_quantile is not None
    assert fitted.volume_quantile is None


def test_nine_tenths_of_failed_masks_are_below_the_threshold():
    some = cases(60)
    expected = list(np.linspace(0.1, 0.9, len(some)))
    found = check_threshold(some, expected)
    failed = [e for c, e in zip(some, expected, strict=True) if c.dice < 0.5]
    assert (found.failures, found.failed_patients) == (40, 20)
    assert sum(e < found.below for e in failed) / 2 / 21 >= 0.9 - 1e-9
    assert found.miss_rate == pytest.approx(0.1)


@pytest.mark.parametrize(("patients", "rate"), [(0, None), (1, 1 / 2), (3, 1 / 4), (8, 1 / 9)])
def test_failures_of_few_patients_allow_only_a_large_miss_rate(patients: int, rate: float | None):
    """However many masks of each failed."""
    lost = {f"P{number}" for number in range(patients)}
    some = [replace(c, dice=0.1 if c.patient in lost else 0.9) for c in cases(20)]
    expected = [0.2 + 0.015 * n for n in range(len(some))]
    found = check_threshold(some, expected)
    assert found.failed_patients == patients
    assert found.miss_rate == (None if rate is None else pytest.approx(rate))
    assert all(e < found.below for c, e in zip(some, expected, strict=True) if c.dice < 0.5)


def test_the_share_of_flagged_good_masks_is_that_of_the_threshold():
    some = [replace(c, dice=0.1 if n < 4 else 0.8) for n, c in enumerate(cases(12))]
    expected = [0.1] * 4 + [0.4] * 10 + [0.9] * 10
    found = check_threshold(some, expected)
    assert found.below == 0.5
    assert found.flagged_good == pytest.approx(0.5)


def test_the_volume_is_never_larger_than_the_image():
    fitted = fit_intervals(cases(40))
    wide = replace(fitted, volume_quantile=30.0)
    assert wide.volume_interval_ml(0.5, 10.0, 900.0) == (0.0, 900.0)


def test_a_sequence_that_was_not_among_the_cases_is_not_expected_anything_of():
    fitted = fit_intervals(cases())
    assert fitted.expected(Signs(0.9, 0.9), "FLAIR") is None
    nameless = fit_intervals([replace(c, sequence="") for c in cases()])
    assert nameless.expected(Signs(0.9, 0.9), "FLAIR") is not None


def test_failures_are_told_apart_as_scikit_learn_measures_it():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(3)
    dice, expected = rng.random(50), np.round(rng.random(50), 1)
    assert failure_auroc(dice, expected) == pytest.approx(roc_auc_score(dice >= 0.5, expected))
    assert failure_auroc([0.9, 0.8], [0.1, 0.2]) is None


def test_the_area_under_risk_lies_between_best_and_random():
    dice = [0.9, 0.1, 0.8, 0.2]
    assert area_under_risk(dice, [1, 1, 1, 1]) == pytest.approx(0.5)
    assert area_under_risk(dice, dice) == pytest.approx((0.1 + 0.15 + 1.1 / 3 + 0.5) / 4)
    areas = risk_areas(dice, [4, 1, 3, 2])
    assert areas["aurc_best"] <= areas["aurc"] <= areas["aurc_random"]


@pytest.mark.parametrize("alone", ["sequence", "sign"])
def test_what_one_patient_alone_has_breaks_nothing(alone: str):
    """A sequence of one patient, or a mask of which no mirrored pass finds anything."""
    some = cases(12)
    some[0] = (
        replace(some[0], sequence="DWI")
        if alone == "sequence"
        else replace(some[0], signs=replace(some[0].signs, passes_dice=None))
    )
    assert len(expected_without_own(some)) == len(some)
    assert fit_intervals(some).dice_quantile is not None
