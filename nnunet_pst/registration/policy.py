"""Register two images, and use the result only when it is no worse than the scanner's coordinates.

The danger is a registration that makes the alignment worse: sequences of one session are nearly
aligned already, and a network learns nothing right from a misplaced channel. So every result is
measured, and the scanner's own alignment wins ties.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Literal

import numpy as np

from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.volumes import Volume
from nnunet_pst.registration import ants_backend, simpleitk_backend
from nnunet_pst.registration.quality import Alignment, Comparison
from nnunet_pst.registration.resampling import Interpolation
from nnunet_pst.registration.transforms import SpatialTransform

Engine = Literal["ants", "simpleitk", "none"]
Model = Literal["rigid", "affine", "syn"]

#: Fewer slices can't be registered along z.
FEWEST_SLICES = 4
#: Patients move by millimeters between sequences of a session; four centimeters mean a wrong result
#: or another session.
MAX_MOTION_MM = 40.0
#: Images that share less of the reference than this show different places.
LEAST_COVERED = 0.25
#: Images that keep more than this of their mutual information when one is pushed aside along any
#: axis show different bodies (docs/decisions/0052 has what was measured).
MOST_LEFT_WHEN_PUSHED = 0.95
#: The body overlap may fall by this much: masks are made by a threshold.
BODY_TOLERANCE = 0.02
#: An engine that moves no point of the body farther than this, which is about a pixel, agrees with
#: the scanner. Where its result fits no better, the scanner's is used without a flag.
AGREES_MM = 1.0


@dataclass(frozen=True)
class RegistrationSettings:
    """Everything that decides a registration besides the images.

    Attributes
    ----------
    engine
        ``none`` trusts the scanner's coordinates.
    model
        What may move: ``rigid``, ``affine``, or ``syn`` (deformable; ANTs alone).
    max_motion_mm
        A result that moves any point of the body farther is rejected.
    interpolation
        How channels are resampled.
    seed
        Of the engine.
    """

    engine: Engine = "ants"
    model: Model = "rigid"
    max_motion_mm: float = MAX_MOTION_MM
    interpolation: Interpolation = "linear"
    seed: int = 0


class Placement(Enum):
    """How two images are placed on each other, and on whose word."""

    REGISTERED = "registered"  #: by an engine's result
    CONFIRMED = "confirmed"  #: by the scanner's coordinates, with which the engine agrees
    REJECTED = "rejected"  #: by the scanner's coordinates, because the result was rejected
    NO_ENGINE = "no engine"  #: by the scanner's coordinates, because no engine was asked
    UNREGISTERED = "not registered"  #: by the scanner's coordinates, because nobody asked


class Obstacle(Enum):
    """What keeps an engine's result, or a pair of images, from being used."""

    FEW_SLICES = auto()  #: an image has fewer than `FEWEST_SLICES`
    BLANK = auto()  #: an image shows no body
    APART = auto()  #: the images share too little of the reference
    FRAMES = auto()  #: the images have different frames of reference, and no engine relates them
    NO_ESTIMATE = auto()  #: the engine gave up
    MOTION = auto()  #: the body would move farther than the settings allow
    INFORMATION = auto()  #: mutual information would fall
    OVERLAP = auto()  #: the overlap of the bodies would fall
    COVERAGE = auto()  #: too little of the reference would be covered
    ANATOMY = auto()  #: the images fit as well when one is pushed aside


@dataclass(frozen=True)
class Rejection:
    """Why the scanner's coordinates are kept: the obstacle, and its numbers as text."""

    obstacle: Obstacle
    text: str


@dataclass(frozen=True)
class Registration:
    """The transform to use, and how well the images fit with it.

    Attributes
    ----------
    transform
        The engine's, or the identity: the scanner's coordinates.
    rejection
        Why the engine's result is not used, or, with engine ``none``, why the scanner's coordinates
        must not be trusted; None otherwise.
    before, after
        Under the scanner's coordinates, and under ``transform``.
    displacement_mm
        How far ``transform`` moves the body at most.
    engine
        Of the settings.
    """

    transform: SpatialTransform
    rejection: Rejection | None
    before: Alignment
    after: Alignment
    displacement_mm: float
    engine: Engine

    @property
    def placement(self) -> Placement:
        """How the images are placed on each other."""
        if self.engine == "none":
            return Placement.NO_ENGINE
        if self.rejection is not None:
            return Placement.REJECTED
        return Placement.REGISTERED if self.displacement_mm > 0 else Placement.CONFIRMED

    @property
    def accepted(self) -> bool:
        """Whether the engine's result is used (with engine ``none``: the scanner's)."""
        return self.rejection is None

    @property
    def reason(self) -> str:
        """Why it is not used, in one line; empty when accepted."""
        if self.rejection is None:
            return ""
        return f"{self.rejection.text}; the scanner's alignment is kept"


def require_engine(settings: RegistrationSettings) -> None:
    """Refuse an engine that is not installed or lacks the model, before any work.

    Raises
    ------
    HostError, InputError
        Saying what to install or to choose.
    """
    if settings.engine == "ants":
        ants_backend.require_ants()
    if settings.model == "syn" and settings.engine == "simpleitk":
        raise InputError("--transform syn needs --registration ants", Fault.UNSUPPORTED)


