"""Numbers as people read them: without noise and needless digits, and cuts that cut the same."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnunet_pst.comparison.strata import strata
from nnunet_pst.comparison.tables import Design, difference_rows
from nnunet_pst.evaluation.metrics.measures import MEASURES
from nnunet_pst.io.rounding import short, short_between, without_noise
from nnunet_pst.report.cohort_description import describe_cohort


@pytest.mark.parametrize(
    ("x", "text"),
    [(-5.55112e-17, "0"), (41.33333, "41.33"), (1234567.0, "1235000"), (2e-5, "2e-05"), (7, "7")],
)
def test_few_digits(x: float, text: str):
    assert short(x) == text
    assert math.isnan(without_noise(math.nan))


@given(st.floats(-1e6, 1e6), st.floats(1e-9, 1e6), st.floats(0, 1, exclude_max=True))
def test_a_short_cut_lies_between_the_same_values(low: float, step: float, share: float):
    high = low + step
    near = low + share * step
    if low < high and low <= near < high:
        assert low <= float(short_between(low, high, near)) < high


def test_thirds_are_called_by_few_digits():
    sizes = ["2.123456", "3.2", "4.7654321", "5.1", "6.66", "7.1234567", "8.5"]
    rows = [
        {"case": f"c{n}", "patient": f"p{n}", "sequence": "T2", "size_cm": size}
        for n, size in enumerate(sizes)
    ]
    (size,) = strata(rows)
    assert size.order == ("to 4.8", "4.8 to 6.7", "above 6.7")
    assert size.cuts == (4.7654321, 6.66)
    assert [list(size.levels.values()).count(level) for level in size.order] == [3, 2, 2]


def test_no_noise_where_methods_are_equal_on_average():
    """Sums such as (0.1 + 0.2) - 0.3 are not exactly 0 in a mean of floats."""
    ours, theirs = [0.3, 0.2, 0.5, 0.7, 0.6, 0.8], [0.1, 0.4, 0.5, 0.7, 0.6, 0.8]
    rows = [
        {"method": name, "case": f"c{n}", "patient": f"p{n}", "repeat": 1, **scores(value)}
        for name, values in (("a", ours), ("b", theirs))
        for n, value in enumerate(values)
    ]
    design = Design(("a", "b"), "b", MEASURES, ("dice",), resamples=200)
    row = next(row for row in difference_rows(rows, design, []) if row["measure"] == "dice")
    raw = math.fsum(one - other for one, other in zip(ours, theirs, strict=True)) / 6
    assert 0 < abs(raw) < 1e-16  # else this test shows nothing
    assert row["difference"] == 0


def scores(dice: float) -> dict[str, float]:
    return {measure.name: math.nan for measure in MEASURES} | {"dice": dice}


def test_table_1_shows_no_noise():
    values = [0.1, 0.2, -0.3, 0.4, 0.5, -0.9]
    table = [
        {"patient": f"p{n}", "split": "train", "z_score": str(x)} for n, x in enumerate(values)
    ]
    _, (_, mean, _) = describe_cohort(table)
    assert mean.cells[0].startswith("0 (")
