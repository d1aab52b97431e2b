"""Our sliding window, Gaussian and mirroring against the host's predictor: the same bits."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.inference.sliding_window_prediction import compute_gaussian

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


def make_network(seed: int) -> Unet25D:
    torch.manual_seed(seed)
    network = Unet25D(1, 2, canvas=32)
    network.train()  # batch norm that has seen something
    for _ in range(3):
        network(torch.rand(4, 3, 64, 64))
    return network.eval()


@pytest.fixture(scope="module")
def folds() -> list[Unet25D]:
    return [make_network(0), make_network(1)]


def hosts_logits(
    folds: list[Unet25D], patch: tuple[int, ...], axes: tuple[int, ...], data: torch.Tensor
) -> torch.Tensor:
    with quiet_host():
        predictor = nnUNetPredictor(use_mirroring=bool(axes), device=CPU, allow_tqdm=False)
        predictor.network = make_network(2)
        predictor.list_of_parameters = [fold.state_dict() for fold in folds]
        predictor.allowed_mirroring_axes = axes
        predictor.configuration_manager = SimpleNamespace(patch_size=patch)
        predictor.label_manager = SimpleNamespace(num_segmentation_heads=2)
        return predictor.predict_logits_from_preprocessed_data(data)


@pytest.mark.parametrize(
    ("patch", "axes"),
    [
        ((7, 64, 64), (1, 2)),  # one tile, padded on all sides
        ((3, 32, 64), (1,)),  # tiles along slices and rows
        ((7, 32, 32), (0, 2)),
        ((7, 64, 64), ()),
    ],
)
def test_logits_are_the_hosts(
    host: Host, folds: list[Unet25D], patch: tuple[int, ...], axes: tuple[int, ...]
):
    data = torch.randn(1, 4, 45, 29, generator=torch.Generator().manual_seed(3))
    own = OwnNetwork(folds, patch_size=patch, mirror_axes=axes, device="cpu", engine="torch")
    theirs = hosts_logits(folds, patch, axes, data)
    assert theirs.std() > 0.01
    assert torch.equal(own.predict_logits(data), theirs), host("predicts other logits")
