"""How well two images lie on each other, and how far a transform moves what is seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813 - its usual name
from scipy import ndimage

from nnunet_pst.geometry import Grid
from nnunet_pst.registration.preparation import clipped
from nnunet_pst.registration.resampling import resample_image
from nnunet_pst.registration.transforms import SpatialTransform
from nnunet_pst.volumes import Volume

#: Bins of the joint histogram along each axis.
BINS = 64
#: How far the moving image is pushed aside to see whether it fits where it is, in mm.
PUSH_MM = 12.0
#: Points of the body that are followed through a transform.
_POINTS = 20_000


@dataclass(frozen=True)
class Alignment:
    """How well two images lie on each other.

    Attributes
    ----------
    mutual_information
        In nats, over the voxels of the reference that the moving image covers; 0: unrelated.
    body_overlap
        Dice of the two body masks there; 1: the same outline.
    covered
        Share of the reference's voxels that the moving image covers.
    """

    mutual_information: float
    body_overlap: float
    covered: float


def mutual_information(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> float:
    """Mutual information of two lists of grey values, in nats.

    ``sum p(a, b) log(p(a, b) / (p(a) p(b)))`` over a joint histogram of `BINS` squared bins (Maes
    et al. 1997, doi 10.1109/42.563664). 0 where one of them has a single value.
    """
    joint, _, _ = np.histogram2d(first, second, bins=BINS)
    joint /= max(joint.sum(), 1)
    apart = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    filled = joint > 0
    return float(np.sum(joint[filled] * np.log(joint[filled] / apart[filled])))


def body_mask(image: Volume) -> npt.NDArray[np.bool_]:
    """Find the body: above Otsu's threshold of the square root, largest piece, holes filled.

    The root draws dark tissue away from air: fat-suppressed images have little else.
    """
    values = clipped(image.array)
    roots = np.sqrt(values - values.min())
    if roots.max() == 0:
        return np.zeros(roots.shape, dtype=bool)
    mask = sitk.GetArrayFromImage(sitk.OtsuThreshold(sitk.GetImageFromArray(roots), 0, 1)) > 0
    pieces = sitk.RelabelComponent(sitk.ConnectedComponent(sitk.GetImageFromArray(mask * 1)))
    largest = sitk.GetArrayFromImage(pieces) == 1
    return np.stack([ndimage.binary_fill_holes(part) for part in largest])


def measure(reference: Volume, moving: Volume, transform: SpatialTransform) -> Alignment:
    """Measure how well the moving image, resampled through the transform, lies on the reference."""
    found, covered = resample_image(moving, reference.grid, transform)
    if not covered.any():
        return Alignment(0.0, 0.0, 0.0)
    fixed = clipped(reference.array)
    bodies = body_mask(reference) & covered, body_mask(found) & covered
    return Alignment(
        mutual_information(fixed[covered], clipped(found.array)[covered]),
        _dice(*bodies),
        float(covered.mean()),
    )


def _dice(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> float:
    both = int(np.count_nonzero(first)) + int(np.count_nonzero(second))
    return 2 * int(np.count_nonzero(first & second)) / both if both else 0.0


def left_when_pushed(
    reference: Volume, moving: Volume, transform: SpatialTransform, aligned: float
) -> float:
    """Share of the mutual information that is left when the moving image is pushed aside.

    Two images of one body fit in one place and nowhere else: pushed by `PUSH_MM` they lose a third.
    Two bodies fit as badly everywhere: they lose next to nothing.

    Parameters
    ----------
    aligned
        Mutual information under ``transform``, from `measure`.

    Returns
    -------
    float
        Mean over four pushes within the slices; 1 where there is nothing to lose.
    """
    if aligned <= 0:
        return 1.0
    fixed = clipped(reference.array)
    left = []
    for push in ((PUSH_MM, 0, 0), (-PUSH_MM, 0, 0), (0, PUSH_MM, 0), (0, -PUSH_MM, 0)):
        pushed = sitk.CompositeTransform([transform.to_moving, sitk.TranslationTransform(3, push)])
        back = sitk.TranslationTransform(3, tuple(-mm for mm in push))
        found, covered = resample_image(moving, reference.grid, SpatialTransform(pushed, back))
        left.append(mutual_information(fixed[covered], clipped(found.array)[covered]))
    return float(np.mean(left)) / aligned


def largest_displacement_mm(
    body: npt.NDArray[np.bool_], grid: Grid, transform: SpatialTransform
) -> float:
    """Largest distance that the transform moves a point of the body, in mm.

    Parameters
    ----------
    body
        (z, y, x) on ``grid``; where it is empty, the whole grid counts.
    """
    index_zyx = np.argwhere(body if body.any() else np.ones_like(body))
    index_zyx = index_zyx[:: max(1, len(index_zyx) // _POINTS)]
    affine = grid.affine_lps_mm
    points = index_zyx[:, ::-1] @ affine[:3, :3].T + affine[:3, 3]
    return float(np.linalg.norm(transform.map_points(points) - points, axis=1).max())
