"""The 2.5D network computed by OpenVINO, on a CPU; a quarter to half of PyTorch's time.

In bfloat16 where the processor multiplies in it (``BF16`` among what OpenVINO says it can), else
in single precision. Every stream has one thread, so results don't depend on how many there are.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from nnunet_pst.errors import HostError
from nnunet_pst.network.unet25d import Unet25D

#: Sends a message to its maker's server whenever openvino is imported and a model converted.
_TELEMETRY = "openvino_telemetry"


class OpenVINONetwork:
    """The weights of a network, in OpenVINO; what was loaded later is not seen.

    Parameters
    ----------
    network
        In evaluation mode, on the CPU.

    Raises
    ------
    HostError
        When OpenVINO isn't installed.
    """

    def __init__(self, network: Unet25D) -> None:
        openvino = import_openvino()
        self._core = openvino.Core()
        in_bfloat16 = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self.precision = "bfloat16" if in_bfloat16 else "float32"
        self._model = _convert(network, openvino)
        self._compiled: dict[tuple[int, ...], Any] = {}

    def run_bags(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        """Logits of batches of ready bags, in their order (`nnunet_pst.network.bags.RunBags`)."""
        waiting: deque[Any] = deque()
        idle: list[Any] = []
        for bags in batches:
            if not idle and not waiting:
                idle = self._requests(bags.shape[1:])
            if not idle:
                yield _result(done := waiting.popleft())
                idle.append(done)
            request = idle.pop()
            request.start_async({0: bags.contiguous().numpy()})
            waiting.append(request)
        for request in waiting:
            yield _result(request)

    def _requests(self, shape: torch.Size) -> list[Any]:
        """Make a request for each stream, and one that waits for its turn."""
        if shape not in self._compiled:
            model = self._model.clone()
            model.reshape([-1, *shape])
            settings = {
                "PERFORMANCE_HINT": "THROUGHPUT",
                "NUM_STREAMS": torch.get_num_threads(),
                "INFERENCE_NUM_THREADS": torch.get_num_threads(),
                "INFERENCE_PRECISION_HINT": "bf16" if self.precision == "bfloat16" else "f32",
            }
            self._compiled[tuple(shape)] = self._core.compile_model(model, "CPU", settings)
        compiled = self._compiled[tuple(shape)]
        return [compiled.create_infer_request() for _ in range(torch.get_num_threads() + 1)]


def _result(request: Any) -> Tensor:
    request.wait()
    # Copied, because the next bags' answers go to the same place.
    return torch.from_numpy(request.get_output_tensor(0).data.copy())


def import_openvino() -> Any:
    """Import OpenVINO without its telemetry: nothing here tells anyone what is computed.

    Raises
    ------
    HostError
        When it isn't installed.
    """
    if "openvino" not in sys.modules:
        # A module that is None can't be imported, and openvino then does without.
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
    try:
        return importlib.import_module("openvino")
    except ImportError as error:
        raise HostError(
            "--engine openvino needs OpenVINO; run: pip install 'nnunet_pst[openvino]', or use "
            "--engine torch"
        ) from error


def _convert(network: Unet25D, openvino: Any) -> Any:
    """Turn the network's computation for ready bags into a model for images of any size."""
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    size = network.canvas
    example = torch.zeros(1, network.in_channels * network.slices_per_bag, size, size)
    with warnings.catch_warnings(), torch.inference_mode():
        # Both libraries go through torch.jit, which announces its retirement.
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(network.inference_unet(), example, check_trace=False)
        decoder = TorchScriptPythonDecoder(traced)
    frontend = FrontEndManager().load_by_framework("pytorch")
    return frontend.convert(frontend.load(decoder))
