"""What coarse labels cost: agreement by distance from the slices that are drawn.

A coarse label knows the largest slice and some on each side of it. How far beyond this window a
model still outlines the tumor is what it had to learn without being shown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nnunet_pst.dataset.annotation import largest_slice
from nnunet_pst.evaluation.metrics.overlap import DEFAULT_WINDOW, Confusion, dice, recall
from nnunet_pst.labels import IGNORE, TUMOR

#: Distances in slices that summaries take together: name, first, last (None: all beyond).
BINS: tuple[tuple[str, int, int | None], ...] = (
    ("0", 0, 0),
    ("1-2", 1, 2),
    ("3-5", 3, 5),
    (">5", 6, None),
)


@dataclass(frozen=True)
class AtDistance:
    """Agreement on the slices at one distance from the window.

    Parameters
    ----------
    distance_slices
        Slices from the nearest one of the window; 0 inside it.
    slices
        Number of slices at that distance with known voxels, above and below together.
    tp, fp, fn
        Voxels: found, invented, missed.
    """

    distance_slices: int
    slices: int
    tp: int
    fp: int
    fn: int

    @property
    def dice(self) -> float:
        """Dice over these slices; NaN if the reference has no tumor there."""
        counts = Confusion(self.tp, self.fp, self.fn, tn=0)
        return dice(counts) if counts.reference else math.nan

    @property
    def recall(self) -> float:
        """Share of the tumor on these slices that was found; NaN if there is none."""
        return recall(Confusion(self.tp, self.fp, self.fn, tn=0))


def by_distance(
    reference: npt.NDArray[np.integer],
    prediction: npt.NDArray[np.integer],
    *,
    half_width: int = DEFAULT_WINDOW,
) -> list[AtDistance]:
    """Count agreement at every distance from the window, nearest first.

    Parameters
    ----------
    reference
        (z, y, x), slices first; 0 background, 1 tumor, 2 unknown.
    prediction
        (z, y, x); 0 background, 1 tumor.
    half_width
        Slices of the window on each side of the largest one.

    Returns
    -------
    list[AtDistance]
        Nothing at distances without a known voxel; nothing at all without tumor in the reference,
        which then has no window.
    """
    tumor = reference == TUMOR
    if not tumor.any():
        return []
    known = reference != IGNORE
    predicted = (prediction == TUMOR) & known
    offsets = np.abs(np.arange(len(reference)) - largest_slice(tumor))
    distances = np.maximum(offsets - half_width, 0)
    flags = (known.any(axis=(1, 2)), tumor & predicted, predicted & ~tumor, tumor & ~predicted)
    # Whole numbers below 2**53, so that sums in double precision are exact.
    slices, tp, fp, fn = (
        np.bincount(distances, flag.reshape(len(flag), -1).sum(axis=1)).astype(int)
        for flag in flags
    )
    return [
        AtDistance(
            distance, *map(int, (slices[distance], tp[distance], fp[distance], fn[distance]))
        )
        for distance in np.flatnonzero(slices).tolist()
    ]


def pooled(rows: Sequence[AtDistance], first: int, last: int | None) -> AtDistance:
    """Take the slices of several distances together; ``distance_slices`` becomes the nearest."""
    chosen = [
        row
        for row in rows
        if first <= row.distance_slices and (last is None or row.distance_slices <= last)
    ]
    parts = ("slices", "tp", "fp", "fn")
    return AtDistance(first, *(sum(getattr(row, part) for row in chosen) for part in parts))
