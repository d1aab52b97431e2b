"""Where voxels are in space: grids of parallel slices, and the only place where axes are reversed.

Arrays are (z, y, x) as in nnU-Net; points, spacings and sizes are (x, y, z) in LPS millimeters as
in SimpleITK and DICOM (L: toward the patient's left, P: posterior, S: superior).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

#: Two grids are the same when their corners differ by no more than this, in voxels.
#: Headers carry spacings such as 3.2699 and 3.2700 for the same scan, so equality is never tested.
GRID_TOLERANCE_VOXELS = 1e-3
#: From this share of the largest spacing on, the spacing of the third axis makes it the slice axis:
#: scans with slices thinner than their pixels are nearly cubic, those stored along another axis are
#: several times off.
NEARLY_CUBIC = 0.7

#: Planes by the axis (x, y, z of LPS) that is closest to the direction in which slices are stacked.
PLANES = ("sagittal", "coronal", "axial")


def reversed_axes(values: Sequence[int] | Sequence[float]) -> tuple[float, ...]:
    """Turn (x, y, z) into (z, y, x), or back."""
    return tuple(values[::-1])


@dataclass(frozen=True)
class Grid:
    """A regular grid of voxels in the patient's space.

    Parameters
    ----------
    size_xyz
        Number of voxels along each axis.
    spacing_xyz_mm
        Distance between neighboring voxel centers.
    origin_lps_mm
        Position of the center of the first voxel.
    direction
        3 x 3, row-major; column ``i`` is the LPS unit vector along which axis ``i`` of (x, y, z)
        runs (SimpleITK's ``GetDirection``).
    """

    size_xyz: tuple[int, int, int]
    spacing_xyz_mm: tuple[float, float, float]
    origin_lps_mm: tuple[float, float, float]
    direction: tuple[float, ...]

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """Shape of the array that holds this grid's voxels."""
        x, y, z = self.size_xyz
        return z, y, x

    @property
    def spacing_zyx_mm(self) -> tuple[float, float, float]:
        """Spacing in array order."""
        x, y, z = self.spacing_xyz_mm
        return z, y, x

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of one voxel in milliliters."""
        return float(np.prod(self.spacing_xyz_mm)) / 1000.0

    @property
    def affine_lps_mm(self) -> npt.NDArray[np.float64]:
        """4 x 4 matrix from voxel index (x, y, z) to LPS millimeters."""
        affine = np.eye(4)
        affine[:3, :3] = np.reshape(self.direction, (3, 3)) * np.asarray(self.spacing_xyz_mm)
        affine[:3, 3] = self.origin_lps_mm
        return affine

    @property
    def corners_lps_mm(self) -> npt.NDArray[np.float64]:
        """(8, 3) positions of the centers of the corner voxels."""
        last = np.asarray(self.size_xyz) - 1
        index = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) * last
        affine = self.affine_lps_mm
        return np.asarray(index @ affine[:3, :3].T + affine[:3, 3], dtype=np.float64)


def corner_distance_voxels(grid: Grid, other: Grid) -> float:
    """Largest distance between corresponding corners, in voxels of ``grid`` (its smallest spacing).

    Zero for equal grids; unlike a comparison of spacing, origin and direction one by one, it says
    how far a voxel is really displaced.
    """
    distance_mm = np.linalg.norm(grid.corners_lps_mm - other.corners_lps_mm, axis=1).max()
    return float(distance_mm / min(grid.spacing_xyz_mm))


def same_grid(grid: Grid, other: Grid, tolerance_voxels: float = GRID_TOLERANCE_VOXELS) -> bool:
    """Whether two grids have the same size and put every voxel at the same place."""
    if grid.size_xyz != other.size_xyz:
        return False
    return corner_distance_voxels(grid, other) <= tolerance_voxels


def slice_axis_xyz(grid: Grid) -> int:
    """Axis (0 = x, 1 = y, 2 = z) along which slices are stacked: the one with the largest spacing.

    nnU-Net's planner makes the same choice (``determine_transpose``). Where voxels are nearly cubic
    (`NEARLY_CUBIC`), the spacing tells nothing: then it is 2, the convention of image files.
    """
    spacing = np.asarray(grid.spacing_xyz_mm)
    return 2 if spacing[2] >= NEARLY_CUBIC * spacing.max() else int(np.argmax(spacing))


def slice_axis_remarks(grid: Grid) -> list[str]:
    """Say that the slice axis of nearly cubic voxels is taken by convention, if it is."""
    spacing = grid.spacing_xyz_mm
    if slice_axis_xyz(grid) != 2 or spacing[2] >= max(spacing) * (1 - 1e-3):
        return []
    shown = " x ".join(f"{value:.3g}" for value in spacing)
    return [
        f"its voxels are nearly cubic ({shown} mm): slices are taken along the third axis, z, "
        "though its spacing is not the largest"
    ]


def plane_of(grid: Grid) -> str:
    """Return the plane of a grid's slices, one of `PLANES`, by the direction of the third axis."""
    return PLANES[int(np.argmax(np.abs(grid.direction[2::3])))]
