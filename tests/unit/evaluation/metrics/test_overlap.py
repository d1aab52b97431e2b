"""Measures of overlap on volumes small enough to count by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nnunet_pst.evaluation.metrics.overlap import (
    Confusion,
    annotated_window,
    confusion,
    dice,
    free_slices,
    iou,
    measure_overlap,
    precision,
    recall,
)


def column(*slices: str) -> np.ndarray:
    """A label of one row per slice: '0112' is a slice of four voxels."""
    return np.array([[[int(voxel) for voxel in row]] for row in slices], dtype=np.uint8)


REFERENCE = column("0000", "0110", "0111", "0100", "2222")
PREDICTION = column("0001", "0110", "1110", "0000", "1111")
#                    1 fp    2 tp    2 tp    1 fn    unknown
#                                    1 fp
#                                    1 fn


def test_counts_by_hand():
    assert confusion(REFERENCE, PREDICTION) == Confusion(tp=4, fp=2, fn=2, tn=8)


def test_ratios_by_hand():
    counts = Confusion(tp=4, fp=2, fn=2, tn=8)
    assert dice(counts) == pytest.approx(8 / 12)
    assert iou(counts) == pytest.approx(4 / 8)
    assert recall(counts) == pytest.approx(4 / 6)
    assert precision(counts) == pytest.approx(4 / 6)


def test_every_measure_of_a_case_by_hand():
    values = measure_overlap(REFERENCE, PREDICTION, voxel_volume_ml=0.5, half_width=0)
    # The window is slice 2: tp 2, fp 1, fn 1. Beyond it: tp 2, fp 1, fn 1.
    assert values == pytest.approx(
        {
            "dice": 2 / 3,
            "iou": 1 / 2,
            "recall": 2 / 3,
            "precision": 2 / 3,
            "dice_in_window": 2 / 3,
            "recall_in_window": 2 / 3,
            "dice_beyond_window": 2 / 3,
            "recall_beyond_window": 2 / 3,
            "false_positive_ml_on_free_slices": 0.5,
            "free_slices": 1,
            "reference_ml": 3.0,
            "predicted_ml": 3.0,
            "known_share": 16 / 20,
        }
    )


@pytest.mark.parametrize(
    ("reference", "prediction", "expected"),
    [
        ("0000", "0000", 1.0),  # nothing there, nothing found: perfectly right
        ("0000", "0100", 0.0),
        ("0100", "0000", 0.0),
        ("2222", "1111", 1.0),  # nothing known: nothing can be wrong
        ("0022", "0011", 1.0),  # tumor predicted only where nobody knows
    ],
)
def test_empty_masks(reference: str, prediction: str, expected: float):
    counts = confusion(column(reference), column(prediction))
    assert dice(counts) == expected
    assert iou(counts) == expected


def test_what_is_not_defined_is_nan():
    nothing = Confusion(tp=0, fp=0, fn=0, tn=4)
    assert math.isnan(recall(nothing))
    assert math.isnan(precision(nothing))
    values = measure_overlap(column("0000"), column("0000"), voxel_volume_ml=1.0)
    undefined = {name for name, value in values.items() if math.isnan(value)}
    assert undefined == {
        "recall",
        "precision",
        "dice_in_window",
        "recall_in_window",
        "dice_beyond_window",
        "recall_beyond_window",
    }


def test_a_lesion_inside_the_window_has_no_score_beyond_it():
    reference = column("0000", "0110", "0000")
    values = measure_overlap(reference, column("1111", "0110", "0000"), voxel_volume_ml=1.0)
    assert math.isnan(values["dice_beyond_window"])
    assert values["false_positive_ml_on_free_slices"] == 4.0
    values = measure_overlap(reference, reference, voxel_volume_ml=1.0, half_width=0)
    assert math.isnan(values["dice_beyond_window"])


def test_no_free_slice_no_false_positive_volume():
    values = measure_overlap(column("0110", "2222"), column("0110", "1111"), voxel_volume_ml=1.0)
    assert math.isnan(values["false_positive_ml_on_free_slices"])
    assert values["free_slices"] == 0


@pytest.mark.parametrize(
    ("areas", "half_width", "expected"),
    [
        ("0121000", 1, [1, 2, 3]),
        ("0122200", 0, [3]),  # of equals the middle one
        ("0122000", 0, [2]),  # of two middles the lower one
        ("2100000", 2, [0, 1, 2]),  # cut off at the ends of the volume
        ("0000001", 1, [5, 6]),
        ("0000000", 3, []),
    ],
)
def test_window(areas: str, half_width: int, expected: list[int]):
    reference = column(*("1" * int(area) + "0" * (3 - int(area)) for area in areas))
    assert np.flatnonzero(annotated_window(reference, half_width)).tolist() == expected


def test_free_slices_are_known_and_without_tumor():
    reference = column("0000", "0222", "2222", "0001")
    assert free_slices(reference).tolist() == [True, True, False, False]


def test_agrees_with_the_host():
    host = pytest.importorskip("nnunetv2.evaluation.evaluate_predictions")
    generator = np.random.default_rng(7)
    for _ in range(20):
        reference = generator.integers(0, 3, (4, 5, 6))
        prediction = generator.integers(0, 2, (4, 5, 6))
        expected = host.compute_tp_fp_fn_tn(reference == 1, prediction == 1, reference == 2)
        counts = confusion(reference, prediction)
        assert (counts.tp, counts.fp, counts.fn, counts.tn) == expected
