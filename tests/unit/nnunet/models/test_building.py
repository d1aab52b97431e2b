"""Building of our own and of stock networks, and the refusals of the engines."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from nnunet_pst.errors import Fault, HostError, InputError
from nnunet_pst.network.unet25d import NETWORK_CLASS, Unet25D
from nnunet_pst.nnunet.models import building as model_building
from nnunet_pst.nnunet.models.building import HostParts, build_network
from nnunet_pst.nnunet.models.own_network import OwnNetwork

SETTINGS = {"encoder": "mobilenet_v2", "canvas": 32}


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> HostParts:
    """Plans of one of our networks, with one channel and two classes."""
    configuration = SimpleNamespace(
        network_arch_class_name=NETWORK_CLASS,
        network_arch_init_kwargs=SETTINGS,
        patch_size=[6, 32, 32],
    )
    monkeypatch.setattr(HostParts, "channels", 1)
    return HostParts(None, configuration, SimpleNamespace(num_segmentation_heads=2), {})


def fold(trainer: str = "nnUNetTrainerPST25D", seed: int = 0) -> dict[str, object]:
    torch.manual_seed(seed)
    return {
        "trainer_name": trainer,
        "network_weights": Unet25D(1, 2, **SETTINGS).state_dict(),
        "inference_allowed_mirroring_axes": (1, 2),
    }


def build(host: HostParts, *folds: dict[str, object], **options: object):
    chosen = {"device": "cpu", "engine": "torch", "mirroring": False, **options}
    return build_network(host, folds, "the model", **chosen)


def test_our_trainers_need_no_search(host: HostParts, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(model_building, "_find_trainer")
    network = build(host, fold())
    assert isinstance(network, OwnNetwork)
    assert network.precision == "float32"


def test_folds_are_averaged(host: HostParts):
    one, other = fold(seed=0), fold(seed=1)
    data = torch.randn(1, 3, 32, 32)
    apart = [build(host, single).predict(data).logits for single in (one, other)]
    together = build(host, one, other).predict(data).logits
    assert not torch.equal(*apart)
    assert torch.equal(together, (apart[0] + apart[1]) / 2)


def test_weights_of_another_network(host: HostParts):
    damaged = fold() | {"network_weights": {"weight": torch.ones(2)}}
    with pytest.raises(InputError) as caught:
        build(host, damaged)
    assert caught.value.fault is Fault.CONTRADICTION


def test_openvino_computes_our_own_networks_only(host: HostParts, monkeypatch: pytest.MonkeyPatch):
    stock = nn.Conv2d(1, 2, 3)
    monkeypatch.setattr(model_building, "_maker", lambda *_: (lambda: stock, False))
    checkpoint = fold("nnUNetTrainer") | {"network_weights": stock.state_dict()}
    with pytest.raises(InputError) as caught:
        build(host, checkpoint, engine="openvino")
    assert caught.value.fault is Fault.UNSUPPORTED


def test_openvino_computes_on_the_cpu(host: HostParts):
    own = Unet25D(1, 2, **SETTINGS)
    with pytest.raises(HostError, match="add --device cpu"):
        OwnNetwork([own], patch_size=(6, 32, 32), mirror_axes=(), device="meta", engine="openvino")


def test_without_openvino_the_command_says_what_to_install(
    host: HostParts, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(HostError, match=r"pip install 'nnunet_pst\[openvino\]'"):
        build(host, fold(), engine="openvino")
