"""Conformal quantiles with patients as the unit."""

from __future__ import annotations

import numpy as np
import pytest

from nnunet_pst.calibration.conformal import conformal_quantile, fewest_patients


@pytest.mark.parametrize(("coverage", "patients"), [(0.5, 1), (0.8, 4), (0.9, 9), (0.95, 19)])
def test_too_few_patients_give_no_finite_interval(coverage: float, patients: int):
    assert fewest_patients(coverage) == patients
    names = [f"P{number}" for number in range(patients)]
    assert conformal_quantile(list(range(patients)), names, coverage) == patients - 1
    assert conformal_quantile(list(range(patients - 1)), names[1:], coverage) is None


def test_with_one_case_a_patient_it_is_the_usual_split_conformal_quantile():
    residuals = np.random.default_rng(0).exponential(size=40)
    expected = np.sort(residuals)[int(np.ceil(0.9 * 41)) - 1]
    names = [f"P{number}" for number in range(40)]
    assert conformal_quantile(residuals, names, 0.9) == pytest.approx(expected)


def test_a_patient_with_many_cases_weighs_as_much_as_any_other():
    residuals = [*range(19), *[100.0] * 200]
    patients = [*(f"P{number}" for number in range(19)), *["many"] * 200]
    assert conformal_quantile(residuals, patients, 0.9) == 18


def test_it_covers_new_patients_whose_cases_are_alike():
    rng = np.random.default_rng(7)
    held = []
    for _ in range(400):
        shift = rng.normal(size=13)
        cases = [(f"P{p}", abs(shift[p] + 0.1 * rng.normal())) for p in range(12) for _ in range(3)]
        limit = conformal_quantile([r for _, r in cases], [p for p, _ in cases], 0.9)
        assert limit is not None
        held.append(abs(shift[12] + 0.1 * rng.normal()) <= limit)
    assert np.mean(held) >= 0.9 - 2 * np.sqrt(0.09 / 400)
