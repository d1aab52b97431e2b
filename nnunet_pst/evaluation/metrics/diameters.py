"""The diameters of a tumor, as a radiologist measures them: the only place that defines them.

RECIST 1.1 (Eisenhauer et al., doi:10.1016/j.ejca.2008.10.026) measures the longest diameter of a
lesion in the plane of acquisition. Here that is the largest distance between two points of one
connected part of one slice (8 neighbors), from outer edge to outer edge of the pixels. It never
spans a gap: the two arms of a horseshoe that meet on another slice are two parts, and so are a
lesion and a speck far away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import ConvexHull, distance

_EIGHT_NEIGHBORS = np.ones((3, 3))


@dataclass(frozen=True)
class Diameters:
    """Of one part of one slice, in mm.

    Attributes
    ----------
    longest_mm
        Largest distance between two points of the part.
    perpendicular_mm
        Largest width at right angles to it.
    slice_index
        0-based; -1 where there is no tumor.
    """

    longest_mm: float = 0.0
    perpendicular_mm: float = 0.0
    slice_index: int = -1


def measure_diameters(mask: npt.NDArray[np.bool_], spacing_yx_mm: tuple[float, float]) -> Diameters:
    """Measure the part with the longest diameter; of several equal ones, that on the first slice.

    Parameters
    ----------
    mask
        (z, y, x); may be empty.
    spacing_yx_mm
        Distances between pixel centers of a slice.
    """
    best = Diameters()
    for index in np.flatnonzero(mask.any(axis=(1, 2))):
        parts = np.empty(mask.shape[1:], np.int32)
        ndimage.label(mask[index], structure=_EIGHT_NEIGHBORS, output=parts)
        for number, box in enumerate(ndimage.find_objects(parts), start=1):
            longest, across = _part_diameters(parts[box] == number, spacing_yx_mm)
            if (longest, across) > (best.longest_mm, best.perpendicular_mm):
                best = Diameters(longest, across, int(index))
    return best


def _part_diameters(
    part: npt.NDArray[np.bool_], spacing_yx_mm: tuple[float, float]
) -> tuple[float, float]:
    """Return the distance of the two farthest corners, and the width at right angles to it."""
    rows = np.flatnonzero(part.any(axis=1))
    # Only the ends of a row can be corners of the convex hull.
    left = part[rows].argmax(axis=1) - 0.5
    right = part.shape[1] - part[rows, ::-1].argmax(axis=1) - 0.5
    y = np.concatenate([rows - 0.5, rows + 0.5] * 2) * spacing_yx_mm[0]
    x = np.concatenate([left, left, right, right]) * spacing_yx_mm[1]
    corners = np.stack([y, x], axis=1)
    hull = corners[ConvexHull(corners).vertices]
    apart = distance.cdist(hull, hull)
    one, other = np.unravel_index(int(apart.argmax()), apart.shape)
    along = (hull[other] - hull[one]) / apart.max()
    across = hull @ np.array([-along[1], along[0]])
    return float(apart.max()), float(np.ptp(across))
