"""The host's own training, as short as can be: something to make an ensemble with."""

from __future__ import annotations

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


class nnUNetTrainer_tiny(nnUNetTrainer):  # noqa: N801 (the host finds it by this name)
    """One epoch of two iterations of four slices."""

    def __init__(
        self,
        plans: dict,
        configuration: str,
        fold: int,
        dataset_json: dict,
        device: torch.device = torch.device("cuda"),  # noqa: B008
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs = 1
        self.num_iterations_per_epoch = 2
        self.num_val_iterations_per_epoch = 1
        torch.set_num_threads(1)

    def _set_batch_size_and_oversample(self) -> None:
        super()._set_batch_size_and_oversample()
        self.batch_size = 4

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """Skip the validation, which no test reads; each of its processes imports torch."""
