"""The folded network and OpenVINO against the plain network."""

from __future__ import annotations

import copy
import subprocess
import sys
from itertools import pairwise

import pytest
import torch

from nnunet_pst.errors import HostError
from nnunet_pst.network.folding import MergedBlock, fold_batch_norms, merge_upsampling
from nnunet_pst.network.openvino_engine import OpenVINONetwork, import_openvino
from nnunet_pst.network.unet25d import Unet25D


@pytest.fixture(scope="module")
def network() -> Unet25D:
    torch.manual_seed(0)
    net = Unet25D(1, 2, canvas=64)
    net.train()  # batch norm that has seen something, as after training
    for _ in range(3):
        net(torch.rand(4, 3, 64, 64))
    return net.eval()


@pytest.fixture(scope="module")
def compiled(network: Unet25D) -> OpenVINONetwork:
    pytest.importorskip("openvino")
    return OpenVINONetwork(network)


@pytest.fixture(scope="module")
def in_bfloat16(network: Unet25D) -> OpenVINONetwork:
    try:
        return OpenVINONetwork(network, bfloat16=True)
    except HostError as error:
        pytest.skip(str(error))


def plain(network: Unet25D, bags: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = network.unet(bags)
    return result


@torch.inference_mode()
def test_convolving_before_doubling_is_exact(network: Unet25D):
    unet = copy.deepcopy(network.unet).double()
    bags = torch.randn(1, 3, 64, 96, dtype=torch.float64)
    expected = unet(bags)
    merged = merge_upsampling(fold_batch_norms(unet))
    assert all(isinstance(block, MergedBlock) for block in merged.decoder.blocks)
    torch.testing.assert_close(merged(bags), expected, rtol=0, atol=1e-12)


def test_a_block_of_another_kind_stays(network: Unet25D):
    unet = copy.deepcopy(network.unet)
    merge_upsampling(unet)  # batch norms aren't folded
    assert not any(isinstance(block, MergedBlock) for block in unet.decoder.blocks)


@pytest.mark.parametrize("size", [(64, 64), (96, 64)])
def test_openvino_in_single_precision_is_torch(
    network: Unet25D, compiled: OpenVINONetwork, size: tuple[int, int]
):
    bags = torch.randn(2, 3, *size)
    (found,) = compiled.run_bags([bags])
    torch.testing.assert_close(found, plain(network, bags), rtol=0, atol=1e-4)


def test_a_decoder_in_bfloat16_is_near(network: Unet25D, in_bfloat16: OpenVINONetwork):
    """It has 8 bits: two percent of the logits' spread is a wide bound."""
    bags = torch.randn(2, 3, 64, 64)
    (found,) = in_bfloat16.run_bags([bags])
    expected = plain(network, bags)
    assert (found - expected).std() < 0.02 * expected.std()
    assert in_bfloat16.precision == "float32 encoder, bfloat16 decoder"


def test_batches_come_back_in_their_order(compiled: OpenVINONetwork):
    batches = [torch.randn(count, 3, 64, 64) for count in (2, 2, 1, 2, 2, 1)]
    alone = [next(iter(compiled.run_bags([bags]))) for bags in batches]
    together = list(compiled.run_bags(iter(batches)))
    for one, expected in zip(together, alone, strict=True):
        assert torch.equal(one, expected)
    assert not any(torch.equal(a[:1], b[:1]) for a, b in pairwise(together))


def test_without_openvino_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(HostError, match=r"pip install 'nnunet_pst\[openvino\]'") as caught:
        import_openvino()
    assert len(caught.value.problems) == 1


def test_openvino_reports_to_no_server():
    # Its telemetry is installed with openvino, so an import would succeed.
    code = (
        "import importlib.util, sys; assert importlib.util.find_spec('openvino_telemetry')\n"
        "from nnunet_pst.network.openvino_engine import import_openvino\n"
        "import_openvino(); import openvino.tools.ovc\n"
        "print([n for n in sys.modules if n.startswith('openvino_telemetry.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_a_processor_without_bfloat16(network: Unet25D, monkeypatch: pytest.MonkeyPatch):
    class Core:
        def get_property(self, *_: str) -> list[str]:
            return ["FP32"]

    monkeypatch.setattr(import_openvino(), "Core", Core)
    with pytest.raises(HostError, match="use --engine openvino"):
        OpenVINONetwork(network, bfloat16=True)
