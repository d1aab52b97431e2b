"""What a reader is told of a mask: a flag with its reasons, the expected Dice and intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from nnunet_pst.calibration.calibration import Calibration
from nnunet_pst.calibration.familiar import Familiarity
from nnunet_pst.calibration.fitting import COVERAGE, FAILED_BELOW
from nnunet_pst.calibration.signs import Signs

#: Decimals of Dice, and of ml.
_DICE, _ML = 3, 1


class Flag(Enum):
    """Whether to believe a mask, worst first."""

    FAILED = "likely failed"
    CHECK = "check"
    USUAL = "looks usual"
    UNKNOWN = "not calibrated"


@dataclass(frozen=True)
class Judgement:
    """What is said of one mask.

    Attributes
    ----------
    flag
        The worst of all reasons.
    reasons
        In words; never empty.
    expected_dice
        None where nothing was calibrated, and for an empty mask.
    dice_interval, volume_interval_ml
        Of `COVERAGE`; None where there is none.
    known_voxels
        Whether Dice is of the known voxels of coarse labels.
    """

    flag: Flag
    reasons: tuple[str, ...]
    expected_dice: float | None = None
    dice_interval: tuple[float, float] | None = None
    volume_interval_ml: tuple[float, float] | None = None
    known_voxels: bool = False

    def as_json(self) -> dict[str, Any]:
        """The judgement in a report."""
        return {
            "flag": self.flag.value,
            "reasons": list(self.reasons),
            "expected_dice": _rounded(self.expected_dice, _DICE),
            "dice_interval": _pair(self.dice_interval, _DICE),
            "volume_interval_ml": _pair(self.volume_interval_ml, _ML),
            "coverage": COVERAGE,
            "known_voxels": self.known_voxels,
        }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _pair(pair: tuple[float, float] | None, digits: int) -> list[float] | None:
    return None if pair is None else [round(value, digits) for value in pair]


def judge(
    signs: Signs | None,
    sequence: str,
    volume_ml: float,
    calibration: Calibration | None,
    *,
    image_ml: float = math.inf,
    why_not: str = "",
    familiar: Familiarity | None = None,
    disagreements: Sequence[str] = (),
) -> Judgement:
    """Judge one mask.

    Parameters
    ----------
    signs
        Of the mask; None where the model gives none.
    sequence
        Of the image.
    volume_ml
        0 for an empty mask.
    calibration
        Of the model that made it; None without one.
    image_ml
        Of the whole image, which no tumor exceeds.
    why_not
        Why there is none, with the remedy.
    familiar
        How the image compares with the training's.
    disagreements
        Of other sequences' masks, in words.
    """
    found: list[tuple[Flag, str]] = [(Flag.CHECK, line) for line in disagreements]
    if familiar is not None and familiar.looks_like:
        found.append(
            (Flag.CHECK, f"the image looks like {familiar.looks_like}, but was given as {sequence}")
        )
    if familiar is not None and familiar.unlike:
        found.append((Flag.CHECK, "the image's gray values are unlike those of the training"))
    if not volume_ml:
        return _of_empty(found, calibration, why_not)
    intervals = calibration.intervals if calibration is not None else None
    expected = intervals.expected(signs, sequence) if intervals and signs else None
    if calibration is None or intervals is None or calibration.check is None or expected is None:
        why = why_not or _why_unknown(calibration, sequence)
        return _with(found or [(Flag.UNKNOWN, why)], unless=why if found else "")
    found += _of_expected(expected, calibration)
    return _with(
        found,
        expected,
        intervals.dice_interval(expected),
        intervals.volume_interval_ml(expected, volume_ml, image_ml),
        known_voxels=not calibration.whole,
    )


def _why_unknown(calibration: Calibration | None, sequence: str) -> str:
    if calibration is None or calibration.intervals is None:
        return "calibrated with too few patients to expect anything of a mask"
    if not calibration.intervals.expected_dice.knows(sequence):
        return f"no mask of {sequence} was calibrated"
    return "this model tells nothing of the mask that the calibration could use"


def _of_expected(expected: float, calibration: Calibration) -> list[tuple[Flag, str]]:
    assert calibration.check is not None
    if expected < FAILED_BELOW:
        return [(Flag.FAILED, f"expected Dice {expected:.2f}, below {FAILED_BELOW}")]
    if expected < calibration.check.below:
        below = f"expected Dice {expected:.2f}, below {calibration.check.below:.2f}"
        if calibration.check.miss_rate is None:
            return [(Flag.CHECK, f"{below}: less sure than most masks of the calibration")]
        return [(Flag.CHECK, f"{below}, where masks of the calibration failed")]
    return [(Flag.USUAL, f"expected Dice {expected:.2f}")]


def _of_empty(
    found: list[tuple[Flag, str]], calibration: Calibration | None, why_not: str
) -> Judgement:
    """Judge a mask without tumor, which never looks usual."""
    if calibration is None or not calibration.empty:
        seen = why_not or "the calibration saw no empty mask"
        return _with([*found, (Flag.CHECK, f"the mask is empty; {seen}")])
    wrong, empty = calibration.empty_wrong, calibration.empty
    # Laplace's rule: with no empty mask known, half are taken to be wrong.
    flag = Flag.FAILED if (wrong + 1) / (empty + 2) > 0.5 else Flag.CHECK
    text = f"the mask is empty; of the calibration's empty masks {wrong} of {empty} missed a tumor"
    return _with([*found, (flag, text)])


def _with(
    found: Sequence[tuple[Flag, str]],
    expected: float | None = None,
    dice: tuple[float, float] | None = None,
    volume: tuple[float, float] | None = None,
    *,
    known_voxels: bool = False,
    unless: str = "",
) -> Judgement:
    order = list(Flag)
    ranked = sorted(found, key=lambda one: order.index(one[0]))
    reasons = [text for _, text in ranked]
    return Judgement(
        ranked[0][0],
        (*reasons, *([unless] if unless else [])),
        expected,
        dice,
        volume,
        known_voxels,
    )


def disagreement_lines(agreement: Mapping[str, Any] | None) -> dict[str, list[str]]:
    """Say by sequence which other's mask it disagrees with.

    Two masks that both have a Dice of three quarters with the tumor overlap with a Dice of about
    one half at least; so of two that overlap less, one is wrong or the registration is.
    """
    lines: dict[str, list[str]] = {}
    for pair in (agreement or {"pairs": []})["pairs"]:
        if pair["dice"] is not None and pair["dice"] < FAILED_BELOW:
            for name, other in zip(pair["sequences"], pair["sequences"][::-1], strict=True):
                text = f"overlaps the mask of {other} with a Dice of {pair['dice']:.2f} only"
                lines.setdefault(name, []).append(text)
    return lines
