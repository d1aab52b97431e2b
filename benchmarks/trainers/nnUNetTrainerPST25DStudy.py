"""The 2.5D trainer with the changes that ``STUDY`` names: one of `benchmarks/method_study.py`.

``STUDY`` is a JSON object: ``iterations`` of a training and, where they change, ``loss`` (``dice``,
``dice_ce``), ``ema`` (the decay of an average of the weights, which replaces them at the end) and
``intensity_augmentation`` (``host``: the host's noise, blur, brightness, contrast, resolution).

There is no validation after training: patients that no training has seen are predicted instead. Put
this folder into ``nnUNet_extTrainer``.
"""

from __future__ import annotations

import json
import os
from typing import Any

import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.intensity.brightness import (
    MultiplicativeBrightnessTransform,
)
from batchgeneratorsv2.transforms.intensity.contrast import BGContrast, ContrastTransform
from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from batchgeneratorsv2.transforms.spatial.low_resolution import (
    SimulateLowResolutionTransform,
)
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.random import RandomTransform
from nnunetv2.training.loss.robust_ce_loss import RobustCrossEntropyLoss
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from nnunet_pst.network.bags import IMAGENET_STD
from nnunet_pst.nnunet.training.base_trainer import PST25DTrainer

UNKNOWN_FOR_TORCH = -100
PER_EPOCH = 70


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


def host_intensity_transforms() -> ComposeTransforms:
    """Return the host's changes of gray values, but gamma, which every training has.

    Ranges and probabilities of nnunet-v2 ``nnUNetTrainer.get_training_transforms`` (2.8). Our gray
    values are in the unit range instead of normalized, so noise is scaled by their usual deviation;
    all slices of a bag change alike, as they come from one scan.
    """

    def sometimes(transform: BasicTransform, share: float) -> RandomTransform:
        return RandomTransform(transform, apply_probability=share)

    contrast = BGContrast((0.75, 1.25))
    return ComposeTransforms(
        [
            sometimes(GaussianNoiseTransform((0, 0.1 * IMAGENET_STD)), 0.1),
            sometimes(GaussianBlurTransform((0.5, 1.0), synchronize_channels=True), 0.2),
            sometimes(MultiplicativeBrightnessTransform(contrast, synchronize_channels=True), 0.15),
            sometimes(
                ContrastTransform(contrast, preserve_range=True, synchronize_channels=True), 0.15
            ),
            sometimes(
                SimulateLowResolutionTransform(
                    (0.5, 1), synchronize_channels=True, synchronize_axes=True, ignore_axes=()
                ),
                0.25,
            ),
        ]
    )


class nnUNetTrainerPST25DStudy(PST25DTrainer):
    """A training of the method study."""

    study: dict[str, Any] = json.loads(os.environ.get("STUDY", "{}"))
    shortest_epoch = PER_EPOCH
    epochs = max(1, round(study.get("iterations", PER_EPOCH) / PER_EPOCH))

    def initialize(self) -> None:
        """Build everything, then what the study changes."""
        super().initialize()
        self._augment = (
            host_intensity_transforms()
            if self.study.get("intensity_augmentation") == "host"
            else None
        )
        self._average: AveragedModel | None = None

    def _build_loss(self) -> nn.Module:
        dice = super()._build_loss()
        if self.study.get("loss", "dice") == "dice":
            return dice
        return DiceAndCrossEntropy(dice, self.label_manager.ignore_label)

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Change gray values, make the step, and average the weights."""
        if self._augment is not None:
            batch["data"] = torch.stack(
                [self._augment(image=bag)["image"] for bag in batch["data"]]
            )
        result = super().train_step(batch)
        if decay := self.study.get("ema"):
            if self._average is None:
                self._average = AveragedModel(
                    self.network, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True
                )
            self._average.update_parameters(self.network)
        return result

    def on_train_end(self) -> None:
        """Put the average of the weights in their place before the last checkpoint is written."""
        if self._average is not None:
            self.network.load_state_dict(self._average.module.state_dict())
        super().on_train_end()

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """Leave it out."""
