import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nnunet_pst.network.augmentation import (
    AugmentationRanges,
    draw_transform,
    raw_bags,
    sample_bags,
)

sizes = st.tuples(st.integers(8, 80), st.integers(8, 80))
RANGES = AugmentationRanges(rotation_degrees=180.0, scale=2.0)


def sampled(image, label, drawn):
    raw = raw_bags(image[None], label[None].to(torch.int8), [drawn], 64)
    return sample_bags(raw, 64)


@given(sizes, st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_every_slice_and_channel_of_a_bag_gets_the_same_transform(size, seed):
    rng = np.random.default_rng(seed)
    image = torch.rand(1, *size).repeat(6, 1, 1)
    drawn = draw_transform(size, 64, RANGES, rng, channels=2)
    data, _ = sampled(image, torch.zeros(1, *size), drawn)
    assert torch.equal(data[0], data[0, :1].repeat(6, 1, 1))


@given(sizes, st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_labels_never_mix(size, seed):
    """Where only unknown and tumor exist, no background appears inside the image."""
    rng = np.random.default_rng(seed)
    label = torch.randint(1, 3, (1, *size)).float()
    drawn = draw_transform(size, 64, RANGES, rng, channels=1)
    inside = torch.ones(1, *size)
    data, target = sampled(inside, label, drawn)
    assert set(target.unique().tolist()) <= {0.0, 1.0, 2.0}
    assert (target[data > 0.999] > 0).all()
    assert (target[data == 0] == 0).all()


@given(sizes, st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_the_label_moves_with_its_image(size, seed):
    rng = np.random.default_rng(seed)
    label = (torch.rand(1, *size) > 0.5).float()
    drawn = draw_transform(size, 64, RANGES, rng, channels=1)
    data, target = sampled(label, label, drawn)
    # A pixel in a uniform neighborhood has that value in both image and label.
    assert (target[data > 0.999] == 1).all()
