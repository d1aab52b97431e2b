"""The 2.5D trainer for a given time."""

from __future__ import annotations

from nnunet_pst.nnunet.training.timed_trainer import TimedPST25DTrainer


class nnUNetTrainerPST25DSeconds(TimedPST25DTrainer):
    """The 2.5D trainer for ``NNUNET_PST_SECONDS`` seconds."""
