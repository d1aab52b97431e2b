"""Trainings for a given time, for comparisons at equal time on small machines.

One stock epoch is 250 iterations, most of an hour on two CPU cores. Here the training loop runs for
a given time, and the learning rate falls over that time instead of over epochs. The only other
change: there is no validation after training.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunet_pst.nnunet.environment import SECONDS_VARIABLE
from nnunet_pst.nnunet.training.base_trainer import PST25DTrainer
from nnunet_pst.nnunet.training.dataloading import BagBatches

#: More batches than any training uses.
ENDLESS = 10**9
#: Exponent of the host's schedule (nnunet-v2 ``training/lr_scheduler/polylr.py``).
POLY_EXPONENT = 0.9


class TimedTraining(nnUNetTrainer):
    """The loop of a trainer, stopped after ``NNUNET_PST_SECONDS`` seconds."""

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
        self.seconds = _seconds()
        self._trained_now = False

    def run_training(self) -> None:
        """Train until the time is over, in one epoch."""
        self._trained_now = True
        self.on_train_start()
        self.on_epoch_start()
        self.on_train_epoch_start()
        outputs: list[dict[str, Any]] = []
        begin = time.monotonic()
        while not outputs or time.monotonic() - begin < self.seconds:
            share = min((time.monotonic() - begin) / self.seconds, 1.0)
            for group in self.optimizer.param_groups:
                group["lr"] = self.initial_lr * (1 - share) ** POLY_EXPONENT
            outputs.append(self.train_step(next(self.dataloader_train)))
        self.print_to_log_file(f"{len(outputs)} iterations of {self.batch_size}")
        self.on_train_epoch_end(outputs)
        with torch.no_grad():
            self.on_validation_epoch_start()
            self.on_validation_epoch_end([self.validation_step(next(self.dataloader_val))])
        self.on_epoch_end()
        self.on_train_end()

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """Skip the validation, which may outlast the training, unless ``--val`` asks for it."""
        if self._trained_now:
            self.print_to_log_file(
                "The validation after training is left out; the same command with --val makes it."
            )
        else:
            super().perform_actual_validation(save_probabilities)


class TimedTrainer(TimedTraining):
    """The stock trainer for a given time."""


class TimedPST25DTrainer(TimedTraining, PST25DTrainer):
    """The 2.5D trainer for a given time."""

    def _iterate(self, batches: BagBatches, per_epoch: int) -> Iterator[dict[str, Any]]:
        # The number of batches is not known beforehand.
        return super()._iterate(batches, ENDLESS)


def _seconds() -> float:
    """Read the time from the environment.

    Only when a trainer is made: prediction builds a trainer class's network without one.
    """
    text = os.environ.get(SECONDS_VARIABLE, "")
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise SystemExit(
            f"error: {SECONDS_VARIABLE} is '{text}'; set it to the seconds of training"
        )
    return seconds
