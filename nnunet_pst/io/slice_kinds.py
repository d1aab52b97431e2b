"""What is known of each slice of a label."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from nnunet_pst.io.label_values import is_foreground
from nnunet_pst.labels import IGNORE


class SliceKind(IntEnum):
    """What is known of a slice."""

    UNKNOWN = 0  #: no voxel is known: never annotated
    LESION = 1  #: it has tumor
    KNOWN = 2  #: known, without tumor, among the annotated slices
    FREE = 3  #: free negative: known to be tumor-free without an annotation


def slice_kinds(
    has_tumor: npt.NDArray[np.bool_], has_known: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int8]:
    """Classify the slices of a case from its label alone.

    A run of known slices without any tumor, cut off from the lesion by unknown slices, can only
    come from the rules that give negatives without an annotation; tumor-free slices in the same run
    as the lesion are those that the annotator left empty.

    Parameters
    ----------
    has_tumor, has_known
        (z,) whether any voxel of the slice is tumor; whether any is known (not ignore).

    Returns
    -------
    numpy.ndarray
        (z,) values of `SliceKind`.
    """
    kinds = np.where(has_known, SliceKind.KNOWN, SliceKind.UNKNOWN).astype(np.int8)
    kinds[has_tumor] = SliceKind.LESION
    starts = np.flatnonzero(np.diff(has_known.astype(np.int8), prepend=0) == 1)
    ends = np.flatnonzero(np.diff(has_known.astype(np.int8), append=0) == -1) + 1
    if has_tumor.any():
        for start, end in zip(starts, ends, strict=True):
            if not has_tumor[start:end].any():
                kinds[start:end] = SliceKind.FREE
    return kinds


def kinds_of_label(
    label: npt.NDArray[np.integer], ignore: int | None = IGNORE
) -> npt.NDArray[np.int8]:
    """Classify the slices of a (z, y, x) label; any class is a lesion.

    nnU-Net's preprocessing writes -1 for background outside the non-zero region; it is known.

    Parameters
    ----------
    ignore
        Value of unknown voxels; None where all are known.
    """
    known = np.ones(label.shape, dtype=bool) if ignore is None else label != ignore
    return slice_kinds(
        np.any(is_foreground(label, ignore), axis=(1, 2)), np.any(known, axis=(1, 2))
    )
