"""Signs of how far a mask can be believed, from what the networks compute anyway.

Two signs, each a Dice between 0 and 1 of the mask with something that needs no reference:

- `soft_dice`: with the network's own probabilities, which a sure network gives only to a mask that
  it would draw again (the plug-in estimate of the expected Dice).
- `passes_dice`: of the masks of the mirrored passes with each other, the mean over all pairs as a
  ratio of sums. Pairwise Dice between members of an ensemble told failures best of many scores in
  Zenk et al. 2024 (arXiv 2406.03323).

A third, `folds_dice`, is the same between the networks of an ensemble. It cannot be calibrated on
the folds' own patients, because all networks but one have learned from each; so it is shown only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Signs:
    """What the networks of a model tell of one mask; means over the networks.

    Attributes
    ----------
    soft_dice
        0 where the mask is empty.
    passes_dice
        None without mirrored passes, and where no pass finds anything.
    folds_dice
        None with one network, and where none finds anything.
    """

    soft_dice: float
    passes_dice: float | None = None
    folds_dice: float | None = None


class SignsOfNetworks:
    """Gathers the signs of one case, network by network."""

    def __init__(self) -> None:
        self._soft: list[float] = []
        self._passes: list[float | None] = []
        self._votes: npt.NDArray[np.float32] | None = None

    def add(
        self,
        logits: npt.NDArray[np.floating],
        share: npt.NDArray[np.floating] | None = None,
        passes: int = 1,
    ) -> None:
        """Take part of one network's answer.

        Parameters
        ----------
        logits
            (k, z, y, x).
        share
            (z, y, x), 0 to 1: the share of passes that find any class; None where it is unknown.
        passes
            Number of mirrored passes.
        """
        mask = logits.argmax(axis=0) > 0
        self._soft.append(soft_dice(mask, foreground(logits)))
        if share is not None:
            votes_of_passes = np.asarray(share, dtype=np.float32) * passes
            self._passes.append(pairwise_dice(votes_of_passes, passes))
        votes = mask.astype(np.float32)
        self._votes = votes if self._votes is None else self._votes + votes

    def all_together(self) -> Signs:
        """Return the means over all networks, of which there is at least one."""
        assert self._votes is not None
        # A network that finds nothing agrees with none that does.
        passes = [agreed or 0.0 for agreed in self._passes]
        found = any(agreed is not None for agreed in self._passes)
        return Signs(
            soft_dice=float(np.mean(self._soft)),
            passes_dice=float(np.mean(passes)) if found else None,
            folds_dice=pairwise_dice(self._votes, len(self._soft)),
        )


def foreground(logits: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Probability (z, y, x) of any class, from logits (k, z, y, x) of which the first is none."""
    exact = np.asarray(logits, dtype=np.float32)
    others = np.logaddexp.reduce(exact[1:], axis=0)
    with np.errstate(over="ignore"):
        odds_against = np.exp(exact[0] - others)
    return np.asarray(1 / (1 + odds_against), dtype=np.float32)


def soft_dice(mask: npt.NDArray[np.bool_], probability: npt.NDArray[np.float32]) -> float:
    """Dice of a mask with probabilities, both (z, y, x); 0 where the mask is empty."""
    inside = float(probability[mask].sum(dtype=np.float64))
    total = float(probability.sum(dtype=np.float64)) + int(np.count_nonzero(mask))
    return 2 * inside / total if inside else 0.0


def pairwise_dice(votes: npt.NDArray[np.float32], voters: int) -> float | None:
    """Mean Dice between all pairs of masks, as a ratio of sums, from their votes per voxel.

    With v votes of n, a voxel is in v (v - 1) / 2 of the n (n - 1) / 2 pairs' intersections, and
    the masks have v voxels there; so it is the sum of v (v - 1) over (n - 1) times the sum of v.

    Parameters
    ----------
    votes
        (z, y, x), 0 to ``voters``; averages of overlapping tiles may be fractions.

    Returns
    -------
    float or None
        None with one voter, and without any vote.
    """
    total = float(votes.sum(dtype=np.float64))
    if voters < 2 or total <= 0:
        return None
    pairs = float((votes * np.maximum(votes - 1, 0)).sum(dtype=np.float64))
    return min(1.0, pairs / ((voters - 1) * total))
