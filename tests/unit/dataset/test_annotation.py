"""Three-state labels, by hand on small masks."""

from __future__ import annotations

import numpy as np
import pytest

from nnunet_pst.dataset.annotation import (
    Drawing,
    LabelRules,
    drawing_problems,
    far_reach,
    free_negatives,
    in_plane_extent_mm,
    known_slices,
    largest_slice,
    three_state_label,
)
from nnunet_pst.errors import Fault

SPACING = (5.0, 1.0, 1.0)


def mask_of(areas: list[int]) -> np.ndarray:
    """A mask with these numbers of voxels in its slices, each in one row."""
    mask = np.zeros((len(areas), 3, 20), dtype=bool)
    for z, area in enumerate(areas):
        mask[z, 1, :area] = True
    return mask


def drawing(areas: list[int], kind: str = "coarse", **cells: object) -> Drawing:
    return Drawing(mask_of(areas), SPACING, kind, **cells)


@pytest.mark.parametrize(
    ("areas", "largest"),
    [([0, 3, 9, 3], 2), ([4, 4, 4], 1), ([4, 4], 0), ([0, 5, 1, 5, 5], 3), ([1, 0, 0], 0)],
)
def test_the_largest_slice_and_ties(areas: list[int], largest: int):
    assert largest_slice(mask_of(areas)) == largest


def test_an_empty_mask_has_no_largest_slice():
    with pytest.raises(ValueError):
        largest_slice(mask_of([0, 0]))


def test_a_coarse_mask_is_known_in_its_window_and_where_it_was_drawn():
    known = known_slices(
        drawing([0, 0, 0, 2, 9, 2, 0, 0, 1, 0]), LabelRules(coarse_slices=2), simulate=True
    )
    assert np.flatnonzero(known).tolist() == [2, 3, 4, 5, 6, 8]


def test_annotated_slices_override_the_window():
    known = known_slices(drawing([0, 2, 9, 2, 0], annotated=(0, 2)), LabelRules(), simulate=True)
    assert np.flatnonzero(known).tolist() == [0, 2]


def test_slices_outside_the_simulated_window_are_unknown():
    fine = drawing([1, 2, 9, 2, 1], "fine")
    rules = LabelRules(simulate_coarse=1)
    assert known_slices(fine, rules, simulate=True).tolist() == [False, True, True, True, False]
    assert known_slices(fine, rules, simulate=False).all()
    assert known_slices(fine, LabelRules(), simulate=True).all()


def test_simulation_leaves_coarse_masks():
    rules = LabelRules(coarse_slices=0, simulate_coarse=4)
    assert known_slices(drawing([0, 9, 0]), rules, simulate=True).tolist() == [False, True, False]


def test_clicks_make_free_negatives():
    clicked = drawing([0, 0, 0, 9, 0, 0, 0], first=1, last=5)
    known = known_slices(clicked, LabelRules(coarse_slices=1), simulate=True)
    free, note = free_negatives(clicked, LabelRules(far_negatives=True), known, lesions=2)
    assert np.flatnonzero(free).tolist() == [0, 6]
    assert note is None


def test_far_negatives_begin_at_three_quarters_of_the_diameter_and_two_slices():
    # Diameter 10 pixels of 1 mm, one pixel high: sqrt(101) mm; 0.75 x 10.05 / 5 + 2 = 3.5 slices.
    areas = [0] * 6 + [10] + [0] * 6
    coarse = drawing(areas)
    known = known_slices(coarse, LabelRules(coarse_slices=1), simulate=True)
    free, note = free_negatives(coarse, LabelRules(far_negatives=True), known, lesions=1)
    assert np.flatnonzero(free).tolist() == [0, 1, 2, 10, 11, 12]
    assert note is None
    assert not free_negatives(coarse, LabelRules(), known, lesions=1)[0].any()


def test_far_negatives_need_a_single_lesion():
    coarse = drawing([0] * 8 + [2] + [0] * 8)
    known = known_slices(coarse, LabelRules(coarse_slices=1), simulate=True)
    free, note = free_negatives(coarse, LabelRules(far_negatives=True), known, lesions=2)
    assert not free.any()
    assert "2 separate lesions" in str(note)


def test_far_negatives_give_way_to_a_long_lesion():
    long = drawing([1] * 8 + [2] + [1] * 8 + [0] * 4)
    known = known_slices(long, LabelRules(coarse_slices=1), simulate=True)
    free, note = free_negatives(long, LabelRules(far_negatives=True), known, lesions=1)
    assert not free.any()
    assert "longer than wide" in str(note)


def test_only_known_slices_are_measured():
    # The hidden slice is wider: it must not push the free negatives out.
    annotated = drawing([0] * 8 + [4, 20] + [0] * 8, annotated=(8,))
    known = known_slices(annotated, LabelRules(), simulate=True)
    free, _ = free_negatives(annotated, LabelRules(far_negatives=True), known, lesions=1)
    assert np.flatnonzero(free).min() == 0
    assert free[12]


def test_three_states():
    mask = mask_of([0, 2, 2, 0])
    known = np.array([False, True, False, False])
    free = np.array([True, False, False, False])
    label = three_state_label(mask, known=known, free=free, unknown="ignore")
    assert [np.unique(image).tolist() for image in label] == [[0], [0, 1], [2], [2]]
    assert label.dtype == np.uint8
    label = three_state_label(mask, known=known, free=free, unknown="background")
    assert set(np.unique(label).tolist()) == {0, 1}


def test_the_far_rule_scales_with_the_spacing():
    assert far_reach(40.0, 10.0) == 5
    assert far_reach(40.0, 5.0) == 8


def test_diameters():
    assert in_plane_extent_mm(np.zeros((2, 3, 3), dtype=bool), (1, 1)) == 0
    one = np.zeros((1, 3, 3), dtype=bool)
    one[0, 1, 1] = True
    assert in_plane_extent_mm(one, (3.0, 4.0)) == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("cells", "fault"),
    [
        ({"annotated": (1, 9)}, Fault.OUT_OF_RANGE),
        ({"annotated": (0,)}, Fault.CONTRADICTION),
        ({"first": 0, "last": 4}, Fault.OUT_OF_RANGE),
        ({"first": 2, "last": 3}, Fault.CONTRADICTION),
    ],
)
def test_contradictions(cells: dict[str, object], fault: Fault):
    (problem,) = drawing_problems(drawing([0, 1, 2, 0], **cells))
    assert problem.fault is fault


def test_no_contradictions():
    assert drawing_problems(drawing([0, 1, 2, 0], first=1, last=2, annotated=(2,))) == []
    assert [problem.fault for problem in drawing_problems(drawing([0, 0]))] == [Fault.EMPTY]
