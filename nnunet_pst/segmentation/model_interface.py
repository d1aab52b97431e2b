"""What a trained model has to offer to be used on a study; nnU-Net itself stays behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from nnunet_pst.errors import InputError
from nnunet_pst.io.geometry import Grid
from nnunet_pst.io.sequence_columns import USUAL_SEQUENCES
from nnunet_pst.io.volumes import Volume

#: Headers round, and a few per cent are nothing that a network notices.
SPACING_TOLERANCE = 0.05


@dataclass(frozen=True)
class ModelFacts:
    """What a model is and what it was trained on.

    Attributes
    ----------
    name
        Dataset, trainer, plans and configuration, as far as its files tell.
    channels
        Names of its input channels, in order.
    sequences
        Sequences that it was trained on, in upper and lower case as in the table; empty when its
        files don't say.
    spacing_range_zyx_mm
        Smallest and largest spacing of its training images along each axis; None when unknown.
    sha256
        Of every file that was read, by name.
    folds
        How many networks are averaged.
    mirroring
        Whether it predicts mirrored images too and averages.
    engine, precision
        What computes the network, and in which numbers.
    """

    name: str
    channels: tuple[str, ...]
    sequences: tuple[str, ...]
    spacing_range_zyx_mm: tuple[tuple[float, float], ...] | None
    sha256: dict[str, str]
    folds: int
    mirroring: bool = True
    engine: str = "torch"
    precision: str = "float32"

    @property
    def fuses(self) -> bool:
        """Whether it looks at several sequences at once."""
        return len(self.channels) > 1

    def as_json(self) -> dict[str, Any]:
        """What a report says of it."""
        return {
            "name": self.name,
            "kind": "fusion" if self.fuses else "all-sequence",
            "channels": list(self.channels),
            "trained_on": list(self.sequences),
            "folds": self.folds,
            "mirroring": self.mirroring,
            "engine": self.engine,
            "precision": self.precision,
            "sha256": self.sha256,
        }


@dataclass(frozen=True)
class Prediction:
    """A model's answer on the grid of its first channel.

    Attributes
    ----------
    mask
        (z, y, x), booleans.
    probability
        (z, y, x) of the tumor, 0 to 1; None unless asked for.
    """

    mask: npt.NDArray[np.bool_]
    probability: npt.NDArray[np.float32] | None


class Model(Protocol):
    """A loaded model."""

    @property
    def facts(self) -> ModelFacts:
        """What it is."""

    def predict(self, channels: Sequence[Volume], *, probability: bool = False) -> Prediction:
        """Segment one case; the channels lie on one grid."""


@dataclass(frozen=True)
class ModelChoice:
    """The models of a run.

    Attributes
    ----------
    single
        Segments any one sequence; None when only a fusion model is there.
    fusion
        Segments its first channel from several sequences; None when there is none.
    """

    single: Model | None
    fusion: Model | None

    @property
    def all(self) -> list[Model]:
        """Those that are there."""
        return [model for model in (self.single, self.fusion) if model is not None]


def choose_models(models: Sequence[Model]) -> ModelChoice:
    """Tell the models apart by their channels.

    Raises
    ------
    InputError
        When two are of one kind, or a fusion model doesn't say which sequences its channels are.
    """
    single = [model for model in models if not model.facts.fuses]
    fusion = [model for model in models if model.facts.fuses]
    for kind, found in (("one channel", single), ("several channels", fusion)):
        if len(found) > 1:
            names = " and ".join(model.facts.name for model in found)
            raise InputError(f"{names} both have {kind}; give one model of that kind")
    return ModelChoice(single[0] if single else None, fusion[0] if fusion else None)


def unknown_sequences(models: ModelChoice, names: Sequence[str]) -> list[str]:
    """Say which names are no sequence that anybody knows: slips, most likely.

    Where a model doesn't say what it was trained on, nothing is held against it.
    """
    facts = [model.facts for model in models.all]
    if not all(one.sequences for one in facts):
        return []
    learned = [
        name for one in facts for name in (*one.sequences, *(one.channels if one.fuses else ()))
    ]
    known = list(dict.fromkeys([*USUAL_SEQUENCES, *learned]))
    folded = {name.casefold() for name in known}
    return [
        f"{name}: no model knows a sequence of this name; known are {', '.join(known)}"
        for name in names
        if name.casefold() not in folded
    ]


def model_warnings(facts: ModelFacts, names: Sequence[str], grid: Grid) -> list[str]:
    """Say in which respects an image is none of those that the model has learned from."""
    warnings = []
    known = {name.casefold() for name in facts.sequences}
    strange = [name for name in names if known and name.casefold() not in known]
    if strange:
        trained = ", ".join(facts.sequences)
        warnings.append(f"the model was not trained on {', '.join(strange)} (only on {trained})")
    if facts.spacing_range_zyx_mm is None:
        return warnings
    axes = ("between slices", "between rows", "between columns")
    for axis, spacing, (low, high) in zip(
        axes, grid.spacing_zyx_mm, facts.spacing_range_zyx_mm, strict=True
    ):
        if not low * (1 - SPACING_TOLERANCE) <= spacing <= high * (1 + SPACING_TOLERANCE):
            warnings.append(
                f"outside the trained spacing: {spacing:.2f} mm {axis}, trained on "
                f"{low:.2f} to {high:.2f} mm"
            )
    return warnings
