"""What a number from a sample of patients is worth: intervals, paired tests, multiplicity.

Patients are the units everywhere. Whoever has several sequences, or predictions of several
trainings, is averaged to one value first and resampled as a whole, because two scans of a patient
are not two patients. Nothing here knows what is measured.

Means of values between two known ends (Dice, and differences of it) have an interval that holds
for few patients and rare lost tumors (`bounded_means`); of others (mm, ml) nobody knows how bad the
next one can be, and a bootstrap needs `MINIMUM_UNBOUNDED` patients. A number that the data can't
give is NaN: no interval and no p-value from fewer than `MINIMUM_PATIENTS` patients. Values that are
NaN are left out, and results say how many patients were left. docs/decisions/0063 has the evidence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import stats

from nnunet_pst.comparison.bounded_means import lower_end, p_not_above

Vector: TypeAlias = npt.NDArray[np.float64]
#: Least and largest value that there can be.
Bounds: TypeAlias = tuple[float, float]

#: With five patients, no result of a two-sided signed-rank test falls below 0.05.
MINIMUM_PATIENTS = 6
#: With fewer, bootstrap intervals of a mean in mm or ml miss it too often (docs/decisions/0063).
MINIMUM_UNBOUNDED = 80
RESAMPLES = 10_000
LEVEL = 0.95
#: Differences up to this, in the measure's unit, are ties: it allows for rounding, nothing else.
TIE = 1e-6
#: So many patients that differ, without ties among them, get the exact test (scipy's own limit).
_EXACT_UNTIL = 50
#: How the interval is called wherever one is printed.
INTERVAL_KIND = (
    "over patients: Gaffke's bound for shares such as Dice, which holds for few patients; of other "
    f"measures the expanded percentile bootstrap, from {MINIMUM_UNBOUNDED} patients"
)


@dataclass(frozen=True)
class Interval:
    """A mean over patients with what it may be.

    Parameters
    ----------
    patients
        Number of patients with a value.
    mean, median
        NaN without any.
    low, high
        Ends of the interval; NaN where there is none.
    """

    patients: int
    mean: float
    low: float
    high: float
    median: float


@dataclass(frozen=True)
class PairedTest:
    """How two methods differ over the same patients.

    Parameters
    ----------
    p
        Two-sided Wilcoxon signed-rank test.
    effect
        Matched-pairs rank-biserial correlation in [-1, 1]; above 0 where gains outweigh.
    wins, ties, losses
        Numbers of patients.
    """

    p: float
    effect: float
    wins: int
    ties: int
    losses: int


def mean_interval(
    values: npt.ArrayLike,
    *,
    bounds: Bounds | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Interval:
    """Mean over patients and its interval.

    With bounds it is Gaffke's (`bounded_means`) on both sides. Without, it is the expanded
    percentile bootstrap: the quantiles of the resampled means are taken farther out by as much as
    Student's quantile exceeds the normal one, and the sample's standard deviation the resamples'
    (Hesterberg 2015, section 4.2, doi 10.1080/00031305.2015.1089789). The order of the patients
    changes nothing, and the interval of the negated values is the negated interval.

    Parameters
    ----------
    values
        (patients,) one value per patient; NaN is left out.
    bounds
        Ends between which every value lies; None where they are not known.
    seed
        Of the resamples: equal seeds, resamples and values give equal bytes.
    resamples
        How often the patients are drawn, or weighted, anew.
    level
        Coverage aimed at, in (0, 1).
    """
    defined = _defined(values)
    number = len(defined)
    if not number:
        return Interval(0, math.nan, math.nan, math.nan, math.nan)
    mean, median = math.fsum(defined) / number, float(np.median(defined))
    if not _has_interval(defined, bounds):
        return Interval(number, mean, math.nan, math.nan, median)
    if bounds is not None:
        tail = (1 - level) / 2
        low = lower_end(defined, bounds[0], tail, seed=seed, resamples=resamples)
        high = -lower_end(-defined[::-1], -bounds[1], tail, seed=seed, resamples=resamples)
        return Interval(number, mean, low, high, median)
    means = _resampled(defined - mean, seed, resamples)
    tail = float(stats.norm.cdf(stats.t.ppf((1 - level) / 2, number - 1) * _expansion(number)))
    lower, upper = np.quantile(means, [tail, 1 - tail])
    return Interval(number, mean, mean + float(lower), mean + float(upper), median)


def p_of_mean(
    values: npt.ArrayLike,
    *,
    bounds: Bounds | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> float:
    """Two-sided p-value of "the mean is 0": below 0.05 where the 95 % interval leaves 0 out.

    Parameters
    ----------
    values, bounds, seed, resamples
        As for `mean_interval`; NaN where that has no interval.
    """
    defined = _defined(values)
    if not _has_interval(defined, bounds):
        return math.nan
    if bounds is not None:
        return min(1.0, 2 * min(p_beyond(defined, 0.0, bounds, seed=seed, resamples=resamples)))
    mean = math.fsum(defined) / len(defined)
    means = mean + _resampled(defined - mean, seed, resamples)
    share = (1 + min(int(np.sum(means <= 0)), int(np.sum(means >= 0)))) / (1 + resamples)
    normal = float(stats.norm.ppf(min(share, 0.5)))
    return min(1.0, 2 * float(stats.t.cdf(normal / _expansion(len(defined)), len(defined) - 1)))


def p_beyond(
    values: npt.ArrayLike, mean: float, bounds: Bounds, *, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """One-sided p-values of "the mean is at most ``mean``" and of "it is at least ``mean``".

    Parameters
    ----------
    values, bounds, seed, resamples
        As for `mean_interval`; both are NaN for fewer than `MINIMUM_PATIENTS` patients.
    """
    defined = _defined(values)
    if len(defined) < MINIMUM_PATIENTS:
        return math.nan, math.nan
    above = p_not_above(defined, bounds[0], mean, seed=seed, resamples=resamples)
    below = p_not_above(-defined[::-1], -bounds[1], -mean, seed=seed, resamples=resamples)
    return above, below


def _has_interval(defined: Vector, bounds: Bounds | None) -> bool:
    if bounds is not None:
        return len(defined) >= MINIMUM_PATIENTS
    # Rounding leaves a spread of 1e-17 in equal values, and no interval may rest on that.
    return len(defined) >= MINIMUM_UNBOUNDED and bool(np.ptp(defined) > TIE * 1e-3)


def paired_test(gains: npt.ArrayLike) -> PairedTest:
    """Test whether gains and losses of paired patients balance.

    The signed-rank test looks at the patients that differ (`TIE`; scipy's zero_method "wilcox"). It
    is exact for up to 50 of them without equal ranks, and for up to 13 with; else normal. The
    effect is the matched-pairs rank-biserial correlation, the difference between the favorable
    and the unfavorable share of the ranks (Kerby 2014, doi 10.2466/11.IT.3.1).

    Parameters
    ----------
    gains
        (patients,) by how much the method is better than the baseline, each patient; NaN is left
        out.

    Returns
    -------
    PairedTest
        p and effect are NaN for fewer than `MINIMUM_PATIENTS` patients. If nobody differs, every
        outcome is as extreme as this one: p is 1 and the effect 0.
    """
    defined = _defined(gains)
    wins, losses = int(np.sum(defined > TIE)), int(np.sum(defined < -TIE))
    ties = len(defined) - wins - losses
    if len(defined) < MINIMUM_PATIENTS:
        return PairedTest(math.nan, math.nan, wins, ties, losses)
    # Equal differences must share a rank in spite of rounding in their last digits.
    differing = np.round(defined[np.abs(defined) > TIE], 9)
    if not differing.size:
        return PairedTest(1.0, 0.0, wins, ties, losses)
    ranks = stats.rankdata(np.abs(differing))
    effect = float(np.sum(np.sign(differing) * ranks) / np.sum(ranks))
    return PairedTest(_signed_rank_p(differing), effect, wins, ties, losses)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust the p-values of one family (Holm 1979, www.jstor.org/stable/4615733).

    NaN stays NaN and doesn't count toward the size of the family, since nothing was tested.
    """
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full_like(p, math.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * factors))
    return [float(value) for value in adjusted]


