"""Registration by ANTs, as in the paper; the only module that uses antspyx."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813 - its usual name

from nnunet_pst.errors import Fault, HostError, InputError
from nnunet_pst.io.volumes import Volume, set_output_grid
from nnunet_pst.registration.preparation import for_engine
from nnunet_pst.registration.transforms import SpatialTransform, linear_part

_THREADS = "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"
#: Pixel size to which images are averaged before ANTs sees them.
_PIXEL_MM = 2.4
#: Mattes mutual information with 32 bins at a tenth of the voxels, chosen at random by the seed:
#: points on a regular lattice pulled results toward the grid (docs/decisions/0051).
_METRIC = "Mattes[{reference},{moving},1,32,Random,0.1]"
#: Levels, coarse to fine: pixel size in mm to which images are shrunk, sigma in mm of their
#: smoothing, most iterations.
_LEVELS = ((6.0, 2.5, 60), (2.5, 0.6, 30))
#: A level ends when the metric changes by less than the first number over the second's iterations.
_STOP = "1e-6,10"
_STAGES = {"rigid": ("Rigid[0.1]",), "affine": ("Rigid[0.1]", "Affine[0.1]")}
#: antsRegistrationSyN's own choice of gradient step, update and total variance. The metric uses
#: every voxel: with a tenth of them the field followed noise and mutual information fell.
_SYN = "SyN[0.1,3,0]"
_SYN_METRIC = "Mattes[{reference},{moving},1,32]"
_SYN_LEVELS = "-c [20x10,1e-6,5] -f 2x1 -s 1x0.5"


def require_ants() -> None:
    """Refuse when antspyx is not installed.

    Raises
    ------
    HostError
        Naming the extra that installs it and the alternative.
    """
    if importlib.util.find_spec("ants") is None:
        raise HostError(
            "registration by ANTs needs antspyx; run: pip install 'nnunet_pst[ants]', or choose "
            "--registration simpleitk",
            Fault.NOT_INSTALLED,
        )


def version() -> str:
    """Version of antspyx, which is part of what decides the result."""
    return metadata.version("antspyx")


def estimate(
    reference: Volume, moving: Volume, model: str, *, seed: int = 0, scratch: Path | None = None
) -> SpatialTransform:
    """Estimate the map from points of the reference to the moving image.

    One thread and a fixed seed: the same images give the same bytes. antspyx 0.6.3 ignores
    ``random_seed=`` of its own ``registration``; it calls antsRegistration with a command line, so
    we write that command line ourselves.

    Parameters
    ----------
    reference, moving
        Images of one patient in scanner coordinates.
    model
        ``rigid``, ``affine`` or ``syn``.
    seed
        Of the points that ANTs samples.
    scratch
        Folder for ANTs's own files, which are removed unless the process is killed; None: the
        system's.

    Raises
    ------
    HostError
        antspyx is not installed.
    InputError
        ANTs gave up.
    """
    require_ants()
    import ants

    with _one_thread(), _temporary(scratch) as folder:
        images = [for_engine(volume, _PIXEL_MM) for volume in (reference, moving)]
        fixed, movable = (_as_ants(image) for image in images)
        pointer = ants.internal.get_pointer_string
        metric, dense = (
            pattern.format(reference=pointer(fixed), moving=pointer(movable))
            for pattern in (_METRIC, _SYN_METRIC)
        )
        words = ["-d", "3", "--float", "1", "-o", f"{folder}/", "--random-seed", str(seed + 1)]
        for stage in _STAGES["rigid" if model == "rigid" else "affine"]:
            words += ["-t", stage, "-m", metric, *_levels(images[0])]
        if model == "syn":
            words += ["-t", _SYN, "-m", dense, *_SYN_LEVELS.split()]
        if ants.internal.get_lib_fn("antsRegistration")(words) != 0:
            raise InputError("ANTs found no transform", Fault.FAILED)
        return _read_result(Path(folder), model, reference, moving)


def _temporary(scratch: Path | None) -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="nnunet_pst-", dir=scratch)


def _levels(reference: sitk.Image) -> list[str]:
    """Write the levels as antsRegistration expects them: in pixels of the reference."""
    pixel_mm = reference.GetSpacing()[0]
    iterations = "x".join(str(most) for _, _, most in _LEVELS)
    shrink = "x".join(str(max(1, round(shrunk / pixel_mm))) for shrunk, _, _ in _LEVELS)
    smooth = "x".join(f"{sigma / pixel_mm:.3f}" for _, sigma, _ in _LEVELS)
    return ["-c", f"[{iterations},{_STOP}]", "-f", shrink, "-s", smooth]


def _as_ants(image: sitk.Image) -> Any:  # noqa: ANN401 - antspyx has no types
    import ants

    return ants.from_numpy(
        np.ascontiguousarray(sitk.GetArrayViewFromImage(image).T),
        origin=image.GetOrigin(),
        spacing=image.GetSpacing(),
        direction=np.reshape(image.GetDirection(), (3, 3)),
    )


def _read_result(folder: Path, model: str, reference: Volume, moving: Volume) -> SpatialTransform:
    linear = linear_part(sitk.ReadTransform(str(folder / "0GenericAffine.mat")))
    if model != "syn":
        return SpatialTransform.from_matrix(linear)
    affine = SpatialTransform.from_matrix(linear)
    forward, backward = (
        sitk.DisplacementFieldTransform(
            sitk.Cast(sitk.ReadImage(str(folder / name)), sitk.sitkVectorFloat64)
        )
        for name in ("1Warp.nii.gz", "1InverseWarp.nii.gz")
    )
    # ITK applies the last transform first: a point of the reference is warped, then goes through
    # the affine; back, the affine is undone before the inverse warp.
    to_moving = sitk.CompositeTransform([affine.to_moving, forward])
    to_reference = sitk.CompositeTransform([backward, affine.to_reference])
    return SpatialTransform(_as_field(to_moving, reference), _as_field(to_reference, moving))


def _as_field(transform: sitk.Transform, volume: Volume) -> sitk.Transform:
    """Write a chain of transforms as one displacement field on a grid."""
    make = sitk.TransformToDisplacementFieldFilter()
    set_output_grid(make, volume.grid)
    make.SetOutputPixelType(sitk.sitkVectorFloat64)
    return sitk.DisplacementFieldTransform(make.Execute(transform))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Limit antspyx's ITK, which is not SimpleITK's, to one thread for a while.

    Sums over threads are added in the order in which they finish, so two threads give other bytes
    at every run. ITK reads the variable once, at its first use in a process: where ants was used
    before with more threads, results differ in the last digits.
    """
    before = os.environ.get(_THREADS)
    os.environ[_THREADS] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_THREADS]
        else:
            os.environ[_THREADS] = before
