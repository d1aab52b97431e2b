"""How far two surfaces lie apart: the distances once, then each measure in a few lines.

A surface runs between voxel centers, as marching cubes draw it: each cell of 2 x 2 x 2 neighboring
voxels that holds both tumor and background is one element. It lies at the cell's center and weighs
as much as the area of the surface in it, in mm², so that thick slices neither double nor halve what
a stretch of surface counts. The measures, their weighting and the place of the elements are those
of Nikolov et al., "Clinically applicable segmentation of head and neck anatomy for radiotherapy",
doi:10.2196/26151, which their authors published as ``surface-distance``; tests hold ours against
it. Why it is not the library itself: docs/decisions/0061.

The edge of the image is a surface too where tumor touches it. Masks are never empty here: what an
empty one is worth is declared in `metrics.measures`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Vector = tuple[float, float, float]

#: Corners of a cell, (8, 3) in (z, y, x); corner ``i`` is bit ``i`` of the cell's code.
_CORNERS = np.array([[i >> 2 & 1, i >> 1 & 1, i & 1] for i in range(8)])
_FULL = 255


@dataclass(frozen=True)
class SurfaceDistances:
    """Distances between the surfaces of a reference and a prediction.

    Parameters
    ----------
    from_reference_mm, from_prediction_mm
        Of each element of the one surface to the nearest element of the other, ascending.
    reference_mm2, prediction_mm2
        Areas of the same elements, in the same order.
    """

    from_reference_mm: Floats
    reference_mm2: Floats
    from_prediction_mm: Floats
    prediction_mm2: Floats


def surface_distances(
    reference: Mask, prediction: Mask, spacing_zyx_mm: Vector
) -> SurfaceDistances:
    """Measure the distances between two surfaces.

    Parameters
    ----------
    reference, prediction
        (z, y, x), neither of them empty.
    spacing_zyx_mm
        Distances between voxel centers.

    Raises
    ------
    ValueError
        A mask is empty: it has no surface.
    """
    if not reference.any() or not prediction.any():
        raise ValueError("an empty mask has no surface")
    (box,) = ndimage.find_objects((reference | prediction).astype(np.uint8))
    codes = [_cell_codes(mask[box]) for mask in (reference, prediction)]
    surfaces = [(code != 0) & (code != _FULL) for code in codes]
    areas = _cell_areas_mm2(spacing_zyx_mm)
    away = [_distances_mm(surface, spacing_zyx_mm) for surface in surfaces]
    return SurfaceDistances(
        *_ascending(away[1][surfaces[0]], areas[codes[0][surfaces[0]]]),
        *_ascending(away[0][surfaces[1]], areas[codes[1][surfaces[1]]]),
    )


def hausdorff_mm(distances: SurfaceDistances, percent: float = 95.0) -> float:
    """Return the percentile of each surface's distances, weighted by area; the larger of the two.

    The percentile is the smallest distance within which at least ``percent`` of the surface lies;
    100 is the Hausdorff distance.
    """
    return max(
        _percentile(distances.from_reference_mm, distances.reference_mm2, percent),
        _percentile(distances.from_prediction_mm, distances.prediction_mm2, percent),
    )


def average_distance_mm(distances: SurfaceDistances) -> float:
    """Mean distance over both surfaces together, weighted by area.

    The average symmetric surface distance of Heimann et al., doi:10.1109/TMI.2009.2013851, with
    areas instead of numbers of voxels.
    """
    total = np.dot(distances.from_reference_mm, distances.reference_mm2)
    total += np.dot(distances.from_prediction_mm, distances.prediction_mm2)
    return float(total / (distances.reference_mm2.sum() + distances.prediction_mm2.sum()))


def surface_dice(distances: SurfaceDistances, tolerance_mm: float) -> float:
    """Share of both surfaces that lies within a tolerance of the other, in [0, 1].

    The normalized surface distance, or surface Dice, of Nikolov et al., doi:10.2196/26151.
    """
    near = distances.reference_mm2[distances.from_reference_mm <= tolerance_mm].sum()
    near += distances.prediction_mm2[distances.from_prediction_mm <= tolerance_mm].sum()
    return float(near / (distances.reference_mm2.sum() + distances.prediction_mm2.sum()))


def _distances_mm(surface: Mask, spacing_zyx_mm: Vector) -> Floats:
    """Distance of every cell to the nearest one of a surface."""
    distances = ndimage.distance_transform_edt(~surface, sampling=spacing_zyx_mm)
    return np.asarray(distances, dtype=np.float64)


def _percentile(ascending_mm: Floats, areas_mm2: Floats, percent: float) -> float:
    within = np.cumsum(areas_mm2)
    place = np.searchsorted(within, percent / 100.0 * within[-1])
    return float(ascending_mm[min(int(place), len(ascending_mm) - 1)])


def _ascending(distances_mm: Floats, areas_mm2: Floats) -> tuple[Floats, Floats]:
    order = np.argsort(distances_mm, kind="stable")
    return distances_mm[order], areas_mm2[order]


def _cell_codes(mask: Mask) -> npt.NDArray[np.uint8]:
    """Say which corners of every cell are tumor, with background around: (n + 1) cells an axis."""
    padded = np.pad(mask, 1).astype(np.uint8)
    codes = np.zeros(tuple(length + 1 for length in mask.shape), np.uint8)
    for bit, corner in enumerate(_CORNERS):
        part = tuple(
            slice(start, start + length) for start, length in zip(corner, codes.shape, strict=True)
        )
        codes |= padded[part] << bit
    return codes


@lru_cache(maxsize=64)
def _cell_areas_mm2(spacing_zyx_mm: Vector) -> Floats:
    """Area of the surface in a cell, by the cell's code: (256,)."""
    areas = np.zeros(_FULL + 1)
    for code in range(1, _FULL):
        for loop in _loops(code):
            points = loop * np.asarray(spacing_zyx_mm)
            spokes = points - points.mean(axis=0)
            fan = np.cross(spokes, np.roll(spokes, -1, axis=0))
            areas[code] += np.linalg.norm(fan, axis=1).sum() / 2
    return areas


