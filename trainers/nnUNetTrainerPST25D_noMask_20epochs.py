"""The ablation with 20 epochs, beside nnUNetTrainerPST25D_20epochs."""

from __future__ import annotations

from typing import Any

import torch

from nnunet_pst.nnunet.base_trainer import PST25DTrainer


class nnUNetTrainerPST25D_noMask_20epochs(PST25DTrainer):
    """The 2.5D trainer that takes unknown voxels for background, with 20 epochs."""

    unknown_is_background = True

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
