import numpy as np
import pytest
import torch

from nnunet_pst.network import augmentation
from nnunet_pst.network.augmentation import (
    LESION_MARGIN,
    NO_AUGMENTATION,
    AugmentationRanges,
    BagTransform,
    change_intensity,
    draw_transform,
    raw_bags,
    sample_bags,
    sampling_grid,
)


def transform(matrix=((1, 0), (0, 1)), center=(0, 0), gamma=(1.0,), gain=(1.0,)):
    return BagTransform(np.array(matrix, float), np.array(center, float),
                        np.array(gamma), np.array(gain), np.ones(len(gain), bool))  # fmt: skip


def crop_at(image, label, drawn, crop):
    raw = raw_bags(image[None], label[None].to(torch.int8), [drawn], crop)
    data, target = sample_bags(raw, crop)
    return data[0], target[0].float()


def test_identity_is_a_crop_of_the_same_pixels():
    image = torch.rand(3, 40, 50)
    label = torch.randint(0, 3, (1, 40, 50)).float()
    data, target = crop_at(image, label, transform(center=(19.5, 19.5)), 32)
    torch.testing.assert_close(data, image[:, 4:36, 4:36], atol=1e-5, rtol=0)
    assert torch.equal(target, label[:, 4:36, 4:36])


def test_flip_and_quarter_turn_move_pixels_where_they_should():
    image = torch.rand(1, 32, 32)
    label = torch.randint(0, 3, (1, 32, 32)).float()
    middle = (15.5, 15.5)
    flipped, _ = crop_at(image, label, transform(((-1, 0), (0, 1)), middle), 32)
    torch.testing.assert_close(flipped, image.flip(1), atol=1e-5, rtol=0)
    turned, turned_label = crop_at(image, label, transform(((0, -1), (1, 0)), middle), 32)
    torch.testing.assert_close(turned, torch.rot90(image, -1, (1, 2)), atol=1e-5, rtol=0)
    assert torch.equal(turned_label, torch.rot90(label, -1, (1, 2)))


def test_outside_the_image_is_zero_and_background():
    image, label = torch.ones(1, 10, 10), torch.full((1, 10, 10), 2.0)
    data, target = crop_at(image, label, transform(center=(4.5, 4.5)), 32)
    assert data.sum() == pytest.approx(100)
    assert (target == 2).sum() == 100
    assert set(target.unique().tolist()) == {0, 2}


def batch_of(count, size, crop, rng, ranges=AugmentationRanges(gamma=1.6, gain=1.3)):  # noqa: B008
    drawn = [draw_transform(size, crop, ranges, rng, channels=2) for _ in range(count)]
    images = torch.rand(count, 6, *size).half()
    return raw_bags(images, torch.randint(0, 3, (count, 1, *size)).to(torch.int8), drawn, crop)


def test_a_larger_canvas_changes_nothing():
    image, label = torch.rand(3, 20, 30), torch.randint(0, 3, (1, 20, 30))
    larger, larger_label = torch.zeros(3, 60, 40), torch.zeros(1, 60, 40)
    larger[:, :20, :30], larger_label[:, :20, :30] = image, label
    turned = transform(((0.8, -0.6), (0.6, 0.8)), (9.5, 14.5))
    alone, alone_label = crop_at(image, label, turned, 32)
    wide, wide_label = crop_at(larger, larger_label, turned, 32)
    torch.testing.assert_close(wide, alone, atol=1e-5, rtol=0)
    assert torch.equal(wide_label, alone_label)


def test_the_grid_is_that_of_affine_grid():
    affine = torch.randn(5, 2, 3)
    wanted = torch.nn.functional.affine_grid(affine, (5, 1, 32, 32), align_corners=False)
    torch.testing.assert_close(sampling_grid(affine, 32), wanted, atol=1e-6, rtol=0)