def _loops(code: int) -> list[Floats]:
    """Outlines of the surface in a cell: closed loops of points halfway along the cell's edges.

    On each face of the cell, the surface runs between the halves of the edges whose ends differ.
    Where tumor and background sit crosswise on a face, each tumor corner is cut off by itself.
    """
    inside = [bool(code >> corner & 1) for corner in range(8)]
    following: dict[frozenset[int], list[frozenset[int]]] = {}
    for ring in _faces():
        edges = [frozenset((ring[i], ring[(i + 1) % 4])) for i in range(4)]
        flags = [inside[corner] for corner in ring]
        if flags in ([True, False, True, False], [False, True, False, True]):
            pairs = [(edges[i - 1], edges[i]) for i in range(4) if flags[i]]
        else:
            crossed = [edges[i] for i in range(4) if flags[i] != flags[(i + 1) % 4]]
            pairs = [(crossed[0], crossed[1])] if crossed else []
        for one, other in pairs:
            following.setdefault(one, []).append(other)
            following.setdefault(other, []).append(one)
    return [
        np.array([_CORNERS[list(edge)].mean(axis=0) for edge in loop])
        for loop in _closed(following)
    ]


def _faces() -> list[list[int]]:
    """Corners of the six faces, each in the order around it."""
    faces = []
    for axis in (4, 2, 1):  # the bit of a corner's number that z, y and x stand in
        one, other = (bit for bit in (4, 2, 1) if bit != axis)
        faces += [[side, side + one, side + one + other, side + other] for side in (0, axis)]
    return faces


def _closed(following: dict[frozenset[int], list[frozenset[int]]]) -> list[list[frozenset[int]]]:
    """Walk along neighbors, of which every point has two, until every loop is closed."""
    loops = []
    left = dict(following)
    while left:
        start = next(iter(left))
        loop, point = [start], start
        while True:
            ahead = [other for other in left.pop(point) if other in left]
            if not ahead:
                break
            point = ahead[0]
            loop.append(point)
        loops.append(loop)
    return loops
