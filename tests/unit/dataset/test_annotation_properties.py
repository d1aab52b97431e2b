"""Laws of the three-state labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nnunet_pst.dataset.annotation import (
    Drawing,
    LabelRules,
    free_negatives,
    in_plane_extent_mm,
    known_slices,
    largest_slice,
    slice_areas,
    slices_of_another_lesion,
    three_state_label,
)
from nnunet_pst.dataset.drawing_checks import drawing_problems
from nnunet_pst.dataset.slice_ranges import format_slices, parse_slices
from nnunet_pst.labels import BACKGROUND, IGNORE, TUMOR

masks = hnp.arrays(
    bool, st.tuples(st.integers(1, 14), st.integers(1, 5), st.integers(1, 5))
).filter(np.any)
all_rules = st.builds(
    LabelRules,
    coarse_slices=st.integers(0, 6),
    simulate_coarse=st.none() | st.integers(0, 6),
    far_negatives=st.booleans(),
    unknown=st.just("ignore"),
)


@st.composite
def drawings(draw: st.DrawFn) -> Drawing:
    mask = draw(masks)
    kind = draw(st.sampled_from(["fine", "coarse"]))
    drawn = np.flatnonzero(slice_areas(mask))
    annotated = None
    if kind == "coarse" and draw(st.booleans()):
        extra = draw(st.sets(st.integers(0, len(mask) - 1)))
        annotated = tuple(sorted(extra | {int(draw(st.sampled_from(drawn.tolist())))}))
    extents = ()
    if draw(st.booleans()):
        first = draw(st.integers(0, int(drawn[0])))
        extents = ((first, draw(st.integers(int(drawn[-1]), len(mask) - 1))),)
    return Drawing(mask, (5.0, 1.0, 1.5), kind, annotated, extents)


def labeled(
    drawing: Drawing, rules: LabelRules, lesions: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    known = known_slices(drawing, rules, simulate=True)
    free, _ = free_negatives(drawing, rules, known, lesions=lesions)
    incomplete = slices_of_another_lesion(drawing, known)
    label = three_state_label(
        drawing.mask, known=known, free=free, incomplete=incomplete, unknown=rules.unknown
    )
    return label, known, free


@given(drawings(), all_rules, st.integers(1, 3))
def test_known_free_and_unknown_slices_are_the_whole_volume(
    drawing: Drawing, rules: LabelRules, lesions: int
):
    label, known, free = labeled(drawing, rules, lesions)
    assert not (known & free).any()
    assert (label[known] == np.where(drawing.mask[known], TUMOR, BACKGROUND)).all()
    assert (label[free] == BACKGROUND).all()
    assert (label[~known & ~free] == IGNORE).all()


@given(drawings(), all_rules)
def test_tumor_is_never_invented_and_only_hidden_by_unknown_or_far(
    drawing: Drawing, rules: LabelRules
):
    label, known, _ = labeled(drawing, rules)
    assert not (label[~drawing.mask] == TUMOR).any()
    # First and last enclose what is drawn, so a click never turns tumor into background.
    if drawing.extents or not rules.far_negatives:
        assert not (label[drawing.mask] == BACKGROUND).any()
    assert (label == TUMOR).any(axis=(1, 2)).sum() == (
        known & (slice_areas(drawing.mask) > 0)
    ).sum()


@given(drawings(), all_rules)
def test_something_with_tumor_is_always_known(drawing: Drawing, rules: LabelRules):
    label, _, _ = labeled(drawing, rules)
    assert (label == TUMOR).any()


@given(masks, st.integers(0, 6), st.data())
def test_simulated_labels_know_nothing_of_the_hidden_mask(
    mask: np.ndarray, reach: int, data: st.DataObject
):
    rules = LabelRules(simulate_coarse=reach, far_negatives=True)
    drawing = Drawing(mask, (5.0, 1.0, 1.5), "fine")
    label, known, _ = labeled(drawing, rules)
    hidden = data.draw(hnp.arrays(bool, mask.shape))
    other = np.where(known[:, None, None], mask, hidden)
    assume(largest_slice(other) == largest_slice(mask))
    assert (labeled(Drawing(other, (5.0, 1.0, 1.5), "fine"), rules)[0] == label).all()


@given(drawings(), all_rules)
def test_turning_the_stack_over_turns_the_label_over(drawing: Drawing, rules: LabelRules):
    count = len(drawing.mask)
    areas = slice_areas(drawing.mask)
    assume((areas == areas.max()).sum() % 2 == 1)
    flipped = Drawing(
        drawing.mask[::-1],
        drawing.spacing_zyx_mm,
        drawing.label_kind,
        None if drawing.annotated is None else tuple(count - 1 - z for z in drawing.annotated),
        tuple((count - 1 - last, count - 1 - first) for first, last in drawing.extents),
    )
    seen = known_slices(drawing, rules, simulate=True)
    left = slice_areas(drawing.mask & seen[:, None, None])
    assume((left == left.max()).sum() % 2 == 1)
    assert (labeled(flipped, rules)[0][::-1] == labeled(drawing, rules)[0]).all()


@st.composite
def fine_masks_and_what_was_drawn(draw: st.DrawFn) -> tuple[np.ndarray, Drawing]:
    """A fine mask of one lesion or two, and a drawing whose cells are all true of it.

    Whole lesions are drawn on a slice or not at all; annotated slices are drawn completely.
    """
    count = draw(st.integers(3, 14))
    lesions = np.zeros((draw(st.integers(1, 2)), count, 5, 11), dtype=bool)
    extents = []
    for number, lesion in enumerate(lesions):
        first = draw(st.integers(0, count - 1))
        last = draw(st.integers(first, count - 1))
        extents.append((first, last))
        for z in range(first, last + 1):
            # Without a common pixel, neighbors in a lesion would not be connected.
            width = draw(st.integers(1, 5))
            lesion[z, 1 : 1 + draw(st.integers(1, 4)), 6 * number : 6 * number + width] = True
    fine = lesions.any(axis=0)
    where = [draw(st.sets(st.integers(*extent), min_size=1)) for extent in extents]
    annotated = None
    if draw(st.booleans()):
        looked_at = draw(st.sets(st.integers(0, count - 1)))
        looked_at |= where[0]
        where = [looked_at & set(range(first, last + 1)) for first, last in extents]
        annotated = tuple(sorted(looked_at))
    mask = np.zeros_like(fine)
    for lesion, slices in zip(lesions, where, strict=True):
        for z in slices:
            mask[z] |= lesion[z]
    hull = (min(first for first, _ in extents), max(last for _, last in extents))
    given_extents = draw(st.sampled_from([(), (hull,), tuple(extents)]))
    if len(extents) > 1 and annotated is None and len(given_extents) < 2:
        given_extents = tuple(extents)  # without them, several parts are remarked on
    return fine, Drawing(mask, (5.0, 1.0, 1.5), "coarse", annotated, given_extents)


@settings(max_examples=400)
@given(fine_masks_and_what_was_drawn(), all_rules)
def test_no_voxel_is_labeled_against_the_fine_mask(pair: tuple[np.ndarray, Drawing], rules):
    fine, drawing = pair
    assume(not drawing_problems(drawing))
    far_rule = rules.far_negatives and not drawing.extents
    label, _, free = labeled(drawing, rules)
    wrong = ((label == TUMOR) & ~fine) | ((label == BACKGROUND) & fine)
    # What the far rule gets wrong is on the slices that it calls free, and is counted by them.
    counted = free & fine.any(axis=(1, 2))
    assert (wrong.any(axis=(1, 2)) == (counted if far_rule else np.zeros(len(fine), bool))).all()


@settings(max_examples=200)
@given(fine_masks_and_what_was_drawn())
def test_true_cells_are_never_refused(pair: tuple[np.ndarray, Drawing]):
    _, drawing = pair
    problems = drawing_problems(drawing)
    if len(drawing.extents) == 1 and drawing.annotated:
        # Two lesions with empty annotated slices between them need their own ranges.
        assume(not problems)
    assert problems == []


@given(masks, st.floats(0.2, 3.0), st.floats(0.2, 3.0))
def test_the_diameter_equals_brute_force(mask: np.ndarray, y_mm: float, x_mm: float):
    largest = 0.0
    for image in mask:
        corners = [
            ((y + dy) * y_mm, (x + dx) * x_mm)
            for y, x in np.argwhere(image)
            for dy in (-0.5, 0.5)
            for dx in (-0.5, 0.5)
        ]
        points = np.array(corners).reshape(-1, 2)
        if len(points):
            gaps = points[:, None] - points[None]
            largest = max(largest, float(np.sqrt((gaps**2).sum(axis=-1)).max()))
    assert in_plane_extent_mm(mask, (y_mm, x_mm)) == pytest.approx(largest)


@given(st.sets(st.integers(0, 60), min_size=1))
def test_slices_written_are_read_back(slices: set[int]):
    assert parse_slices(format_slices(tuple(slices))) == tuple(sorted(slices))
