"""Contradictions between the cells of a cohort table: patients, files and columns."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from nnunet_pst.dataset.cohort import Patient
from nnunet_pst.dataset.cohort_rows import TableProblems
from nnunet_pst.dataset.identity import file_key, identity_key
from nnunet_pst.errors import Fault, Problem


def check_across_rows(patients: Iterable[Patient], problems: TableProblems) -> None:
    """Report patients that occur twice, and files of two patients or in two roles."""
    seen: dict[str, Patient] = {}
    owners: dict[tuple[int, int] | Path, Patient] = {}
    for patient in patients:
        key = identity_key(patient.identifier)
        earlier = seen.setdefault(key, patient)
        if earlier is not patient and patient.identifier:
            problems.add(_second_row(patient, earlier), row=patient.row, column="patient")
            continue
        _check_within_row(patient, problems)
        for column, path in _files(patient):
            owner = owners.setdefault(file_key(path), patient)
            if owner is not patient:
                text = f"the same file as in row {owner.row}; every patient has files of its own"
                problems.add(Problem(text, Fault.REPEATED), row=patient.row, column=column)


def _second_row(patient: Patient, earlier: Patient) -> Problem:
    """Say that a patient has two rows, perhaps in two splits."""
    text = f"'{patient.identifier}' is already in row {earlier.row}"
    if patient.identifier.casefold() != earlier.identifier.casefold():
        text += " in another spelling (Unicode, blanks, zeros; if they are two, rename one)"
    if earlier.split == patient.split:
        return Problem(f"{text}; a patient has one row", Fault.REPEATED)
    text += f", there in split '{earlier.split}' and here in '{patient.split}'"
    return Problem(f"{text}; a patient has one row", Fault.LEAK)


def check_label_columns(
    patients: Iterable[Patient],
    header: Collection[str],
    problems: TableProblems,
    masks_from: str | None,
) -> None:
    """Report a sequence without a label column once instead of in every row."""
    needed = {name for p in patients if p.split != "test" for name in p.sequences}
    if masks_from is not None:
        needed &= {masks_from}
    for column in (f"{name}_label" for name in sorted(needed)):
        if column not in header:
            text = "there is no such column, but training patients need masks"
            problems.add(Problem(text, Fault.MISSING), column=column)


def _check_within_row(patient: Patient, problems: TableProblems) -> None:
    """Report an image that is given for two sequences, or as its own mask.

    One mask for two sequences is allowed: it is put onto each image's grid.
    """
    images: dict[tuple[int, int] | Path, str] = {}
    for sequence in patient.sequences.values():
        images.setdefault(file_key(sequence.image), sequence.name)
    for column, path in _files(patient):
        earlier = images.get(file_key(path))
        if earlier is not None and earlier != column:
            text = (
                f"the same file as in column '{earlier}'; give each sequence its own image, and "
                "masks in the label columns"
            )
            problems.add(Problem(text, Fault.REPEATED), row=patient.row, column=column)


def _files(patient: Patient) -> Iterator[tuple[str, Path]]:
    """Yield the files of a patient with their columns."""
    for sequence in patient.sequences.values():
        yield sequence.name, sequence.image
        if sequence.label is not None:
            yield f"{sequence.name}_label", sequence.label
