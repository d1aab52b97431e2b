"""The 2.5D network computed by OpenVINO, on a CPU.

In single precision, or with the decoder, which has nine tenths of the multiplications, in bfloat16.
The encoder stays in single precision, because bfloat16 changed the masks (``docs/decisions/0091``).
"""

from __future__ import annotations

import importlib
import sys
import threading
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import ModuleType
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from nnunet_pst.errors import Fault, HostError
from nnunet_pst.network.unet25d import Unet25D

#: Of openvino, which is imported only when it is asked for.
Model: TypeAlias = Any
CompiledModel: TypeAlias = Any

#: Reports imports of openvino and converted models to its maker's server.
_TELEMETRY = "openvino_telemetry"


def import_openvino() -> ModuleType:
    """Import OpenVINO without its telemetry, so that it reports to no server.

    Raises
    ------
    HostError
        When it is not installed.
    """
    if _TELEMETRY not in sys.modules:
        # None makes the import fail; openvino then works without telemetry.
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
    try:
        return importlib.import_module("openvino")
    except ImportError as error:
        raise HostError(
            "--engine openvino needs OpenVINO; run: pip install 'nnunet_pst[openvino]', or use "
            "--engine torch",
            Fault.NOT_INSTALLED,
        ) from error


def multiplies_bfloat16() -> bool:
    """Whether OpenVINO finds instructions for bfloat16 in this processor.

    Raises
    ------
    HostError
        When OpenVINO is not installed.
    """
    return "BF16" in import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVINONetwork:
    """The weights of a network, in OpenVINO; weights that are loaded later have no effect.

    Parameters
    ----------
    network
        In evaluation mode, on the CPU.
    bfloat16
        Compute the decoder in bfloat16: faster, with slightly different masks.

    Raises
    ------
    HostError
        When OpenVINO is not installed, or the processor doesn't multiply bfloat16.
    """

    def __init__(self, network: Unet25D, *, bfloat16: bool = False) -> None:
        self._core = import_openvino().Core()
        if bfloat16 and not multiplies_bfloat16():
            # Emulated, it would be slower than float32.
            raise HostError(
                "this processor doesn't multiply bfloat16; use --engine openvino", Fault.UNSUPPORTED
            )
        self.precision = "float32 encoder, bfloat16 decoder" if bfloat16 else "float32"
        self._decoder_precision = "bf16" if bfloat16 else "f32"
        encoder, decoder = _Encoder(network.inference_unet()), _Decoder(network.inference_unet())
        size = network.canvas
        planes = network.in_channels * network.slices_per_bag
        with torch.inference_mode():
            example = torch.zeros(1, planes, size, size)
            self._encoder = _convert(encoder, (example,))
            self._decoder = _convert(decoder, encoder(example))
        self._compiled: dict[tuple[int, ...], _Compiled] = {}

    def run_bags(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        """Logits of batches of ready bags, in their order (`nnunet_pst.network.bags.RunBags`)."""
        # Each core computes a batch of its own. That is faster than all cores on one batch, and the
        # result doesn't depend on their number.
        threads = torch.get_num_threads()
        waiting: deque[Future[Tensor]] = deque()
        with ThreadPoolExecutor(threads) as pool, _one_torch_thread():
            for bags in batches:
                if len(waiting) > threads:
                    yield waiting.popleft().result()
                compiled = self._compiled_for(tuple(bags.shape[1:]), threads)
                waiting.append(pool.submit(compiled.logits, bags))
            while waiting:
                yield waiting.popleft().result()

    def _compiled_for(self, shape: tuple[int, ...], threads: int) -> _Compiled:
        if shape not in self._compiled:
            settings = {"NUM_STREAMS": threads, "INFERENCE_NUM_THREADS": threads}
            encoder = _reshaped(self._encoder, [shape])
            decoder = _reshaped(
                self._decoder, [tuple(o.partial_shape)[1:] for o in encoder.outputs]
            )
            self._compiled[shape] = _Compiled(
                self._core.compile_model(
                    encoder, "CPU", {**settings, "INFERENCE_PRECISION_HINT": "f32"}
                ),
                self._core.compile_model(
                    decoder,
                    "CPU",
                    {**settings, "INFERENCE_PRECISION_HINT": self._decoder_precision},
                ),
            )
        return self._compiled[shape]


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """Limit PyTorch to one thread: idle threads would spin on the cores that compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Compiled:
    """Encoder and decoder for images of one size; every thread has its own requests."""

    def __init__(self, encoder: CompiledModel, decoder: CompiledModel) -> None:
        self._encoder, self._decoder = encoder, decoder
        self._own = threading.local()

    def logits(self, bags: Tensor) -> Tensor:
        if not hasattr(self._own, "requests"):
            requests = self._encoder.create_infer_request(), self._decoder.create_infer_request()
            self._own.requests = requests
        encoder, decoder = self._own.requests
        encoder.infer([bags.contiguous().numpy()], share_inputs=True)
        for number in range(len(self._encoder.outputs)):
            decoder.set_input_tensor(number, encoder.get_output_tensor(number))
        decoder.infer()
        # Copied, because the next bags' logits overwrite it.
        return torch.from_numpy(decoder.get_output_tensor(0).data.copy())


class _Encoder(nn.Module):
    """The encoder of a U-Net of segmentation_models_pytorch: bags to features, finest first."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.encoder: Any = unet.encoder

    def forward(self, bags: Tensor) -> tuple[Tensor, ...]:
        # The first of its features is the image itself, which the decoder doesn't use.
        return tuple(self.encoder(bags)[1:])


class _Decoder(nn.Module):
    """All layers after the encoder: features, finest first, to logits."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.decoder: Any = unet.decoder
        self.head: Any = unet.segmentation_head

    def forward(self, *features: Tensor) -> Tensor:
        *skipped, image = features
        image = self.decoder.center(image)
        for block, skip in zip(self.decoder.blocks, [*reversed(skipped), None], strict=True):
            rows, columns = image.shape[-2:]
            image = block(image, 2 * rows, 2 * columns, skip_connection=skip)
        logits: Tensor = self.head(image)
        return logits


def _convert(module: nn.Module, example: Sequence[Tensor]) -> Model:
    """Turn a module into a model of OpenVINO, for any batch and in-plane size."""
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with warnings.catch_warnings():
        # Both libraries use torch.jit, which warns that it is deprecated.
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(module.eval(), tuple(example), check_trace=False)  # type: ignore[no-untyped-call]
        decoder = TorchScriptPythonDecoder(traced)
    frontend = FrontEndManager().load_by_framework("pytorch")
    return frontend.convert(frontend.load(decoder))


def _reshaped(model: Model, shapes: Sequence[Sequence[object]]) -> Model:
    """Copy a model for inputs of these sizes, and batches of any size."""
    model = model.clone()
    model.reshape({number: [-1, *shape] for number, shape in enumerate(shapes)})
    return model
