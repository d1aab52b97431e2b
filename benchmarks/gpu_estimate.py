"""The work of a training step, counted on the real network, and its estimated time on a GPU.

    python benchmarks/gpu_estimate.py [--crop 224] [--bags 12]

Nothing here runs on a GPU: operations, bytes and multiplications are counted while the step runs on
the processor, in mixed precision, and divided by a data sheet's numbers. Every time is calculated.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from nnunet_pst.network import augmentation
from nnunet_pst.network.losses import MaskedSoftDiceLoss
from nnunet_pst.network.unet25d import Unet25D
from nnunet_pst.nnunet.training.settings import BAGS_PER_BATCH, TrainingSettings
from nnunet_pst.nnunet.training.training_step import TrainingStep

#: NVIDIA H100 SXM5, data sheet (resources.nvidia.com/en-us-tensor-core): dense bfloat16 or half
#: precision, and memory bandwidth. The sheet's larger number for the former is with sparsity.
FLOPS_PER_S, BYTES_PER_S = 989e12, 3.35e12
#: Assumed: PCIe 5.0 x16 from pinned memory (63 GB/s on paper).
SENT_BYTES_PER_S = 50e9
#: Assumed share of the data sheet's numbers that convolutions of this size reach.
REACHED = 0.4
#: Assumed seconds for one operation launched by PyTorch, and for one kernel of a CUDA graph.
EAGER_LAUNCH_S, GRAPH_LAUNCH_S = 10e-6, 2e-6
#: The paper's recipe: epochs, and steps of one, one for each patient.
EPOCHS, STEPS_PER_EPOCH = 300, 400
#: Measured on two cores of an AMD EPYC: checkpoints and log after an epoch, 0.07 to 0.12 s, and the
#: figure, 0.6 s once a minute.
AFTER_EPOCH_S = 0.15


@dataclass(frozen=True)
class Count:
    """The amount of work for a device.

    Attributes
    ----------
    operations
        ATen operations that compute something: about as many kernels.
    moved_bytes
        Bytes that each operation reads and writes, without caches.
    convolution_bytes
        Bytes that convolutions read and write: the rest if all else is fused into them.
    """

    operations: int
    moved_bytes: int
    convolution_bytes: int


class _Watch(TorchDispatchMode):
    """Counts operations and the bytes of their tensors, but not views, which do nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = self.moved_bytes = self.convolution_bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not (
            func.is_view or func._opname.startswith(("empty", "new_empty", "detach", "_local"))
        ):
            self.operations += 1
            tensors = [
                leaf
                for leaf in tree_leaves((args, kwargs, result))
                if isinstance(leaf, torch.Tensor)
            ]
            # In place, a tensor is among the arguments and the results: it is read and written.
            moved = sum(tensor.nbytes for tensor in tensors)
            self.moved_bytes += moved
            self.convolution_bytes += moved if "convolution" in func._opname else 0
        return result


def count(work: Callable[[], object]) -> Count:
    """Do the work once and count."""
    with _Watch() as watch:
        work()
    return Count(watch.operations, watch.moved_bytes, watch.convolution_bytes)


def forward_flops(network: nn.Module, data: torch.Tensor) -> int:
    """Count additions and multiplications of convolutions in the forward pass."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network(data)
    return counter.get_total_flops()


def training_step(bags: int, crop: int) -> tuple[Count, int]:
    """Count the paper's step: 3 slices a bag, fused AdamW, gradient scaler, frozen norms.

    The second number counts its additions and multiplications. Backward is assumed to be twice
    forward: PyTorch's counter multiplies the backward of depthwise convolutions by their groups.
    """
    network = Unet25D(1, 2, canvas=crop)
    network.freeze_encoder_norms()
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=1.0)
    step = TrainingStep(
        network,
        MaskedSoftDiceLoss(ignore_label=2),
        optimizer,
        scaler=scaler,
        precision=torch.bfloat16,  # as many bytes as a GPU's half precision
    )
    data, target = torch.rand(bags, 3, crop, crop), torch.randint(0, 3, (bags, 1, crop, crop))
    step(data, target)  # makes the optimizer's state
    return count(lambda: step(data, target)), 3 * forward_flops(network, data)


def raw_batch(bags: int, crop: int, canvas: int) -> augmentation.RawBags:
    """Return a batch as the processor makes it."""
    settings = TrainingSettings()
    ranges = augmentation.AugmentationRanges(settings.rotation_degrees, settings.scale)
    rng = np.random.default_rng(0)
    drawn = [
        augmentation.draw_transform((canvas, canvas), crop, ranges, rng, channels=1)
        for _ in range(bags)
    ]
    images = torch.rand(bags, 3, canvas, canvas).half()
    labels = torch.zeros(bags, 1, canvas, canvas, dtype=torch.int8)
    return augmentation.raw_bags(images, labels, drawn, crop)


def render(step: Count, flops: int, sampling: Count, *, sent_bytes: int, bags: int) -> str:
    """Lay the counts and the times out as Markdown."""
    ms = 1e3
    lines = [
        "| | operations | GB moved | of it by convolutions | ms for them |",
        "|---|--:|--:|--:|--:|",
        *(
            f"| {name} | {found.operations} | {found.moved_bytes / 1e9:.2f} "
            f"| {found.convolution_bytes / 1e9:.2f} | {ms * found.moved_bytes / BYTES_PER_S:.2f} |"
            for name, found in (("training step", step), ("sampling", sampling))
        ),
        "",
        f"{flops / 1e12:.3f} TFLOP a step: {ms * flops / FLOPS_PER_S:.2f} ms. Sent for a batch: "
        f"{sent_bytes / 1e6:.1f} MB, {ms * sent_bytes / SENT_BYTES_PER_S:.2f} ms, beside a step.",
        "",
        "| | ms/step | limit | bags/s | steps, min | after epochs, min | together, min |",
        "|---|--:|---|--:|--:|--:|--:|",
    ]
    launched = step.operations + sampling.operations
    for name, launch_s, moved in (
        ("launched one by one", EAGER_LAUNCH_S, step.moved_bytes),
        ("CUDA graphs, nothing fused", GRAPH_LAUNCH_S, step.moved_bytes),
        ("CUDA graphs, all fused", GRAPH_LAUNCH_S, step.convolution_bytes),
    ):
        limits = {
            "launches": launched * launch_s,
            "memory": moved / BYTES_PER_S / REACHED,
            "arithmetic": flops / FLOPS_PER_S / REACHED,
        }
        limit = max(limits, key=limits.__getitem__)
        steps, after = EPOCHS * STEPS_PER_EPOCH * limits[limit] / 60, EPOCHS * AFTER_EPOCH_S / 60
        lines.append(
            f"| {name} | {ms * limits[limit]:.1f} | {limit} | {bags / limits[limit]:.0f} "
            f"| {steps:.1f} | {after:.1f} | {steps + after:.1f} |"
        )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Count, calculate and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--crop", type=int, default=TrainingSettings().crop)
    parser.add_argument("--bags", type=int, default=BAGS_PER_BATCH)
    parser.add_argument("--canvas", type=int, default=320, help="rows and columns of a slice")
    arguments = parser.parse_args(argv)
    raw = raw_batch(arguments.bags, arguments.crop, arguments.canvas)
    # As on a GPU: all bags at once.
    sampling = count(lambda: augmentation._sampled_together(raw, arguments.crop))
    step, flops = training_step(arguments.bags, arguments.crop)
    sent = sum(part.nbytes for part in raw)
    print(render(step, flops, sampling, sent_bytes=sent, bags=arguments.bags))
    return 0


if __name__ == "__main__":
    sys.exit(main())
