import pytest
import torch
from torch import nn

from nnunet_pst.network.bags import IMAGENET_MEAN, IMAGENET_STD, bag_members, make_bags, padded_size
from nnunet_pst.network.intensity import to_unit_range
from nnunet_pst.network.unet25d import Unet25D


@pytest.fixture(scope="module")
def network() -> Unet25D:
    torch.manual_seed(0)
    net = Unet25D(1, 2, canvas=64)
    # Batch norm that has seen something, as after training.
    net.train()
    for _ in range(3):
        net(torch.rand(4, 3, 64, 64))
    return net.eval()


@torch.inference_mode()
def slice_by_slice(net: Unet25D, volume: torch.Tensor) -> torch.Tensor:
    """The bags of an unpadded volume (c, z, y, x), one forward pass each."""
    unit = to_unit_range(volume)
    members = bag_members(torch.ones(volume.shape[1], dtype=torch.bool).numpy(), net.slices_per_bag)
    rows = [net(make_bags(unit, members[z : z + 1])) for z in range(len(members))]
    return torch.cat(rows).transpose(0, 1)


def test_it_is_the_papers_size():
    assert sum(p.numel() for p in Unet25D(1, 2).parameters()) == pytest.approx(6.63e6, rel=1e-3)


@pytest.mark.parametrize("at_once", [1, 2, 7])
@pytest.mark.parametrize("padding", [(0,) * 6, (11, 7, 3, 0, 2, 1)])
@torch.inference_mode()
def test_volumes_equal_their_bags(network, at_once, padding):
    volume = torch.randn(1, 5, 70, 50)
    network.slices_at_once = at_once
    padded = torch.nn.functional.pad(volume, padding)
    logits = network(padded[None])[0]
    left, right, top, bottom, before, after = padding
    cut = logits[:, before : logits.shape[1] - after, top : logits.shape[2] - bottom,
                 left : logits.shape[3] - right]  # fmt: skip
    torch.testing.assert_close(cut, slice_by_slice(network, volume), atol=1e-4, rtol=0)
    assert (logits[:, :before] == 0).all()
    network.slices_at_once = None


@torch.inference_mode()
def test_a_batch_of_volumes_is_each_of_them(network):
    volumes = torch.randn(2, 1, 3, 64, 64)
    both = network(volumes)
    torch.testing.assert_close(both[1], network(volumes[1:])[0])


@torch.inference_mode()
def test_adding_to_a_result_in_place_changes_nothing_else(network):
    volume = torch.randn(1, 1, 3, 64, 64)
    first = network(volume)
    kept = first.clone()
    first += network(volume.flip(3)).flip(3)
    torch.testing.assert_close(network(volume), kept)


@torch.inference_mode()
def test_sizes_that_are_no_multiple_of_32(network):
    assert network(torch.rand(1, 3, 65, 33)).shape == (1, 2, 65, 33)
    assert [padded_size(n, 224) for n in (1, 224, 225, 320)] == [224, 224, 256, 320]


@torch.inference_mode()
def test_small_images_are_predicted_on_the_training_canvas():
    torch.manual_seed(0)
    net = Unet25D(1, 2, canvas=96).eval()
    image = torch.rand(1, 3, 40, 40)
    by_hand = torch.nn.functional.pad(image, (28, 28, 28, 28))
    torch.testing.assert_close(net(image), net(by_hand)[..., 28:68, 28:68])


@torch.inference_mode()
def test_a_volume_that_is_only_padding_gives_zeros(network):
    assert (network(torch.zeros(1, 1, 2, 64, 64)) == 0).all()


@pytest.mark.parametrize(("channels", "slices", "planes"), [(2, 3, 6), (4, 3, 12), (1, 1, 1)])
@torch.inference_mode()
def test_any_number_of_channels(channels, slices, planes):
    net = Unet25D(channels, 2, slices_per_bag=slices, canvas=64).eval()
    assert net(torch.rand(1, planes, 64, 64)).shape == (1, 2, 64, 64)
    assert net(torch.rand(1, channels, 2, 64, 64)).shape == (1, 2, 2, 64, 64)


def test_bags_are_sequence_major():
    volume = torch.arange(6.0).reshape(2, 3, 1, 1)
    bags = make_bags(volume, bag_members(torch.ones(3, dtype=torch.bool).numpy(), 3))
    assert bags[1].flatten().tolist() == [0, 1, 2, 3, 4, 5]
    assert bags[0].flatten().tolist() == [0, 0, 1, 3, 3, 4]


def test_other_shapes_are_refused(network):
    with pytest.raises(ValueError):
        network(torch.zeros(3, 64, 64))


@torch.inference_mode()
def test_folding_batch_norms_changes_nothing_but_speed(network):
    bags = torch.rand(2, 3, 64, 64)
    plain = network.unet((bags - IMAGENET_MEAN) / IMAGENET_STD)
    torch.testing.assert_close(network(bags), plain, atol=1e-4, rtol=0)
    norms = [m for m in network.inference_unet().modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms == []
    assert not any("folded" in name for name in network.state_dict())


def test_new_weights_are_folded_anew():
    """nnU-Net's predictor loads the folds in turn into the same network."""
    bags, donor = torch.rand(1, 3, 64, 64), Unet25D(1, 2, canvas=64).eval()
    network = Unet25D(1, 2, canvas=64).eval()
    with torch.inference_mode():
        network(bags)
        network.load_state_dict(donor.state_dict())
        torch.testing.assert_close(network(bags), donor(bags))
    network.train()(torch.rand(4, 3, 64, 64))  # moves the running statistics
    with torch.no_grad():
        assert not torch.allclose(network.eval()(bags), donor(bags))


def test_gradients_reach_the_weights_in_evaluation_mode_too():
    network = Unet25D(1, 2, canvas=64).eval()
    network(torch.rand(1, 3, 64, 64)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
