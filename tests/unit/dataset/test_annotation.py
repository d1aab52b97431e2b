"""Three-state labels, by hand on small masks."""

from __future__ import annotations

import numpy as np
import pytest

from nnunet_pst.dataset.annotation import (
    Drawing,
    LabelRules,
    far_reach,
    free_negatives,
    in_plane_extent_mm,
    known_slices,
    largest_slice,
    slices_of_another_lesion,
    three_state_label,
)
from nnunet_pst.dataset.drawing_checks import drawing_problems, drawing_remarks
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


@pytest.mark.parametrize("extents", [(), ((2, 8),)])
def test_a_coarse_mask_is_known_where_it_was_drawn_and_nowhere_else(extents):
    coarse = drawing([0, 0, 0, 2, 9, 2, 0, 0, 1, 0], extents=extents)
    known = known_slices(coarse, LabelRules(coarse_slices=2), simulate=True)
    assert np.flatnonzero(known).tolist() == [3, 4, 5, 8]
    free, _ = free_negatives(coarse, LabelRules(coarse_slices=2), known, lesions=1)
    assert np.flatnonzero(free).tolist() == ([0, 1, 9] if extents else [])


def test_annotated_slices_say_what_is_known():
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
    clicked = drawing([0, 0, 0, 9, 0, 0, 0], extents=((1, 5),))
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
        ({"extents": ((0, 4),)}, Fault.OUT_OF_RANGE),
        ({"extents": ((2, 3),)}, Fault.CONTRADICTION),
    ],
)
def test_contradictions(cells: dict[str, object], fault: Fault):
    (problem,) = drawing_problems(drawing([0, 1, 2, 0], **cells))
    assert problem.fault is fault


def test_no_contradictions():
    assert drawing_problems(drawing([0, 1, 2, 0], extents=((1, 2),), annotated=(2,))) == []
    assert [problem.fault for problem in drawing_problems(drawing([0, 0]))] == [Fault.EMPTY]


DRAWN = [0] * 10 + [3] * 11 + [0] * 9
FROM_ONE = "counted from 1"


@pytest.mark.parametrize(
    ("cells", "named"),
    [
        ({"annotated": tuple(range(11, 22))}, True),
        ({"extents": ((11, 21),)}, True),
        ({"extents": ((11, 30),)}, False),
        ({"annotated": tuple(range(12, 23))}, False),
        ({"annotated": tuple(range(7, 18))}, False),
        ({"annotated": (11, 16, 21)}, True),
        ({"annotated": tuple(range(11, 31))}, True),
        ({"extents": ((11, 29),)}, True),
        ({"extents": ((14, 20),)}, False),
    ],
)
def test_shifted_numbers_are_refused_and_counting_from_one_is_named(cells, named: bool):
    (problem,) = drawing_problems(drawing(DRAWN, **cells))
    assert problem.fault in (Fault.CONTRADICTION, Fault.OUT_OF_RANGE)
    if problem.fault is Fault.CONTRADICTION:
        assert (FROM_ONE in problem) == named


def test_annotated_within_the_drawing_leaves_slices_out_with_a_remark():
    # An interpolated mask of which the annotator drew every fifth slice.
    interpolated = drawing(DRAWN, annotated=(10, 15, 20))
    assert drawing_problems(interpolated) == []
    known = known_slices(interpolated, LabelRules(), simulate=True)
    assert np.flatnonzero(known).tolist() == [10, 15, 20]
    (remark,) = drawing_remarks(interpolated, known)
    assert "11-14,16-19" in remark


def test_an_annotated_empty_slice_between_the_clicks_is_a_contradiction():
    cells = {"annotated": tuple(range(9, 21)), "extents": ((9, 20),)}
    (problem,) = drawing_problems(drawing(DRAWN, **cells))
    assert problem.fault is Fault.CONTRADICTION
    apart = {"annotated": tuple(range(9, 21)), "extents": ((10, 20),)}
    assert drawing_problems(drawing(DRAWN, **apart)) == []


