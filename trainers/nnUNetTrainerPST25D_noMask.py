"""The ablation: slices and voxels without annotation count as background."""

from __future__ import annotations

from nnunet_pst.nnunet.training.base_trainer import PST25DTrainer


class nnUNetTrainerPST25D_noMask(PST25DTrainer):
    """The 2.5D trainer that takes unknown voxels for background."""

    unknown_is_background = True
