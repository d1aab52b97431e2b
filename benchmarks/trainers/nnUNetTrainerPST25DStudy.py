"""The 2.5D trainer for ``STUDY_EPOCHS`` epochs, with ``STUDY_LOSS`` ``dice`` or ``dice_ce``.

Steps convolve in ``STUDY_PRECISION``, on as many threads as ``OMP_NUM_THREADS`` says (the host: one
for every core, which is slow where several trainings share them).

For `benchmarks/recipe_study.py`: no validation after training, because the study predicts patients
that no training has seen. Put this folder into ``nnUNet_extTrainer``.
"""

from __future__ import annotations

import os

import torch
from nnunetv2.training.loss.robust_ce_loss import RobustCrossEntropyLoss
from torch import Tensor, nn

from nnunet_pst.nnunet.training.base_trainer import PST25DTrainer

UNKNOWN_FOR_TORCH = -100


class DiceAndCrossEntropy(nn.Module):
    """Soft Dice on known voxels, plus cross-entropy on the same."""

    def __init__(self, dice: nn.Module, ignore_label: int | None) -> None:
        super().__init__()
        self.dice = dice
        self.cross_entropy = RobustCrossEntropyLoss(
            ignore_index=UNKNOWN_FOR_TORCH if ignore_label is None else ignore_label
        )

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the sum of both for (b, k, y, x) logits and (b, 1, y, x) labels."""
        loss: Tensor = self.dice(logits, target) + self.cross_entropy(logits.float(), target)
        return loss


class nnUNetTrainerPST25DStudy(PST25DTrainer):
    """A training of the recipe study."""

    epochs = int(os.environ.get("STUDY_EPOCHS", "5"))

    def initialize(self) -> None:
        """Build everything, then set threads and precision."""
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
        super().initialize()
        self._step.precision = getattr(torch, os.environ.get("STUDY_PRECISION", "float32"))

    def _build_loss(self) -> nn.Module:
        dice = super()._build_loss()
        if os.environ.get("STUDY_LOSS", "dice") == "dice":
            return dice
        return DiceAndCrossEntropy(dice, self.label_manager.ignore_label)

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """Leave it out."""
