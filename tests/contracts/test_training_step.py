"""Our training step beside the host's, and the calls for a GPU, without one."""

from __future__ import annotations

import copy
import inspect
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import nn

from nnunet_pst.network.losses import MaskedSoftDiceLoss
from nnunet_pst.network.unet25d import Unet25D
from nnunet_pst.nnunet.training.training_step import (
    COMPILE_VARIABLE,
    TrainingStep,
    adamw,
    compilation_wanted,
    step_precision,
)

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
LOSS = MaskedSoftDiceLoss(ignore_label=2)


@pytest.fixture(scope="module")
def unet() -> Unet25D:
    torch.manual_seed(0)
    return Unet25D(1, 2, canvas=32)


def batch(seed: int) -> dict:
    torch.manual_seed(seed)
    target = torch.randint(0, 3, (2, 1, 32, 32), dtype=torch.int16)
    return {"data": torch.rand(2, 3, 32, 32), "target": target}


def state_after(network: nn.Module, step: Callable[[dict], object]) -> dict[str, torch.Tensor]:
    network.train()
    for seed in range(3):
        step(batch(seed))
    return network.state_dict()


def test_a_step_is_the_hosts_to_the_bit(host: Callable[[str], str], unet: Unet25D):
    ours, theirs = copy.deepcopy(unet), copy.deepcopy(unet)
    step = TrainingStep(ours, LOSS, adamw(ours, CPU, rate=1e-2, decay=1e-2), scaler=None)
    trainer = SimpleNamespace(
        network=theirs,
        loss=LOSS,
        optimizer=torch.optim.AdamW(theirs.parameters(), lr=1e-2, weight_decay=1e-2),
        grad_scaler=None,
        device=CPU,
    )
    losses = [], []
    found = state_after(ours, lambda b: losses[0].append(step(b["data"], b["target"])))
    wanted = state_after(theirs, lambda b: losses[1].append(nnUNetTrainer.train_step(trainer, b)))
    assert [float(loss) for loss in losses[0]] == [float(told["loss"]) for told in losses[1]]
    for name, value in wanted.items():
        assert torch.equal(found[name], value), host(f"train_step changes {name} in another way")


def test_mixed_precision_scales_the_loss_and_not_the_step():
    """The branch for a GPU, with the scaler that PyTorch has for a CPU and a fused optimizer."""
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 2, 3, padding=1)
    moved, losses = [], []
    for scaler in (None, torch.amp.GradScaler("cpu", init_scale=2.0**10)):
        precision = torch.float32 if scaler is None else torch.bfloat16
        network = copy.deepcopy(layer)
        # A step of the size of the gradient, which would show its scale.
        optimizer = torch.optim.SGD(network.parameters(), lr=1.0, fused=scaler is not None)
        step = TrainingStep(network, LOSS, optimizer, scaler=scaler, precision=precision)
        losses.append(step(**batch(0)))
        moved.append(network.weight.detach() - layer.weight.detach())
    torch.testing.assert_close(losses[1], losses[0], atol=1e-2, rtol=0)
    torch.testing.assert_close(moved[1], moved[0], atol=3e-2 * float(moved[0].abs().max()), rtol=0)
    assert not losses[1].requires_grad


def test_bfloat16_learns_what_single_precision_learns(unet: Unet25D):
    """Emulated on processors without it: slower, the same numbers."""
    losses: dict[torch.dtype, list[float]] = {torch.float32: [], torch.bfloat16: []}
    for precision, found in losses.items():
        network = copy.deepcopy(unet).train()
        optimizer = adamw(network, CPU, rate=1e-2, decay=1e-2)
        step = TrainingStep(network, LOSS, optimizer, scaler=None, precision=precision)
        found += [float(step(**batch(0))) for _ in range(6)]
        assert {weight.dtype for weight in network.parameters()} == {torch.float32}
    single, half = losses.values()
    assert single != half, "nothing was computed in bfloat16"
    assert half == pytest.approx(single, abs=0.05)
    assert half[-1] < half[0] - 0.1


