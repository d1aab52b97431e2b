"""Polygons to pixels: those with a center inside, by the even-odd rule, or of any of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]


def fill_polygons(polygons: Iterable[Points], shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Fill closed polygons; centers inside an even number of them are outside.

    The rotation of holes doesn't matter; they may be contours of their own or joined to the outer
    contour by a slit ("keyhole", DICOM PS3.3 C.8.8.6.3). Centers on a left or upper edge are
    inside, so that polygons that share an edge neither overlap nor leave a gap.

    Parameters
    ----------
    polygons
        (points, 2) each, as (column, row) with pixel centers at whole numbers.
    shape
        (rows, columns).

    Returns
    -------
    array
        (rows, columns).
    """
    rows, columns = shape
    toggles = np.zeros((rows, columns + 1), dtype=np.int64)
    for polygon in polygons:
        start, end = polygon, np.roll(polygon, -1, axis=0)
        top = np.minimum(start[:, 1], end[:, 1])
        bottom = np.maximum(start[:, 1], end[:, 1])
        first = np.clip(np.ceil(top), 0, rows).astype(int)
        last = np.clip(np.ceil(bottom), 0, rows).astype(int)  # exclusive: a vertex counts once
        for edge in np.flatnonzero(last > first):
            (x0, y0), (x1, y1) = start[edge], end[edge]
            crossed = np.arange(first[edge], last[edge])
            x = x0 + (crossed - y0) * ((x1 - x0) / (y1 - y0))
            np.add.at(toggles, (crossed, np.clip(np.ceil(x), 0, columns).astype(int)), 1)
    return np.asarray(np.cumsum(toggles, axis=1)[:, :columns] % 2 == 1)


def fill_each(polygons: Sequence[Points], shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Fill closed polygons one by one.

    Returns
    -------
    array
        (polygons, rows, columns).
    """
    filled = np.zeros((len(polygons), *shape), dtype=bool)
    for index, polygon in enumerate(polygons):
        filled[index] = fill_polygons([polygon], shape)
    return filled


def polygon_area(polygon: Points) -> float:
    """Area of a polygon (shoelace formula), in the square of its points' unit."""
    x, y = polygon.T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)
