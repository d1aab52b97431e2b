"""2.5D neighbourhoods, what is known of each slice, and the odds with which slices are drawn.

A bag is a slice with its neighbours as channels, sequence-major: all slices of channel 0, then all
of channel 1, and so on. Only the centre slice carries a label, so neighbours may be unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np
import numpy.typing as npt

from nnunet_pst.labels import IGNORE, TUMOR


def bag_members(present: npt.NDArray[np.bool_], slices_per_bag: int) -> npt.NDArray[np.intp]:
    """Return, for each slice, the indices of the slices in its bag.

    Walking outwards from the centre, a neighbour that lies outside the volume or is absent is
    replaced by the last slice that was there; so a border slice repeats itself.

    Parameters
    ----------
    present
        (z,) False for slices that hold nothing, such as the predictor's padding.
    slices_per_bag
        Odd number of slices in a bag.

    Returns
    -------
    (z, slices_per_bag) indices in slice order; the centre column is the slice itself.
    """
    if slices_per_bag < 1 or slices_per_bag % 2 == 0:
        raise ValueError(f"slices_per_bag must be odd and positive, not {slices_per_bag}")
    count, reach = len(present), slices_per_bag // 2
    index = np.arange(count)
    members = np.empty((count, slices_per_bag), dtype=np.intp)
    members[:, reach] = index
    for side in (-1, 1):
        last = index
        for step in range(1, reach + 1):
            wanted = index + side * step
            inside = (wanted >= 0) & (wanted < count)
            there = inside & present[np.clip(wanted, 0, count - 1)]
            # A gap ends the walk: what lies behind it is not this slice's neighbourhood.
            there &= last == index + side * (step - 1)
            last = np.where(there, wanted, last)
            members[:, reach + side * step] = last
    return members


class SliceKind(IntEnum):
    """What is known of a slice."""

    UNKNOWN = 0  #: no voxel is known: never drawn
    LESION = 1  #: tumour on it
    KNOWN = 2  #: known, no tumour, among the slices that somebody has looked at
    FREE = 3  #: free negative: known to be tumour-free without anyone drawing


def slice_kinds(
    has_tumor: npt.NDArray[np.bool_], has_known: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int8]:
    """Classify the slices of a case from its label alone.

    A run of known slices without any tumour, cut off from the lesion by unknown slices, can only
    come from the rules that give negatives without drawing; tumour-free slices in the same run as
    the lesion are those that the annotator left empty.

    Parameters
    ----------
    has_tumor, has_known
        (z,) whether any voxel of the slice is tumour; whether any is known (not ignore).

    Returns
    -------
    (z,) values of `SliceKind`.
    """
    kinds = np.where(has_known, SliceKind.KNOWN, SliceKind.UNKNOWN).astype(np.int8)
    kinds[has_tumor] = SliceKind.LESION
    starts = np.flatnonzero(np.diff(has_known.astype(np.int8), prepend=0) == 1)
    ends = np.flatnonzero(np.diff(has_known.astype(np.int8), append=0) == -1) + 1
    if has_tumor.any():
        for start, end in zip(starts, ends, strict=True):
            if not has_tumor[start:end].any():
                kinds[start:end] = SliceKind.FREE
    return kinds


def kinds_of_label(label: npt.NDArray[np.integer]) -> npt.NDArray[np.int8]:
    """Classify the slices of a (z, y, x) label with values background, tumour, ignore (and -1).

    nnU-Net's preprocessing writes -1 for background outside the non-zero region; it is known.
    """
    return slice_kinds((label == TUMOR).any(axis=(1, 2)), (label != IGNORE).any(axis=(1, 2)))


def kind_odds(
    available: Sequence[SliceKind], lesion_share: float, negative_share: float
) -> dict[SliceKind, float]:
    """Odds of the kinds of slice in one case.

    ``negative_share`` is kept whenever the case has free negatives; what a missing kind leaves
    over goes to the lesion first, because too many empty slices cost recall at the lesion's ends.
    """
    have = set(available) - {SliceKind.UNKNOWN}
    if not have:
        raise ValueError("a case without a known slice can't be drawn from")
    free = negative_share if SliceKind.FREE in have else 0.0
    wanted = {
        SliceKind.FREE: free,
        SliceKind.LESION: lesion_share if SliceKind.LESION in have else 0.0,
    }
    wanted[SliceKind.KNOWN] = 1.0 - sum(wanted.values()) if SliceKind.KNOWN in have else 0.0
    for kind in (SliceKind.LESION, SliceKind.KNOWN, SliceKind.FREE):
        if kind in have:
            wanted[kind] += 1.0 - sum(wanted.values())
            break
    return {kind: wanted[kind] for kind in sorted(have)}


@dataclass(frozen=True)
class CaseSlices:
    """What the sampler must know of one case: its patient, its sequence, the kind of each slice."""

    case: str
    patient: str
    sequence: str
    kinds: npt.NDArray[np.int8]


@dataclass(frozen=True)
class Draw:
    """One drawn bag: which case and the index of its centre slice."""

    case: str
    centre: int


@dataclass(frozen=True)
class SliceSampler:
    """Draws bags: patients evenly, then a sequence of the patient, then a kind, then a slice.

    Parameters
    ----------
    cases
        Every case that may be drawn; order doesn't matter.
    lesion_share, negative_share
        See `kind_odds`.
    bags_per_patient
        Bags drawn from one patient before the next; 1 mixes patients within a batch, the batch
        size is the paper read literally.
    """

    cases: Sequence[CaseSlices]
    lesion_share: float
    negative_share: float
    bags_per_patient: int = 1

    def draw(self, count: int, rng: np.random.Generator) -> list[Draw]:
        """Draw ``count`` bags; no patient twice before all have been drawn once."""
        patients = self._patients
        rounds = -(-count // self.bags_per_patient)
        order = [
            i for _ in range(-(-rounds // len(patients))) for i in rng.permutation(len(patients))
        ]
        return [
            _draw_from(patients[order[bag // self.bags_per_patient]], rng) for bag in range(count)
        ]

    @cached_property
    def _patients(self) -> list[list[list[_Drawable]]]:
        """Cases by patient and sequence, all in the order of their names."""
        patients: dict[str, dict[str, list[_Drawable]]] = {}
        for case in sorted(self.cases, key=lambda case: case.case):
            if (case.kinds != SliceKind.UNKNOWN).any():
                drawable = _drawable(case, self.lesion_share, self.negative_share)
                patients.setdefault(case.patient, {}).setdefault(case.sequence, []).append(drawable)
        if not patients:
            raise ValueError("no case has a known slice to learn from")
        return [
            [patients[name][sequence] for sequence in sorted(patients[name])]
            for name in sorted(patients)
        ]


@dataclass(frozen=True)
class _Drawable:
    """A case with its kinds of slice: cumulative odds, and the slices of each kind."""

    case: str
    odds: npt.NDArray[np.float64]
    slices: Sequence[npt.NDArray[np.intp]]


def _drawable(case: CaseSlices, lesion_share: float, negative_share: float) -> _Drawable:
    present = [SliceKind(kind) for kind in np.unique(case.kinds)]
    odds = kind_odds(present, lesion_share, negative_share)
    cumulative = np.cumsum(list(odds.values()))
    return _Drawable(
        case.case,
        cumulative / cumulative[-1],
        [np.flatnonzero(case.kinds == kind) for kind in odds],
    )


def _draw_from(sequences: Sequence[Sequence[_Drawable]], rng: np.random.Generator) -> Draw:
    # As `rng.choice` draws, number by number, without what it checks and builds each time.
    cases = sequences[int(rng.integers(len(sequences)))]
    case = cases[int(rng.integers(len(cases)))]
    slices = case.slices[int(np.searchsorted(case.odds, rng.random(), side="right"))]
    return Draw(case.case, int(slices[rng.integers(len(slices))]))
