"""The interface of a trained model for a study; nnU-Net itself is behind it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from nnunet_pst.calibration.calibration import Calibration
from nnunet_pst.calibration.signs import Signs
from nnunet_pst.errors import Fault, InputError, Problem
from nnunet_pst.io.geometry import Grid, plane_of
from nnunet_pst.io.label_values import OUR_LABELS
from nnunet_pst.io.sequence_columns import USUAL_SEQUENCES
from nnunet_pst.io.volumes import Volume
from nnunet_pst.registration.policy import RegistrationSettings

#: What `scan` takes, and the paper's: the plane of models that don't name theirs.
USUAL_PLANE = "axial"
#: Of models that `nnunet_pst convert` made the data for.
OUR_CLASSES = tuple(OUR_LABELS.classes)
#: Headers are rounded, and a network doesn't notice a few percent.
SPACING_TOLERANCE = 0.05


@dataclass(frozen=True)
class ModelFacts:
    """The identity of a model, and its training data.

    Attributes
    ----------
    name
        Dataset, trainer and configuration, as its files name them.
    channels
        Names of its input channels, in order.
    sequences
        Sequences of its training, spelled as in the cohort table; empty when its files don't name
        them.
    spacing_range_zyx_mm
        Smallest and largest spacing of its training images along each axis; None when unknown.
    sha256
        Checksum of every file that was read, by name.
    folds
        Number of networks that are averaged.
    mirroring
        Whether it averages over mirrored images.
    engine, precision
        Program that computes the network, and its type of numbers.
    serves_missing
        Whether it was trained with zeros in place of channels that a patient lacks.
    registration
        How the channels of its training data were registered; None when unknown.
    planes
        Planes of its training slices, such as ``axial``; empty when unknown.
    classes
        What it segments: the names of the label values 1, 2, ...
    calibration
        What ``nnunet_pst calibrate`` has learned of its masks; None where it never ran.
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
    serves_missing: bool = False
    registration: RegistrationSettings | None = None
    planes: tuple[str, ...] = ()
    classes: tuple[str, ...] = OUR_CLASSES
    calibration: Calibration | None = None

    @property
    def weights(self) -> str:
        """Tells trainings of one name apart."""
        return weights_name(self.sha256)

    @property
    def fuses(self) -> bool:
        """Whether it takes several sequences at once."""
        return len(self.channels) > 1

    def as_json(self) -> dict[str, Any]:
        """The model in a report."""
        return {
            "name": self.name,
            "kind": "fusion" if self.fuses else "all-sequence",
            "channels": list(self.channels),
            "classes": list(self.classes),
            "trained_on": list(self.sequences),
            "folds": self.folds,
            "mirroring": self.mirroring,
            "engine": self.engine,
            "precision": self.precision,
            "weights": self.weights,
            "calibrated": self.calibration is not None,
            "sha256": self.sha256,
        }


@dataclass(frozen=True)
class Prediction:
    """A model's answer on the grid of its first channel.

    Attributes
    ----------
    labels
        (z, y, x), 0 for background, else the value of a class.
    probability
        (z, y, x) of any class, 0 to 1; None unless asked for.
    signs
        Of how far it can be believed; None where the model gives none.
    """

    labels: npt.NDArray[np.uint8]
    probability: npt.NDArray[np.float32] | None
    signs: Signs | None = None


def weights_name(sha256: Mapping[str, str]) -> str:
    """Return the first digits of a checksum of all weights.

    Parameters
    ----------
    sha256
        Checksum of every file of the model, by name.
    """
    digests = [digest for name, digest in sorted(sha256.items()) if name.endswith(".pth")]
    return hashlib.sha256("".join(digests).encode()).hexdigest()[:12]


class Model(Protocol):
    """A loaded model."""

    @property
    def facts(self) -> ModelFacts:
        """Identity and training data."""

    def predict(self, channels: Sequence[Volume], *, probability: bool = False) -> Prediction:
        """Segment one case; all channels have one grid."""


@dataclass(frozen=True)
class ModelChoice:
    """The models of a run.

    Attributes
    ----------
    single
        Segments any one sequence; None without an all-sequence model.
    fusion
        Segments its first channel from several sequences; None without a fusion model.
    """

    single: Model | None
    fusion: Model | None

    @property
    def all(self) -> list[Model]:
        """The models, without None."""
        return [model for model in (self.single, self.fusion) if model is not None]

    @property
    def classes(self) -> tuple[str, ...]:
        """What the models segment; `choose_models` has checked that all segment the same."""
        return self.all[0].facts.classes


def choose_models(models: Sequence[Model]) -> ModelChoice:
    """Tell the models apart by their channels.

    Raises
    ------
    InputError
        When two models are of one kind, or segment different classes.
    """
    single = [model for model in models if not model.facts.fuses]
    fusion = [model for model in models if model.facts.fuses]
    for kind, group in (("one channel", single), ("several channels", fusion)):
        if len(group) > 1:
            names = " and ".join(model.facts.name for model in group)
            raise InputError(
                f"{names} both have {kind}; give one model of that kind", Fault.AMBIGUOUS
            )
    if len({model.facts.classes for model in models}) > 1:
        each = "; ".join(f"{m.facts.name}: {', '.join(m.facts.classes)}" for m in models)
        raise InputError(
            f"the models segment different classes ({each}); give one model a run",
            Fault.CONTRADICTION,
        )
    return ModelChoice(single[0] if single else None, fusion[0] if fusion else None)


def unknown_sequences(models: ModelChoice, names: Sequence[str]) -> list[Problem]:
    """Return a problem for each name that neither a model nor this package knows.

    If a model doesn't name the sequences of its training, all names are accepted.
    """
    every = [model.facts for model in models.all]
    if not all(facts.sequences for facts in every):
        return []
    learned = [
        name
        for facts in every
        for name in (*facts.sequences, *(facts.channels if facts.fuses else ()))
    ]
    known = list(dict.fromkeys([*USUAL_SEQUENCES, *learned]))
    folded = {name.casefold() for name in known}
    return [
        Problem(
            f"{name}: no model knows a sequence of this name; known are {', '.join(known)}",
            Fault.UNKNOWN_NAME,
        )
        for name in names
        if name.casefold() not in folded
    ]


def plane_problem(facts: ModelFacts, name: str, grid: Grid) -> Problem | None:
    """Refuse slices of another plane than the model says that it was trained on."""
    plane = plane_of(grid)
    if not facts.planes or plane in facts.planes:
        return None
    trained = " and ".join(facts.planes)
    return Problem(
        f"{name}: its slices are {plane}, but {facts.name} was trained on {trained} slices only; "
        f"give a series of {trained} slices",
        Fault.GEOMETRY,
    )


def model_warnings(facts: ModelFacts, names: Sequence[str], grid: Grid) -> list[str]:
    """Say in which respects an image differs from the model's training images."""
    warnings = []
    known = {name.casefold() for name in facts.sequences}
    strange = [name for name in names if known and name.casefold() not in known]
    if strange:
        trained = ", ".join(facts.sequences)
        warnings.append(f"the model was not trained on {', '.join(strange)} (only on {trained})")
    plane = plane_of(grid)
    if not facts.planes and plane != USUAL_PLANE:
        warnings.append(
            f"its slices are {plane}; the model doesn't say on which it was trained, usually "
            f"{USUAL_PLANE} ones, and it cannot segment others"
        )
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
