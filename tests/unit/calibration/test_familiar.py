"""Images that look like those of the training, or like another sequence."""

from __future__ import annotations

import numpy as np
import pytest

from nnunet_pst.calibration.familiar import (
    FEWEST_IMAGES,
    FamiliarImages,
    familiarity,
    fit_familiar,
    profile,
)


def image(kind: str, seed: int) -> np.ndarray:
    """A disk with bright inside (T2) or bright rim (T1)."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:48, :48]
    radius = np.hypot(rows - 24, columns - 24) / rng.uniform(16, 20)
    shade = 1 - 0.7 * radius if kind == "T2" else 0.3 + 0.7 * radius
    slices = np.where(radius < 1, 400 * shade, 0) + rng.normal(0, 8, (6, 48, 48))
    return (slices * rng.uniform(0.5, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def known() -> FamiliarImages:
    profiles = [profile(image(kind, seed)) for kind in ("T1", "T2") for seed in range(24)]
    names = ["T1"] * 24 + ["T2"] * 24
    found = fit_familiar(profiles, names, [f"P{n}" for n in range(24)] * 2)
    assert found is not None
    return found


def test_an_image_given_as_another_sequence_is_named(known: FamiliarImages):
    for seed in range(100, 106):
        assert familiarity(profile(image("T1", seed)), "T2", known).looks_like == "T1"
        assert familiarity(profile(image("T2", seed)), "T1", known).looks_like == "T2"


def test_right_images_are_not_suspected(known: FamiliarImages):
    found = [familiarity(profile(image(k, s)), k.lower(), known) for k in ("T1", "T2")
             for s in range(200, 220)]  # fmt: skip
    assert not any(one.looks_like for one in found)
    assert sum(one.unlike for one in found) <= 4


def test_an_image_of_another_kind_is_unlike(known: FamiliarImages):
    noise = np.random.default_rng(0).normal(100, 30, (6, 48, 48)).astype(np.float32)
    assert familiarity(profile(noise), "T2", known).unlike


def test_the_scale_of_gray_values_changes_nothing():
    np.testing.assert_allclose(profile(image("T2", 1)), profile(5 * image("T2", 1)), atol=1e-4)


def test_an_unknown_sequence_and_few_images_say_nothing(known: FamiliarImages):
    assert familiarity(profile(image("T1", 1)), "DWI", known).as_far is None
    few = [profile(image("T1", seed)) for seed in range(FEWEST_IMAGES - 1)]
    assert fit_familiar(few, ["T1"] * len(few), ["P"] * len(few)) is None


@pytest.mark.parametrize("shape", [(1, 48, 48), (3, 4, 4), (1, 1, 1)])
@pytest.mark.parametrize("value", [0.0, 7.0])
def test_an_image_of_one_value_has_a_profile(shape: tuple[int, ...], value: float):
    assert np.isfinite(profile(np.full(shape, value, np.float32))).all()