@pytest.mark.parametrize(
    ("capabilities", "device", "scaled", "wanted"),
    [
        ({"avx512_bf16": True}, CPU, False, torch.bfloat16),
        ({"amx_bf16": True}, CPU, False, torch.bfloat16),
        ({"avx512_f": True}, CPU, False, torch.float32),
        ({"avx512_bf16": True}, GPU, True, torch.float16),
        ({"avx512_bf16": True}, torch.device("mps"), False, torch.float32),
    ],
)
def test_steps_convolve_in_the_type_of_the_device(
    capabilities: dict[str, bool],
    device: torch.device,
    scaled: bool,
    wanted: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    scaler = torch.amp.GradScaler("cpu") if scaled else None
    assert step_precision(device, scaler) is wanted


def test_with_a_fused_optimizer_the_scaler_does_not_wait_for_the_device():
    # Otherwise torch.amp.GradScaler fetches in every step whether a gradient overflowed.
    fused = torch.optim.AdamW(nn.Linear(2, 2).parameters(), fused=True)
    assert fused._step_supports_amp_scaling


def test_an_overflow_leaves_the_weights_alone(unet: Unet25D):
    network = copy.deepcopy(unet)
    scaler = torch.amp.GradScaler("cpu", init_scale=float("inf"))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
    step = TrainingStep(network, LOSS, optimizer, scaler=scaler, precision=torch.bfloat16)
    network.train()
    step(**batch(0))
    for one, other in zip(network.parameters(), unet.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("fused", [False, True])
def test_a_resumed_optimizer_stays_fused_or_not(fused: bool, monkeypatch: pytest.MonkeyPatch):
    """A checkpoint of another device must not restore its kind of optimizer."""
    layer = nn.Linear(3, 2)
    layer(torch.rand(1, 3)).sum().backward()
    other = torch.optim.AdamW(layer.parameters(), lr=1e-3, fused=not fused)
    other.step()
    # Fused AdamW exists for CPUs too; only the choice is the GPU's.
    device = SimpleNamespace(type="cuda" if fused else "cpu")
    optimizer = adamw(layer, device, rate=1e-3, decay=1e-2)
    optimizer.load_state_dict(other.state_dict())
    assert bool(optimizer.param_groups[0]["fused"]) is fused
    optimizer.step()
    assert optimizer.state[layer.weight]["step"] == 2
    assert bool(other.param_groups[0]["fused"]) is not fused


@pytest.mark.parametrize(
    ("text", "device", "wanted"),
    [
        (None, GPU, False),
        ("f", GPU, False),
        ("true", GPU, True),
        ("1", GPU, True),
        ("1", CPU, False),
    ],
)
def test_steps_are_compiled_where_asked_for(
    text: str | None, device: torch.device, wanted: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv(COMPILE_VARIABLE, raising=False)
    if text is not None:
        monkeypatch.setenv(COMPILE_VARIABLE, text)
    assert compilation_wanted(device) is wanted


def test_the_host_reads_the_same_variable(host: Callable[[str], str]):
    source = inspect.getsource(nnUNetTrainer._do_i_compile)
    assert COMPILE_VARIABLE in source, host(f"{COMPILE_VARIABLE} is not its switch any more")


#: In its own process: here, tensors' shapes are checked at run time, which cannot be compiled.
TRACED = """
import copy, torch
from nnunet_pst.network.losses import MaskedSoftDiceLoss
from nnunet_pst.network.unet25d import Unet25D
from nnunet_pst.nnunet.training.training_step import TrainingStep, adamw

compile_for_real, asked = torch.compile, {}

def traced(function, **options):
    asked.update(options)
    return compile_for_real(
        function, backend="aot_eager", fullgraph=options["fullgraph"], dynamic=options["dynamic"]
    )

torch.compile = traced
torch.set_num_threads(1)
unet = Unet25D(1, 2, canvas=32)
unet.freeze_encoder_norms()
losses = []
for compiled in (True, False):
    network = copy.deepcopy(unet).train()
    optimizer = adamw(network, torch.device("cpu"), rate=1e-3, decay=1e-2)
    step = TrainingStep(
        network, MaskedSoftDiceLoss(ignore_label=2), optimizer, scaler=None, compiled=compiled
    )
    for seed in range(3):
        torch.manual_seed(seed)
        target = torch.randint(0, 3, (2, 1, 32, 32), dtype=torch.int16)
        losses.append(float(step(torch.rand(2, 3, 32, 32), target)))
assert asked == {"mode": "reduce-overhead", "fullgraph": True, "dynamic": False}, asked
difference = max(abs(a - b) for a, b in zip(losses[:3], losses[3:]))
assert difference < 1e-4, losses
print("ONE GRAPH")
"""


def test_the_hosts_logger_draws_the_figure(host: Callable[[str], str]):
    source = inspect.getsource(nnUNetTrainer.on_epoch_end)
    assert "self.logger.plot_progress_png(self.output_folder)" in source, host(
        "on_epoch_end doesn't draw with logger.plot_progress_png; then we can't leave it out"
    )


@pytest.mark.slow
def test_network_and_loss_are_one_graph():
    """Traced for real, run without code generation: CUDA graphs need a GPU."""
    done = subprocess.run([sys.executable, "-c", TRACED], capture_output=True, text=True)
    assert "ONE GRAPH" in done.stdout, done.stderr
