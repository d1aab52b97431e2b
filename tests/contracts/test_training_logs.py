"""The host's lines after an epoch, from which the report's learning curves are read."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from nnunetv2.training.logging.nnunet_logger import MetaLogger
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunet_pst.report.training_logs import read_curves


class Printing(SimpleNamespace):
    """The part of a trainer that prints an epoch."""

    print_to_log_file = nnUNetTrainer.print_to_log_file

    def save_checkpoint(self, filename: str) -> None:
        """Saves nothing."""


def test_an_epoch_is_printed_as_the_report_reads_it(
    host: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("nnUNet_wandb_enabled", raising=False)
    monkeypatch.setattr(MetaLogger, "plot_progress_png", lambda *_: None)
    fold = tmp_path / "Trainer__Plans__2d" / "fold_0"
    fold.mkdir(parents=True)
    trainer = Printing(
        log_file=str(fold / "training_log_2026_1_2_03_04_05.txt"),
        logger=MetaLogger(str(fold), False),
        output_folder=str(fold),
        local_rank=0,
        current_epoch=0,
        num_epochs=10,
        save_every=50,
        _best_ema=None,
        network=SimpleNamespace(train=lambda: None),
        lr_scheduler=SimpleNamespace(step=lambda _: None),
        optimizer=SimpleNamespace(param_groups=[{"lr": 0.01}]),
    )
    for epoch, dice in enumerate(([0.25], [np.float32(0.5)], [math.nan])):
        nnUNetTrainer.on_epoch_start(trainer)
        nnUNetTrainer.on_train_epoch_start(trainer)
        trainer.logger.log("train_losses", np.float32(-0.125), epoch)
        trainer.logger.log("val_losses", 0.0625, epoch)
        trainer.logger.log("mean_fg_dice", np.nanmean(dice) if epoch < 2 else 0.5, epoch)
        trainer.logger.log("dice_per_class_or_region", dice, epoch)
        nnUNetTrainer.on_epoch_end(trainer)
    message = host("prints its epochs in another form than report.training_logs reads")
    (curve,) = read_curves(tmp_path) or [None]
    assert curve is not None, message
    assert (curve.model, curve.fold) == ("Trainer__Plans__2d", "fold_0")
    read = [(e.train_loss, e.val_loss, e.pseudo_dice) for e in curve.epochs.values()]
    assert read[:2] == [(-0.125, 0.0625, 0.25), (-0.125, 0.0625, 0.5)], message
    assert math.isnan(read[2][2]), message
    assert all(epoch.seconds >= 0 for epoch in curve.epochs.values()), message
