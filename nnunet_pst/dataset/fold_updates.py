"""Folds that follow the case table: patients keep their fold, and every change is said.

The folds of a dataset are written once and trainings depend on them. When patients are added,
removed or become test patients, folds that stay as they were would train on test patients or leave
patients out; new folds would contradict finished trainings.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from nnunet_pst.dataset.splits import (
    SplitPatient,
    Splits,
    make_splits,
    separated_patients,
    split_patients,
)
from nnunet_pst.errors import Fault, Problem

Row = Mapping[str, str]
#: Patients that a line names; of more, the number.
_SHOWN = 6


@dataclass(frozen=True)
class FoldUpdate:
    """Folds that agree with the case table, and how they differ from the earlier ones.

    Attributes
    ----------
    splits
        As in ``splits_final.json``.
    changes
        A line for each kind of change; empty where nothing changed.
    """

    splits: Splits
    changes: tuple[str, ...] = ()


def update_splits(
    splits: Splits, rows: Sequence[Row], seed: int, *, before: Sequence[Row] = ()
) -> FoldUpdate:
    """Bring folds into agreement with the case table.

    Every patient keeps the fold it had. Cases that are gone or belong to test patients are
    dropped; a new case of a known patient joins that patient's others; a new patient validates the
    fold that has fewest patients like it. Where the table names validation patients, its one fold
    replaces what was there. Folds that lose all patients of a side are made again.

    Parameters
    ----------
    splits
        The earlier folds.
    rows
        The case table, with the rows of test patients.
    seed
        For folds that are made again.
    before
        The case table of the earlier folds, which names patients who are gone.
    """
    patient_of = {row["case"]: row["patient"] for row in (*before, *rows)}
    testing = {row["patient"] for row in rows if row["split"] == "test"}
    learning = [row for row in rows if row["split"] != "test"]
    patients = split_patients(learning) if learning else []
    old = [
        {side: {patient_of.get(case, case) for case in fold[side]} for side in ("train", "val")}
        for fold in splits
    ]
    if any(patient.split == "val" for patient in patients) or not _all_filled(old, patients):
        new, made = make_splits(patients, seed), True
    else:
        new, made = _kept(old, patients), False
    return FoldUpdate(new, tuple(_changes(splits, old, new, patients, testing, made=made)))


def fold_problems(fold: Mapping[str, Sequence[str]], rows: Sequence[Row]) -> list[Problem]:
    """List why a fold must not be trained: test cases in it, training cases outside of it.

    Parameters
    ----------
    fold
        Cases of ``train`` and ``val``.
    rows
        The case table; empty where there is none, and then nothing is known to be wrong.
    """
    if not rows:
        return []
    split_of = {row["case"]: row["split"] for row in rows}
    inside = {*fold["train"], *fold["val"]}
    faulty = {
        ("holds test cases", Fault.LEAK): {c for c in inside if split_of.get(c) == "test"},
        ("holds cases that the dataset has not", Fault.UNEXPECTED): inside - set(split_of),
        ("lacks training cases", Fault.MISSING): {
            c for c, split in split_of.items() if split != "test" and c not in inside
        },
    }
    problems = [
        Problem(f"{what}: {_listed(cases)}", fault)
        for (what, fault), cases in faulty.items()
        if cases
    ]
    patient_of = {row["case"]: row["patient"] for row in rows}
    if separated := separated_patients([fold], patient_of):
        text = f"has patients on both sides: {_listed(separated)}"
        problems.append(Problem(text, Fault.LEAK))
    return problems


def _all_filled(old: Sequence[Mapping[str, set[str]]], patients: Sequence[SplitPatient]) -> bool:
    """Whether each fold still has patients to train and to validate on."""
    there = {patient.patient for patient in patients}
    return bool(old) and all(fold["train"] & there and fold["val"] & there for fold in old)


def _kept(old: Sequence[Mapping[str, set[str]]], patients: Sequence[SplitPatient]) -> Splits:
    """Put each patient where it was, and new ones where there are fewest like them."""
    known = set().union(*(fold["train"] | fold["val"] for fold in old))
    validating = [set(fold["val"]) for fold in old]
    partition = sum(map(len, validating)) == len(set().union(*validating)) == len(known)
    strata = {patient.patient: set(patient.strata.items()) for patient in patients}
    for patient in sorted(patients, key=lambda p: p.patient):
        if patient.patient not in known and partition and len(old) > 1:
            _fewest_alike(validating, strata, patient).add(patient.patient)
    new: Splits = []
    for fold, val in zip(old, validating, strict=True):
        # Where folds do not partition the patients, new ones train; others stay where they were.
        train = {p.patient for p in patients} - val
        if not partition:
            train -= known - fold["train"]
        new.append(
            {
                side: sorted(c for p in patients if p.patient in members for c in p.cases)
                for side, members in (("train", train), ("val", val))
            }
        )
    return new


def _fewest_alike(
    validating: Sequence[set[str]], strata: Mapping[str, set[tuple[str, str]]], new: SplitPatient
) -> set[str]:
    """Choose the fold with the fewest patients, of these the one with the fewest like the new."""
    own = strata[new.patient]

    def crowding(members: set[str]) -> tuple[int, int]:
        there = [strata[name] for name in members if name in strata]
        return len(there), sum(len(own & labels) for labels in there)

    return min(validating, key=crowding)


def _changes(
    splits: Splits,
    old: Sequence[Mapping[str, set[str]]],
    new: Splits,
    patients: Sequence[SplitPatient],
    testing: Collection[str],
    *,
    made: bool,
) -> list[str]:
    """Say what is different, by kind; nothing where the folds are the same."""
    if [{s: sorted(f[s]) for s in ("train", "val")} for f in splits] == new:
        return []
    before = set().union(*(fold["train"] | fold["val"] for fold in old)) if old else set()
    now = {patient.patient for patient in patients}
    lines = []
    if made:
        lines.append(
            "folds made again: "
            + (
                "the table names validation patients"
                if any(patient.split == "val" for patient in patients)
                else "a fold had no patient left on one side"
            )
        )
    for what, names in (
        ("test patients now, removed from the folds", before & set(testing)),
        ("no longer in the dataset, removed from the folds", before - now - set(testing)),
        ("new", now - before),
    ):
        if names:
            lines.append(f"folds: {what}: {_listed(names)}")
    if not made and (added := now - before):
        cases = {patient.patient: patient.cases[0] for patient in patients}
        places = [
            f"{name} validates fold {number}"
            for name in sorted(added)
            for number, fold in enumerate(new)
            if cases[name] in fold["val"]
        ]
        lines.append(f"folds: {'; '.join(places)}" if places else "folds: new patients train all")
    known = {case for fold in splits for side in ("train", "val") for case in fold[side]}
    more = {case for p in patients if p.patient in before for case in p.cases if case not in known}
    if more:
        lines.append(f"folds: new cases of known patients join them: {_listed(more)}")
    lost = {
        case for case in known if case not in {c for f in new for c in (*f["train"], *f["val"])}
    }
    if lost and not (before - now):
        lines.append(f"folds: cases no longer in the dataset, removed: {_listed(lost)}")
    return lines


def _listed(names: Collection[str]) -> str:
    first = ", ".join(sorted(names)[:_SHOWN])
    return first if len(names) <= _SHOWN else f"{first} and {len(names) - _SHOWN} more"
