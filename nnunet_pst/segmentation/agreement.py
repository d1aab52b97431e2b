"""How far the sequences' masks agree, and their consensus; only what a sequence saw counts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_pst.io.volumes import Volume
from nnunet_pst.labels import IGNORE, TUMOR
from nnunet_pst.registration.policy import Placement
from nnunet_pst.registration.resampling import carry_label, resample_image
from nnunet_pst.segmentation.study_space import StudySpace, reference_sequence

_PLACEMENT_WORDS = {
    Placement.REGISTERED: "after registration",
    Placement.CONFIRMED: "in the scanner's coordinates, which the registration confirmed",
    Placement.REJECTED: "in the scanner's coordinates, because the registration was rejected",
    Placement.NO_ENGINE: "in the scanner's coordinates, without a registration engine",
    Placement.UNREGISTERED: "in the scanner's coordinates, not registered",
}


def agreement(
    space: StudySpace, masks: Mapping[str, npt.NDArray[np.bool_]]
) -> dict[str, Any] | None:
    """Compare the masks of all pairs of sequences, where both have seen the patient.

    Returns
    -------
    dict or None
        ``pairs``, each with

        - ``space``, the sequence on whose grid they are compared
        - ``dice``, None where neither mask has a voxel that both have seen
        - ``covered``, by sequence the share of its mask that the other has seen; None when empty
        - ``alignment``, a value of `Placement`, and ``reason``, what speaks against it

        None with fewer than two masks.
    """
    if len(masks) < 2:
        return None
    return {
        "pairs": [
            _compared(space, {name: masks[name] for name in names})
            for names in itertools.combinations(masks, 2)
        ]
    }


def _compared(space: StudySpace, masks: Mapping[str, npt.NDArray[np.bool_]]) -> dict[str, Any]:
    """Compare two masks on the grid of one of them."""
    reference = reference_sequence(masks)
    (moving,) = set(masks) - {reference}
    placed = space.between(reference, moving)
    labels = {
        name: np.where(space.seen(name), mask, IGNORE).astype(np.uint8)
        for name, mask in masks.items()
    }
    grids = {name: space.images[name].grid for name in masks}
    there = carry_label(Volume(labels[moving], grids[moving]), grids[reference], placed.transform)
    back = carry_label(
        Volume(labels[reference], grids[reference]), grids[moving], placed.transform.inverse()
    )
    seen = {reference: there != IGNORE, moving: back != IGNORE}
    return {
        "sequences": list(masks),
        "space": reference,
        "dice": _dice(labels[reference], there),
        "covered": {name: _share(mask, seen[name]) for name, mask in masks.items()},
        "alignment": placed.placement.value,
        "reason": placed.reason,
    }


def _dice(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> float | None:
    seen = (one != IGNORE) & (other != IGNORE)
    first, second = (one == TUMOR) & seen, (other == TUMOR) & seen
    total = int(first.sum()) + int(second.sum())
    return None if not total else round(2 * int((first & second).sum()) / total, 4)


def _share(mask: npt.NDArray[np.bool_], seen: npt.NDArray[np.bool_]) -> float | None:
    """Share of a mask that the other sequence has seen, rounded down: 1 means all of it."""
    return math.floor(1e4 * float(seen[mask].mean())) / 1e4 if mask.any() else None


def dice_words(pair: Mapping[str, Any]) -> str:
    """Write the Dice of a pair of `agreement`, or why there is none."""
    if pair["dice"] is not None:
        return f"{pair['dice']:.2f}"
    empty = all(share is None for share in pair["covered"].values())
    return "no tumor in either" if empty else "cannot be compared"


def coverage_words(pair: Mapping[str, Any]) -> str:
    """Say how much of each mask the other sequence has seen; empty where there is no tumor."""
    first, second = pair["sequences"]
    if set(pair["covered"].values()) == {None}:
        return ""
    parts = "; ".join(
        f"{math.floor(100 * pair['covered'][name])} % of {name}'s tumor is in {other}'s field of "
        "view"
        for name, other in ((first, second), (second, first))
        if pair["covered"][name] is not None and pair["covered"][name] < 1
    )
    return parts or "all of it"


def alignment_words(pair: Mapping[str, Any]) -> str:
    """Say how a pair of `agreement` was aligned, and what speaks against it."""
    words = _PLACEMENT_WORDS[Placement(pair["alignment"])]
    return f"{words} ({pair['reason']})" if pair["reason"] else words


@dataclass(frozen=True)
class Consensus:
    """The masks of several sequences made one.

    Attributes
    ----------
    reference
        The sequence on whose grid it is.
    mask
        Where the mean probability is above one half.
    probability
        The mean; 0 where no sequence saw the patient.
    voters
        The sequences that were averaged.
    partly_seen
        Share of the mask that not every voter has seen.
    """

    reference: str
    mask: npt.NDArray[np.bool_]
    probability: npt.NDArray[np.float32]
    voters: tuple[str, ...]
    partly_seen: float


def consensus(space: StudySpace, probabilities: Mapping[str, npt.NDArray[np.float32]]) -> Consensus:
    """Average the sequences' probabilities in the reference's space, each where it saw the patient.

    Outside its field of view, and where a resampler has filled it with zeros, a sequence has no
    vote; nor has one anywhere whose coordinates nothing relates to the reference's.

    Parameters
    ----------
    space
        Registers the missing pairs.
    probabilities
        By sequence, on its own grid; at least one.
    """
    reference = reference_sequence(probabilities)
    grid = space.images[reference].grid
    total = np.zeros(grid.shape_zyx, dtype=np.float32)
    count = np.zeros(grid.shape_zyx, dtype=np.float32)
    voters = []
    for name, probability in probabilities.items():
        carried, votes = probability, space.seen(name)
        if name != reference:
            own = space.images[name].grid
            transform = space.registered(reference, name)
            if not space.related(reference, name):
                continue
            carried = resample_image(Volume(probability, own), grid, transform)[0].array
            # 1 where it saw the patient, 0 where it did not; other values are outside its grid.
            votes = carry_label(Volume(votes.astype(np.uint8), own), grid, transform) == 1
        total += np.where(votes, carried, 0)
        count += votes
        voters.append(name)
    mask = total > 0.5 * count
    partly = float((count[mask] < len(voters)).mean()) if mask.any() else 0.0
    probability = total / np.maximum(count, 1)
    return Consensus(reference, mask, probability, tuple(voters), partly)
