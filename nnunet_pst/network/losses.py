"""The loss: soft Dice of the tumor over the whole batch, on known voxels only."""

from __future__ import annotations

import torch
from jaxtyping import Float, Num
from torch import Tensor, nn


class MaskedSoftDiceLoss(nn.Module):
    """One minus the soft Dice of the foreground over a batch, ignoring unknown voxels.

    ``1 - mean_k (2 sum(p t) + s) / (sum(p) + sum(t) + s)`` with sums over all known voxels of the
    batch (Milletari 2016, doi 10.1109/3DV.2016.79, without squares; ``batch_dice`` of nnU-Net).

    Without known voxels the loss is 0, and so is its gradient, which exists. Without tumor, only
    false positives count. Unknown voxels get a gradient of exactly 0.

    Parameters
    ----------
    ignore_label
        Value of unknown voxels, or None when all voxels are known.
    smooth
        ``s``, in voxels.
    distributed
        Sum over all processes, so that a split batch has the loss of the whole one.
    """

    def __init__(
        self, *, ignore_label: int | None, smooth: float = 1.0, distributed: bool = False
    ) -> None:
        super().__init__()
        self.ignore_label = ignore_label
        self.smooth = smooth
        self.distributed = distributed

    def forward(
        self, logits: Float[Tensor, "b k *space"], target: Num[Tensor, "b 1 *space"]
    ) -> Float[Tensor, ""]:
        """Return the loss of ``logits`` against integer labels ``target``."""
        # Softmax and sums in single precision: half precision cannot count the voxels of a batch.
        probability = logits.float().softmax(dim=1)[:, 1:]
        classes = torch.arange(1, logits.shape[1], device=logits.device)
        truth = target == classes.reshape(1, -1, *[1] * (target.ndim - 2))
        if self.ignore_label is not None:
            known = target != self.ignore_label
            truth = truth & known
            # where, not a product: an infinite logit must not turn unknown voxels into NaN.
            probability = torch.where(known, probability, probability.new_zeros(()))
        axes = [0, *range(2, logits.ndim)]
        sums = torch.stack(
            [
                (probability * truth).sum(axes),
                probability.sum(axes),
                truth.sum(axes).to(probability.dtype),
            ]
        )
        if self.distributed:
            sums = _sum_over_processes(sums)
        overlap, predicted, true = sums
        dice = (2 * overlap + self.smooth) / (predicted + true + self.smooth)
        loss: Tensor = 1 - dice.mean()
        return loss


def _sum_over_processes(sums: Tensor) -> Tensor:
    from torch.distributed.nn.functional import all_reduce

    total: Tensor = all_reduce(sums)  # type: ignore[no-untyped-call]
    return total
