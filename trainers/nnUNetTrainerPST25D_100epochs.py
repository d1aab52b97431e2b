"""A training of 100 epochs, for a first look or a small budget."""

from __future__ import annotations

from nnunet_pst.nnunet.training.base_trainer import PST25DTrainer


class nnUNetTrainerPST25D_100epochs(PST25DTrainer):
    """The 2.5D trainer with 100 epochs."""

    epochs = 100
