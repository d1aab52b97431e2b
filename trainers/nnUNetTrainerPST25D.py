"""The paper's training: 300 epochs."""

from __future__ import annotations

from nnunet_pst.nnunet.training.base_trainer import PST25DTrainer


class nnUNetTrainerPST25D(PST25DTrainer):
    """The 2.5D trainer."""
