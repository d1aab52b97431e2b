"""Outlines of masks: no holes, the pixels' own area, and every reader's inside is ours."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from nnunet_pst.io.geometry import Grid
from nnunet_pst.io.mask_outlines import outline_points_lps_mm, outline_polygons

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.booleans())


def signed_area(polygon: np.ndarray) -> float:
    """Positive when it runs clockwise on a screen (rows down)."""
    row, column = polygon.T.astype(float)
    return 0.5 * float(np.sum(column * np.roll(row, -1) - np.roll(column, -1) * row))


def winding(polygon: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """How often a polygon runs around each pixel's center."""
    rows, columns = np.indices(shape)
    turns = np.zeros(shape, dtype=int)
    for (r0, c0), (r1, c1) in zip(polygon - 0.5, np.roll(polygon, -1, axis=0) - 0.5, strict=True):
        if c0 == c1:  # a side along the rows, hit by a ray toward the right
            hit = (columns < c0) & (rows > min(r0, r1)) & (rows < max(r0, r1))
            turns += hit * int(np.sign(r1 - r0))
    return turns


@given(MASKS)
@settings(max_examples=200, deadline=None)
def test_polygons_are_the_mask(mask: np.ndarray):
    polygons = outline_polygons(mask)
    assert len(polygons) == ndimage.label(mask)[1]
    assert sum(map(signed_area, polygons)) == mask.sum()
    turns = [winding(polygon, mask.shape) for polygon in polygons]
    assert all(set(np.unique(one)) <= {0, 1} for one in turns)  # parity and winding agree
    assert np.array_equal(sum(turns, np.zeros(mask.shape, int)), mask)


@given(MASKS)
@settings(max_examples=50, deadline=None)
def test_no_three_corners_lie_in_a_line_unless_a_channel_turns(mask: np.ndarray):
    for polygon in outline_polygons(mask):
        step = np.sign(np.diff(polygon, axis=0, append=polygon[:1]))
        assert not (step == np.roll(step, 1, axis=0)).all(axis=1).any()


def test_a_ring_is_one_polygon_with_a_channel():
    ring = np.ones((3, 3), bool)
    ring[1, 1] = False
    (polygon,) = outline_polygons(ring)
    assert polygon.tolist() == [
        *([0, 0], [0, 1], [2, 1], [2, 2], [1, 2], [1, 1], [0, 1]),  # down the channel and back
        *([0, 3], [3, 3], [3, 0]),
    ]


def test_nothing_has_no_outline():
    assert outline_polygons(np.zeros((4, 5), bool)) == []


@pytest.mark.parametrize("angle", [0.0, 0.4])
def test_points_lie_half_a_pixel_outside_the_centers(angle: float):
    cosine, sine = np.cos(angle), np.sin(angle)
    direction = (1.0, 0.0, 0.0, 0.0, cosine, -sine, 0.0, sine, cosine)
    grid = Grid((8, 6, 3), (0.5, 2.0, 4.0), (10.0, -20.0, 30.0), direction)
    mask = np.zeros((6, 8), bool)
    mask[2, 3] = True
    (polygon,) = outline_polygons(mask)
    points = outline_points_lps_mm(polygon, 1, grid)
    center = grid.affine_lps_mm @ (3, 2, 1, 1)
    assert points.mean(axis=0) == pytest.approx(center[:3])
    along = (points - center[:3]) @ np.reshape(direction, (3, 3))
    assert np.abs(along) == pytest.approx(np.tile([0.25, 1.0, 0.0], (4, 1)))
