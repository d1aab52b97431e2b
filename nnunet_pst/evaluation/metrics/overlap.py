"""Volumetric measures of one case: what overlaps, what was missed, what was invented, and where.

Rules that hold for every measure here:

- Reference voxels that are unknown (`labels.IGNORE`) count nowhere, whatever was predicted there.
- A case without tumor in the reference and in the prediction is perfectly right: Dice and IoU
  are 1. If only one of the two is empty, they are 0. (nnU-Net leaves the first kind out of its
  means; its choice would hide a model that invents tumors, see docs/decisions/0020.)
- A measure whose denominator does not exist is NaN, "not defined", and is left out of means, which
  therefore always come with their number of values: recall without a tumor in the reference,
  precision without a prediction, everything inside or beyond the window if the reference has no
  tumor there, false positives on tumor-free slices if there is no such slice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nnunet_pst.dataset.annotation import largest_slice, window
from nnunet_pst.labels import IGNORE, TUMOR

#: Half-width of the annotated window, in slices: the paper's annotators drew the largest slice and
#: five more on each side.
DEFAULT_WINDOW = 5


@dataclass(frozen=True)
class Confusion:
    """Numbers of voxels: true and false positives, false and true negatives."""

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def reference(self) -> int:
        """Tumor voxels of the reference."""
        return self.tp + self.fn

    @property
    def predicted(self) -> int:
        """Tumor voxels of the prediction."""
        return self.tp + self.fp


def confusion(
    reference: npt.NDArray[np.integer],
    prediction: npt.NDArray[np.integer],
    slices: npt.NDArray[np.bool_] | None = None,
) -> Confusion:
    """Count agreement and disagreement over the known voxels.

    Parameters
    ----------
    reference
        (z, y, x); 0 background, 1 tumor, 2 unknown.
    prediction
        (z, y, x); 0 background, 1 tumor.
    slices
        (z,) the slices to count; all if None.
    """
    if slices is not None:
        reference, prediction = reference[slices], prediction[slices]
    known = reference != IGNORE
    tumor = reference == TUMOR
    predicted = (prediction == TUMOR) & known
    tp = int(np.count_nonzero(tumor & predicted))
    fp = int(np.count_nonzero(predicted)) - tp
    fn = int(np.count_nonzero(tumor)) - tp
    return Confusion(tp, fp, fn, int(np.count_nonzero(known)) - tp - fp - fn)


def dice(counts: Confusion) -> float:
    """Dice coefficient in [0, 1]; 1 if both masks are empty, 0 if one is."""
    total = counts.reference + counts.predicted
    return 2 * counts.tp / total if total else 1.0


def iou(counts: Confusion) -> float:
    """Intersection over union in [0, 1]; 1 if both masks are empty, 0 if one is."""
    union = counts.tp + counts.fp + counts.fn
    return counts.tp / union if union else 1.0


def recall(counts: Confusion) -> float:
    """Share of the reference that was found; NaN if the reference is empty."""
    return counts.tp / counts.reference if counts.reference else math.nan


def precision(counts: Confusion) -> float:
    """Share of the prediction that is right; NaN if the prediction is empty."""
    return counts.tp / counts.predicted if counts.predicted else math.nan


def annotated_window(reference: npt.NDArray[np.integer], half_width: int) -> npt.NDArray[np.bool_]:
    """Slices that a coarse annotator would have drawn: the largest one and its neighbors.

    Parameters
    ----------
    reference
        (z, y, x) label.
    half_width
        Slices on each side of the largest one.

    Returns
    -------
    npt.NDArray[np.bool_]
        (z,) true inside the window; false everywhere if there is no tumor.
    """
    tumor = reference == TUMOR
    if not tumor.any():
        return np.zeros(len(reference), dtype=bool)
    return window(largest_slice(tumor), half_width, len(reference))


def free_slices(reference: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
    """Slices that hold known voxels and no tumor, as (z,) booleans; ``reference`` is (z, y, x)."""
    known = (reference != IGNORE).any(axis=(1, 2))
    free: npt.NDArray[np.bool_] = known & ~(reference == TUMOR).any(axis=(1, 2))
    return free


def measure_overlap(
    reference: npt.NDArray[np.integer],
    prediction: npt.NDArray[np.integer],
    *,
    voxel_volume_ml: float,
    half_width: int = DEFAULT_WINDOW,
) -> dict[str, float]:
    """Measure the overlap of one case.

    Parameters
    ----------
    reference
        (z, y, x), slices first; 0 background, 1 tumor, 2 unknown.
    prediction
        (z, y, x); 0 background, 1 tumor.
    voxel_volume_ml
        Volume of one voxel in milliliters.
    half_width
        Slices of the annotated window on each side of the largest one.

    Returns
    -------
    dict[str, float]
        Value by measure name; NaN where it is not defined (see the top of this file).
    """
    drawn = annotated_window(reference, half_width)
    free = free_slices(reference)
    whole = confusion(reference, prediction)
    inside, beyond = (confusion(reference, prediction, part) for part in (drawn, ~drawn))
    invented = confusion(reference, prediction, free).fp * voxel_volume_ml
    return {
        "dice": dice(whole),
        "iou": iou(whole),
        "recall": recall(whole),
        "precision": precision(whole),
        "dice_in_window": dice(inside) if inside.reference else math.nan,
        "recall_in_window": recall(inside),
        "dice_beyond_window": dice(beyond) if beyond.reference else math.nan,
        "recall_beyond_window": recall(beyond),
        "false_positive_ml_on_free_slices": invented if free.any() else math.nan,
        "free_slices": float(np.count_nonzero(free)),
        "reference_ml": whole.reference * voxel_volume_ml,
        "predicted_ml": whole.predicted * voxel_volume_ml,
        "known_share": float(np.mean(reference != IGNORE)),
    }