def _defined(values: npt.ArrayLike) -> Vector:
    """Sort what is defined, so that the order of the patients can't matter."""
    array = np.asarray(values, dtype=np.float64)
    return np.sort(array[~np.isnan(array)])


def _lies_to_the_left(centered: Vector) -> bool:
    """Choose one of a sorted sample and its mirror image, so that both get the same resamples."""
    mirrored = -centered[::-1]
    different = np.flatnonzero(centered != mirrored)
    return bool(different.size) and bool(centered[different[0]] < mirrored[different[0]])


def _resampled(centered: Vector, seed: int, resamples: int) -> Vector:
    """(resamples,) means of resampled patients, sorted, whose own mean is 0."""
    flipped = _lies_to_the_left(centered)
    sample = -centered[::-1] if flipped else centered
    # Not a matrix product: the order of its sums depends on the library and its threads.
    means: Vector = np.sort(np.einsum("rp,p->r", _shares(seed, len(sample), resamples), sample))
    if np.array_equal(sample, -sample[::-1]):
        means = (means - means[::-1]) / 2  # a sample that is its own mirror image
    return -means[::-1] if flipped else means


def _expansion(number: int) -> float:
    """How much wider Student's interval is for the bootstrap's smaller standard deviation."""
    return math.sqrt(number / (number - 1))


@lru_cache(maxsize=4)
def _shares(seed: int, number: int, resamples: int) -> Vector:
    """(resamples, patients) share of each patient in each resample; rows sum to 1."""
    generator = np.random.default_rng((seed, number))
    drawn = generator.integers(0, number, (resamples, number))
    drawn += np.arange(resamples)[:, None] * number
    counts = np.bincount(drawn.ravel(), minlength=resamples * number)
    shares: Vector = counts.reshape(resamples, number) / number
    shares.flags.writeable = False
    return shares


def _signed_rank_p(differing: Vector) -> float:
    """Two-sided p-value of differences none of which is zero."""
    tied = len(np.unique(np.abs(differing))) < len(differing)
    if not tied and len(differing) <= _EXACT_UNTIL:
        return float(stats.wilcoxon(differing, method="exact").pvalue)
    if tied and len(differing) <= 13:
        every_sign = stats.PermutationMethod(n_resamples=2**13)
        return float(stats.wilcoxon(differing, method=every_sign).pvalue)
    return float(stats.wilcoxon(differing, method="approx").pvalue)
