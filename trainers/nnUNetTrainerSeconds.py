"""Stock nnU-Net for a given time, to compare the 2.5D trainer with."""

from __future__ import annotations

from nnunet_pst.nnunet.training.timed_trainer import TimedTrainer


class nnUNetTrainerSeconds(TimedTrainer):
    """The stock trainer for ``NNUNET_PST_SECONDS`` seconds."""
