"""Non-inferiority and equivalence against what lost tumors can hide, and Holm's correction."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from nnunet_pst.comparison.margins import ONE_SIDED, margin_tests, patients_needed
from nnunet_pst.comparison.statistics import p_beyond

BOUNDS = (-1.0, 1.0)


@pytest.mark.parametrize("margin", [0.05, 0.1, 0.3])
def test_equal_methods_pass_with_the_stated_number_and_not_with_one_less(margin: float):
    needed = patients_needed(margin)
    assert (1 - margin) ** needed < ONE_SIDED <= (1 - margin) ** (needed - 1)
    (enough,) = margin_tests([[0.0] * (needed + 8)], margin, BOUNDS)
    (few,) = margin_tests([[0.0] * max(6, needed - 8)], margin, BOUNDS)
    assert (enough.noninferior, enough.equivalent) == ("yes", "yes")
    assert (few.noninferior, few.equivalent) == ("no", "no")


def test_more_methods_need_more_patients():
    assert patients_needed(0.1, 10) > patients_needed(0.1)
    alone = margin_tests([[0.0] * 40], 0.1, BOUNDS)
    three = margin_tests([[0.0] * 40] * 3, 0.1, BOUNDS)
    assert [one.noninferior for one in (*alone, *three)] == ["yes", "no", "no", "no"]


def test_p_is_that_of_one_side_corrected_over_the_methods():
    rng = np.random.default_rng(0)
    gains = [rng.normal(mean, 0.1, 80).clip(-1, 1) for mean in (0.03, 0.0, -0.03)]
    found = margin_tests(gains, 0.1, BOUNDS)
    lower = [p_beyond(own, -0.1, BOUNDS)[0] for own in gains]
    both = [max(p, p_beyond(own, 0.1, BOUNDS)[1]) for p, own in zip(lower, gains, strict=True)]
    assert [one.p_noninferior for one in found] == pytest.approx(
        multipletests(lower, method="holm")[1]
    )
    assert [one.p_equivalent for one in found] == pytest.approx(
        multipletests(both, method="holm")[1]
    )


def test_a_better_method_is_not_worse_and_not_equivalent():
    (found,) = margin_tests([np.full(60, 0.4)], 0.1, BOUNDS)
    assert (found.noninferior, found.equivalent) == ("yes", "no")


def test_eight_patients_of_whom_none_is_lost_show_no_margin():
    (found,) = margin_tests([[0.01] * 8], 0.1, BOUNDS)
    # Student's test would be certain; one lost tumor in ten would turn its sign.
    assert stats.ttest_1samp([0.01] * 7 + [0.011], -0.1, alternative="greater").pvalue < 1e-6
    assert found.noninferior == "no"


def test_too_few_patients_are_not_tested():
    (found,) = margin_tests([[0.0] * 5], 0.1, BOUNDS)
    assert math.isnan(found.p_noninferior)
    assert (found.noninferior, found.equivalent) == ("", "")
