"""One update of the weights, without waiting for the device.

The host's own step (nnunet-v2 ``training/nnUNetTrainer/nnUNetTrainer.py``, 2.8, ``train_step``),
in single precision to the bit. The host's step ends with fetching the loss, so that a GPU idles
while the next step is launched; here the loss stays on the device until the epoch ends. A CPU that
multiplies bfloat16 computes in bfloat16.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from nnunet_pst.nnunet.environment import cpu_multiplies_bfloat16

#: Gradients longer than this are shortened, as in the host's step.
LARGEST_GRADIENT = 12.0
#: The host's own switch. The host compiles unless it says no; we compile only if it says yes.
COMPILE_VARIABLE = "nnUNet_compile"


class TrainingStep:
    """Forward, loss, backward, clipping, update.

    Parameters
    ----------
    network, loss, optimizer
        Of the trainer.
    scaler
        Scales losses, as half precision needs it; None: they are not scaled.
    precision
        Type in which convolutions are computed (`step_precision`).
    compiled
        Compile network and loss for the one shape that batches have, and replay the kernels as
        CUDA graphs. Outside these steps the network is not compiled.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        scaler: torch.amp.GradScaler | None,
        precision: torch.dtype = torch.float32,
        compiled: bool = False,
    ) -> None:
        self.network = network
        self.loss = loss
        self.optimizer = optimizer
        self.scaler = scaler
        self.precision = precision
        self.compiled = compiled
        self._loss_of = self._plain_loss
        if compiled:
            self._loss_of = torch.compile(
                self._plain_loss, mode="reduce-overhead", fullgraph=True, dynamic=False
            )

    def __call__(self, data: Tensor, target: Tensor) -> Tensor:
        """Make one step and return its loss, on the device."""
        self.optimizer.zero_grad(set_to_none=True)
        if self.compiled:
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        with self._autocast(data.device.type):
            loss = self._loss_of(data, target)
        if self.scaler is None:
            loss.backward()  # type: ignore[no-untyped-call]
            self._clip()
            self.optimizer.step()
        else:
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            self.scaler.unscale_(self.optimizer)
            self._clip()
            self.scaler.step(self.optimizer)
            self.scaler.update()
        # The next replay of a CUDA graph overwrites the result of this one.
        return loss.detach().clone()

    def _autocast(self, device: str) -> AbstractContextManager[object]:
        if self.precision == torch.float32:
            return nullcontext()
        return torch.autocast(device, dtype=self.precision)

    def _plain_loss(self, data: Tensor, target: Tensor) -> Tensor:
        loss: Tensor = self.loss(self.network(data), target)
        return loss

    def _clip(self) -> None:
        nn.utils.clip_grad_norm_(self.network.parameters(), LARGEST_GRADIENT)


def step_precision(device: torch.device, scaler: torch.amp.GradScaler | None) -> torch.dtype:
    """Return the type of a training step's convolutions; weights and losses stay float32.

    With a scaler half precision, as the host does on a GPU. On a CPU that multiplies bfloat16
    bfloat16, which has the range of float32 and needs no scaler. Else float32.
    """
    if scaler is not None:
        return torch.float16
    if device.type == "cpu" and cpu_multiplies_bfloat16():
        return torch.bfloat16
    return torch.float32


def keep_to_chosen_threads() -> None:
    """Use as many threads as ``OMP_NUM_THREADS`` says, where it says anything.

    The host sets one for every core when it trains on a CPU (nnunet-v2 ``run/run_training.py``,
    2.8), whatever was chosen: two trainings on one machine then wait for each other.
    """
    first, _, _ = os.environ.get("OMP_NUM_THREADS", "").partition(",")
    if first.strip().isdigit() and int(first) > 0:
        torch.set_num_threads(int(first))


def compilation_wanted(device: torch.device) -> bool:
    """Whether to compile steps on this device: on a GPU, if `COMPILE_VARIABLE` says so."""
    chosen = os.environ.get(COMPILE_VARIABLE, "").lower() in ("true", "1", "t")
    return chosen and device.type == "cuda"


def adamw(
    network: nn.Module, device: torch.device, *, rate: float, decay: float
) -> torch.optim.AdamW:
    """Return AdamW, on a GPU fused: a few kernels, and mixed precision without waiting.

    Unfused, the gradient scaler fetches from the device whether a gradient overflowed.
    """
    fused = device.type == "cuda"
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=decay, fused=fused)

    def stay(_: torch.optim.Optimizer, state: dict[str, object]) -> dict[str, object]:
        groups = state["param_groups"]
        assert isinstance(groups, list)
        return {**state, "param_groups": [{**group, "fused": fused} for group in groups]}

    # A checkpoint restores the fused setting of its own optimizer; this one keeps its own.
    optimizer.register_load_state_dict_pre_hook(stay)
    return optimizer
