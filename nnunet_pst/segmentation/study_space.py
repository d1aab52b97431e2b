"""The sequences of a study in one space: registration, and what each sequence has seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_pst.io.volumes import Volume
from nnunet_pst.registration.policy import (
    LEAST_COVERED,
    Placement,
    Registration,
    RegistrationSettings,
    register,
)
from nnunet_pst.registration.resampling import resample_image
from nnunet_pst.registration.transforms import SpatialTransform

#: Masks are compared in the space of the first of these sequences that the study has. T2 shows most
#: of a tumor's border (the paper's best single sequence).
REFERENCE_ORDER = ("T2", "CET1", "T1", "DWI")
OTHER_FRAMES = "their frames of reference differ"
#: A channel with voxels for less of the reference than this gets a warning: the rest of it is air.
WELL_COVERED = 0.95
#: From the best founded alignment to the least.
_TRUST = (
    Placement.REGISTERED,
    Placement.CONFIRMED,
    Placement.NO_ENGINE,
    Placement.UNREGISTERED,
    Placement.REJECTED,
)


def reference_sequence(names: Mapping[str, object]) -> str:
    """Choose the space of comparison: the first of `REFERENCE_ORDER`, else the first given."""
    return next((name for name in REFERENCE_ORDER if name in names), next(iter(names)))


def seen_voxels(array: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return which voxels of an image the scanner has seen; the others are a resampler's filling.

    As the network finds an image within its padding (`nnunet_pst.network.intensity.find_content`):
    slices that are zero everywhere, and rows and columns outside all other nonzero voxels, are not
    part of it.

    Parameters
    ----------
    array
        (z, y, x) intensities.
    """
    nonzero = array != 0
    seen = np.zeros(array.shape, dtype=bool)
    rows, columns = (np.flatnonzero(nonzero.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    if rows.size:
        slices = nonzero.any(axis=(1, 2))
        seen[slices, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    return seen


@dataclass(frozen=True)
class RegisteredPair:
    """How one sequence was registered to another.

    Attributes
    ----------
    reference, moving
        Names of the sequences.
    one_frame
        False where their frames of reference differ.
    """

    reference: str
    moving: str
    registration: Registration
    one_frame: bool = True

    def as_json(self) -> dict[str, Any]:
        """The pair in a report."""
        placement = self.registration.placement
        return {
            "reference": self.reference,
            "moving": self.moving,
            "engine": self.registration.engine,
            "used": "registered" if placement is Placement.REGISTERED else "scanner",
            "placement": placement.value,
            "reason": self.registration.reason,
            "moved_mm": round(self.registration.displacement_mm, 2),
            "covered": round(self.registration.after.covered, 4),
            "one_frame_of_reference": self.one_frame,
        }


@dataclass(frozen=True)
class PairPlacement:
    """Where one sequence is in the space of another, on whose word, and what speaks against it."""

    transform: SpatialTransform
    placement: Placement
    reason: str = ""


@dataclass
class StudySpace:
    """The images of a study and the transforms between them; a pair is registered once.

    Attributes
    ----------
    images
        By sequence.
    settings
        Of the registration.
    frames
        FrameOfReferenceUID by sequence; empty or absent where it is unknown.
    pairs
        The registered pairs, by the names of reference and moving sequence, in order.
    """

    images: Mapping[str, Volume]
    settings: RegistrationSettings
    frames: Mapping[str, str] = field(default_factory=dict)
    pairs: dict[tuple[str, str], RegisteredPair] = field(default_factory=dict)
    _seen: dict[str, npt.NDArray[np.bool_]] = field(default_factory=dict)

    def one_frame(self, one: str, other: str) -> bool:
        """Whether two sequences may have one frame of reference: False where both name others."""
        uids = {self.frames.get(name, "") for name in (one, other)} - {""}
        return len(uids) < 2

    def registered(self, reference: str, moving: str) -> SpatialTransform:
        """Register a pair, or return its earlier transform, of either direction."""
        if reference == moving:
            return SpatialTransform.identity()
        if (moving, reference) not in self.pairs and (reference, moving) not in self.pairs:
            one_frame = self.one_frame(reference, moving)
            registration = register(
                self.images[reference], self.images[moving], self.settings, one_frame=one_frame
            )
            self.pairs[reference, moving] = RegisteredPair(
                reference, moving, registration, one_frame
            )
        return self.between(reference, moving).transform

    def between(self, reference: str, moving: str) -> PairPlacement:
        """Place a sequence in the space of another by what was registered so far.

        Directly, or through a third sequence to which both were registered; else the scanner's
        coordinates are all there is.
        """
        if direct := self._direct(reference, moving):
            return direct
        for hub in self.images:
            first, second = self._direct(reference, hub), self._direct(hub, moving)
            if first and second:
                weaker = max(first, second, key=lambda one: _TRUST.index(one.placement))
                whole = first.transform.then(second.transform)
                return PairPlacement(whole, weaker.placement, weaker.reason)
        reason = "" if self.one_frame(reference, moving) else OTHER_FRAMES
        return PairPlacement(SpatialTransform.identity(), Placement.UNREGISTERED, reason)

    def _direct(self, reference: str, moving: str) -> PairPlacement | None:
        pair = self.pairs.get((reference, moving)) or self.pairs.get((moving, reference))
        if pair is None:
            return None
        transform = pair.registration.transform
        if pair.moving == reference:
            transform = transform.inverse()
        rejection = pair.registration.rejection
        reason = "" if rejection is None else rejection.text
        return PairPlacement(transform, pair.registration.placement, reason)

    def on_grid(self, reference: str, moving: str | None) -> Volume:
        """Bring a sequence onto the grid of another, registered, as a fusion model was trained.

        Parameters
        ----------
        moving
            None for a channel that the study lacks: zeros, as in training.
        """
        grid = self.images[reference].grid
        if moving is None:
            return Volume(np.zeros_like(self.images[reference].array), grid)
        image = self.images[moving]
        if reference == moving:
            return image
        resampled, _ = resample_image(
            image, grid, self.registered(reference, moving), self.settings.interpolation
        )
        if not np.issubdtype(image.array.dtype, np.integer):
            return resampled
        return Volume(np.rint(resampled.array).astype(image.array.dtype), grid)

    def seen(self, name: str) -> npt.NDArray[np.bool_]:
        """Return `seen_voxels` of a sequence, computed once."""
        if name not in self._seen:
            self._seen[name] = seen_voxels(self.images[name].array)
        return self._seen[name]

    def related(self, reference: str, moving: str) -> bool:
        """Whether anything relates two sequences: one frame of reference, or a registration."""
        pair = self.pairs.get((reference, moving)) or self.pairs.get((moving, reference))
        return pair is None or pair.one_frame or pair.registration.accepted

    def apart(self, reference: str, names: Sequence[str]) -> dict[str, str]:
        """Say which sequences share too little of the reference to be a channel on its grid.

        Parameters
        ----------
        names
            Of the sequences, which are registered; may hold the reference.
        """
        reasons = {}
        for name in names:
            if name == reference:
                continue
            self.registered(reference, name)
            pair = self.pairs.get((reference, name)) or self.pairs[name, reference]
            registration = pair.registration
            if registration.rejection and registration.after.covered < LEAST_COVERED:
                reasons[name] = registration.rejection.text
        return reasons

    def partly_covered(self, reference: str, names: Sequence[str]) -> list[str]:
        """Say which of these channels leave a part of the reference without voxels."""
        return [
            f"{moving} has voxels for {100 * pair.registration.after.covered:.0f} % of "
            f"{reference}'s grid; the rest of that channel is filled with its smallest value"
            for (other, moving), pair in self.pairs.items()
            if other == reference
            and moving in names
            and pair.registration.after.covered < WELL_COVERED
        ]

    def rejected(self, reference: str, names: Sequence[str]) -> list[str]:
        """Say which of these sequences could not be placed on the reference, and why."""
        return [
            f"{other} could not be registered to {reference}: {pair.registration.reason}"
            for pair in self.pairs.values()
            for other in {pair.reference, pair.moving} - {reference}
            if not pair.registration.accepted
            and reference in (pair.reference, pair.moving)
            and other in names
        ]
