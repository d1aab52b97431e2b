"""Volumes, diameters and warnings of masks that can be measured by hand."""

from __future__ import annotations

import numpy as np
import pytest

from nnunet_pst.io.geometry import Grid
from nnunet_pst.segmentation.measures import mask_warnings, measure_tumor

GRID = Grid((20, 16, 8), (0.5, 2.0, 5.0), (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))


def empty() -> np.ndarray:
    return np.zeros(GRID.shape_zyx, bool)


def test_a_block():
    mask = empty()
    mask[2:5, 3:6, 4:12] = True  # 4 mm along x, 6 mm along y, 15 mm along z
    found = measure_tumor(mask, GRID)
    assert found.volume_ml == pytest.approx(0.36)
    assert found.longest_mm == pytest.approx(np.hypot(4, 6))
    # The corners off the diagonal, each at the height of the half triangle.
    assert found.perpendicular_mm == pytest.approx(2 * 4 * 6 / np.hypot(4, 6))
    assert found.height_mm == 15.0
    assert (found.slices, found.first_slice, found.last_slice, found.parts) == (3, 2, 4, 1)
    assert mask_warnings(mask, found) == []


def test_a_tilt_changes_nothing():
    mask = empty()
    mask[2:5, 3:6, 4:12] = True
    cosine, sine = np.cos(0.4), np.sin(0.4)
    tilted = Grid(
        GRID.size_xyz,
        GRID.spacing_xyz_mm,
        (5.0, 6.0, 7.0),
        (1, 0, 0, 0, cosine, -sine, 0, sine, cosine),
    )
    assert measure_tumor(mask, tilted).as_json() == measure_tumor(mask, GRID).as_json()


def test_the_longest_diameter_is_that_of_its_slice():
    mask = empty()
    mask[2, 3, 4] = mask[3, 3, 2:18] = True
    found = measure_tumor(mask, GRID)
    assert (found.longest_slice, found.longest_mm) == (3, pytest.approx(np.hypot(8, 2)))


def test_an_empty_mask():
    found = measure_tumor(empty(), GRID)
    assert (found.volume_ml, found.slices, found.first_slice) == (0.0, 0, None)
    assert "empty result" in mask_warnings(empty(), found)[0]


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (np.s_[0:4, 5:8, 5:8], "first or last slice"),
        (np.s_[5:8, 5:8, 5:8], "first or last slice"),
        (np.s_[2:6, 0:8, 5:8], "edge of the field of view"),
        (np.s_[2:6, 5:8, 15:20], "edge of the field of view"),
        (np.s_[2:4, 5:8, 5:8], "few slices: tumor on 2 of 8"),
    ],
)
def test_warnings(place: tuple, words: str):
    mask = empty()
    mask[place] = True
    warnings = mask_warnings(mask, measure_tumor(mask, GRID))
    assert len(warnings) == 1
    assert words in warnings[0]


def test_separate_parts_are_counted():
    mask = empty()
    mask[2:6, 3, 3] = mask[2:6, 10, 10] = True
    assert "2 separate parts" in mask_warnings(mask, measure_tumor(mask, GRID))[0]


def test_a_speck_far_away_does_not_lengthen_the_tumor() -> None:
    grid = Grid((40, 30, 3), (1.0, 1.0, 5.0), (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    mask = np.zeros((3, 30, 40), bool)
    mask[1, 5:9, 5:11] = True
    alone = measure_tumor(mask, grid)
    mask[1, 25, 38] = True
    assert measure_tumor(mask, grid).longest_mm == pytest.approx(alone.longest_mm)
    assert alone.longest_mm == pytest.approx(np.hypot(4, 6))