def engine_version(settings: RegistrationSettings) -> str:
    """Name and version of the engine, as part of a result's identity."""
    if settings.engine == "ants":
        return f"antspyx {ants_backend.version()}"
    return settings.engine


def register(
    reference: Volume,
    moving: Volume,
    settings: RegistrationSettings,
    *,
    one_frame: bool = True,
    scratch: Path | None = None,
) -> Registration:
    """Register the moving image to the reference; what fails is a rejection, not an exception.

    Parameters
    ----------
    reference, moving
        Images of one patient in scanner coordinates.
    one_frame
        False where their headers name different frames of reference: only an engine can relate
        such images.
    scratch
        Folder for the engine's own files; None: the system's.

    Notes
    -----
    Measures of gray values and outlines can't detect every wrong result: look at the pictures.
    """
    scanner = SpatialTransform.identity()
    comparison = Comparison(reference, moving)
    before = comparison.measure(scanner)

    def scanners(rejection: Rejection | None) -> Registration:
        return Registration(scanner, rejection, before, before, 0.0, settings.engine)

    if settings.engine == "none":
        return scanners(_apart(before) or (None if one_frame else _other_frame()))
    if hopeless := _hopeless(reference, moving, comparison, before):
        return scanners(hopeless)
    try:
        estimated = _estimate(reference, moving, settings, scratch)
    except InputError as error:
        return scanners(Rejection(Obstacle.NO_ESTIMATE, str(error)))
    after = comparison.measure(estimated)
    moved_mm = comparison.largest_displacement_mm(estimated)
    if moved_mm < AGREES_MM and after.mutual_information < before.mutual_information:
        estimated, after, moved_mm = scanner, before, 0.0
    rejection = _worse(before, after, moved_mm, settings) or _other_body(comparison, estimated)
    if rejection:
        return scanners(rejection)
    return Registration(estimated, None, before, after, moved_mm, settings.engine)


def _estimate(
    reference: Volume, moving: Volume, settings: RegistrationSettings, scratch: Path | None
) -> SpatialTransform:
    if settings.engine == "ants":
        return ants_backend.estimate(
            reference, moving, settings.model, seed=settings.seed, scratch=scratch
        )
    return simpleitk_backend.estimate(reference, moving, settings.model)


def _hopeless(
    reference: Volume, moving: Volume, comparison: Comparison, before: Alignment
) -> Rejection | None:
    """Say why a pair can't be registered, or return None."""
    names = ("reference", "moving image")
    for name, image, body in zip(names, (reference, moving), comparison.bodies, strict=True):
        if len(image.array) < FEWEST_SLICES:
            text = f"the {name} has {len(image.array)} slices, fewer than {FEWEST_SLICES}"
            return Rejection(Obstacle.FEW_SLICES, text)
        if np.ptp(image.array) == 0 or body.mean() < 1e-3:
            return Rejection(Obstacle.BLANK, f"the {name} is blank")
    return _apart(before)


def _apart(before: Alignment) -> Rejection | None:
    """Say that the images show different places, or return None."""
    if before.covered >= LEAST_COVERED:
        return None
    return Rejection(
        Obstacle.APART,
        f"the images share {100 * before.covered:.0f} % of the reference, so they show "
        "different places or come from different frames",
    )


def _other_frame() -> Rejection:
    return Rejection(
        Obstacle.FRAMES,
        "the images have different frames of reference, so their coordinates cannot be compared "
        "without a registration",
    )


def _worse(
    before: Alignment, after: Alignment, moved_mm: float, settings: RegistrationSettings
) -> Rejection | None:
    """Say why a result is worse than the scanner's coordinates, or return None."""
    if moved_mm > settings.max_motion_mm:
        return Rejection(
            Obstacle.MOTION,
            f"it would move the body by {moved_mm:.0f} mm, over {settings.max_motion_mm:.0f} mm",
        )
    if after.mutual_information < before.mutual_information:
        return Rejection(
            Obstacle.INFORMATION,
            f"mutual information would fall from {before.mutual_information:.3f} to "
            f"{after.mutual_information:.3f}",
        )
    if after.body_overlap < before.body_overlap - BODY_TOLERANCE:
        return Rejection(
            Obstacle.OVERLAP,
            f"the overlap of the bodies would fall from {before.body_overlap:.2f} to "
            f"{after.body_overlap:.2f}",
        )
    if after.covered < LEAST_COVERED:
        return Rejection(
            Obstacle.COVERAGE,
            f"it would leave {100 * after.covered:.0f} % of the reference covered",
        )
    return None


def _other_body(comparison: Comparison, transform: SpatialTransform) -> Rejection | None:
    """Say that the images fit as well when one is pushed aside, or return None."""
    left = max(comparison.left_when_pushed(transform))
    if left <= MOST_LEFT_WHEN_PUSHED:
        return None
    return Rejection(
        Obstacle.ANATOMY,
        f"pushed aside, the images keep {100 * left:.0f} % of their mutual information: "
        "different anatomy?",
    )
