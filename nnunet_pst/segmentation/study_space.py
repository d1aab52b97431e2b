"""The sequences of a study in one space: registration, agreement of masks, and their consensus."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_pst.io.volumes import Volume
from nnunet_pst.labels import IGNORE, TUMOR
from nnunet_pst.registration.policy import Registration, RegistrationSettings, register
from nnunet_pst.registration.resampling import carry_label, resample_image
from nnunet_pst.registration.transforms import SpatialTransform

#: Masks are compared in the space of the first of these sequences that the study has. T2 shows most
#: of a tumor's border (the paper's best single sequence).
REFERENCE_ORDER = ("T2", "CET1", "T1", "DWI")


def reference_sequence(names: Mapping[str, object]) -> str:
    """Choose the space of comparison: the first of `REFERENCE_ORDER`, else the first given."""
    return next((name for name in REFERENCE_ORDER if name in names), next(iter(names)))


@dataclass(frozen=True)
class RegisteredPair:
    """How one sequence was registered to another.

    Attributes
    ----------
    reference, moving
        Names of the sequences.
    engine
        Of the settings.
    """

    reference: str
    moving: str
    engine: str
    registration: Registration

    def as_json(self) -> dict[str, Any]:
        """The pair in a report."""
        used = self.registration.accepted and self.engine != "none"
        return {
            "reference": self.reference,
            "moving": self.moving,
            "engine": self.engine,
            "used": "registered" if used else "scanner",
            "reason": self.registration.reason,
            "moved_mm": round(self.registration.displacement_mm, 2),
        }


@dataclass
class StudySpace:
    """The images of a study and the transforms between them; a pair is registered once.

    Attributes
    ----------
    images
        By sequence.
    settings
        Of the registration.
    pairs
        The registered pairs, in order.
    """

    images: Mapping[str, Volume]
    settings: RegistrationSettings
    _transforms: dict[tuple[str, str], SpatialTransform] = field(default_factory=dict)
    pairs: list[RegisteredPair] = field(default_factory=list)

    def registered(self, reference: str, moving: str) -> SpatialTransform:
        """Register a pair, or return its earlier transform."""
        if reference == moving:
            return SpatialTransform.identity()
        pair = (reference, moving)
        if pair not in self._transforms:
            registration = register(self.images[reference], self.images[moving], self.settings)
            self._transforms[pair] = registration.transform
            self.pairs.append(RegisteredPair(reference, moving, self.settings.engine, registration))
        return self._transforms[pair]

    def known(self, reference: str, moving: str) -> SpatialTransform:
        """Return the transform of a registered pair; the identity for other pairs."""
        return self._transforms.get((reference, moving), SpatialTransform.identity())

    def on_grid(self, reference: str, moving: str) -> Volume:
        """Bring a sequence onto the grid of another, registered, as a fusion model was trained."""
        image = self.images[moving]
        if reference == moving:
            return image
        target = self.images[reference].grid
        resampled, _ = resample_image(image, target, self.registered(reference, moving))
        if not np.issubdtype(image.array.dtype, np.integer):
            return resampled
        return Volume(np.rint(resampled.array).astype(image.array.dtype), target)


def agreement(
    space: StudySpace, masks: Mapping[str, npt.NDArray[np.bool_]]
) -> dict[str, Any] | None:
    """Compare the masks of all pairs of sequences, where both have voxels.

    Registered pairs are compared after registration; all others in the scanner's coordinates, where
    a patient's motion looks like disagreement.

    Returns
    -------
    dict or None
        ``space`` and ``pairs``, each with ``dice`` (None when both masks are empty there), and how
        it was aligned; None with fewer than two masks.
    """
    if len(masks) < 2:
        return None
    reference = reference_sequence(masks)
    grid = space.images[reference].grid
    carried = {
        name: carry_label(
            Volume(mask.astype(np.uint8), space.images[name].grid),
            grid,
            space.known(reference, name),
        )
        for name, mask in masks.items()
    }
    moved = {pair.moving for pair in space.pairs if pair.reference == reference}
    return {
        "space": reference,
        "pairs": [
            {
                "sequences": [one, other],
                "dice": _dice(carried[one], carried[other]),
                "alignment": "registered" if {one, other} - {reference} <= moved else "scanner",
            }
            for one, other in itertools.combinations(masks, 2)
        ],
    }


def _dice(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> float | None:
    seen = (one != IGNORE) & (other != IGNORE)
    first, second = (one == TUMOR) & seen, (other == TUMOR) & seen
    total = int(first.sum()) + int(second.sum())
    return None if not total else round(2 * int((first & second).sum()) / total, 4)


def consensus(
    space: StudySpace, probabilities: Mapping[str, npt.NDArray[np.float32]]
) -> tuple[str, npt.NDArray[np.bool_]]:
    """Average the sequences' probabilities in the reference's space, each where it has voxels.

    Parameters
    ----------
    space
        Registers the missing pairs.
    probabilities
        By sequence, on its own grid; at least one.

    Returns
    -------
    tuple
        The sequence whose grid it is on, and the mask (mean above one half).
    """
    reference = reference_sequence(probabilities)
    grid = space.images[reference].grid
    total = np.zeros(grid.shape_zyx, dtype=np.float32)
    count = np.zeros(grid.shape_zyx, dtype=np.float32)
    for name, probability in probabilities.items():
        if name == reference:
            carried, covered = probability, np.ones(grid.shape_zyx, dtype=bool)
        else:
            resampled, covered = resample_image(
                Volume(probability, space.images[name].grid),
                grid,
                space.registered(reference, name),
            )
            carried = resampled.array
        total += np.where(covered, carried, 0)
        count += covered
    return reference, total > 0.5 * count
