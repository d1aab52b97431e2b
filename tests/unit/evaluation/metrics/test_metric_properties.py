"""Every measure against a slow reference that follows its definition, on random small volumes."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nnunet_pst.evaluation.metrics.case import measure_case
from nnunet_pst.evaluation.metrics.measures import MEASURES
from nnunet_pst.evaluation.metrics.window_distance import BINS, by_distance, pooled

SPACINGS = st.tuples(*[st.sampled_from([0.5, 0.9, 1.0, 3.3, 5.0])] * 3)
CORNERS = list(itertools.product((0, 1), repeat=3))


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, tuple[float, float, float]]:
    """A reference with unknown voxels, a prediction, and a spacing."""
    shape = draw(hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=4))
    reference = draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, 2)))
    prediction = draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, 1)))
    return reference, prediction, draw(SPACINGS)


def voxels(mask: np.ndarray) -> set[tuple[int, ...]]:
    return set(map(tuple, np.argwhere(mask).tolist()))


def elements(tumor: set[tuple[int, ...]], spacing: tuple[float, ...]) -> dict[tuple, float]:
    """Surface elements of a mask by their corner, with the area of the surface in each."""
    found = {}
    cells = {tuple(np.subtract(voxel, corner)) for voxel in tumor for corner in CORNERS}
    for cell in cells:
        flags = {corner: tuple(np.add(cell, corner)) in tumor for corner in CORNERS}
        if not all(flags.values()):
            found[cell] = area(flags, spacing)
    return found


def area(flags: dict[tuple, bool], spacing: tuple[float, ...]) -> float:
    """Area of the surface in a cell: loops through the halves of the crossed edges, as fans."""
    links: dict[tuple, set[tuple]] = {}
    for axis, side in itertools.product(range(3), (0, 1)):
        face = [corner for corner in CORNERS if corner[axis] == side]
        crossed = [
            (one, other)
            for one, other in itertools.combinations(face, 2)
            if sum(np.abs(np.subtract(one, other))) == 1 and flags[one] != flags[other]
        ]
        inside = [corner for corner in face if flags[corner]]
        # Two crossed edges belong together; of four, those that share a corner of the tumor.
        groups = [crossed] if len(crossed) < 4 else [[e for e in crossed if c in e] for c in inside]
        for group in groups:
            for one, other in itertools.permutations(group, 2):
                links.setdefault(one, set()).add(other)
    total = 0.0
    while links:
        start, ahead = links.popitem()
        loop, here = [start], ahead.pop()
        while here != start:
            step = (links.pop(here) - {loop[-1]}).pop()
            loop.append(here)
            here = step
        points = [np.mean(edge, axis=0) * spacing for edge in loop]
        middle = np.mean(points, axis=0)
        for one, other in zip(points, points[1:] + points[:1], strict=True):
            total += math.hypot(*np.cross(one - middle, other - middle)) / 2
    return total


def nearest(of: dict[tuple, float], to: dict[tuple, float], spacing: tuple) -> list[tuple]:
    """(distance, area) of every element, in ascending order."""
    return sorted(
        (min(math.dist(np.multiply(a, spacing), np.multiply(b, spacing)) for b in to), weight)
        for a, weight in of.items()
    )


def lesions(tumor: set[tuple[int, ...]]) -> list[set[tuple[int, ...]]]:
    """Grow every lesion from a voxel over its 26 neighbors."""
    left, found = set(tumor), []
    while left:
        lesion = {left.pop()}
        while grown := {
            v for v in left if any(max(np.abs(np.subtract(v, w))) <= 1 for w in lesion)
        }:
            lesion |= grown
            left -= grown
        found.append(lesion)
    return found


def diameter(tumor: set[tuple[int, ...]], spacing: tuple[float, float, float]) -> float:
    """Largest distance between corners of pixels of one connected part of one slice."""
    sides = list(itertools.product((-0.5, 0.5), repeat=2))
    best = 0.0
    slices = [{v for v in tumor if v[0] == z} for z in {z for z, *_ in tumor}]
    for part in itertools.chain.from_iterable(map(lesions, slices)):
        for one, other in itertools.product(part, repeat=2):
            for a, b in itertools.product(sides, repeat=2):
                gap = np.subtract(np.add(one[1:], a), np.add(other[1:], b)) * spacing[1:]
                best = max(best, math.hypot(*gap))
    return best


def slow(reference: np.ndarray, prediction: np.ndarray, spacing: tuple) -> dict[str, float]:
    """Return every measure but those of the window, by its definition, for masks with tumor."""
    truth, guess = voxels(reference == 1), voxels((prediction == 1) & (reference != 2))
    known, both = voxels(reference != 2), truth & guess
    ml = math.prod(spacing) / 1000
    free = {z for z, *_ in known} - {z for z, *_ in truth}
    extents = [max(z for z, *_ in s) - min(z for z, *_ in s) + 1 for s in (truth, guess)]
    diameters = [diameter(s, spacing) for s in (truth, guess)]
    groups = lesions(truth), lesions(guess)
    met = [
        sum(10 * len(lesion & other) >= len(lesion) for lesion in group)
        for group, other in zip(groups, (guess, truth), strict=True)
    ]
    found, right = met[0] / len(groups[0]), met[1] / len(groups[1])
    distances = surface(truth, guess, spacing)
    dice = 2 * len(both) / (len(truth) + len(guess))
    return distances | {
        "found": float(bool(both)),
        "dice_found": dice if both else math.nan,
        "hd95_found_mm": distances["hd95_mm"] if both else math.nan,
        "assd_found_mm": distances["assd_mm"] if both else math.nan,
        "false_alarms": math.nan,
        "specificity": math.nan,
        "dice": dice,
        "iou": len(both) / len(truth | guess),
        "recall": len(both) / len(truth),
        "precision": len(both) / len(guess),
        "false_positive_ml_on_free_slices": sum(z in free for z, *_ in guess) * ml
        if free
        else math.nan,
        "free_slices": len(free),
        "reference_ml": len(truth) * ml,
        "predicted_ml": len(guess) * ml,
        "known_share": len(known) / reference.size,
        "volume_error_ml": abs(len(truth) - len(guess)) * ml,
        "volume_error_percent": 100 * abs(len(truth) - len(guess)) / len(truth),
        "extent_error_slices": abs(extents[0] - extents[1]),
        "reference_extent_slices": extents[0],
        "predicted_extent_slices": extents[1],
        "diameter_error_mm": abs(diameters[0] - diameters[1]),
        "reference_diameter_mm": diameters[0],
        "predicted_diameter_mm": diameters[1],
        "lesion_recall": found,
        "lesion_precision": right,
        "lesion_f1": 2 * found * right / (found + right) if found + right else 0.0,
        "false_positive_lesions": len(groups[1]) - met[1],
        "reference_lesions": len(groups[0]),
        "predicted_lesions": len(groups[1]),
    }


def surface(truth: set, guess: set, spacing: tuple) -> dict[str, float]:
    one, other = elements(truth, spacing), elements(guess, spacing)
    sides = [nearest(one, other, spacing), nearest(other, one, spacing)]
    total = sum(weight for side in sides for _, weight in side)
    near = {mm: sum(w for side in sides for d, w in side if d <= mm) / total for mm in (2, 3)}
    return {
        "hd95_mm": max(map(percentile, sides)),
        "assd_mm": sum(d * w for side in sides for d, w in side) / total,
        "nsd_2mm": near[2],
        "nsd_3mm": near[3],
    }


def percentile(side: list[tuple[float, float]]) -> float:
    """Smallest distance within which at least 95 % of the area lies."""
    total = math.fsum(weight for _, weight in side)
    within = 0.0
    for distance, weight in side:
        within += weight
        if within >= 0.95 * total - 1e-9:
            return distance
    raise AssertionError


@settings(deadline=None, max_examples=60)
@given(cases())
def test_every_measure_by_its_definition(case):
    reference, prediction, spacing = case
    reference.flat[0], prediction.flat[0] = 1, 1  # both hold known tumor
    values = measure_case(reference, prediction, spacing_zyx_mm=spacing)
    expected = slow(reference, prediction, spacing)
    parts = {measure.name for measure in MEASURES if measure.name.endswith("_window")}
    assert set(values) == set(expected) | parts
    assert {name: values[name] for name in expected} == pytest.approx(expected, nan_ok=True)


@settings(deadline=None)
@given(cases())
def test_what_is_unknown_never_counts(case):
    reference, prediction, spacing = case
    other = np.where(reference == 2, 1 - prediction, prediction)
    before = measure_case(reference, prediction, spacing_zyx_mm=spacing)
    assert measure_case(reference, other, spacing_zyx_mm=spacing) == pytest.approx(
        before, nan_ok=True
    )
    assert by_distance(reference, other) == by_distance(reference, prediction)


@settings(deadline=None)
@given(cases())
def test_values_keep_their_bounds_and_a_perfect_prediction_is_the_best(case):
    reference, prediction, spacing = case
    values = measure_case(reference, prediction, spacing_zyx_mm=spacing)
    perfect = measure_case(reference, (reference == 1).astype(np.uint8), spacing_zyx_mm=spacing)
    for measure in MEASURES:
        value, best = values[measure.name], measure.best
        if best is not None and not math.isnan(value):
            assert min(best, measure.worst or 0) <= value
            assert measure.worst is None or value <= max(best, measure.worst)
        if best is not None and not math.isnan(perfect[measure.name]):
            assert perfect[measure.name] == best


@settings(deadline=None)
@given(cases(), st.integers(0, 2))
def test_agreement_by_distance_by_its_definition(case, half_width):
    reference, prediction, _ = case
    rows = by_distance(reference, prediction, half_width=half_width)
    areas = [np.count_nonzero(part == 1) for part in reference]
    if not any(areas):
        assert rows == []
        return
    tied = [z for z, size in enumerate(areas) if size == max(areas)]
    center = tied[(len(tied) - 1) // 2]
    expected: dict[int, list[int]] = {}
    for z, part in enumerate(reference):
        if (part != 2).any():
            counts = expected.setdefault(max(abs(z - center) - half_width, 0), [0, 0, 0, 0])
            counts[0] += 1
            for real, guess in zip(part.flat, prediction[z].flat, strict=True):
                counts[1] += real == 1 and guess == 1
                counts[2] += real == 0 and guess == 1
                counts[3] += real == 1 and guess == 0
    found = {r.distance_slices: [r.slices, r.tp, r.fp, r.fn] for r in rows}
    assert found == expected
    assert sum(pooled(rows, first, last).tp for _, first, last in BINS) == sum(r.tp for r in rows)
