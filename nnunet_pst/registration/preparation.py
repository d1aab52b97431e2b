"""What every engine and measure does to an image first."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

#: Percentiles between which grey values are kept: single hot voxels would leave most of a
#: histogram's bins empty.
LOW_PERCENTILE, HIGH_PERCENTILE = 0.5, 99.5


def clipped(array: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return the grey values, (z, y, x), as float32 and cut to their usual range."""
    values = array.astype(np.float32)
    low, high = np.percentile(values, (LOW_PERCENTILE, HIGH_PERCENTILE))
    return np.clip(values, low, high)
