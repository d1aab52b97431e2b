"""Images and labels on another grid, through a transform of any engine."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813 - its usual name

from nnunet_pst.io.geometry import Grid
from nnunet_pst.io.volumes import Volume, as_itk, set_output_grid
from nnunet_pst.labels import IGNORE
from nnunet_pst.registration.transforms import SpatialTransform

Interpolation = Literal["linear", "bspline"]


def resample_image(
    moving: Volume,
    reference: Grid,
    transform: SpatialTransform,
    interpolation: Interpolation = "linear",
) -> tuple[Volume, npt.NDArray[np.bool_]]:
    """Look up the moving image at every voxel of the reference's grid.

    Where the moving image has no voxels the result is its smallest value, which in MRI is air: a
    value from the image, and what a scanner with a larger field of view would most likely have
    acquired around a body. B-splines overshoot at edges; they are clipped to the moving image's
    range.

    Parameters
    ----------
    moving
        (z, y, x) intensities.
    reference
        Grid of the result.
    transform
        From points of the reference to the moving image.
    interpolation
        "linear", or "bspline" (cubic): sharper, some ringing.

    Returns
    -------
    tuple
        The image, float32, and where the moving image has voxels, both (z, y, x).
    """
    array = moving.array.astype(np.float32, copy=False)
    lowest, highest = float(array.min()), float(array.max())
    values = _look_up(
        as_itk(array, moving.grid),
        reference,
        transform,
        sitk.sitkLinear if interpolation == "linear" else sitk.sitkBSpline3,
        fill=lowest,
    )
    everywhere = as_itk(np.ones(moving.array.shape, dtype=np.uint8), moving.grid)
    covered = _look_up(everywhere, reference, transform, sitk.sitkNearestNeighbor, fill=0) != 0
    resampled = np.where(covered, np.clip(values, lowest, highest), np.float32(lowest))
    return Volume(resampled.astype(np.float32, copy=False), reference), covered


def carry_label(label: Volume, target: Grid, transform: SpatialTransform) -> npt.NDArray[np.uint8]:
    """Bring a three-state label onto another grid; states are looked up, never mixed.

    Parameters
    ----------
    label
        uint8, (z, y, x); 0 background, 1 tumor, 2 unknown.
    target
        Grid of the result.
    transform
        From points of the target to the label's space.

    Returns
    -------
    numpy.ndarray
        (z, y, x) of the target. Outside the label's grid it is unknown, not background, because
        nothing was annotated there.
    """
    source = as_itk(label.array.astype(np.uint8, copy=False), label.grid)
    return _look_up(source, target, transform, sitk.sitkNearestNeighbor, fill=IGNORE)


def _look_up(
    source: sitk.Image, target: Grid, transform: SpatialTransform, interpolator: int, *, fill: float
) -> npt.NDArray[Any]:
    """Resample; the result does not depend on the number of ITK's threads."""
    resampler = sitk.ResampleImageFilter()
    set_output_grid(resampler, target)
    resampler.SetTransform(transform.to_moving)
    resampler.SetInterpolator(interpolator)
    resampler.SetDefaultPixelValue(fill)
    array: npt.NDArray[Any] = sitk.GetArrayFromImage(resampler.Execute(source))
    return array
