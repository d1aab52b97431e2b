"""Stock nnU-Net for a number of iterations, for comparisons on small machines.

One stock epoch is 250 iterations of the planned batch, which takes most of an hour on two CPU
cores. Here it is one epoch of ``STOCK_ITERATIONS``, at the stock learning rate, without other
changes. `nnUNetTrainerSeconds` in ``trainers/`` does the same for a number of seconds, with a
falling learning rate; this trainer made the number of stock ``2d`` in ``docs/results.md``.

Put this folder into ``nnUNet_extTrainer``.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


class nnUNetTrainerMinutes(nnUNetTrainer):
    """The stock trainer with one epoch of ``STOCK_ITERATIONS``."""

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008 (the host's own default)
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs = 1
        self.num_iterations_per_epoch = int(os.environ.get("STOCK_ITERATIONS", "250"))
        self.num_val_iterations_per_epoch = 1
