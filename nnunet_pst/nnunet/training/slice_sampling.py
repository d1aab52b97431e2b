"""Which slices are drawn for a batch, and with which odds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from nnunet_pst.io.slice_kinds import SliceKind


def kind_odds(
    available: Sequence[SliceKind], lesion_share: float, negative_share: float
) -> dict[SliceKind, float]:
    """Odds of the kinds of slice in one case.

    A case with free negatives gives them ``negative_share``. The share of a missing kind goes to
    the lesion first, because too many empty slices cost recall at the lesion's ends.
    """
    present = set(available) - {SliceKind.UNKNOWN}
    if not present:
        raise ValueError("a case without a known slice cannot be drawn from")
    odds = {
        SliceKind.FREE: negative_share if SliceKind.FREE in present else 0.0,
        SliceKind.LESION: lesion_share if SliceKind.LESION in present else 0.0,
    }
    odds[SliceKind.KNOWN] = 1.0 - sum(odds.values()) if SliceKind.KNOWN in present else 0.0
    for kind in (SliceKind.LESION, SliceKind.KNOWN, SliceKind.FREE):
        if kind in present:
            odds[kind] += 1.0 - sum(odds.values())
            break
    return {kind: odds[kind] for kind in sorted(present)}


@dataclass(frozen=True)
class CaseSlices:
    """A case as the sampler sees it: its patient, its sequence, the kind of each slice."""

    case: str
    patient: str
    sequence: str
    kinds: npt.NDArray[np.int8]


@dataclass(frozen=True)
class Draw:
    """One bag: its case and the index of its center slice."""

    case: str
    center: int


@dataclass(frozen=True)
class SliceSampler:
    """Draws bags: patients evenly, then a sequence of the patient, then a kind, then a slice.

    Parameters
    ----------
    cases
        The cases to draw from; their order doesn't matter.
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
    # The same numbers as `rng.choice`, without its checks in every call.
    cases = sequences[int(rng.integers(len(sequences)))]
    case = cases[int(rng.integers(len(cases)))]
    slices = case.slices[int(np.searchsorted(case.odds, rng.random(), side="right"))]
    return Draw(case.case, int(slices[rng.integers(len(slices))]))
