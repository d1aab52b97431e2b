"""What few patients say about the mean of values that lie between two known ends, such as Dice.

A tumor that is lost once in twenty patients moves the mean, and eight patients may not show it:
every interval that looks at the spread of the sample alone is too narrow then. Gaffke's bound adds
one imaginary patient with the worst possible value, whose weight is as random as that of the
others. With values at the two ends alone it is the interval of Clopper and Pearson; with many
patients it is the Bayesian bootstrap (Gaffke 2005, Mathematical Methods of Statistics 14, 451;
Learned-Miller and Thomas 2019, arXiv:1905.06208). It has no proof for every distribution and no
known exception; how often it fails was measured: docs/decisions/0063.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Vector: TypeAlias = npt.NDArray[np.float64]


def lower_end(values: Vector, worst: float, tail: float, *, seed: int, resamples: int) -> float:
    """Return what a mean lies above, but for a share ``tail`` of samples.

    Parameters
    ----------
    values
        (patients,) sorted; none is below ``worst``.
    worst
        The least value that there can be.
    tail
        In (0, 0.5).
    seed, resamples
        Of the random weights: equal seeds, resamples and values give equal bytes.
    """
    return float(np.quantile(_means(values, worst, seed, resamples), tail))


def p_not_above(values: Vector, worst: float, mean: float, *, seed: int, resamples: int) -> float:
    """Return the p-value of "the mean is at most ``mean``", one-sided.

    Parameters
    ----------
    values, worst, seed, resamples
        As for `lower_end`, which lies above ``mean`` where p is below its tail.
    """
    at_most = int(np.sum(_means(values, worst, seed, resamples) <= mean))
    return (1 + at_most) / (1 + resamples)


def fewest_patients(margin: float, tail: float) -> int:
    """Return how many patients it takes to show a margin when no patient differs.

    If one patient in ``1 / margin`` loses everything, n patients show none of them with a
    probability of ``(1 - margin) ** n``: no test that is right in this case can claim the margin
    from fewer patients, unless the method is better.

    Parameters
    ----------
    margin
        In (0, 1), where 1 is the largest possible loss.
    tail
        Level of the one-sided test.
    """
    return math.ceil(math.log(tail) / math.log1p(-margin))


def _means(values: Vector, worst: float, seed: int, resamples: int) -> Vector:
    """Return (resamples,) randomly weighted means, the imaginary patient among them."""
    weights = random_weights(seed, len(values), resamples)
    # Not a matrix product: the order of its sums depends on the library and its threads.
    means: Vector = np.einsum("rp,p->r", weights, np.append(values, worst))
    return means


@lru_cache(maxsize=4)
def random_weights(seed: int, number: int, resamples: int) -> Vector:
    """Draw (resamples, number + 1) weights, evenly among all that are positive and sum to 1."""
    weights: Vector = np.random.default_rng((seed, number)).standard_exponential(
        (resamples, number + 1)
    )
    weights /= weights.sum(1, keepdims=True)
    weights.flags.writeable = False
    return weights