def test_clicks_wider_than_a_fine_mask():
    (problem,) = drawing_problems(drawing(DRAWN, "fine", extents=((3, 25),), kind_is_guessed=True))
    assert problem.fault is Fault.CONTRADICTION
    stated = drawing(DRAWN, "fine", extents=((3, 25),))
    assert drawing_problems(stated) == []
    (remark,) = drawing_remarks(stated, np.ones(30, dtype=bool))
    assert "3-9,21-25" in remark


def test_gaps_are_unknown_in_coarse_masks_and_told_of_in_fine_ones():
    areas = [0, 3, 0, 0, 3, 0]
    for kind, word in (("coarse", "unknown"), ("fine", "free of tumor")):
        gap = drawing(areas, kind)
        known = known_slices(gap, LabelRules(), simulate=True)
        assert known[2] == (kind == "fine")
        assert any("2-3" in remark and word in remark for remark in drawing_remarks(gap, known))


def two_lesions() -> np.ndarray:
    """A on slices 1 to 3 of its 1 to 8, B on slices 6 to 9 of its 5 to 10."""
    mask = np.zeros((12, 5, 20), dtype=bool)
    mask[1:4, 1, 1:4] = True
    mask[6:10, 3, 12:18] = True
    return mask


def test_a_slice_drawn_for_one_lesion_knows_nothing_of_another():
    coarse = Drawing(two_lesions(), SPACING, "coarse", extents=((1, 8), (5, 10)))
    assert drawing_problems(coarse) == []
    known = known_slices(coarse, LabelRules(), simulate=True)
    incomplete = slices_of_another_lesion(coarse, known)
    assert np.flatnonzero(incomplete).tolist() == [6, 7, 8]
    free, _ = free_negatives(coarse, LabelRules(), known, lesions=2)
    label = three_state_label(
        coarse.mask, known=known, free=free, incomplete=incomplete, unknown="ignore"
    )
    values = [np.unique(image).tolist() for image in label]
    assert values == [[0], *[[0, 1]] * 3, [2], [2], *[[1, 2]] * 3, [0, 1], [2], [0]]
    assert any("6-8" in remark for remark in drawing_remarks(coarse, known))


def test_several_parts_without_ranges_are_told_of():
    coarse = Drawing(two_lesions(), SPACING, "coarse", extents=((1, 10),))
    known = known_slices(coarse, LabelRules(), simulate=True)
    assert any("2 separate parts" in remark for remark in drawing_remarks(coarse, known))
    together = np.zeros((5, 5, 20), dtype=bool)
    together[1:3, 1, 1:4] = together[1:3, 3, 8:12] = True
    both = Drawing(together, SPACING, "coarse")
    known = known_slices(both, LabelRules(), simulate=True)
    assert drawing_remarks(both, known) == []


def test_a_lesion_that_nobody_drew_is_told_of():
    extents = ((1, 8), (5, 10), (11, 11))
    coarse = Drawing(two_lesions(), SPACING, "coarse", extents=extents)
    assert drawing_problems(coarse) == []
    known = known_slices(coarse, LabelRules(), simulate=True)
    assert any("slices 11, but nothing is drawn" in r for r in drawing_remarks(coarse, known))
    drawn = Drawing(two_lesions(), SPACING, "coarse", extents=extents[:2])
    assert not any("nothing is drawn" in remark for remark in drawing_remarks(drawn, known))


def test_a_part_outside_of_every_lesion_is_refused():
    coarse = Drawing(two_lesions(), SPACING, "coarse", extents=((1, 7), (8, 10)))
    (problem,) = drawing_problems(coarse)
    assert problem.fault is Fault.CONTRADICTION


def test_masks_of_everything_and_of_the_background_are_refused():
    full = Drawing(np.ones((4, 6, 6), dtype=bool), SPACING, "fine")
    inverted = np.ones((4, 6, 6), dtype=bool)
    inverted[1:3, 2:4, 2:4] = False
    for mask in (full.mask, inverted):
        (problem,) = drawing_problems(Drawing(mask, SPACING, "fine"))
        assert problem.fault is Fault.VALUES
    slices = np.zeros((4, 6, 6), dtype=bool)
    slices[1] = True
    whole_slice = Drawing(slices, SPACING, "fine")
    assert drawing_problems(whole_slice) == []
    assert "slices 1 are tumor in every voxel" in drawing_remarks(whole_slice, slices[:, 0, 0])[0]
