"""Learning curves from the text that nnU-Net leaves beside its checkpoints.

nnU-Net 2.8 keeps the curves themselves inside its checkpoints (``logging``), which are pickles and
may come from a stranger. What it prints goes into ``training_log_<date>.txt`` as well, one file for
each time a training was started: ``Epoch 3``, ``train_loss 0.1234``, ``val_loss ...``,
``Pseudo dice [np.float32(0.5)]`` (nnUNetTrainer.on_train_epoch_start and on_epoch_end). Only those
lines are read; dates and paths stay behind.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

#: A log of 1 000 epochs has about 0.5 MB.
_MOST_BYTES = 64 * 2**20
_EPOCH = re.compile(r"Epoch (\d{1,7}) *")
_NUMBER = r"(-?(?:\d+\.?\d*(?:e[+-]?\d+)?|nan|inf))"
_VALUE = re.compile(rf"(train_loss|val_loss) {_NUMBER}\b")
_PSEUDO_DICE = re.compile(r"Pseudo dice \[(.*)\]")
_SCORE = re.compile(rf"(?:^|, )(?:np\.float\d+\()?{_NUMBER}\)?")
_SECONDS = re.compile(rf"Epoch time: {_NUMBER} s")
_TIMESTAMP = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?: ")


@dataclass(frozen=True)
class Epoch:
    """What one epoch printed; NaN for what it did not.

    Parameters
    ----------
    train_loss, val_loss
        The training's loss, as nnU-Net prints it.
    pseudo_dice
        Mean over the classes of nnU-Net's Dice over validation patches pooled; not a patient's.
    seconds
        Duration.
    """

    train_loss: float = math.nan
    val_loss: float = math.nan
    pseudo_dice: float = math.nan
    seconds: float = math.nan


@dataclass(frozen=True)
class Curve:
    """The epochs of one fold of one model.

    Parameters
    ----------
    model
        ``trainer__plans__configuration``, as nnU-Net names the folder.
    fold
        ``fold_0``, ``fold_all``, ...
    epochs
        By number; a resumed training has its later values.
    """

    model: str
    fold: str
    epochs: dict[int, Epoch]


def read_curves(dataset_results: Path) -> list[Curve]:
    """Read the logs of every fold of every model of a dataset.

    Parameters
    ----------
    dataset_results
        ``nnUNet_results/DatasetPST``.

    Returns
    -------
    list of Curve
        Ordered by model and fold; folds whose logs hold no epoch are left out.
    """
    curves = []
    for fold in sorted(dataset_results.glob("*__*__*/fold_*")):
        epochs: dict[int, Epoch] = {}
        for log in sorted(fold.glob("training_log_*.txt"), key=_start):
            if log.is_file() and log.stat().st_size <= _MOST_BYTES:
                epochs |= parse_log(log.read_text(encoding="utf-8", errors="replace").splitlines())
        if epochs:
            curves.append(Curve(fold.parent.name, fold.name, dict(sorted(epochs.items()))))
    return curves


def parse_log(lines: Sequence[str]) -> dict[int, Epoch]:
    """Read the epochs of one log; an epoch that was broken off before its end is left out."""
    epochs: dict[int, Epoch] = {}
    current: int | None = None
    values: dict[str, float] = {}
    for line in lines:
        text = _TIMESTAMP.sub("", line)
        if match := _EPOCH.fullmatch(text):
            current, values = int(match[1]), {}
        elif current is None:
            continue
        elif match := _VALUE.match(text):
            values[match[1]] = float(match[2])
        elif match := _PSEUDO_DICE.match(text):
            scores = [float(score[1]) for score in _SCORE.finditer(match[1])]
            defined = [score for score in scores if not math.isnan(score)]
            values["pseudo_dice"] = math.fsum(defined) / len(defined) if defined else math.nan
        elif match := _SECONDS.match(text):
            epochs[current] = Epoch(**values, seconds=float(match[1]))
            current = None
    return epochs


def _start(log: Path) -> tuple[int, ...]:
    """Order logs by when their training was started; the host doesn't pad month and day."""
    return tuple(int(part) for part in re.findall(r"\d+", log.stem))
