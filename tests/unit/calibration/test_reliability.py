"""Temperature, calibration error and the best threshold, from counts of voxels."""

from __future__ import annotations

import numpy as np
import pytest

from nnunet_pst.calibration.reliability import (
    best_threshold,
    count_voxels,
    fit_temperature,
    reliability,
)


def drawn(temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of a network that is too sure by a temperature, and labels."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(0, 2, (8, 60, 60))
    label = (rng.random(odds.shape) < 1 / (1 + np.exp(-odds))).astype(np.uint8)
    return (1 / (1 + np.exp(-odds * temperature))).astype(np.float32), label


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_of_a_network_that_is_too_sure_is_found(temperature: float):
    counts = count_voxels(*drawn(temperature))
    assert fit_temperature(counts) == pytest.approx(temperature, rel=0.05)
    before, after = reliability(counts), reliability(counts, fit_temperature(counts))
    assert after.ece < 0.02
    assert before.ece >= after.ece - 1e-3
    assert after.brier <= before.brier + 1e-9


def test_unknown_voxels_count_nowhere():
    probability, label = drawn(1.0)
    hidden = label.copy()
    hidden[4:] = 2
    counts, half = count_voxels(probability, hidden), count_voxels(probability[:4], label[:4])
    assert np.array_equal(counts.tumor, half.tumor)
    assert np.array_equal(counts.background, half.background)


def test_the_brier_score_is_the_mean_squared_distance():
    probability, label = drawn(1.0)
    expected = np.mean((probability - label) ** 2)
    assert reliability(count_voxels(probability, label)).brier == pytest.approx(expected, rel=0.02)


def test_certain_background_does_not_hide_the_error():
    probability, label = drawn(3.0)
    alone = reliability(count_voxels(probability, label))
    wide = np.concatenate([probability, np.full((90, 60, 60), 1e-6, np.float32)])
    padded = np.concatenate([label, np.zeros((90, 60, 60), np.uint8)])
    assert reliability(count_voxels(wide, padded)).ece == pytest.approx(alone.ece, rel=0.01)


def test_a_network_that_claims_too_little_gets_a_lower_threshold():
    probability, label = drawn(1.0)
    shy = np.clip(label * 0.35 + 0.02, 0, 1).astype(np.float32)
    found = best_threshold([count_voxels(shy, label)], ["P1"])
    assert found["threshold"] < 0.4
    assert found["dice"] == pytest.approx(1)
    assert found["dice_at_half"] == 0
    assert probability.shape == label.shape
