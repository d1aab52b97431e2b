"""Where images lie: their normal, their place along it, and whether places repeat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nnunet_pst.dicom.reading.headers import Slice

#: Orientations are the same up to this difference of a component: headers are rounded.
SAME_ORIENTATION = 1e-3
#: Positions along the normal are the same up to this.
SAME_POSITION_MM = 0.01
#: Below 45 degrees of tilt, a plane is called after the axis that its normal is closest to.
PLANES = ("sagittal", "coronal", "axial")


def normal_of(one: Slice) -> npt.NDArray[np.float64] | None:
    """(3,) LPS unit vector at right angles to row and column; None without an orientation."""
    if one.orientation is None:
        return None
    normal = np.cross(one.orientation[:3], one.orientation[3:])
    length = float(np.linalg.norm(normal))
    return np.asarray(normal / length, dtype=np.float64) if length > 0.5 else None


def depth_mm(one: Slice, normal: npt.NDArray[np.float64]) -> float:
    """Position along a normal; 0 for an image without a place."""
    return 0.0 if one.position_lps_mm is None else float(np.dot(one.position_lps_mm, normal))


def same_orientation(one: Slice, other: Slice) -> bool:
    """Whether two images lie in parallel planes with the same rows and columns."""
    if one.orientation is None or other.orientation is None:
        return one.orientation == other.orientation
    return bool(np.allclose(one.orientation, other.orientation, rtol=0, atol=SAME_ORIENTATION))


def plane_name(one: Slice) -> str:
    """Name the plane of an image: one of `PLANES`, or ``unknown``."""
    normal = normal_of(one)
    return "unknown" if normal is None else PLANES[int(np.argmax(np.abs(normal)))]


def depths_mm(slices: Sequence[Slice]) -> npt.NDArray[np.float64]:
    """(n,) positions along the normal; images without an orientation count from 0."""
    normal = normal_of(slices[0])
    if normal is None:
        return np.arange(len(slices), dtype=np.float64)
    return np.array([depth_mm(one, normal) for one in slices])


def has_repeats(slices: Sequence[Slice]) -> bool:
    """Whether a place along the normal occurs more than once."""
    return bool((np.diff(np.sort(depths_mm(slices))) < SAME_POSITION_MM).any())


def by_place(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Group images by their place along the normal, in its order."""
    depths = depths_mm(slices)
    groups: list[list[Slice]] = []
    last = -np.inf
    for index in np.argsort(depths, kind="stable"):
        if depths[index] - last >= SAME_POSITION_MM:
            groups.append([])
            last = depths[index]
        groups[-1].append(slices[int(index)])
    return groups


def along_normal(slices: Sequence[Slice]) -> list[Slice]:
    """Order images along their normal."""
    order = np.argsort(depths_mm(slices), kind="stable")
    return [slices[int(index)] for index in order]
