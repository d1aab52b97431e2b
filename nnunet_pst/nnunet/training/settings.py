"""The settings of a 2.5D training, in the plans under the key ``pst``.

The network's own settings are beside it under the host's key ``architecture``; the number of bags
in a batch is the host's ``batch_size``. Together they describe a training.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, get_args

from nnunet_pst.errors import Fault, InputError, Problem
from nnunet_pst.network import FirstLayer

#: Key of our settings in a configuration of ``nnUNetPlans.json``.
PLANS_KEY = "pst"

#: Bags in a batch (paper, Methods).
BAGS_PER_BATCH = 12

#: How the first layer was spread before plans said so.
_EARLIER_FIRST_LAYER: FirstLayer = "rgb"


@dataclass(frozen=True)
class TrainingSettings:
    """The settings of a training besides the network and the data.

    Attributes
    ----------
    crop
        Side of the square training crop in pixels (paper: 224). Nothing is predicted on less.
    bags_per_patient
        Bags of one patient in a row: 1 mixes patients in a batch, 12 is the paper read literally.
    lesion_share, negative_share
        Share of bags centered on tumor slices and on free negatives; the rest are other known
        slices.
    rotation_degrees, scale, gamma, gain
        Largest augmentation, see `nnunet_pst.network.augmentation.AugmentationRanges`; the paper
        gives no ranges. Rotation is nnU-Net's own for 2D. ``gamma`` and ``gain`` of 1 are the
        paper's recipe, which has geometric augmentation only (``docs/results.md`` has what was
        measured).
    resampled_share
        Share of bags that are rotated and scaled, and so interpolated, see
        `nnunet_pst.network.augmentation.AugmentationRanges`.
    channel_dropout
        Probability with which each sequence of a bag is zeroed in training, never all of them, so
        that one model can segment studies with missing sequences. No effect on one channel. The
        paper has no such dropout.
    first_layer
        How a pretrained encoder's first layer is spread over the slices of a bag, see
        `nnunet_pst.network.first_layer.spread_over_slices`. Plans without it are of a time when it
        was ``rgb``, and are read so.
    freeze_encoder_norms
        Keep the mean and variance of a pretrained encoder's batch norms instead of learning the
        training patients' (``docs/decisions/0035``). The paper doesn't say; False is the default
        of most code.
    seed
        Of the initial weights and of every draw.
    """

    crop: int = 224
    bags_per_patient: int = 1
    lesion_share: float = 0.5
    negative_share: float = 0.1
    rotation_degrees: float = 180.0
    scale: float = 1.6
    gamma: float = 1.6
    gain: float = 1.3
    resampled_share: float = 1.0
    channel_dropout: float = 0.0
    first_layer: FirstLayer = "center"
    freeze_encoder_norms: bool = True
    seed: int = 12345

    def to_plans(self) -> dict[str, Any]:
        """Return the dictionary that is written into the plans."""
        return asdict(self)

    @classmethod
    def from_plans(cls, values: Mapping[str, Any]) -> TrainingSettings:
        """Read the settings from the plans; every unknown name or impossible value is reported."""
        known = {field.name: field for field in fields(cls)}
        problems = [
            Problem(f"unknown setting '{name}'; known are {', '.join(known)}", Fault.UNKNOWN_NAME)
            for name in values
            if name not in known
        ]
        kinds = {name: type(field.default) for name, field in known.items()}
        usable = {name: value for name, value in values.items() if name in known}
        wrong = [name for name, value in usable.items() if not _is_of_kind(value, kinds[name])]
        problems += [
            Problem(
                f"{name} is {usable.pop(name)!r}; it must be {_KIND_NAMES[kinds[name]]}",
                Fault.MALFORMED,
            )
            for name in wrong
        ]
        settings = cls(**{"first_layer": _EARLIER_FIRST_LAYER, **usable})
        problems += settings._impossible_values()
        if problems:
            raise InputError([problem.within(f"plans, key '{PLANS_KEY}'") for problem in problems])
        return settings

    def _impossible_values(self) -> list[Problem]:
        shares = self.lesion_share, self.negative_share
        checks = [
            (
                self.crop > 0 and self.crop % 32 == 0,
                f"crop is {self.crop}; it must be a positive multiple of 32",
            ),
            (
                self.bags_per_patient >= 1,
                f"bags_per_patient is {self.bags_per_patient}; it must be 1 or more",
            ),
            (
                min(shares) >= 0 and sum(shares) <= 1,
                f"lesion_share {self.lesion_share} and negative_share {self.negative_share} must "
                "be 0 or more and at most 1 together",
            ),
            (
                0 <= self.resampled_share <= 1,
                f"resampled_share is {self.resampled_share}; it must be from 0 to 1",
            ),
            (
                0 <= self.channel_dropout < 1,
                f"channel_dropout is {self.channel_dropout}; it must be 0 or more and below 1",
            ),
            (
                min(self.scale, self.gamma, self.gain) >= 1,
                f"scale {self.scale}, gamma {self.gamma} and gain {self.gain} must be 1 or more",
            ),
            (
                self.first_layer in get_args(FirstLayer),
                f"first_layer is '{self.first_layer}'; it must be one of "
                f"{', '.join(get_args(FirstLayer))}",
            ),
            (
                min(self.rotation_degrees, self.seed) >= 0,
                f"rotation_degrees {self.rotation_degrees} and seed {self.seed} must be 0 or more",
            ),
        ]
        return [Problem(text, Fault.OUT_OF_RANGE) for fine, text in checks if not fine]


_KIND_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}


def _is_of_kind(value: object, kind: type) -> bool:
    """Whether a value from a JSON file is a finite number (a whole one), true or false, a word."""
    if kind is str:
        return isinstance(value, str)
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    if not isinstance(value, (int, float)):
        return False
    return math.isfinite(value) and (kind is float or isinstance(value, int))
