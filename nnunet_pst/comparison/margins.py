"""Non-inferiority and equivalence: whether a method is shown not to be worse by more than a margin.

The question is about the mean over patients, so that a tumor lost now and then counts, and the test
is that of `bounded_means`, one-sided at 2.5 % (ICH E9, section 3.3.2), corrected over the methods
(Holm). Equivalence asks the same on both sides (two one-sided tests). Tests of shifted differences
(signed rank, sign flip, bootstrap-t) claim falsely in up to all studies: docs/decisions/0063.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nnunet_pst.comparison.bounded_means import fewest_patients
from nnunet_pst.comparison.statistics import RESAMPLES, Bounds, holm, p_beyond

#: Level of each one-sided test: that of an end of a 95 % interval.
ONE_SIDED = 0.025


@dataclass(frozen=True)
class MarginTest:
    """What a margin allows to say of one method.

    Parameters
    ----------
    p_noninferior, p_equivalent
        Corrected over the methods; NaN where nothing was tested.
    noninferior, equivalent
        ``yes``, ``no``; empty where nothing was tested.
    """

    p_noninferior: float
    p_equivalent: float
    noninferior: str
    equivalent: str


def margin_tests(
    gains: Sequence[Sequence[float]],
    margin: float,
    bounds: Bounds,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> list[MarginTest]:
    """Test every method against a margin.

    Parameters
    ----------
    gains
        For each method, by how much it is better than the baseline, a number a patient.
    margin
        In the unit of the gains, above 0 and below the largest possible loss.
    bounds
        Least and largest gain that there can be.
    seed, resamples
        Of the random weights.
    """
    lower, both = [], []
    for own in gains:
        not_above, _ = p_beyond(own, -margin, bounds, seed=seed, resamples=resamples)
        _, not_below = p_beyond(own, margin, bounds, seed=seed, resamples=resamples)
        lower.append(not_above)
        both.append(max(not_above, not_below))
    return [
        MarginTest(p, q, _said(p), _said(q)) for p, q in zip(holm(lower), holm(both), strict=True)
    ]


def patients_needed(margin: float, methods: int = 1) -> int:
    """Return how many patients it takes to show the margin of methods that do not differ at all.

    Parameters
    ----------
    margin
        In (0, 1), of a measure whose largest possible loss is 1.
    methods
        Number of methods that are tested; the first claim of equal ones has to pass all factors.
    """
    return fewest_patients(margin, ONE_SIDED / methods)


def _said(p: float) -> str:
    return "" if math.isnan(p) else "yes" if p < ONE_SIDED else "no"
