"""Images and masks of a cohort that occur twice, under any name: compared by their voxels.

Copies have the same voxels. Near-copies share most of their slices: an image that was mirrored,
turned, padded, or has lost some slices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from nnunet_pst.dataset.case_building import CaseFacts
from nnunet_pst.dataset.cohort import Patient
from nnunet_pst.dataset.identity import identity_key
from nnunet_pst.dataset.image_sources import SourceDigests
from nnunet_pst.dataset.layouts import Case
from nnunet_pst.errors import Fault, Problem

#: Images that share this part of the slices of the smaller one are near-copies. Slices of two scans
#: never have the same values.
NEARLY = 0.5


@dataclass(frozen=True)
class Place:
    """A cell of the cohort table with an image or a mask."""

    patient: Patient
    column: str

    @property
    def is_mask(self) -> bool:
        """Whether it holds a mask; a sequence's name has no underscore."""
        return self.column.endswith("_label")

    @property
    def key(self) -> tuple[int, str]:
        """Row and column."""
        return self.patient.row, self.column

    def __str__(self) -> str:
        return f"row {self.patient.row}, column {self.column}"


@dataclass(frozen=True)
class Repetition:
    """Two cells that hold the same, or most of the same slices.

    Attributes
    ----------
    first, place
        The earlier cell and the later one.
    shared, slices
        Slices that they share, of the smaller one's; 0 where all voxels are the same.
    """

    first: Place
    place: Place
    shared: int = 0
    slices: int = 0

    @property
    def what(self) -> str:
        """What they share, in words."""
        if not self.slices:
            return "the same voxels"
        return f"the same values on {self.shared} of {self.slices} slices"

    @property
    def one_patient(self) -> bool:
        """Whether both are in one row of the table."""
        return self.first.patient.row == self.place.patient.row


def repetitions(cases: Sequence[Case], facts: Mapping[str, CaseFacts]) -> Iterator[Repetition]:
    """Give the cells that hold the same as an earlier one.

    One mask for several sequences of a patient is not told of, nor two rows of one patient, which
    are among the table's own problems.

    Parameters
    ----------
    facts
        By case name; cases that are not in it are left out.
    """
    whole: dict[tuple[bool, str], list[Place]] = {}
    images = _Images({}, {})
    for case in cases:
        for digests in facts[case.name].digests if case.name in facts else ():
            place = Place(case.patient, digests.column)
            others = whole.setdefault((place.is_mask, digests.voxels), [])
            if place in others:
                continue  # a sequence that is in several cases, or a mask that was carried
            others.append(place)
            found = [Repetition(others[0], place)] if len(others) > 1 else []
            found = found or images.near(place, digests)
            yield from (one for one in found if _tells(one))


@dataclass(frozen=True)
class _Images:
    """The images so far: by place the number of slices, and by slice the places that have it."""

    slices: dict[tuple[int, str], tuple[Place, int]]
    places: dict[str, list[tuple[int, str]]]

    def near(self, place: Place, digests: SourceDigests) -> list[Repetition]:
        """Remember an image; return the earlier one that shares most of its slices, if any."""
        own = set(digests.slices)
        shared = Counter(key for one in own for key in self.places.get(one, ()))
        self.slices[place.key] = place, len(own)
        for one in own:
            self.places.setdefault(one, []).append(place.key)
        if not shared:
            return []
        ((key, number),) = shared.most_common(1)
        first, count = self.slices[key]
        fewest = min(len(own), count)
        return [Repetition(first, place, number, fewest)] if number >= NEARLY * fewest else []


def _tells(found: Repetition) -> bool:
    if found.one_patient:
        return not found.place.is_mask
    names = (found.first.patient.identifier, found.place.patient.identifier)
    return len({identity_key(name) for name in names}) > 1


def voxel_problems(cases: Sequence[Case], facts: Mapping[str, CaseFacts]) -> list[Problem]:
    """Refuse what is in two splits, or is two sequences of a patient; each with its place."""
    problems = []
    for found in repetitions(cases, facts):
        first, place = found.first, found.place
        what = "mask" if place.is_mask else "image"
        if found.one_patient and not found.slices:
            text = f"{found.what} as in column '{first.column}'; give each sequence its image"
            problems.append(Problem(text, Fault.REPEATED).within(str(place)))
        elif first.patient.split != place.patient.split:
            text = (
                f"{found.what} as in {first}, there in split '{first.patient.split}' and here "
                f"in '{place.patient.split}'; is it one patient, or the wrong {what}?"
            )
            problems.append(Problem(text, Fault.LEAK).within(str(place)))
    return problems


def voxel_notes(cases: Sequence[Case], facts: Mapping[str, CaseFacts]) -> list[str]:
    """Say by rows what is the same within a split."""
    return [
        f"{one.first} and {one.place} hold {one.what}: is it "
        f"{'' if one.one_patient else 'one patient, or '}a wrong file?"
        for one in repetitions(cases, facts)
    ]
