"""Images and masks of a cohort that occur twice, under any name: copies, compared by voxels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from nnunet_pst.dataset.case_building import CaseFacts
from nnunet_pst.dataset.cohort import Patient
from nnunet_pst.dataset.identity import identity_key
from nnunet_pst.dataset.layouts import Case
from nnunet_pst.errors import Fault, Problem


@dataclass(frozen=True)
class Place:
    """A cell of the cohort table with an image or a mask."""

    patient: Patient
    column: str

    @property
    def is_mask(self) -> bool:
        """Whether it holds a mask; a sequence's name has no underscore."""
        return self.column.endswith("_label")

    def __str__(self) -> str:
        return f"row {self.patient.row}, column {self.column}"


def same_voxels(
    cases: Sequence[Case], facts: Mapping[str, CaseFacts]
) -> Iterator[tuple[Place, Place]]:
    """Give the cells that hold the same voxels as an earlier one, with the earlier one first.

    One mask for several sequences of a patient is not told of, nor two rows of one patient, which
    are among the table's own problems.

    Parameters
    ----------
    facts
        By case name; cases that are not in it are left out.
    """
    earlier: dict[tuple[bool, str], list[Place]] = {}
    for case in cases:
        for column, digest in facts[case.name].digests if case.name in facts else ():
            place = Place(case.patient, column)
            others = earlier.setdefault((place.is_mask, digest), [])
            if place in others:
                continue  # a sequence that is in several cases, or a mask that was carried
            first = others[0] if others else None
            others.append(place)
            if first is None:
                continue
            if first.patient.row == place.patient.row:
                if not place.is_mask:
                    yield first, place
            elif identity_key(first.patient.identifier) != identity_key(place.patient.identifier):
                yield first, place


def voxel_problems(cases: Sequence[Case], facts: Mapping[str, CaseFacts]) -> list[Problem]:
    """Refuse what is in two splits, or is two sequences of a patient; each with its place."""
    problems = []
    for first, place in same_voxels(cases, facts):
        what = "mask" if place.is_mask else "image"
        if first.patient.row == place.patient.row:
            text = f"the same voxels as in column '{first.column}'; give each sequence its image"
            problems.append(Problem(text, Fault.REPEATED).within(str(place)))
        elif first.patient.split != place.patient.split:
            text = (
                f"the same voxels as in {first}, there in split '{first.patient.split}' and here "
                f"in '{place.patient.split}'; is it one patient, or the wrong {what}?"
            )
            problems.append(Problem(text, Fault.LEAK).within(str(place)))
    return problems


def voxel_notes(cases: Sequence[Case], facts: Mapping[str, CaseFacts]) -> list[str]:
    """Say by rows what is the same within a split."""
    return [
        f"{first} and {place} hold the same voxels: is it one patient, or a wrong file?"
        for first, place in same_voxels(cases, facts)
    ]
