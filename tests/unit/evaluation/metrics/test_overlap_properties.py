"""Laws of the overlap measures, on random volumes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nnunet_pst.evaluation.metrics.measures import MEASURES
from nnunet_pst.evaluation.metrics.overlap import (
    annotated_window,
    confusion,
    dice,
    iou,
    measure_overlap,
    precision,
    recall,
)

SHAPES = hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=5)


@st.composite
def pairs(draw: st.DrawFn, highest: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """A reference with values up to ``highest``, and a prediction of the same shape."""
    shape = draw(SHAPES)
    reference = draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, highest)))
    return reference, draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, 1)))


@given(pairs())
def test_bounds_and_identity(pair):
    counts = confusion(*pair)
    assert 0 <= iou(counts) <= dice(counts) <= 1
    assert iou(counts) == pytest.approx(dice(counts) / (2 - dice(counts)))


@given(pairs())
def test_counts_are_the_known_voxels(pair):
    reference, prediction = pair
    counts = confusion(reference, prediction)
    assert counts.tp + counts.fp + counts.fn + counts.tn == np.count_nonzero(reference != 2)
    assert min(counts.tp, counts.fp, counts.fn, counts.tn) >= 0


@given(pairs(highest=1))
def test_symmetry(pair):
    reference, prediction = pair
    counts, swapped = confusion(reference, prediction), confusion(prediction, reference)
    assert dice(counts) == dice(swapped)
    assert iou(counts) == iou(swapped)
    assert recall(counts) == pytest.approx(precision(swapped), nan_ok=True)


@given(pairs(), st.data())
def test_unknown_voxels_never_count(pair, data):
    reference, prediction = pair
    other = data.draw(hnp.arrays(np.uint8, reference.shape, elements=st.integers(0, 1)))
    other = np.where(reference == 2, other, prediction)
    before = measure_overlap(reference, prediction, voxel_volume_ml=0.3, half_width=1)
    after = measure_overlap(reference, other, voxel_volume_ml=0.3, half_width=1)
    assert after == pytest.approx(before, nan_ok=True)


@given(pairs())
def test_brute_force(pair):
    reference, prediction = pair
    voxels = [(r, p) for r, p in zip(reference.flat, prediction.flat, strict=True) if r != 2]
    both = sum(r == 1 and p == 1 for r, p in voxels)
    either = sum(r == 1 or p == 1 for r, p in voxels)
    assert iou(confusion(reference, prediction)) == (both / either if either else 1.0)


@given(pairs(), st.randoms(use_true_random=False))
def test_the_order_of_voxels_does_not_matter(pair, random):
    order = list(range(pair[0].size))
    random.shuffle(order)
    shuffled = [array.ravel()[order].reshape(array.shape) for array in pair]
    assert confusion(*shuffled) == confusion(*pair)


@given(pairs(), st.integers(0, 4))
def test_the_parts_add_up_to_the_whole(pair, half_width):
    reference, prediction = pair
    window = annotated_window(reference, half_width)
    parts = [confusion(reference, prediction, part) for part in (window, ~window)]
    whole = confusion(reference, prediction)
    for name in ("tp", "fp", "fn", "tn"):
        assert sum(getattr(part, name) for part in parts) == getattr(whole, name)


@given(pairs(), st.integers(0, 4))
def test_a_perfect_prediction_is_the_best(pair, half_width):
    reference = pair[0]
    perfect = (reference == 1).astype(np.uint8)
    values = measure_overlap(reference, perfect, voxel_volume_ml=1.0, half_width=half_width)
    for measure in MEASURES:
        value = values.get(measure.name, math.nan)
        if measure.best is not None and not math.isnan(value):
            assert value == measure.best


@given(pairs(), st.floats(0.001, 10))
def test_only_volumes_depend_on_the_voxel_size(pair, factor):
    one = measure_overlap(*pair, voxel_volume_ml=1.0)
    other = measure_overlap(*pair, voxel_volume_ml=factor)
    for measure in MEASURES:
        if measure.name in one:
            scale = factor if measure.unit == "ml" else 1.0
            assert other[measure.name] == pytest.approx(one[measure.name] * scale, nan_ok=True)
