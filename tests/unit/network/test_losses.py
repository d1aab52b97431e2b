import numpy as np
import pytest
import torch

from nnunet_pst.network.losses import MaskedSoftDiceLoss


def by_hand(logits, target, smooth):
    """The formula of the docstring, voxel by voxel, in double precision."""
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    overlap = predicted = true = 0.0
    for index in np.ndindex(*target[:, 0].shape):
        label = target[:, 0][index]
        if label == 2:
            continue
        p = probability[:, 1][index]
        overlap += p * (label == 1)
        predicted += p
        true += label == 1
    return 1 - (2 * overlap + smooth) / (predicted + true + smooth)


def example(seed=0, values=(0, 1, 2)):
    rng = np.random.default_rng(seed)
    logits = torch.tensor(rng.normal(size=(2, 2, 3, 4)), dtype=torch.float32, requires_grad=True)
    return logits, torch.tensor(rng.choice(values, size=(2, 1, 3, 4)))


@pytest.mark.parametrize("seed", range(5))
def test_value_and_gradient_equal_the_formula(seed):
    logits, target = example(seed)
    loss = MaskedSoftDiceLoss(ignore_label=2)(logits, target)
    loss.backward()
    values = logits.detach().double().numpy()
    assert loss.item() == pytest.approx(by_hand(values, target.numpy(), 1.0), abs=1e-6)
    for index in np.ndindex(*values.shape):
        step = np.zeros_like(values)
        step[index] = 1e-5
        above = by_hand(values + step, target.numpy(), 1.0)
        below = by_hand(values - step, target.numpy(), 1.0)
        assert logits.grad[index].item() == pytest.approx((above - below) / 2e-5, abs=1e-5)


def test_unknown_voxels_get_exactly_zero_gradient():
    logits, target = example()
    MaskedSoftDiceLoss(ignore_label=2)(logits, target).backward()
    unknown = (target == 2).expand_as(logits)
    assert (logits.grad[unknown] == 0).all()
    assert (logits.grad[~unknown] != 0).any()


def test_an_infinite_logit_on_an_unknown_voxel_is_harmless():
    logits, target = example()
    with torch.no_grad():
        logits[(target == 2).expand_as(logits)] = float("inf")
    loss = MaskedSoftDiceLoss(ignore_label=2)(logits, target)
    assert torch.isfinite(loss)


def test_nothing_known_is_zero_with_a_gradient():
    logits, target = example(values=(2,))
    loss = MaskedSoftDiceLoss(ignore_label=2)(logits, target)
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


def test_without_tumor_false_positives_still_cost():
    logits, target = example(values=(0,))
    loss = MaskedSoftDiceLoss(ignore_label=2)(logits, target)
    loss.backward()
    assert 0 < loss.item() < 1
    assert (logits.grad[:, 1] > 0).all()


def test_perfect_prediction_costs_nothing():
    _, target = example(values=(0, 1))
    logits = torch.cat([(target == 0), (target == 1)], dim=1).float() * 100
    assert MaskedSoftDiceLoss(ignore_label=None)(logits, target).item() == pytest.approx(0)


def test_half_precision_logits_are_summed_in_single():
    logits = torch.zeros((1, 2, 400, 400), dtype=torch.bfloat16)
    target = torch.ones((1, 1, 400, 400))
    loss = MaskedSoftDiceLoss(ignore_label=2)(logits, target)
    assert loss.item() == pytest.approx(1 - 160_001 / 240_001, abs=1e-6)


@pytest.mark.parametrize(("classes", "ignore"), [(1, 2), (2, 3), (3, 4), (5, 6), (2, None)])
def test_any_ignore_value_and_number_of_classes(classes: int, ignore: int | None):
    """The mean over classes of one minus the formula; unknown voxels have no gradient."""
    rng = np.random.default_rng(classes)
    shape = (2, classes + 1, 6, 7)
    logits = torch.tensor(rng.normal(size=shape), dtype=torch.float32, requires_grad=True)
    target = torch.tensor(rng.integers(0, (ignore or classes) + 1, size=(2, 1, 6, 7)))
    loss = MaskedSoftDiceLoss(ignore_label=ignore)(logits, target)
    loss.backward()
    known = target != ignore if ignore is not None else torch.ones_like(target, dtype=torch.bool)
    probability = logits.detach().double().softmax(dim=1)
    dice = []
    for label in range(1, classes + 1):
        p, t = probability[:, label : label + 1][known], (target == label)[known].double()
        dice.append((2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1))
    assert loss.item() == pytest.approx(1 - float(sum(dice)) / classes, abs=1e-5)
    assert (logits.grad[(~known).expand_as(logits)] == 0).all()
    assert (logits.grad[known.expand_as(logits)] != 0).all()
