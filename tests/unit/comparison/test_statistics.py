"""Intervals, paired tests and Holm's correction against scipy, statsmodels and worked examples."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from nnunet_pst.comparison.statistics import (
    MINIMUM_PATIENTS,
    MINIMUM_UNBOUNDED,
    holm,
    mean_interval,
    p_beyond,
    p_of_mean,
    paired_test,
)

SCORES = np.random.default_rng(3).beta(6, 2, 100)
DICE = (0.0, 1.0)
DIFFERENCE = (-1.0, 1.0)
SAMPLES = st.lists(st.integers(-1000, 1000).map(lambda n: n / 1000), min_size=6, max_size=30)


def test_the_interval_is_the_percentile_bootstrap_at_the_expanded_level():
    level = 1 - 2 * stats.norm.cdf(stats.t.ppf(0.025, 99) * math.sqrt(100 / 99))
    theirs = stats.bootstrap(
        (SCORES,), np.mean, n_resamples=20_000, confidence_level=level, method="percentile", rng=1
    ).confidence_interval
    ours = mean_interval(SCORES, resamples=20_000)
    error = SCORES.std() / 10
    assert ours.low == pytest.approx(theirs.low, abs=0.07 * error)
    assert ours.high == pytest.approx(theirs.high, abs=0.07 * error)
    assert ours.mean == pytest.approx(SCORES.mean())
    assert ours.median == pytest.approx(np.median(SCORES))


def test_seeds_decide_the_interval():
    assert mean_interval(SCORES, seed=1) == mean_interval(SCORES, seed=1)
    assert mean_interval(SCORES, seed=1) != mean_interval(SCORES, seed=2)


@given(SAMPLES, st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_the_order_of_the_patients_changes_nothing(values, random):
    shuffled = random.sample(values, len(values))
    options = {"bounds": DIFFERENCE, "resamples": 200}
    np.testing.assert_equal(mean_interval(values, **options), mean_interval(shuffled, **options))
    np.testing.assert_equal(paired_test(values), paired_test(shuffled))


@given(SAMPLES)
@settings(max_examples=25, deadline=None)
def test_swapping_the_methods_flips_the_signs(values):
    for bounds, sample in ((DIFFERENCE, values), (None, [*values] * 14)):
        options = {"bounds": bounds, "resamples": 200}
        one = mean_interval(sample, **options)
        other = mean_interval([-value for value in sample], **options)
        ends = [one.low, one.high], [-other.high, -other.low]
        np.testing.assert_allclose(*ends, rtol=1e-9, atol=1e-15)
    test, swapped = paired_test(values), paired_test([-value for value in values])
    assert (test.wins, test.ties, test.losses) == (swapped.losses, swapped.ties, swapped.wins)
    assert test.effect == pytest.approx(-swapped.effect)
    assert test.p == pytest.approx(swapped.p)


def test_what_the_data_cannot_give_is_not_a_number():
    few = mean_interval([0.1, 0.5, math.nan, 0.6, 0.7, 0.8], bounds=DICE)
    assert few.patients == MINIMUM_PATIENTS - 1
    assert few.mean == pytest.approx(0.54)
    assert math.isnan(few.low)
    assert math.isnan(few.high)
    same = mean_interval([0.1 + 0.2] * MINIMUM_UNBOUNDED + [0.3] * 4)
    assert (same.patients, math.isnan(same.low)) == (MINIMUM_UNBOUNDED + 4, True)
    nothing = mean_interval([math.nan] * 3)
    assert (nothing.patients, math.isnan(nothing.mean)) == (0, True)
    assert math.isnan(paired_test([0.1] * (MINIMUM_PATIENTS - 1)).p)
    assert math.isnan(p_of_mean([0.1] * (MINIMUM_PATIENTS - 1), bounds=DICE))


def test_a_mean_of_millimeters_has_no_interval_from_few_patients():
    found = mean_interval(np.linspace(1, 9, MINIMUM_UNBOUNDED - 1))
    assert found.mean == pytest.approx(5)
    assert math.isnan(found.low)
    assert math.isnan(p_of_mean(np.linspace(1, 9, MINIMUM_UNBOUNDED - 1)))
    assert mean_interval(np.linspace(1, 9, MINIMUM_UNBOUNDED)).low < 5


@pytest.mark.parametrize(("found", "patients"), [(8, 8), (6, 8), (18, 20), (40, 116), (0, 6)])
def test_an_interval_of_tumors_found_or_lost_is_that_of_clopper_and_pearson(
    found: int, patients: int
):
    ours = mean_interval([1.0] * found + [0.0] * (patients - found), bounds=DICE)
    theirs = stats.binomtest(found, patients).proportion_ci(0.95, method="exact")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.012)


def test_patients_who_are_all_alike_may_hide_a_lost_one():
    # Eight equal differences: one patient in three may lose everything and not be among them.
    found = mean_interval([0.02] * 8, bounds=DIFFERENCE)
    hidden = 1 - 0.025 ** (1 / 8)
    assert found.low == pytest.approx(0.02 - 1.02 * hidden, abs=0.02)
    assert found.high == pytest.approx(0.02 + 0.98 * hidden, abs=0.02)


@given(SAMPLES, st.sampled_from([DIFFERENCE, None]))
@settings(max_examples=30, deadline=None)
def test_the_test_of_the_mean_is_that_of_the_interval(values, bounds):
    sample = values if bounds else [*values] * 14
    found = mean_interval(sample, bounds=bounds, resamples=2000)
    p = p_of_mean(sample, bounds=bounds, resamples=2000)
    if abs(p - 0.05) > 0.006 and not math.isnan(found.low):
        assert (p < 0.05) == (not found.low <= 0 <= found.high)


def test_p_of_the_mean_is_students_for_many_patients():
    gains = np.random.default_rng(5).normal(0.01, 0.06, 300)
    expected = stats.ttest_1samp(gains, 0).pvalue
    assert p_of_mean(gains) == pytest.approx(expected, rel=0.2)


def test_one_sided_p_of_equal_methods_is_what_lost_patients_can_hide():
    above, below = p_beyond([0.0] * 20, -0.1, DIFFERENCE)
    assert above == pytest.approx(0.9**20, abs=0.01)
    assert below == 1.0
    assert all(map(math.isnan, p_beyond([0.0] * 5, -0.1, DIFFERENCE)))


def test_equal_methods_differ_with_p_1():
    test = paired_test([0.0] * 8)
    assert (test.p, test.effect, test.wins, test.ties, test.losses) == (1.0, 0.0, 0, 8, 0)


@pytest.mark.parametrize("number", [8, 20, 50, 80])
def test_p_is_scipys(number: int):
    gains = np.random.default_rng(number).normal(0.02, 0.1, number)
    method = "exact" if number <= 50 else "approx"
    assert paired_test(gains).p == pytest.approx(stats.wilcoxon(gains, method=method).pvalue)


def test_p_with_equal_ranks_is_exact_for_small_samples():
    gains = [0.1, 0.1, -0.1, 0.3, 0.2, 0.2, 0.4, 0.0]
    nonzero = np.array([g for g in gains if g])
    ranks = stats.rankdata(np.abs(nonzero))
    middle = ranks.sum() / 2
    observed = abs(ranks[nonzero > 0].sum() - middle)
    signs = itertools.product((0, 1), repeat=len(ranks))
    extreme = [abs(np.dot(sign, ranks) - middle) >= observed - 1e-9 for sign in signs]
    test = paired_test(gains)
    assert test.p == pytest.approx(np.mean(extreme))
    assert (test.wins, test.ties, test.losses) == (6, 1, 1)
    # Ranks 2, 2, 2 (one of them against), 4.5, 4.5, 6, 7 sum to 28.
    assert test.effect == pytest.approx((26 - 2) / 28)


def test_holm_is_that_of_statsmodels():
    p = [0.01, 0.04, 0.03, 0.005, 0.5]
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_what_was_not_tested_does_not_count_toward_the_family():
    adjusted = holm([0.01, math.nan, 0.04])
    assert adjusted[0] == pytest.approx(0.02)
    assert math.isnan(adjusted[1])
    assert holm([]) == []
