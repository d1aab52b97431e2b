"""Signs of how far a mask can be believed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from nnunet_pst.calibration.signs import (
    Signs,
    SignsOfNetworks,
    foreground,
    pairwise_dice,
    soft_dice,
)


def test_pairwise_dice_is_the_ratio_of_sums_over_all_pairs():
    masks = np.random.default_rng(0).random((4, 3, 5, 5)) > 0.6
    pairs = list(itertools.combinations(masks, 2))
    shared = sum(2 * np.count_nonzero(one & other) for one, other in pairs)
    sizes = sum(np.count_nonzero(one) + np.count_nonzero(other) for one, other in pairs)
    votes = masks.sum(axis=0).astype(np.float32)
    assert pairwise_dice(votes, 4) == pytest.approx(shared / sizes)


@pytest.mark.parametrize(("votes", "voters"), [(1.0, 1), (0.0, 4)])
def test_one_voter_or_no_vote_tells_nothing(votes: float, voters: int):
    assert pairwise_dice(np.full((2, 2, 2), votes, np.float32), voters) is None


def test_passes_that_agree_have_a_dice_of_one():
    assert pairwise_dice(np.full((1, 2, 2), 4, np.float32), 4) == pytest.approx(1)


def test_soft_dice_is_one_for_a_sure_network_and_zero_for_an_empty_mask():
    mask = np.zeros((2, 3, 3), bool)
    mask[0, 1] = True
    assert soft_dice(mask, mask.astype(np.float32)) == pytest.approx(1)
    assert soft_dice(mask, np.where(mask, 0.5, 0.5).astype(np.float32)) < 0.6
    assert soft_dice(np.zeros_like(mask), np.full(mask.shape, 0.3, np.float32)) == 0


def test_the_foreground_of_several_classes_is_their_sum():
    logits = np.random.default_rng(1).normal(size=(4, 2, 3, 3)).astype(np.float16)
    odds = np.exp(logits.astype(float))
    expected = 1 - odds[0] / odds.sum(axis=0)
    np.testing.assert_allclose(foreground(logits), expected, rtol=2e-3)


def test_logits_of_any_size_give_a_probability():
    logits = np.array([[-6e4, 6e4], [6e4, -6e4]], np.float16).reshape(2, 1, 1, 2)
    assert foreground(logits).ravel().tolist() == [1.0, 0.0]


def test_networks_that_find_other_places_disagree():
    gathered = SignsOfNetworks()
    for place in (0, 1):
        logits = np.zeros((2, 1, 1, 2), np.float32)
        logits[1, 0, 0, place] = 9
        logits[0, 0, 0, 1 - place] = 9
        gathered.add(logits)
    signs = gathered.all_together()
    assert signs.folds_dice == 0
    assert signs.soft_dice == pytest.approx(1, abs=1e-3)
    assert signs.passes_dice is None


def test_nothing_found_is_told_apart_from_agreement():
    gathered = SignsOfNetworks()
    empty = np.stack([np.ones((1, 2, 2)), np.zeros((1, 2, 2))])
    gathered.add(empty, np.zeros((1, 2, 2)), 4)
    assert gathered.all_together() == Signs(0.0, None, None)


def test_a_network_that_finds_nothing_agrees_with_none_that_does():
    gathered = SignsOfNetworks()
    logits = np.zeros((2, 1, 2, 2), np.float32)
    logits[1] = 9
    gathered.add(logits, np.ones((1, 2, 2)), 4)
    for _ in range(3):
        gathered.add(-logits, np.zeros((1, 2, 2)), 4)
    assert gathered.all_together().passes_dice == pytest.approx(0.25)
