"""Pixels that the scanner did not acquire (PS3.3 C.7.5.1.1.2): they become background."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from nnunet_pst.dicom.reading.values import integer, number

_FLOATS = {
    "FloatPixelData": ("FloatPixelPaddingValue", "FloatPixelPaddingRangeLimit"),
    "DoubleFloatPixelData": ("DoubleFloatPixelPaddingValue", "DoubleFloatPixelPaddingRangeLimit"),
}


def padded_pixels(stored: npt.NDArray[Any], dataset: Dataset) -> npt.NDArray[np.bool_] | None:
    """Mark stored values that are padding, a value or a range; None where the header names none.

    Parameters
    ----------
    stored
        (rows, columns) values before any rescaling.
    """
    for element, names in _FLOATS.items():
        if element in dataset:
            ends = [number(dataset, name) for name in names]
            break
    else:
        names = ("PixelPaddingValue", "PixelPaddingRangeLimit")
        ends = [_as_stored(integer(dataset, name), dataset) for name in names]
    value, limit = ends
    if value is None:
        return None
    low, high = sorted((value, value if limit is None else limit))
    return np.asarray((stored >= low) & (stored <= high))


def _as_stored(value: int | None, dataset: Dataset) -> float | None:
    """Read a value whose sign was lost or gained: its VR may be US or SS, whatever pixels are."""
    if value is None:
        return None
    bits = integer(dataset, "BitsAllocated") or 16
    signed = (integer(dataset, "PixelRepresentation") or 0) == 1
    if signed and value >= 2 ** (bits - 1):
        return float(value - 2**bits)
    return float(value + 2**bits) if not signed and value < 0 else float(value)


def with_background(array: npt.NDArray[Any], padded: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """Set padding to the background: 0, or the lowest acquired value where that is less.

    Parameters
    ----------
    array
        (z, y, x) rescaled values.
    padded
        Same shape.
    """
    if not padded.any() or padded.all():
        return array
    array[padded] = min(0, array[~padded].min())
    return array
