"""Lesion by lesion: which tumors were found, which were missed, and which were invented.

A lesion is a set of tumor voxels that touch, be it at a corner (26 neighbors). It counts as found
when at least a tenth of its voxels are tumor in the other mask: less is a chance touch, more would
ask for an outline where the question is whether somebody would have looked there. The tenth is that
of the MSSEG challenge (Commowick et al., doi:10.1038/s41598-018-31911-7), without its further
conditions. One predicted lesion may find several real ones, and the other way round, so nothing is
lost when a tumor is predicted in two pieces. No lesion is too small to count: a single invented
voxel is an invented lesion.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Mask = npt.NDArray[np.bool_]
#: Percentage of a lesion's voxels that has to be tumor in the other mask.
FOUND_PERCENT = 10
_NEIGHBORS_26 = np.ones((3, 3, 3), dtype=bool)


@dataclass(frozen=True)
class Components:
    """The lesions of a mask.

    Parameters
    ----------
    labels
        (z, y, x); 0 outside, then 1, 2, ... by lesion.
    count
        Number of lesions.
    """

    labels: npt.NDArray[np.integer]
    count: int


@dataclass(frozen=True)
class Detection:
    """How many lesions there are, and how many of them the other mask has too.

    Parameters
    ----------
    reference, found
        Lesions of the reference, and those that were predicted.
    predicted, right
        Lesions of the prediction, and those that are there.
    """

    reference: int
    found: int
    predicted: int
    right: int

    @property
    def recall(self) -> float:
        """Share of the real lesions that were found; NaN if there is none."""
        return self.found / self.reference if self.reference else math.nan

    @property
    def precision(self) -> float:
        """Share of the predicted lesions that are there; NaN if there is none."""
        return self.right / self.predicted if self.predicted else math.nan

    @property
    def f1(self) -> float:
        """Harmonic mean of recall and precision; 0 if both are 0, NaN if either is."""
        total = self.recall + self.precision
        return 2 * self.recall * self.precision / total if total else 0.0

    @property
    def invented(self) -> int:
        """Number of predicted lesions that are not there."""
        return self.predicted - self.right


def components(mask: Mask) -> Components:
    """Separate a mask into its lesions: (z, y, x)."""
    labels = np.zeros(mask.shape, np.int32)
    ndimage.label(mask, structure=_NEIGHBORS_26, output=labels)
    return Components(labels, int(labels.max(initial=0)))


def detection(reference: Components, prediction: Components) -> Detection:
    """Compare the lesions of two masks of the same shape."""
    return Detection(
        reference=reference.count,
        found=_met(reference, prediction.labels > 0),
        predicted=prediction.count,
        right=_met(prediction, reference.labels > 0),
    )


def _met(lesions: Components, other: Mask) -> int:
    """Count the lesions of which at least `FOUND_PERCENT` lie in the other mask."""
    sizes = np.bincount(lesions.labels.ravel(), minlength=lesions.count + 1)[1:]
    common = np.bincount(lesions.labels[other], minlength=lesions.count + 1)[1:]
    return int(np.count_nonzero(100 * common >= FOUND_PERCENT * sizes))
