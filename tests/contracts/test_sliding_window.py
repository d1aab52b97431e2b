"""Our sliding window, Gaussian and mirroring against the host's predictor: the same bits."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.inference.sliding_window_prediction import compute_gaussian

from nnunet_pst.network.intensity import apply_window, intensity_window
from nnunet_pst.network.unet25d import Unet25D
from nnunet_pst.nnunet.models.building import quiet_host
from nnunet_pst.nnunet.models.own_network import OwnNetwork
from nnunet_pst.nnunet.models.sliding_window import gaussian

Host = Callable[[str], str]
CPU = torch.device("cpu")


@pytest.mark.parametrize("patch", [(7, 40, 33), (12, 64, 64), (30, 96, 160)])
def test_the_gaussian_is_the_hosts(host: Host, patch: tuple[int, ...]):
    theirs = compute_gaussian(patch, sigma_scale=1 / 8, value_scaling_factor=10, device=CPU)
    assert torch.equal(gaussian(patch, CPU), theirs), host("weighs a tile's voxels otherwise")


def make_network(seed: int, intensity: str = "unit") -> Unet25D:
    torch.manual_seed(seed)
    network = Unet25D(1, 2, canvas=32, intensity=intensity)
    network.train()  # batch norm that has seen something
    for _ in range(3):
        network(torch.rand(4, 3, 64, 64))
    return network.eval()


@pytest.fixture(scope="module")
def folds() -> dict[str, list[Unet25D]]:
    return {kind: [make_network(0, kind), make_network(1, kind)] for kind in ("unit", "host")}


def hosts_logits(
    folds: list[Unet25D], patch: tuple[int, ...], axes: tuple[int, ...], data: torch.Tensor
) -> torch.Tensor:
    with quiet_host():
        predictor = nnUNetPredictor(use_mirroring=bool(axes), device=CPU, allow_tqdm=False)
        predictor.network = make_network(2, folds[0].intensity)
        predictor.list_of_parameters = [fold.state_dict() for fold in folds]
        predictor.allowed_mirroring_axes = axes
        predictor.configuration_manager = SimpleNamespace(patch_size=patch)
        predictor.label_manager = SimpleNamespace(num_segmentation_heads=2)
        return predictor.predict_logits_from_preprocessed_data(data)


@pytest.mark.parametrize(
    ("patch", "axes", "intensity"),
    [
        ((7, 64, 64), (1, 2), "unit"),  # one tile, padded on all sides
        ((3, 32, 64), (1,), "host"),  # tiles along slices and rows
        ((7, 32, 32), (0, 2), "host"),
        ((7, 64, 64), (), "unit"),
        ((4, 64, 64), (0,), "unit"),  # one tile that the slices fill
    ],
)
def test_logits_are_the_hosts(
    host: Host,
    folds: dict[str, list[Unet25D]],
    patch: tuple[int, ...],
    axes: tuple[int, ...],
    intensity: str,
):
    data = torch.randn(1, 4, 45, 29, generator=torch.Generator().manual_seed(3))
    own = OwnNetwork(
        folds[intensity], patch_size=patch, mirror_axes=axes, device="cpu", engine="torch"
    )
    theirs = hosts_logits(folds[intensity], patch, axes, data)
    assert theirs.std() > 0.01
    assert torch.equal(own.predict(data).logits, theirs), host("predicts other logits")


@pytest.mark.parametrize("patch", [(3, 64, 64), (7, 32, 32)])
def test_all_tiles_of_a_volume_have_one_gray_scale(patch: tuple[int, ...]):
    """The host's network scales each tile by itself: here the upper half is 100 times brighter."""
    network = make_network(0)
    data = torch.rand(1, 6, 64, 64, generator=torch.Generator().manual_seed(3)) + 0.1
    data[:, 3:, 32:] *= 100
    bags: list[torch.Tensor] = []
    run = network.run_bags
    network.run_bags = lambda batches: run(bags.append(one) or one for one in batches)
    OwnNetwork([network], patch_size=patch, mirror_axes=(), device="cpu", engine="torch").predict(
        data
    )
    values = torch.cat([one[:, 1].flatten() for one in bags])
    window = intensity_window(data[0])
    expected = (apply_window(data[0], window).flatten() - 0.449) / 0.226
    # Padding apart, each value is one that the volume's own window gives.
    nearest = expected.sort().values
    place = torch.searchsorted(nearest, values).clamp(1, len(nearest) - 1)
    off = torch.minimum((values - nearest[place]).abs(), (values - nearest[place - 1]).abs())
    padding = (values + 0.449 / 0.226).abs() < 1e-6
    assert off[~padding].max() < 1e-4


def test_the_network_warns_once_where_it_seems_to_get_tiles(caplog: pytest.LogCaptureFixture):
    network = make_network(0)
    with torch.inference_mode():
        network(torch.nn.functional.pad(torch.rand(1, 1, 5, 32, 32), (0, 0, 0, 0, 1, 1)))
        assert not caplog.records
        network(torch.rand(1, 1, 5, 32, 32))
        network(torch.rand(1, 1, 5, 32, 32))
    (record,) = caplog.records
    assert "fills all 5 slices" in record.getMessage()
