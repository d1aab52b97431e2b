"""How images are prepared for every engine and measure."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813 - its usual name
from scipy import ndimage

from nnunet_pst.io.volumes import Volume, as_itk

#: Gray values are clipped to these percentiles: single bright voxels would leave most bins of a
#: histogram empty.
LOW_PERCENTILE, HIGH_PERCENTILE = 0.5, 99.5
#: Standard deviation, in mm, of the Gaussian whose average is taken as the coils' brightness.
SHADING_MM = 30.0
#: This many medians of the brightness are added to it, so that noise and air aren't amplified.
SHADING_FLOOR = 2.0


def clipped(array: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return the gray values, (z, y, x), as float32 and clipped to their usual range."""
    values = array.astype(np.float32)
    low, high = np.percentile(values, (LOW_PERCENTILE, HIGH_PERCENTILE))
    return np.clip(values, low, high)


def for_engine(volume: Volume, pixel_mm: float) -> sitk.Image:
    """Clip, average pixels to about this size (within slices only), even out the brightness.

    Averaging removes noise, and with it the pull of the grid: an engine that uses every original
    voxel is slower and no more exact (docs/decisions/0051). Each image is bright near its own
    coils, which mutual information mistakes for anatomy (docs/decisions/0053).
    """
    image = as_itk(clipped(volume.array), volume.grid)
    factors = [max(1, round(pixel_mm / spacing)) for spacing in volume.grid.spacing_xyz_mm[:2]]
    return evenly_lit(sitk.BinShrink(image, [*factors, 1]))


def evenly_lit(image: sitk.Image) -> sitk.Image:
    """Divide an image by its own brightness, averaged over `SHADING_MM`.

    A blank image is returned unchanged.
    """
    values = sitk.GetArrayFromImage(image).astype(np.float32)
    values -= values.min()
    sigma = [SHADING_MM / spacing for spacing in reversed(image.GetSpacing())]
    brightness = ndimage.gaussian_filter(values, sigma)
    floor = SHADING_FLOOR * float(np.median(brightness))
    if floor == 0:
        return image
    result = sitk.GetImageFromArray(values / (brightness + floor))
    result.CopyInformation(image)
    return result
