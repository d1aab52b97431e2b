"""One mask from those of two readers who drew the same image: STAPLE."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813

#: A voxel is tumor above this probability; ties, and rounding around them, are background.
_HALF = 0.5 + 1e-6


def staple(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Estimate what two readers drew, weighing each by how well it fits the estimate.

    It is `SimpleITK.STAPLEImageFilter` over the whole image (Warfield et al. 2004, doi
    10.1109/TMI.2004.828354). Of two masks it keeps little beyond what both hold, because no third
    one decides: docs/decisions/0132. Where a mask is empty, nothing is tumor.

    Parameters
    ----------
    first, second
        (z, y, x).
    """
    if not first.any() or not second.any():
        return np.zeros(first.shape, bool)
    if np.array_equal(first, second):
        return np.array(first, dtype=bool)
    estimate = sitk.STAPLEImageFilter()
    estimate.SetForegroundValue(1.0)
    estimate.SetNumberOfThreads(1)  # the order of sums, and so the bytes, are the same everywhere
    images = [sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in (first, second)]
    chance: npt.NDArray[np.float64] = sitk.GetArrayFromImage(estimate.Execute(images))
    return np.asarray(chance > _HALF, dtype=bool)
