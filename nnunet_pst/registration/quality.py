"""How well two images fit on each other, and how far a transform moves the body."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813 - its usual name
from scipy import ndimage

from nnunet_pst.io.geometry import Grid
from nnunet_pst.io.volumes import Volume
from nnunet_pst.registration.preparation import clipped
from nnunet_pst.registration.transforms import SpatialTransform

#: Bins of the joint histogram along each axis.
BINS = 32
#: Number of random points of the reference at which both images are sampled.
POINTS = 100_000
#: How far the moving image is pushed aside to see whether it fits where it is, in mm.
PUSH_MM = 12.0


@dataclass(frozen=True)
class Alignment:
    """How well two images fit on each other.

    Attributes
    ----------
    mutual_information
        In nats, at points of the reference that the moving image covers; 0 means unrelated.
    body_overlap
        Dice of the two body masks there; 1 means the same outline.
    covered
        Share of the reference's points that the moving image covers.
    """

    mutual_information: float
    body_overlap: float
    covered: float


def mutual_information(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> float:
    """Mutual information of two lists of gray values, in nats.

    ``sum p(a, b) log(p(a, b) / (p(a) p(b)))`` over a joint histogram of `BINS` squared bins (Maes
    et al. 1997, doi 10.1109/42.563664). 0 where one of them has a single value.
    """
    if not len(first):
        return 0.0
    cells = _bin(first) * BINS + _bin(second)
    joint = np.bincount(cells, minlength=BINS * BINS).reshape(BINS, BINS) / len(first)
    apart = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    filled = joint > 0
    return float(np.sum(joint[filled] * np.log(joint[filled] / apart[filled])))


def _bin(values: npt.NDArray[np.float32]) -> npt.NDArray[np.intp]:
    """Return each value's bin; bins are equally wide from the smallest to the largest value."""
    lowest, width = float(values.min()), float(np.ptp(values)) or 1.0
    bins = ((values.astype(np.float64) - lowest) / width * BINS).astype(np.intp)
    return np.minimum(bins, BINS - 1)


def body_mask(image: Volume) -> npt.NDArray[np.bool_]:
    """Find the body: above Otsu's threshold of the square root, largest piece, holes filled.

    The root separates dark tissue from air: in fat-suppressed images most tissue is dark.
    """
    values = clipped(image.array)
    roots = np.sqrt(values - values.min())
    if roots.max() == 0:
        return np.zeros(roots.shape, dtype=bool)
    mask = sitk.GetArrayFromImage(sitk.OtsuThreshold(sitk.GetImageFromArray(roots), 0, 1)) > 0
    pieces = sitk.RelabelComponent(sitk.ConnectedComponent(sitk.GetImageFromArray(mask * 1)))
    largest = sitk.GetArrayFromImage(pieces) == 1
    return np.stack([ndimage.binary_fill_holes(part) for part in largest])


class Comparison:
    """Two images, prepared once to be measured under any number of transforms.

    Both are sampled, by linear interpolation, at random points of the reference rather than at its
    voxels: interpolation averages noise, and at voxels it would do so in the moving image only,
    more under a transform that falls between its voxels than under the scanner's.

    Parameters
    ----------
    reference, moving
        Any grids in one space.
    """

    def __init__(self, reference: Volume, moving: Volume) -> None:
        self._grids = reference.grid, moving.grid
        self.bodies = body_mask(reference), body_mask(moving)
        self._moving = clipped(moving.array)
        # A point less than half a voxel outside the centers is still in a voxel. Every run uses the
        # same points, so that the same images get the same numbers.
        size = np.asarray(reference.grid.size_xyz)
        index_xyz = np.random.default_rng(0).uniform(-0.5, size - 0.5, (POINTS, 3))
        self._points = _to_points(index_xyz, reference.grid)
        self._fixed = _look_up(clipped(reference.array), index_xyz, order=1)
        self._fixed_body = _look_up(self.bodies[0], index_xyz, order=0)

    def measure(self, transform: SpatialTransform) -> Alignment:
        """Measure how well the moving image fits on the reference under a transform."""
        index_xyz, covered = self._covered(transform.map_points(self._points))
        if not covered.any():
            return Alignment(0.0, 0.0, 0.0)
        information = self._information(index_xyz, covered)
        body = _look_up(self.bodies[1], index_xyz[covered], order=0)
        overlap = _dice(self._fixed_body[covered], body)
        return Alignment(information, overlap, float(covered.mean()))

    def left_when_pushed(self, transform: SpatialTransform) -> tuple[float, float, float]:
        """Share of the mutual information that is left when the moving image is pushed aside.

        Two images of one body fit in one place only. Images of two bodies fit equally badly
        everywhere, and lose almost nothing.

        Returns
        -------
        tuple
            Along x, y and z of the moving image's grid, each the mean of a push by `PUSH_MM` (two
            slices where they are thicker) to either side; 1 where there is no information.
        """
        mapped = transform.map_points(self._points)
        aligned = self._information(*self._covered(mapped))
        if aligned <= 0:
            return 1.0, 1.0, 1.0
        grid = self._grids[1]
        directions = np.reshape(grid.direction, (3, 3)).T
        steps_mm = [max(PUSH_MM, 2 * mm) for mm in grid.spacing_xyz_mm]
        left = [
            np.mean(
                [
                    self._information(*self._covered(mapped + side * mm * direction))
                    for side in (-1, 1)
                ]
            )
            for mm, direction in zip(steps_mm, directions, strict=True)
        ]
        x, y, z = (float(value) / aligned for value in left)
        return x, y, z

    @cached_property
    def _body_points(self) -> npt.NDArray[np.float64]:
        return self._points[self._fixed_body] if self._fixed_body.any() else self._points

    def largest_displacement_mm(self, transform: SpatialTransform) -> float:
        """Largest distance that the transform moves a point of the reference's body, in mm."""
        moved = transform.map_points(self._body_points) - self._body_points
        return float(np.linalg.norm(moved, axis=1).max())

    def _covered(
        self, points: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """Return the moving image's (x, y, z) indices of points, and which are in its voxels."""
        grid = self._grids[1]
        inverse = np.linalg.inv(grid.affine_lps_mm)
        index_xyz = points @ inverse[:3, :3].T + inverse[:3, 3]
        inside = (index_xyz >= -0.5) & (index_xyz <= np.asarray(grid.size_xyz) - 0.5)
        return index_xyz, inside.all(axis=1)

    def _information(
        self, index_xyz: npt.NDArray[np.float64], covered: npt.NDArray[np.bool_]
    ) -> float:
        values = _look_up(self._moving, index_xyz[covered], order=1)
        return mutual_information(self._fixed[covered], values)


def _to_points(index_xyz: npt.NDArray[np.float64], grid: Grid) -> npt.NDArray[np.float64]:
    affine = grid.affine_lps_mm
    return np.asarray(index_xyz @ affine[:3, :3].T + affine[:3, 3], dtype=np.float64)


def _look_up(
    array: npt.NDArray[Any], index_xyz: npt.NDArray[np.float64], *, order: Literal[0, 1]
) -> npt.NDArray[Any]:
    """Values of a (z, y, x) array between its voxels; within half a voxel outside, the nearest."""
    values = np.empty(len(index_xyz), dtype=array.dtype)
    index_zyx = index_xyz[:, ::-1].T
    ndimage.map_coordinates(array, index_zyx, output=values, order=order, mode="nearest")
    return values


def _dice(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> float:
    both = int(np.count_nonzero(first)) + int(np.count_nonzero(second))
    return 2 * int(np.count_nonzero(first & second)) / both if both else 0.0
