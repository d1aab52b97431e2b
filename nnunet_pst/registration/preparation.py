"""What every engine and measure does to an image first."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813 - its usual name

from nnunet_pst.volumes import Volume, as_itk

#: Percentiles between which grey values are kept: single hot voxels would leave most of a
#: histogram's bins empty.
LOW_PERCENTILE, HIGH_PERCENTILE = 0.5, 99.5


def clipped(array: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return the grey values, (z, y, x), as float32 and cut to their usual range."""
    values = array.astype(np.float32)
    low, high = np.percentile(values, (LOW_PERCENTILE, HIGH_PERCENTILE))
    return np.clip(values, low, high)


def averaged(volume: Volume, pixel_mm: float) -> sitk.Image:
    """Clip, and average pixels to about this size; slices, which are thicker, stay apart.

    Averaging takes noise away, and with it the pull of the grid: an engine that looks at every
    original voxel is slower and no more exact (docs/decisions/0051).
    """
    image = as_itk(clipped(volume.array), volume.grid)
    factors = [max(1, round(pixel_mm / spacing)) for spacing in volume.grid.spacing_xyz_mm[:2]]
    return sitk.BinShrink(image, [*factors, 1])
