"""How masks are compared and fused: only what a sequence saw counts, and alignment is said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from nnunet_pst.io.geometry import Grid
from nnunet_pst.io.volumes import Volume
from nnunet_pst.network.intensity import find_content
from nnunet_pst.registration import policy
from nnunet_pst.registration.policy import Obstacle, Placement, RegistrationSettings, Rejection
from nnunet_pst.registration.transforms import SpatialTransform
from nnunet_pst.segmentation import study_space
from nnunet_pst.segmentation.agreement import (
    agreement,
    alignment_words,
    consensus,
    coverage_words,
    dice_words,
)
from nnunet_pst.segmentation.model_interface import choose_models
from nnunet_pst.segmentation.study import SegmentationSettings, segment_study
from nnunet_pst.segmentation.study_space import StudySpace, seen_voxels
from segmentation_example import GRID, UNREGISTERED, Threshold, image, study

NONE = RegistrationSettings(engine="none")
SIMPLEITK = RegistrationSettings(engine="simpleitk")
EMPTY = np.zeros(GRID.shape_zyx, dtype=bool)
TUMOR = image().array == 900


def moved(x: float = 0.0, z: float = 0.0) -> Grid:
    left, back, foot = GRID.origin_lps_mm
    return replace(GRID, origin_lps_mm=(left + x, back, foot + z))


def space(settings: RegistrationSettings = NONE, **images: Volume) -> StudySpace:
    return StudySpace(images, settings)


@pytest.fixture
def decided(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Lets a test decide what every registration gives."""
    outcome: dict[str, object] = {"rejection": None, "z": 5.0}

    def register(reference: Volume, moving: Volume, settings: RegistrationSettings, **_: object):
        matrix = np.eye(4)
        rejected = outcome["rejection"] is not None or settings.engine == "none"
        matrix[2, 3] = 0.0 if rejected else outcome["z"]
        alignment = policy.Alignment(1.0, 1.0, 1.0)
        return policy.Registration(
            SpatialTransform.from_matrix(matrix),
            outcome["rejection"],
            alignment,
            alignment,
            abs(matrix[2, 3]),
            settings.engine,
        )

    monkeypatch.setattr(study_space, "register", register)
    return outcome


@pytest.mark.parametrize(
    ("engine", "rejected", "z", "expected"),
    [
        ("simpleitk", False, 5.0, Placement.REGISTERED),
        ("simpleitk", False, 0.0, Placement.CONFIRMED),
        ("simpleitk", True, 5.0, Placement.REJECTED),
        ("none", False, 5.0, Placement.NO_ENGINE),
    ],
)
def test_after_registration_is_said_only_where_it_was_used(
    decided: dict[str, object], engine: str, rejected: bool, z: float, expected: Placement
):
    decided["z"] = z
    if rejected:
        decided["rejection"] = Rejection(Obstacle.MOTION, "it would move the body by 50 mm")
    settings = SegmentationSettings(
        consensus=True, registration=RegistrationSettings(engine=engine)
    )
    result = segment_study(study("T2", "T1").read(), choose_models([Threshold("MRI")]), settings)
    (pair,) = result.agreement["pairs"]
    assert Placement(pair["alignment"]) is expected
    words = alignment_words(pair)
    assert ("after registration" in words) == (expected is Placement.REGISTERED)
    assert ("50 mm" in words) == rejected
    (registered,) = result.registration
    assert registered["placement"] == pair["alignment"]
    assert registered["used"] == (
        "registered" if z and expected is Placement.REGISTERED else "scanner"
    )


def test_a_pair_that_was_never_registered_is_in_the_scanners_coordinates():
    result = segment_study(
        study("T2", "T1").read(), choose_models([Threshold("MRI")]), UNREGISTERED
    )
    (pair,) = result.agreement["pairs"]
    assert Placement(pair["alignment"]) is Placement.UNREGISTERED


def test_two_sequences_registered_to_a_third_are_compared_through_it(decided: dict[str, object]):
    made = space(SIMPLEITK, T2=image(0), T1=image(1), CET1=image(2))
    made.registered("T2", "T1")
    decided["z"] = 20.0
    made.registered("T2", "CET1")
    pair = made.between("CET1", "T1")
    assert pair.placement is Placement.REGISTERED
    # From CET1 to T2 by -20 mm, from T2 to T1 by 5 mm.
    assert pair.transform.map_points(np.zeros((1, 3)))[0, 2] == pytest.approx(-15.0)
    assert len(made.pairs) == 2
    assert made.registered("T1", "T2").map_points(np.zeros((1, 3)))[0, 2] == pytest.approx(-5.0)
    assert len(made.pairs) == 2, "the other direction of a pair is its inverse"


def test_a_tumor_outside_the_others_field_of_view_is_not_no_tumor():
    # CET1 begins above T2's tumor, and has none of its own.
    made = space(T2=image(0), CET1=image(1, tumor=False, grid=moved(z=30.0)))
    (pair,) = agreement(made, {"T2": TUMOR, "CET1": EMPTY})["pairs"]
    assert pair["dice"] is None
    assert pair["covered"] == {"T2": 0.0, "CET1": None}
    assert dice_words(pair) == "cannot be compared"
    assert coverage_words(pair) == "0 % of T2's tumor is in CET1's field of view"


