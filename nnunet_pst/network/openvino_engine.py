"""The 2.5D network computed by OpenVINO, on a CPU.

In single precision, or with the decoder, which has nine tenths of the multiplications, in bfloat16.
The encoder never is: its masks were others (``docs/decisions/0091``).
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

from nnunet_pst.errors import HostError
from nnunet_pst.network.unet25d import Unet25D

#: Of openvino, which is imported only when it is asked for.
Model: TypeAlias = Any
CompiledModel: TypeAlias = Any

#: Tells its maker's server that openvino was imported, that a model was converted, and which.
_TELEMETRY = "openvino_telemetry"


def import_openvino() -> ModuleType:
    """Import OpenVINO without its telemetry: nothing here tells anyone what is computed.

    Raises
    ------
    HostError
        When it isn't installed.
    """
    if _TELEMETRY not in sys.modules:
        # What is None can't be imported, and then openvino does without.
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
    try:
        return importlib.import_module("openvino")
    except ImportError as error:
        raise HostError(
            "--engine openvino needs OpenVINO; run: pip install 'nnunet_pst[openvino]', or use "
            "--engine torch"
        ) from error


class OpenVINONetwork:
    """The weights of a network, in OpenVINO; weights that are loaded later are not seen.

    Parameters
    ----------
    network
        In evaluation mode, on the CPU.
    bfloat16
        Compute the decoder in bfloat16: faster, for slightly other masks.

    Raises
    ------
    HostError
        When OpenVINO isn't installed, or the processor doesn't multiply in bfloat16.
    """

    def __init__(self, network: Unet25D, *, bfloat16: bool = False) -> None:
        self._core = import_openvino().Core()
        able = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if bfloat16 and "BF16" not in able:
            # It would be emulated: slow, and for nothing.
            raise HostError("this processor doesn't multiply in bfloat16; use --engine openvino")
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
        # A thread for each core, and each computes a batch on its own: that is faster than all
        # cores at one batch, and the result doesn't depend on how many there are.
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
    """Keep PyTorch to one thread: its others would wait by spinning, on the cores that compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Compiled:
    """Encoder and decoder for images of one size; every thread has requests of its own."""

    def __init__(self, encoder: CompiledModel, decoder: CompiledModel) -> None:
        self._encoder, self._decoder = encoder, decoder
        self._own = threading.local()

    def logits(self, bags: Tensor) -> Tensor:
        if not hasattr(self._own, "requests"):
            made = self._encoder.create_infer_request(), self._decoder.create_infer_request()
            self._own.requests = made
        encoder, decoder = self._own.requests
        encoder.infer([bags.contiguous().numpy()], share_inputs=True)
        for number in range(len(self._encoder.outputs)):
            decoder.set_input_tensor(number, encoder.get_output_tensor(number))
        decoder.infer()
        # Copied, because the next bags' logits go to the same place.
        return torch.from_numpy(decoder.get_output_tensor(0).data.copy())


class _Encoder(nn.Module):
    """The encoder of a U-Net of segmentation_models_pytorch: bags to features, finest first."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.encoder: Any = unet.encoder

    def forward(self, bags: Tensor) -> tuple[Tensor, ...]:
        # The first of its features is the image itself, which the decoder has no use for.
        return tuple(self.encoder(bags)[1:])


class _Decoder(nn.Module):
    """Everything behind the encoder: features, finest first, to logits."""

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
        # Both libraries go through torch.jit, which announces its retirement.
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(module.eval(), tuple(example), check_trace=False)  # type: ignore[no-untyped-call]
        decoder = TorchScriptPythonDecoder(traced)
    frontend = FrontEndManager().load_by_framework("pytorch")
    return frontend.convert(frontend.load(decoder))


def _reshaped(model: Model, shapes: Sequence[Sequence[object]]) -> Model:
    """Copy a model for inputs of these sizes, and batches of any."""
    model = model.clone()
    model.reshape({number: [-1, *shape] for number, shape in enumerate(shapes)})
    return model
