"""A training of 20 epochs, for a first look or a small budget."""

from __future__ import annotations

from typing import Any

import torch

from nnunet_pst.nnunet.base_trainer import PST25DTrainer


class nnUNetTrainerPST25D_20epochs(PST25DTrainer):
    """The 2.5D trainer with 20 epochs."""

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008 (the host's own default)
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs = 20
