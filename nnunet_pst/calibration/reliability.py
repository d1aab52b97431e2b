"""How well a network's probabilities are meant: temperature, calibration error, best threshold.

All of it comes from counts of voxels by their log-odds, so no volume has to be kept.

- Temperature (Guo et al. 2017, arXiv 1706.04599): the number that log-odds are divided by so that
  the likelihood of the known voxels is largest.
- Expected calibration error: mean distance between probability and share of tumor over ten bins of
  equal width, weighted by voxels; Brier score: mean squared distance of probability and label. Both
  over known voxels with a probability of at least 1 % or with tumor: the rest of an image is
  certain, and would hide everything else.
- Best threshold: the probability with the largest mean Dice over patients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nnunet_pst.labels import IGNORE, TUMOR

#: Log-odds are counted between these bounds, in bins of a tenth.
_BOUND, _WIDTH = 16.0, 0.1
_CENTERS = np.arange(-_BOUND + _WIDTH / 2, _BOUND, _WIDTH)
_BINS = 10
_DOUBTED = 0.01
#: Temperatures that are tried; a network that needs another one is broken.
_TEMPERATURES = np.exp(np.linspace(np.log(0.2), np.log(5), 161))


@dataclass(frozen=True)
class VoxelCounts:
    """Known voxels of one case by the log-odds of their probability.

    Attributes
    ----------
    tumor, background
        (bins,) number of voxels of each kind.
    """

    tumor: npt.NDArray[np.float64]
    background: npt.NDArray[np.float64]

    def __add__(self, other: VoxelCounts) -> VoxelCounts:
        """Count the voxels of both."""
        return VoxelCounts(self.tumor + other.tumor, self.background + other.background)


@dataclass(frozen=True)
class Reliability:
    """How far probabilities are from shares.

    Attributes
    ----------
    ece, brier
        See the module.
    bins
        For each bin with voxels: mean probability, share of tumor, number of voxels.
    """

    ece: float
    brier: float
    bins: tuple[tuple[float, float, int], ...]


def count_voxels(
    probability: npt.NDArray[np.float32], label: npt.NDArray[np.integer]
) -> VoxelCounts:
    """Count the known voxels of a case.

    Parameters
    ----------
    probability
        (z, y, x), of tumor.
    label
        Same shape; 0 background, 1 tumor, 2 unknown.
    """
    known = label != IGNORE
    p = np.clip(probability[known].astype(np.float64), 1e-9, 1 - 1e-9)
    odds = np.clip(np.log(p / (1 - p)), -_BOUND + 1e-6, _BOUND - 1e-6)
    place = ((odds + _BOUND) / _WIDTH).astype(int)
    tumor = label[known] == TUMOR
    count = len(_CENTERS)
    return VoxelCounts(
        np.bincount(place[tumor], minlength=count).astype(float),
        np.bincount(place[~tumor], minlength=count).astype(float),
    )


def fit_temperature(counts: VoxelCounts) -> float:
    """Return the temperature with the largest likelihood of these voxels."""
    scaled = _CENTERS[None, :] / _TEMPERATURES[:, None]
    loss = counts.tumor * np.logaddexp(0, -scaled) + counts.background * np.logaddexp(0, scaled)
    return float(_TEMPERATURES[int(np.argmin(loss.sum(axis=1)))])


def reliability(counts: VoxelCounts, temperature: float = 1.0) -> Reliability:
    """Measure the probabilities of these voxels at a temperature."""
    p = 1 / (1 + np.exp(-_CENTERS / temperature))
    # Doubt is about what the network said, so that both temperatures are measured on one set.
    doubted = 1 / (1 + np.exp(-_CENTERS)) >= _DOUBTED
    tumor, background = counts.tumor, np.where(doubted, counts.background, 0)
    voxels = tumor + background
    total = max(float(voxels.sum()), 1.0)
    place = np.minimum((p * _BINS).astype(int), _BINS - 1)
    sums = [np.bincount(place, weights=w, minlength=_BINS) for w in (voxels, voxels * p, tumor)]
    bins = tuple(
        (float(said / n), float(true / n), int(n)) for n, said, true in zip(*sums, strict=True) if n
    )
    error = float(sum(n * abs(said - true) for said, true, n in bins) / total)
    brier = float((tumor * (1 - p) ** 2 + background * p**2).sum() / total)
    return Reliability(error, brier, bins)


def dice_by_threshold(counts: VoxelCounts) -> npt.NDArray[np.float64]:
    """Dice of the mask above each threshold of `thresholds`, on known voxels."""
    found = np.cumsum(counts.tumor[::-1])[::-1]
    claimed = found + np.cumsum(counts.background[::-1])[::-1]
    total = counts.tumor.sum() + claimed
    return np.where(total > 0, 2 * found / np.maximum(total, 1), 1.0)


def thresholds() -> npt.NDArray[np.float64]:
    """Probabilities at the lower edges of the bins of log-odds."""
    return np.asarray(1 / (1 + np.exp(-(_CENTERS - _WIDTH / 2))), dtype=np.float64)


def best_threshold(cases: Sequence[VoxelCounts], patients: Sequence[str]) -> Mapping[str, float]:
    """Return the threshold with the largest mean Dice over patients, and the mean at one half.

    Returns
    -------
    mapping
        ``threshold``, ``dice``, ``dice_at_half``.
    """
    curves: dict[str, list[npt.NDArray[np.float64]]] = {}
    for counts, patient in zip(cases, patients, strict=True):
        curves.setdefault(patient, []).append(dice_by_threshold(counts))
    mean = np.mean([np.mean(own, axis=0) for own in curves.values()], axis=0)
    half = int(np.argmin(np.abs(thresholds() - 0.5)))
    # From the middle of what is best, as the curve is flat there.
    best = np.flatnonzero(mean >= mean.max() - 1e-4)
    at = int(best[len(best) // 2])
    return {
        "threshold": round(float(thresholds()[at]), 4),
        "dice": round(float(mean[at]), 4),
        "dice_at_half": round(float(mean[half]), 4),
    }
