"""Register two images, and use the result only when it is no worse than the scanner's coordinates.

A registration that makes things worse is the real danger: sequences of one session are nearly
aligned already, and a channel moved to the wrong place teaches a network nonsense. So every result
is measured, and the scanner's own alignment wins ties.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from nnunet_pst.errors import InputError
from nnunet_pst.io.volumes import Volume
from nnunet_pst.registration import ants_backend, simpleitk_backend
from nnunet_pst.registration.quality import Alignment, Comparison
from nnunet_pst.registration.resampling import Interpolation
from nnunet_pst.registration.transforms import SpatialTransform

Engine = Literal["ants", "simpleitk", "none"]
Model = Literal["rigid", "affine", "syn"]

#: Less than this can't be registered along z.
FEWEST_SLICES = 4
#: Patients move by millimeters between sequences of a session; four centimetres are a wrong result
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
#: the scanner. Where its own result fits no better, the scanner's is used and nothing flagged.
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


@dataclass(frozen=True)
class Registration:
    """What is to be used, and what it was measured by.

    Attributes
    ----------
    transform
        Accepted, or the identity: the scanner's coordinates.
    accepted
        Whether the engine's result is used (with engine ``none``: the scanner's).
    reason
        Why not, in one line; empty when accepted.
    before, after
        Under the scanner's coordinates, and under ``transform``.
    displacement_mm
        How far ``transform`` moves the body at most.
    """

    transform: SpatialTransform
    accepted: bool
    reason: str
    before: Alignment
    after: Alignment
    displacement_mm: float


def require_engine(settings: RegistrationSettings) -> None:
    """Refuse an engine that is not installed or can't do what is asked, before any work.

    Raises
    ------
    HostError, InputError
        Saying what to install or to choose.
    """
    if settings.engine == "ants":
        ants_backend.require_ants()
    if settings.model == "syn" and settings.engine == "simpleitk":
        raise InputError("--transform syn needs --registration ants")


def engine_version(settings: RegistrationSettings) -> str:
    """Version of what computes the transform, as part of a result's identity."""
    if settings.engine == "ants":
        return f"antspyx {ants_backend.version()}"
    return settings.engine


def register(
    reference: Volume,
    moving: Volume,
    settings: RegistrationSettings,
    *,
    scratch: Path | None = None,
) -> Registration:
    """Find where points of the reference lie in the moving image; never fails, but says so.

    Parameters
    ----------
    reference, moving
        Images of one patient in scanner coordinates.
    scratch
        Folder for the engine's own files; None: the system's.

    Notes
    -----
    Measures of gray values and outlines can't tell every wrong result. The pictures are there to be
    looked at.
    """
    scanner = SpatialTransform.identity()
    comparison = Comparison(reference, moving)
    before = comparison.measure(scanner)

    def kept(reason: str) -> Registration:
        return Registration(scanner, not reason, reason, before, before, 0.0)

    if settings.engine == "none":
        return kept("")
    hopeless = _hopeless(reference, moving, comparison, before)
    if hopeless:
        return kept(f"{hopeless}; the scanner's alignment is kept")
    try:
        found = _estimate(reference, moving, settings, scratch)
    except InputError as error:
        return kept(f"{error}; the scanner's alignment is kept")
    after = comparison.measure(found)
    moved = comparison.largest_displacement_mm(found)
    if moved < AGREES_MM and after.mutual_information < before.mutual_information:
        found, after, moved = scanner, before, 0.0
    rejected = _worse(before, after, moved, settings)
    if not rejected:
        left = max(comparison.left_when_pushed(found))
        if left > MOST_LEFT_WHEN_PUSHED:
            rejected = (
                f"pushed aside, the images keep {100 * left:.0f} % of their mutual information: "
                "different anatomy?"
            )
    if rejected:
        return kept(f"{rejected}; the scanner's alignment is kept")
    return Registration(found, True, "", before, after, moved)


def _estimate(
    reference: Volume, moving: Volume, settings: RegistrationSettings, scratch: Path | None
) -> SpatialTransform:
    if settings.engine == "ants":
        return ants_backend.estimate(
            reference, moving, settings.model, seed=settings.seed, scratch=scratch
        )
    return simpleitk_backend.estimate(reference, moving, settings.model)


def _hopeless(reference: Volume, moving: Volume, comparison: Comparison, before: Alignment) -> str:
    """Say why a pair can't be registered, or return an empty line."""
    names = ("reference", "moving image")
    for name, image, body in zip(names, (reference, moving), comparison.bodies, strict=True):
        if len(image.array) < FEWEST_SLICES:
            return f"the {name} has {len(image.array)} slices, fewer than {FEWEST_SLICES}"
        if np.ptp(image.array) == 0 or body.mean() < 1e-3:
            return f"the {name} is blank"
    if before.covered < LEAST_COVERED:
        return (
            f"the images share {100 * before.covered:.0f} % of the reference, so they show "
            "different places or come from different frames"
        )
    return ""


def _worse(
    before: Alignment, after: Alignment, moved_mm: float, settings: RegistrationSettings
) -> str:
    """Say why a result is not used, or return an empty line."""
    if moved_mm > settings.max_motion_mm:
        return f"it would move the body by {moved_mm:.0f} mm, over {settings.max_motion_mm:.0f} mm"
    if after.mutual_information < before.mutual_information:
        return (
            f"mutual information would fall from {before.mutual_information:.3f} to "
            f"{after.mutual_information:.3f}"
        )
    if after.body_overlap < before.body_overlap - BODY_TOLERANCE:
        return (
            f"the overlap of the bodies would fall from {before.body_overlap:.2f} to "
            f"{after.body_overlap:.2f}"
        )
    if after.covered < LEAST_COVERED:
        return f"it would leave {100 * after.covered:.0f} % of the reference covered"
    return ""