@pytest.mark.parametrize("threads", [1, 3, 8])
def test_bags_sampled_together_or_apart_are_the_same(threads, monkeypatch):
    raw = batch_of(7, (50, 40), 32, np.random.default_rng(0))
    together = augmentation._sampled_together(raw, 32)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    for one, other in zip(sample_bags(raw, 32), together, strict=True):
        assert torch.equal(one, other)


def test_gamma_and_gain_belong_to_a_sequence_and_leave_air_alone():
    images = torch.rand(1, 6, 4, 4)
    images[..., 0] = 0
    changed = change_intensity(images, torch.tensor([[2.0, 1.0]]), torch.tensor([[1.0, 0.5]]))
    torch.testing.assert_close(changed[0, :3], images[0, :3] ** 2)
    torch.testing.assert_close(changed[0, 3:], images[0, 3:] * 0.5)
    assert (changed[..., 0] == 0).all()


def test_values_below_the_window_keep_their_sign():
    images = torch.tensor([-0.2, 0.0, 0.5]).reshape(1, 1, 1, 3)
    changed = change_intensity(images, torch.tensor([[2.0]]), torch.tensor([[2.0]]))
    torch.testing.assert_close(changed.flatten(), torch.tensor([-0.4, 0.0, 0.5]))


def test_no_augmentation_only_crops():
    drawn = draw_transform((300, 200), 224, NO_AUGMENTATION, np.random.default_rng(0), channels=1)
    assert np.array_equal(drawn.matrix, np.eye(2))
    assert drawn.gamma == drawn.gain == 1


@pytest.mark.parametrize("size", [(50, 60), (224, 224), (400, 500)])
def test_the_lesion_pixel_stays_inside(size):
    rng = np.random.default_rng(3)
    ranges = AugmentationRanges(rotation_degrees=180.0, scale=2.0)
    for _ in range(200):
        pixel = (int(rng.integers(size[0])), int(rng.integers(size[1])))
        drawn = draw_transform(size, 224, ranges, rng, channels=1, lesion_pixel=pixel)
        place = np.linalg.solve(drawn.matrix, np.array(pixel) - drawn.center)
        assert (np.abs(place) <= 111.5 - LESION_MARGIN + 1e-9).all()


def test_a_small_slice_is_wholly_inside_the_crop():
    rng = np.random.default_rng(4)
    for _ in range(50):
        drawn = draw_transform((60, 40), 96, NO_AUGMENTATION, rng, channels=1)
        data, _ = crop_at(torch.ones(1, 60, 40), torch.zeros(1, 60, 40), drawn, 96)
        assert data.sum() == pytest.approx(60 * 40, rel=1e-4)


def test_dropped_channels_are_zero_and_never_all():
    from dataclasses import replace

    rng = np.random.default_rng(0)
    ranges = AugmentationRanges(channel_dropout=0.4)
    kept = np.array(
        [draw_transform((32, 32), 32, ranges, rng, channels=3).kept for _ in range(4000)]
    )
    assert kept.any(axis=1).all()
    # With probability 0.4 ** 3 all three are dropped; then one of them stays.
    expected = 0.6 + 0.4**3 / 3
    assert kept.mean(axis=0) == pytest.approx(expected, abs=0.03)
    drawn = transform(center=(1.5, 1.5), gamma=(1.0, 1.0), gain=(1.0, 1.0))
    drawn = replace(drawn, kept=np.array([True, False]))
    data, _ = crop_at(torch.ones(6, 4, 4), torch.zeros(1, 4, 4), drawn, 4)
    assert data.amax(dim=(1, 2)).tolist() == pytest.approx([1, 1, 1, 0, 0, 0])


def test_without_dropout_nothing_more_is_drawn():
    numbers = [
        draw_transform((32, 32), 32, AugmentationRanges(), rng, channels=2) and rng.random()
        for rng in (np.random.default_rng(3), np.random.default_rng(3))
    ]
    assert numbers[0] == numbers[1]
