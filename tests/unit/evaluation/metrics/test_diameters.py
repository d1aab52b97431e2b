"""One definition of the longest diameter, for scores and for the measures of a study."""

from __future__ import annotations

import numpy as np
import pytest

from nnunet_pst.dataset.annotation import in_plane_extent_mm
from nnunet_pst.evaluation.metrics.diameters import Diameters, measure_diameters
from nnunet_pst.evaluation.metrics.extent import measure_size
from nnunet_pst.evaluation.metrics.lesions import components
from nnunet_pst.io.geometry import Grid
from nnunet_pst.segmentation.measures import measure_tumor

SPACING_ZYX_MM = (5.0, 1.0, 1.0)


def horseshoe() -> np.ndarray:
    """Two arms on the first slice that stairs up and a pillar down make one lesion."""
    mask = np.zeros((9, 20, 60), bool)
    mask[0, 5:13, 2:9] = mask[0, 5:13, 45:52] = True
    for step in range(1, 9):
        mask[step, 8, 6 * step - 4 : 6 * step + 4] = True
    mask[1:, 7:9, 51] = True
    return mask


def test_the_arms_of_a_horseshoe_are_measured_apart():
    assert components(horseshoe()).labels.max() == 1
    assert measure_diameters(horseshoe(), (1.0, 1.0)).longest_mm == pytest.approx(np.hypot(7, 8))
    # The distance from arm to arm is another measure, of another name.
    assert in_plane_extent_mm(horseshoe(), (1.0, 1.0)) == pytest.approx(np.hypot(50, 8))


def test_scores_and_studies_give_the_same_diameter():
    mask = horseshoe()
    grid = Grid(
        mask.shape[::-1], SPACING_ZYX_MM[::-1], (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1)
    )
    scored = measure_size(components(mask), SPACING_ZYX_MM).diameter_mm
    assert scored == measure_tumor(mask, grid).longest_mm


def test_an_empty_mask_has_none():
    assert measure_diameters(np.zeros((2, 3, 4), bool), (1.0, 1.0)) == Diameters()


def test_one_pixel_is_measured_from_corner_to_corner():
    mask = np.zeros((1, 3, 3), bool)
    mask[0, 1, 1] = True
    found = measure_diameters(mask, (3.0, 4.0))
    assert (found.longest_mm, found.slice_index) == (pytest.approx(5.0), 0)
    assert found.perpendicular_mm == pytest.approx(2 * 3 * 4 / 5)
