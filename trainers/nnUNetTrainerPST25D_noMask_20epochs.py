"""The ablation with 20 epochs, beside nnUNetTrainerPST25D_20epochs."""

from __future__ import annotations

from nnunet_pst.nnunet.training.base_trainer import PST25DTrainer


class nnUNetTrainerPST25D_noMask_20epochs(PST25DTrainer):
    """The 2.5D trainer that takes unknown voxels for background, with 20 epochs."""

    epochs = 20
    unknown_is_background = True
