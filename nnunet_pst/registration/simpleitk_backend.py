"""Registration by SimpleITK: needs no ANTs, and is faster."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk  # noqa: N813 - its usual name

from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.volumes import Volume
from nnunet_pst.registration.preparation import for_engine
from nnunet_pst.registration.transforms import SpatialTransform, linear_part

#: Levels, coarse to fine: pixel size in mm to which the images are averaged, number of voxels that
#: are sampled, first step in mm.
LEVELS = ((6.0, 20_000, 1.0), (2.5, 100_000, 0.5))
BINS = 50
#: Powell's method: most iterations, most steps of a line search, and when to stop (as a share of
#: the first step, and of the metric).
_POWELL = {"numberOfIterations": 20, "maximumLineIterations": 50}
_STEP_TOLERANCE, _VALUE_TOLERANCE = 0.01, 1e-5


def estimate(reference: Volume, moving: Volume, model: str) -> SpatialTransform:
    """Estimate the map from points of the reference to the moving image.

    Mattes mutual information under Powell's method, started from the scanner's own coordinates:
    sequences of one session are near each other there, and their centers of mass say less. Gradient
    descent got stuck millimeters away along z, where slices are thick and the metric is rough. One
    thread and regular sampling, so that the same images give the same bytes.

    Raises
    ------
    InputError
        The model needs ANTs, or ITK gave up.
    """
    if model == "syn":
        raise InputError(
            "syn needs ANTs; choose --registration ants, or rigid or affine", Fault.UNSUPPORTED
        )
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        transform = _run(reference, moving, sitk.Euler3DTransform())
        if model == "affine":
            affine = sitk.AffineTransform(3)
            affine.SetCenter(transform.GetCenter())
            affine.SetMatrix(transform.GetMatrix())
            affine.SetTranslation(transform.GetTranslation())
            transform = _run(reference, moving, affine)
        return SpatialTransform.from_matrix(linear_part(transform))
    except RuntimeError as error:
        text = f"SimpleITK found no transform ({_last_line(error)})"
        raise InputError(text, Fault.FAILED) from error
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rpartition("): ")[2] if lines else "without a word"


def _run(reference: Volume, moving: Volume, transform: sitk.Transform) -> sitk.Transform:
    if isinstance(transform, sitk.Euler3DTransform):
        transform.SetCenter(reference.grid.corners_lps_mm.mean(axis=0).tolist())
    for pixel_mm, voxels, step_mm in LEVELS:
        fixed, movable = for_engine(reference, pixel_mm), for_engine(moving, pixel_mm)
        method = sitk.ImageRegistrationMethod()
        method.SetMetricAsMattesMutualInformation(BINS)
        share = voxels / float(np.prod(fixed.GetSize()))
        if share < 1:
            method.SetMetricSamplingStrategy(method.REGULAR)
            method.SetMetricSamplingPercentage(share, 1)
        method.SetInterpolator(sitk.sitkLinear)
        method.SetOptimizerAsPowell(
            **_POWELL,
            stepLength=step_mm,
            stepTolerance=_STEP_TOLERANCE,
            valueTolerance=_VALUE_TOLERANCE,
        )
        method.SetOptimizerScalesFromPhysicalShift()
        method.SetInitialTransform(transform, inPlace=True)
        method.Execute(fixed, movable)
    return transform
