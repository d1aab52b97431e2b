"""Folds that never separate the cases of a patient, and are alike in the known covariates."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from nnunet_pst.io.case_table import rows_by_patient
from nnunet_pst.io.number_columns import as_number, terciles, third_of

#: Number of folds, nnU-Net's own.
FOLDS = 5

#: Covariates in which folds should be alike; the first size that exists is put into thirds.
SIZE_COLUMNS = ("size_cm", "volume_ml")
CATEGORY_COLUMNS = ("malignancy", "location")
_THIRDS = ("small", "medium", "large")

#: The content of ``splits_final.json``: for each fold the cases of ``train`` and ``val``.
Splits: TypeAlias = list[dict[str, list[str]]]


@dataclass(frozen=True)
class SplitPatient:
    """A patient with its cases and the categories in which folds should be alike.

    Attributes
    ----------
    strata
        Such as ``{"size": "large", "location": "sacrum"}``.
    split
        The table's own ``train`` or ``val``; empty where it has none.
    """

    patient: str
    cases: tuple[str, ...]
    strata: Mapping[str, str] = field(default_factory=dict)
    split: str = ""


def split_patients(rows: Sequence[Mapping[str, str]]) -> list[SplitPatient]:
    """Make the patients of a case table, with the categories that its covariates give."""
    patients = rows_by_patient(rows)
    size_column = next((column for column in SIZE_COLUMNS if column in rows[0]), "")
    sizes = {
        patient: float(cases[0][size_column])
        for patient, cases in patients.items()
        if size_column and not math.isnan(as_number(cases[0][size_column]))
    }
    third = thirds(sizes) if sizes else {}
    result = []
    for patient, cases in patients.items():
        strata = {"sequences": " ".join(sorted(case["sequence"] for case in cases))}
        if patient in third:
            strata["size"] = third[patient]
        strata.update({c: cases[0][c] for c in CATEGORY_COLUMNS if cases[0].get(c)})
        names = tuple(case["case"] for case in cases)
        result.append(SplitPatient(patient, names, strata, cases[0]["split"]))
    return result


def thirds(values: Mapping[str, float]) -> dict[str, str]:
    """Put values into thirds: ``small``, ``medium``, ``large``."""
    cuts = terciles(values.values())
    return {name: _THIRDS[third_of(value, cuts)] for name, value in values.items()}


def make_splits(patients: Sequence[SplitPatient], seed: int) -> list[dict[str, list[str]]]:
    """Return the content of ``splits_final.json``: by fold the cases of ``train`` and ``val``.

    The table's own ``val`` patients make one fold. Otherwise there are `FOLDS` (fewer when there
    are fewer patients), stratified greedily: rarest category first, each patient goes to the fold
    that has the least of its categories (Sechidis 2011, doi 10.1007/978-3-642-23808-6_10, iterative
    stratification).
    """
    if any(patient.split == "val" for patient in patients):
        return [_fold(patients, {p.patient for p in patients if p.split == "val"})]
    count = min(FOLDS, len(patients))
    if count < 2:
        raise ValueError("at least two patients are needed for a fold with training and validation")
    fold_of = _assign(patients, count, seed)
    return [
        _fold(patients, {name for name, fold in fold_of.items() if fold == number})
        for number in range(count)
    ]


def _fold(patients: Sequence[SplitPatient], validation: set[str]) -> dict[str, list[str]]:
    train = [case for p in patients if p.patient not in validation for case in p.cases]
    val = [case for p in patients if p.patient in validation for case in p.cases]
    return {"train": sorted(train), "val": sorted(val)}


def _assign(patients: Sequence[SplitPatient], count: int, seed: int) -> dict[str, int]:
    rng = np.random.default_rng(seed)
    by_name = sorted(patients, key=lambda patient: patient.patient)
    shuffled = [by_name[i] for i in rng.permutation(len(by_name))]
    frequency = Counter(label for p in shuffled for label in p.strata.items())
    rarest_first = sorted(
        shuffled, key=lambda p: min((frequency[label] for label in p.strata.items()), default=0)
    )
    room = [len(shuffled) // count + (fold < len(shuffled) % count) for fold in range(count)]
    have: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * count)
    fold_of: dict[str, int] = {}
    for patient in rarest_first:
        labels = list(patient.strata.items())
        crowding = [
            sum(have[label][fold] / frequency[label] for label in labels) - room[fold] * 1e-3
            for fold in range(count)
        ]
        fold = min((f for f in range(count) if room[f]), key=lambda f: crowding[f])
        room[fold] -= 1
        fold_of[patient.patient] = fold
        for label in labels:
            have[label][fold] += 1
    return fold_of


def separated_patients(
    splits: Sequence[Mapping[str, Sequence[str]]], patient_of: Mapping[str, str]
) -> list[str]:
    """Name the patients on both sides of a fold; a case not listed is a patient of its own."""
    separated = set()
    for fold in splits:
        train, val = (
            {patient_of.get(case, case) for case in fold[side]} for side in ("train", "val")
        )
        separated |= train & val
    return sorted(separated)


def splits_like(
    splits: Splits, rows: Sequence[Mapping[str, str]], own: Sequence[Mapping[str, str]]
) -> Splits:
    """Give a dataset the folds of another one, patient by patient.

    Parameters
    ----------
    splits
        Of the other dataset, as in ``splits_final.json``.
    rows, own
        Case tables of the other dataset and of this one, with the same pseudonyms.

    Returns
    -------
    list
        As many folds, each with this dataset's cases of the same patients.
    """
    patient_of = {row["case"]: row["patient"] for row in rows}
    result = []
    for fold in splits:
        sides = {side: {patient_of[case] for case in fold[side]} for side in ("train", "val")}
        result.append(
            {
                side: sorted(
                    row["case"]
                    for row in own
                    if row["split"] != "test" and row["patient"] in patients
                )
                for side, patients in sides.items()
            }
        )
    return result
