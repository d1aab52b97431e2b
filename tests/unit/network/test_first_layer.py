from typing import get_args

import pytest
import torch

from nnunet_pst.network import FirstLayer
from nnunet_pst.network.first_layer import spread_over_slices


@pytest.fixture
def weight():
    return torch.rand(4, 3, 3, 3, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", get_args(FirstLayer))
@pytest.mark.parametrize(("channels", "slices"), [(1, 1), (1, 3), (2, 3), (1, 5), (3, 1)])
def test_a_gray_image_gets_the_pretrained_answer(weight, kind, channels, slices):
    spread = spread_over_slices(weight, channels, slices, kind)
    assert spread.shape == (4, channels * slices, 3, 3)
    total = spread.sum(dim=1)
    if kind == "rgb" and channels * slices % 3:
        # Colors that cannot be dealt out evenly are only scaled.
        assert torch.allclose(total.mean(), weight.sum(dim=1).mean(), rtol=0.2)
    else:
        assert torch.allclose(total, weight.sum(dim=1), atol=1e-5)


def test_center_ignores_the_neighbors_of_every_sequence(weight):
    spread = spread_over_slices(weight, 2, 3, "center").unflatten(1, (2, 3))
    assert (spread[:, :, [0, 2]] == 0).all()
    assert torch.equal(spread[:, 0, 1], spread[:, 1, 1])


def test_near_gives_each_neighbor_a_tenth(weight):
    spread = spread_over_slices(weight, 1, 5, "near")
    gray = weight.sum(dim=1)
    assert torch.allclose(spread[:, 0], gray / 10)
    assert torch.allclose(spread[:, 2], gray * 0.6)


def test_rgb_gives_each_slice_a_color(weight):
    assert torch.equal(spread_over_slices(weight, 1, 3, "rgb"), weight)
