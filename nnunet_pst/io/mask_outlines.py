"""Outlines of a mask along the edges of its pixels, as planar polygons without holes.

A polygon here runs around pixels, not through their centers: every pixel center is half a pixel
away from the line, so all fill rules of readers agree, and the polygon's area is that of the
pixels. A hole is joined to the outside by a channel of no width that runs up and back between
two columns of pixels ("keyhole", DICOM PS3.3 C.8.8.6.3): right for readers that fill by parity, by
winding, or that add contours up.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from nnunet_pst.io.geometry import Grid

#: Steps (row, column) east, south, west, north; a turn to the right is the next one.
_STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))
_EAST, _SOUTH, _WEST, _NORTH = range(4)
_Corner = tuple[int, int]
_Side = tuple[_Corner, int]


def outline_polygons(mask: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.int64]]:
    """Outline a slice.

    Parameters
    ----------
    mask
        (y, x).

    Returns
    -------
    list of numpy.ndarray
        For each part (pixels that share an edge), (n, 2) corners (row, column), from the upper
        left, clockwise as seen on a screen. Corner (r, c) is the upper left corner of pixel (r, c):
        in index coordinates it is at (r - 0.5, c - 0.5). Not closed; no three in a line.
    """
    sides = _sides(mask)
    slits = _slits(mask, _walks(sides))
    walks = _walks(sides | slits) if slits else _walks(sides)
    return [np.array(_corners(walk), dtype=np.int64) for walk in walks]


def outline_points_lps_mm(
    polygon: npt.NDArray[np.int64], slice_index: int, grid: Grid
) -> npt.NDArray[np.float64]:
    """Place a polygon of `outline_polygons` in the patient: (n, 3) LPS millimeters."""
    index = np.empty((len(polygon), 3))
    index[:, 0] = polygon[:, 1] - 0.5
    index[:, 1] = polygon[:, 0] - 0.5
    index[:, 2] = slice_index
    affine = grid.affine_lps_mm
    points: npt.NDArray[np.float64] = index @ affine[:3, :3].T + affine[:3, 3]
    return points


def _sides(mask: npt.NDArray[np.bool_]) -> set[_Side]:
    """Sides of pixels toward the outside, each with the pixel on its right."""
    padded = np.pad(mask, 1)
    inner = padded[1:-1, 1:-1]
    neighbors = {
        _EAST: (padded[:-2, 1:-1], (0, 0)),
        _SOUTH: (padded[1:-1, 2:], (0, 1)),
        _WEST: (padded[2:, 1:-1], (1, 1)),
        _NORTH: (padded[1:-1, :-2], (1, 0)),
    }
    return {
        ((int(row) + down, int(column) + along), direction)
        for direction, (beside, (down, along)) in neighbors.items()
        for row, column in np.argwhere(inner & ~beside)
    }


def _walks(sides: Iterable[_Side]) -> list[list[_Side]]:
    """Join sides to closed walks, turning right where possible, so that each stays in its part."""
    left = set(sides)
    walks = []
    for start in sorted(left):
        if start not in left:
            continue
        walk, side = [], start
        while side in left:
            left.remove(side)
            walk.append(side)
            (row, column), direction = side
            corner = (row + _STEPS[direction][0], column + _STEPS[direction][1])
            turns = ((corner, (direction + turn) % 4) for turn in (1, 0, 3))
            side = next((turn for turn in turns if turn in left), start)
        walks.append(walk)
    return walks


def _slits(mask: npt.NDArray[np.bool_], walks: list[list[_Side]]) -> set[_Side]:
    """Channels from the top of every hole upwards to the next line, in both directions."""
    at_lines = {corner for walk in walks for corner, _ in walk}
    slits: set[_Side] = set()
    for walk in walks:
        row, column = min(corner for corner, _ in walk)
        # The first corner of an outline is the upper left one of a pixel inside; that of a hole
        # has pixels of the mask on both sides above it.
        if ((row, column), _EAST) in walk:
            continue
        while True:
            slits |= {((row, column), _NORTH), ((row - 1, column), _SOUTH)}
            row -= 1
            if (row, column) in at_lines:
                break
    return slits


def _corners(walk: list[_Side]) -> list[_Corner]:
    """Corners where a walk turns."""
    return [
        corner for place, (corner, direction) in enumerate(walk) if walk[place - 1][1] != direction
    ]
