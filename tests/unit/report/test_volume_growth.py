"""Limits of agreement in percent where differences grow with the volume: a test decides."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from nnunet_pst.comparison.results import CaseRow
from nnunet_pst.comparison.results_folder import read_comparison
from nnunet_pst.report.volume_agreement import (
    agreement_rows,
    draw_bland_altman,
    growing,
    growth,
    in_percent,
)
from report_example import Example


def pairs(relative: float, absolute: float, seed: int = 0) -> dict[str, list[tuple[float, float]]]:
    """Forty patients of 1 to 300 ml, with errors of a share of the volume and of some ml."""
    rng = np.random.default_rng(seed)
    sizes = np.exp(rng.uniform(0, math.log(300), 40))
    found = sizes * (1 + relative * rng.normal(size=40)) + absolute * rng.normal(size=40)
    return {str(n): [(r, max(0.0, p))] for n, (r, p) in enumerate(zip(sizes, found, strict=True))}


def test_growth_is_spearmans_over_patients() -> None:
    ours = pairs(0.1, 0)
    r, p = np.array([found[0] for found in ours.values()]).T
    expected = stats.spearmanr((r + p) / 2, abs(p - r), alternative="greater")
    found = growth(ours)
    assert (found.rho, found.p) == pytest.approx((expected.statistic, expected.pvalue))
    assert found.p < 0.001


def test_a_spread_that_does_not_grow_is_seldom_called_one_that_does() -> None:
    claims = [growth(pairs(0, 2, seed)).p < 0.05 for seed in range(200)]
    assert np.mean(claims) <= 0.1


def test_nothing_is_ranked_where_nothing_differs() -> None:
    assert math.isnan(growth({}).p)
    assert math.isnan(growth({str(n): [(5.0, 5.0 + n)] for n in range(4)}).p)
    assert math.isnan(growth({str(n): [(float(n), float(n))] for n in range(9)}).p)


def test_percent_is_of_the_mean_and_a_lost_tumor_is_at_minus_200() -> None:
    found = in_percent({"a": [(10.0, 10.0), (8.0, 12.0)], "b": [(5.0, 0.0)], "c": [(0.0, 0.0)]})
    assert found == {"a": [0.0, 40.0], "b": [-200.0]}


@pytest.mark.parametrize(("relative", "absolute", "unit"), [(0.2, 0, "%"), (0, 2, "ml")])
def test_page_and_figure_have_the_unit_that_the_test_chose(
    whole: Example, relative: float, absolute: float, unit: str
) -> None:
    comparison = read_comparison(whole.comparison)
    cases = [
        CaseRow(m, "1", name, name, "T2", {"dice": 0.5, "reference_ml": r, "predicted_ml": p})
        for m in comparison.methods
        for name, ((r, p),) in pairs(relative, absolute).items()
    ]
    drawn = replace(comparison, cases=cases)
    picture = draw_bland_altman(drawn)
    assert picture is not None
    assert (growing(drawn) is not None) == (unit == "%")
    assert ("In percent of the mean" in picture.caption) == (unit == "%")
    assert "Spearman's correlation over patients" in picture.caption
    (first, *_) = agreement_rows(drawn, unit).values()
    assert first.low < first.bias < first.high
