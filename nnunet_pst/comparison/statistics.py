"""What a number from a sample of patients is worth: intervals, paired tests, multiplicity.

Patients are the units everywhere. Whoever has several sequences, or predictions of several
trainings, is averaged to one value first and resampled as a whole, because two scans of a patient
are not two patients. Nothing here knows what is measured.

A number that the data can't give is NaN: no interval from fewer than `MINIMUM_PATIENTS` patients
or from values that are all the same, no p-value from so few. Values that are NaN are left out, and
results say how many patients were left. docs/decisions/0063 has the evidence for the interval.
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

Vector: TypeAlias = npt.NDArray[np.float64]

#: With five patients, no result of a two-sided signed-rank test falls below 0.05.
MINIMUM_PATIENTS = 6
RESAMPLES = 10_000
LEVEL = 0.95
#: Differences up to this, in the measure's unit, are ties: it allows for rounding, nothing else.
TIE = 1e-6
#: So many patients that differ, without ties among them, get the exact test (scipy's own limit).
_EXACT_UNTIL = 50
#: How the interval is called wherever one is printed.
INTERVAL_KIND = "expanded percentile bootstrap over patients"


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
    values: npt.ArrayLike, *, seed: int = 0, resamples: int = RESAMPLES, level: float = LEVEL
) -> Interval:
    """Mean over patients and its interval, by an expanded percentile bootstrap.

    The quantiles of the resampled means are taken farther out by as much as Student's quantile
    exceeds the normal one, and the sample's standard deviation the resamples' (Hesterberg 2015,
    section 4.2, doi 10.1080/00031305.2015.1089789): plain percentiles are too narrow for few
    patients. The order of the patients changes nothing, and the interval of the negated values is
    the negated interval.

    Parameters
    ----------
    values
        (patients,) one value per patient; NaN is left out.
    seed
        Of the resamples: equal seeds, resamples and values give equal bytes.
    resamples
        How often the patients are drawn anew.
    level
        Coverage aimed at, in (0, 1).
    """
    defined = _defined(values)
    number = len(defined)
    if not number:
        return Interval(0, math.nan, math.nan, math.nan, math.nan)
    mean, median = math.fsum(defined) / number, float(np.median(defined))
    # Rounding leaves a spread of 1e-17 in equal values, and no interval may rest on that.
    if number < MINIMUM_PATIENTS or np.ptp(defined) <= TIE * 1e-3:
        return Interval(number, mean, math.nan, math.nan, median)
    centered = defined - mean
    flipped = _lies_to_the_left(centered)
    lower, upper = _percentiles(-centered[::-1] if flipped else centered, seed, resamples, level)
    if flipped:
        lower, upper = -upper, -lower
    return Interval(number, mean, mean + lower, mean + upper, median)


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


def is_noninferior(gain_low: float, margin: float) -> bool | None:
    """Whether the interval of the gain lies wholly above ``-margin``; None without an interval.

    With a two-sided interval of 95 % this is a one-sided test at 2.5 % (ICH E9, section 3.3.2).
    """
    return None if math.isnan(gain_low) else gain_low > -margin


def _defined(values: npt.ArrayLike) -> Vector:
    """Sort what is defined, so that the order of the patients can't matter."""
    array = np.asarray(values, dtype=np.float64)
    return np.sort(array[~np.isnan(array)])


def _lies_to_the_left(centered: Vector) -> bool:
    """Choose one of a sorted sample and its mirror image, so that both get the same resamples."""
    mirrored = -centered[::-1]
    different = np.flatnonzero(centered != mirrored)
    return bool(different.size) and bool(centered[different[0]] < mirrored[different[0]])


def _percentiles(centered: Vector, seed: int, resamples: int, level: float) -> tuple[float, float]:
    """Ends of the interval of a mean of 0."""
    number = len(centered)
    student = stats.t.ppf((1 - level) / 2, number - 1) * math.sqrt(number / (number - 1))
    tail = float(stats.norm.cdf(student))
    # Not a matrix product: the order of its sums depends on the library and its threads.
    means = np.einsum("rp,p->r", _shares(seed, number, resamples), centered)
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


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
