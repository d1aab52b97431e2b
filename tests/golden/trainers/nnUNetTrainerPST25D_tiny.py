"""A training of seconds, which kills itself at a test's request."""

from __future__ import annotations

import io
import os
import signal
from pathlib import Path

import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

from nnunet_pst.nnunet.training.base_trainer import PST25DTrainer


class nnUNetTrainerPST25D_tiny(PST25DTrainer):  # noqa: N801 (the host finds it by this name)
    """Four epochs, or ``TINY_EPOCHS``, of twenty iterations.

    ``TINY_SKIPS_VALIDATION=1``: ends with the last epoch.
    ``TINY_KILLED_IN_EPOCH=n``: killed after the third iteration of epoch ``n``.
    ``TINY_KILLED_SAVING_EPOCH=n``: killed when half of a checkpoint of epoch ``n`` is on the disk.
    ``TINY_KILLED_SAVED_EPOCH=n``: killed when a checkpoint of epoch ``n`` is whole.
    ``TINY_FULL_SAVING_EPOCH=n``: of a checkpoint of epoch ``n`` a full disk keeps half.
    ``TINY_KILLED_VALIDATING=1``: killed when the first case of the validation is predicted.
    """

    epochs = int(os.environ.get("TINY_EPOCHS", "4"))
    shortest_epoch = 20

    def __init__(
        self,
        plans: dict,
        configuration: str,
        fold: int,
        dataset_json: dict,
        device: torch.device = torch.device("cuda"),  # noqa: B008
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_val_iterations_per_epoch = 2
        # Small images gain nothing from more, and a busy machine would make threads wait.
        torch.set_num_threads(1)

    def train_step(self, batch: dict) -> dict:
        if os.environ.get("TINY_KILLED_IN_EPOCH") == str(self.current_epoch):
            self.iterations_left = getattr(self, "iterations_left", 3) - 1
            if self.iterations_left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return super().train_step(batch)

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        if os.environ.get("TINY_KILLED_VALIDATING"):
            genuine = nnUNetPredictor.predict_sliding_window_return_logits
            nnUNetPredictor.predict_sliding_window_return_logits = then_killed(genuine)
        if not os.environ.get("TINY_SKIPS_VALIDATION"):
            super().perform_actual_validation(save_probabilities)

    def save_checkpoint(self, filename: str) -> None:
        if os.environ.get("TINY_KILLED_SAVING_EPOCH") == str(self.current_epoch):
            torch.save = half_of_it_then_killed(torch.save)
        if os.environ.get("TINY_FULL_SAVING_EPOCH") == str(self.current_epoch):
            torch.save = half_of_it(torch.save)
        super().save_checkpoint(filename)
        if os.environ.get("TINY_KILLED_SAVED_EPOCH") == str(self.current_epoch):
            os.kill(os.getpid(), signal.SIGKILL)


def then_killed(function):
    def call(*arguments, **more):
        function(*arguments, **more)
        os.kill(os.getpid(), signal.SIGKILL)

    return call


def half_of_it(save):
    def half(content: dict, filename: str) -> None:
        save(content, filename)
        os.truncate(filename, Path(filename).stat().st_size // 2)

    return half


def half_of_it_then_killed(save):
    def half(content: dict, filename: str) -> None:
        buffer = io.BytesIO()
        save(content, buffer)
        Path(filename).write_bytes(buffer.getvalue()[: buffer.tell() // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    return half