def test_a_tumor_that_the_reference_does_not_see_is_compared_too():
    """Both others see the tumor, T2 does not: it must not vanish with T2's grid."""
    below = moved(z=-40.0)
    made = space(T2=image(0, tumor=False, grid=below), T1=image(1), CET1=image(2))
    pairs = agreement(made, {"T2": EMPTY, "T1": TUMOR, "CET1": TUMOR})["pairs"]
    by_names = {tuple(pair["sequences"]): pair for pair in pairs}
    assert by_names["T1", "CET1"]["dice"] == 1.0
    assert dice_words(by_names["T2", "T1"]) == "cannot be compared"


def test_half_of_a_tumor_in_view_is_said():
    # CET1 begins at slice 4; the tumor is on slices 2 to 5.
    half = np.zeros(GRID.shape_zyx, dtype=bool)
    half[:2] = TUMOR[4:6]
    made = space(T2=image(0), CET1=image(1, tumor=False, grid=moved(z=20.0)))
    (pair,) = agreement(made, {"T2": TUMOR, "CET1": half})["pairs"]
    assert pair["dice"] == 1.0
    assert pair["covered"] == {"T2": 0.5, "CET1": 1.0}
    assert coverage_words(pair) == "50 % of T2's tumor is in CET1's field of view"


def test_no_tumor_in_either_is_said_of_two_empty_masks():
    made = space(T2=image(0), T1=image(1))
    (pair,) = agreement(made, {"T2": EMPTY, "T1": EMPTY})["pairs"]
    assert dice_words(pair) == "no tumor in either"
    (whole,) = agreement(made, {"T2": TUMOR, "T1": TUMOR})["pairs"]
    assert coverage_words(whole) == "all of it"
    assert coverage_words(pair) == ""


@pytest.mark.parametrize("seed", range(5))
def test_seen_voxels_are_what_the_network_takes_for_the_image(seed: int):
    random = np.random.default_rng(seed)
    array = np.zeros((9, 20, 16), dtype=np.float32)
    low, high = random.integers(0, 4, 3), random.integers(5, 9, 3)
    array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = 1 + random.random()
    array[4] = 0  # a slice in the middle
    content = find_content(torch.from_numpy(array)[None])
    expected = np.zeros(array.shape, dtype=bool)
    expected[content.present, content.rows, content.columns] = True
    assert np.array_equal(seen_voxels(array), expected)


def test_an_empty_image_saw_nothing():
    assert not seen_voxels(np.zeros((3, 4, 5))).any()


@pytest.mark.parametrize("filled", [np.s_[:4], np.s_[5:], np.s_[:, :, :9], np.s_[:, 8:]], ids=str)
def test_a_region_that_was_filled_with_zeros_has_no_vote(filled: tuple[slice, ...]):
    """After resampling onto one grid, zeros are not evidence against a tumor."""
    sure = TUMOR.astype(np.float32) * 0.8
    blank = {seed: image(seed, tumor=False) for seed in (1, 2)}
    for one in blank.values():
        one.array[filled] = 0
    made = space(T2=image(0), T1=blank[1], DWI=blank[2])
    probabilities = {"T2": sure, "T1": sure * 0, "DWI": sure * 0}
    found = consensus(made, probabilities)
    seen = np.ones(GRID.shape_zyx, dtype=bool)
    seen[filled] = False
    assert np.array_equal(found.mask, TUMOR & ~seen), "where they saw, they outvote T2"
    assert found.partly_seen == 1.0
    pairs = agreement(made, {"T2": TUMOR, "T1": TUMOR})["pairs"]
    share = float(seen[TUMOR].mean())
    assert pairs[0]["covered"]["T2"] == pytest.approx(share, abs=1e-3)


def test_the_reference_has_no_vote_either_where_it_was_filled():
    dark = image(0, tumor=False)
    dark.array[:6] = 0
    made = space(T2=dark, T1=image(1))
    sure = TUMOR.astype(np.float32) * 0.8
    assert np.array_equal(consensus(made, {"T2": sure * 0, "T1": sure}).mask, TUMOR)


def test_a_consensus_that_rests_on_some_sequences_says_so():
    settings = SegmentationSettings(consensus=True, registration=NONE)
    half = image(1)
    half.array[:4] = 0
    result = segment_study(
        study("T2", "T1", T1=half).read(), choose_models([Threshold("MRI")]), settings
    )
    assert any("not seen by every sequence" in line for line in result.results[-1].warnings)


def test_a_sequence_of_another_frame_has_no_vote_without_a_registration():
    settings = SegmentationSettings(consensus=True, registration=NONE)
    dark, darker = image(1, tumor=False), image(2, tumor=False)
    frames = {"T2": "1.2.3", "T1": "1.2.4", "DWI": "1.2.4"}
    sequences = [
        replace(one, frame_of_reference=frames[one.name])
        for one in study("T2", "T1", "DWI", T1=dark, DWI=darker).read()
    ]
    result = segment_study(sequences, choose_models([Threshold("MRI")]), settings)
    made = result.results[-1]
    assert made.channels == ("T2",)
    assert np.array_equal(made.mask, TUMOR)
    assert any("T1 has no vote" in line for line in made.warnings)


def test_a_channel_that_covers_a_part_of_the_reference_is_named():
    fusion = Threshold("T2", "CET1")
    one = study("T2", "CET1", CET1=image(1, grid=moved(z=20.0)))
    result = segment_study(one.read(), choose_models([fusion]), UNREGISTERED)
    assert any("CET1 has voxels for 50 % of T2" in line for line in result.results[0].warnings)
    assert result.registration[0]["covered"] == pytest.approx(0.5, abs=0.01)
