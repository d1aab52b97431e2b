"""Stock nnU-Net within a time budget, for comparisons on small machines.

One stock epoch is 250 iterations of the planned batch, which takes most of an hour on two CPU
cores, with a learning rate that falls only from epoch to epoch. Here the same loop is cut into
short epochs, so that the whole schedule fits the budget; nothing else is changed.

Put this folder into ``nnUNet_extTrainer`` and set ``STOCK_ITERATIONS``, the number of iterations in
all, which a first minute of training tells.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

EPOCHS = 1


class nnUNetTrainerMinutes(nnUNetTrainer):
    """The stock trainer with `EPOCHS` short epochs of ``STOCK_ITERATIONS`` in all."""

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008 (the host's own default)
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs = EPOCHS
        self.num_iterations_per_epoch = -(
            -int(os.environ.get("STOCK_ITERATIONS", "5000")) // EPOCHS
        )
        self.num_val_iterations_per_epoch = 1
