"""What is learned about a model's masks, as one file beside its checkpoints: ``calibration.json``.

It names no patient and no case. Models come from strangers, so every value is checked when it is
read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_pst.calibration.expected_dice import SIGNS, ExpectedDice
from nnunet_pst.calibration.familiar import PROFILE_LENGTH, FamiliarImages
from nnunet_pst.calibration.fitting import CheckThreshold, FittedIntervals
from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.wording import printable

CALIBRATION = "calibration.json"
_FORMAT = 1
_MOST_NUMBERS = 100_000
#: No number of an honest calibration is larger; sums of larger ones overflow.
_LARGEST = 1e9


@dataclass(frozen=True)
class Calibration:
    """What is known of a model's masks.

    Attributes
    ----------
    checkpoints
        SHA-256 of the checkpoints that it was learned from.
    mirroring
        Whether the masks were averages over mirrored images.
    patients, cases
        Numbers of what it was learned from.
    whole
        Whether every slice of every label was drawn; else Dice is of known voxels, and there is no
        interval of the volume.
    intervals
        None with too few patients.
    check
        None with too few patients.
    empty, empty_wrong
        Number of empty masks, and of those where the label has tumor.
    temperatures
        By sequence.
    threshold
        See `reliability.best_threshold`; empty where not every slice was drawn.
    measures
        What `calibrate` measured, for people.
    familiar
        None with too few images.
    """

    checkpoints: tuple[str, ...]
    mirroring: bool
    patients: int
    cases: int
    whole: bool
    intervals: FittedIntervals | None
    check: CheckThreshold | None
    empty: int
    empty_wrong: int
    temperatures: Mapping[str, float]
    threshold: Mapping[str, float]
    measures: Mapping[str, Any]
    familiar: FamiliarImages | None


def as_text(calibration: Calibration) -> str:
    """Write a calibration as JSON, numbers to six digits."""
    content = {"format": _FORMAT, **asdict(calibration)}
    return json.dumps(_plain(content), indent=1) + "\n"


def _plain(value: Any) -> Any:  # noqa: ANN401 - of JSON
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return float(f"{value:.6g}")
    return value


def read_calibration(content: Mapping[str, Any], where: str) -> Calibration:
    """Read what `as_text` wrote.

    Raises
    ------
    InputError
        When it is of another format, or a value is not what it must be.
    """
    try:
        if content["format"] != _FORMAT:
            raise ValueError("another format")
        return Calibration(
            checkpoints=_digests(content["checkpoints"]),
            mirroring=content["mirroring"] is True,
            patients=_count(content["patients"]),
            cases=_count(content["cases"]),
            whole=content["whole"] is True,
            intervals=_intervals(content["intervals"]),
            check=_check(content["check"]),
            empty=_count(content["empty"]),
            empty_wrong=_count(content["empty_wrong"]),
            temperatures=_numbers(content["temperatures"]),
            threshold=_numbers(content["threshold"]),
            measures=dict(content["measures"]),
            familiar=_familiar(content["familiar"]),
        )
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise InputError(
            f"{where}: {CALIBRATION} is damaged or of another version; run `nnunet_pst calibrate` "
            "again, or remove it",
            Fault.DAMAGED,
        ) from error


def _intervals(content: Any) -> FittedIntervals | None:  # noqa: ANN401 - of JSON
    if content is None:
        return None
    fitted = content["expected_dice"]
    slopes = _numbers(fitted["slopes"])
    if not set(slopes) <= set(SIGNS):
        raise ValueError("unknown signs")
    return FittedIntervals(
        ExpectedDice(_number(fitted["intercept"]), slopes, _numbers(fitted["sequences"])),
        _size_or_none(content["dice_quantile"]),
        _size_or_none(content["volume_quantile"]),
    )


def _check(content: Any) -> CheckThreshold | None:  # noqa: ANN401 - of JSON
    if content is None:
        return None
    return CheckThreshold(
        _size(content["below"]),
        _count(content["failures"]),
        _count(content["failed_patients"]),
        _size_or_none(content["miss_rate"]),
        _size(content["flagged_good"]),
    )


def _familiar(content: Any) -> FamiliarImages | None:  # noqa: ANN401 - of JSON
    if content is None:
        return None
    keys = [str(name) for name in content["sequences"]]
    names = tuple(_name(name) for name in keys)
    if len(set(names)) < len(names):
        raise ValueError("one name twice")
    center = _array(content["center"], 1)
    k, n = len(names), PROFILE_LENGTH
    found = FamiliarImages(
        names,
        center,
        _array(content["scale"], 1),
        _array(content["means"], 2),
        _array(content["precision"], 2),
        {n: _array(content["distances"][key], 1) for n, key in zip(names, keys, strict=True)},
        _array(content["weights"], 2),
        _array(content["biases"], 1),
        {n: _number(content["lowest"][key]) for n, key in zip(names, keys, strict=True)},
    )
    parts = (center, found.scale, found.means, found.precision, found.weights, found.biases)
    if [part.shape for part in parts] != [(n,), (n,), (k, n), (n, n), (k, n), (k,)]:
        raise ValueError("shapes")
    if not (found.scale > 0).all():
        raise ValueError("scale")
    return found


def _number(value: Any) -> float:  # noqa: ANN401 - of JSON
    if isinstance(value, bool) or not abs(number := float(value)) <= _LARGEST:
        raise ValueError("not a number")
    return number


def _size(value: Any) -> float:  # noqa: ANN401 - of JSON
    if (number := _number(value)) < 0:
        raise ValueError("negative")
    return number


def _size_or_none(value: Any) -> float | None:  # noqa: ANN401 - of JSON
    return None if value is None else _size(value)


def _count(value: Any) -> int:  # noqa: ANN401 - of JSON
    if isinstance(value, bool) or int(value) != value or value < 0:
        raise ValueError("not a count")
    return int(value)


def _numbers(content: Mapping[str, Any]) -> dict[str, float]:
    return {_name(name): _number(value) for name, value in content.items()}


def _name(value: Any) -> str:  # noqa: ANN401 - of JSON
    """Make a name fit for messages, as every name of a model."""
    return printable(str(value))[:80]


def _digests(content: Any) -> tuple[str, ...]:  # noqa: ANN401 - of JSON
    if not isinstance(content, list) or not content:
        raise ValueError("no checkpoints")
    return tuple(str(digest) for digest in content)


def _array(content: Any, dimensions: int) -> npt.NDArray[np.float64]:  # noqa: ANN401 - of JSON
    array = np.asarray(content, dtype=np.float64)
    if (
        array.ndim != dimensions
        or array.size > _MOST_NUMBERS
        or not (np.abs(array) <= _LARGEST).all()
    ):
        raise ValueError("not an array")
    return array
