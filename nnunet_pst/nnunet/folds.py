"""The folds of a planned dataset: made, kept in agreement with the case table, checked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunet_pst.dataset.fold_updates import fold_problems, update_splits
from nnunet_pst.dataset.splits import (
    FOLDS,
    SplitPatient,
    Splits,
    make_splits,
    separated_patients,
    split_patients,
)
from nnunet_pst.dataset.training_record import (
    TrainingRecord,
    read_record,
    trained_folds,
    write_record,
)
from nnunet_pst.errors import Fault, InputError, Problem
from nnunet_pst.io.case_table import CASE_TABLE, cases_of_dataset, patients_of_images

SPLITS_FILE = "splits_final.json"


@dataclass(frozen=True)
class PlannedFolds:
    """Folds that agree with the case table, and what changed.

    Attributes
    ----------
    splits
        None where no case table names the patients; then nnU-Net makes folds of its own.
    changes
        Lines for the user.
    """

    splits: Splits | None
    changes: tuple[str, ...] = ()


def plan_folds(
    raw: Path, preprocessed: Path, results: Path | None, *, seed: int, overwrite: bool = False
) -> PlannedFolds:
    """Make the folds of a dataset, or bring earlier ones into agreement with its case table.

    Parameters
    ----------
    raw, preprocessed
        Folders of the dataset.
    results
        Folder of its trainings; None where nnUNet_results is not set.
    seed
        Of the stratified draw.
    overwrite
        Change folds even where a training has learned from patients who may no longer be trained
        on; its results are then worth nothing for these patients.

    Raises
    ------
    InputError
        There are fewer than two training patients, ``splits_final.json`` is damaged, or a training
        would be contradicted.
    """
    rows = cases_of_dataset(raw)
    existing = preprocessed / SPLITS_FILE
    earlier = read_splits(existing) if existing.is_file() else None
    learning = [row for row in rows if row["split"] != "test"]
    if not learning:
        return PlannedFolds(earlier) if rows else _folds_without_table(raw, earlier, seed)
    patients = split_patients(learning)
    if len(patients) < 2:
        raise InputError(
            f"{raw.name} has one training patient; a fold needs one more to validate on: "
            "convert a table with more patients of split 'train'",
            Fault.TOO_FEW,
        )
    if earlier is None:
        return PlannedFolds(make_splits(patients, seed))
    separated = separated_patients(earlier, {row["case"]: row["patient"] for row in rows})
    if separated:
        raise InputError(
            f"{SPLITS_FILE}: patients on both sides of a fold: {', '.join(separated)}; "
            "delete the file to get folds grouped by patient",
            Fault.LEAK,
        )
    before = cases_of_dataset(preprocessed)
    update = update_splits(earlier, rows, seed, before=before)
    # The table of the last planning also knows patients who are gone now.
    gone = {row["case"] for row in before}
    _record_trainings(results, earlier, [*before, *(r for r in rows if r["case"] not in gone)])
    conflicts = list(_conflicts(results, update.splits, rows))
    refused = [conflict.problem for conflict in conflicts if not conflict.accepted]
    if refused and not overwrite:
        raise InputError([*refused, *(Problem(line, Fault.LEAK) for line in update.changes)])
    for conflict in conflicts:
        conflict.accept()
    said = [f"folds: accepted: {conflict.text}" for conflict in conflicts]
    return PlannedFolds(update.splits, (*(update.changes or ("folds: as before",)), *said))


def _folds_without_table(raw: Path, earlier: Splits | None, seed: int) -> PlannedFolds:
    """Make folds for a dataset without a case table that has too few cases for nnU-Net's own.

    nnU-Net draws `FOLDS` folds at the start of a training, and breaks off there with fewer cases.
    Folds that are there stay; what they miss is said.
    """
    ending = str(
        json.loads((raw / "dataset.json").read_text(encoding="utf-8")).get("file_ending", ".nii.gz")
    )
    labels = raw / "labelsTr"
    names = sorted(path.name for path in labels.iterdir()) if labels.is_dir() else []
    cases = [name.removesuffix(ending) for name in names if name.endswith(ending)]
    if earlier is not None and cases:
        known = {case for fold in earlier for side in fold.values() for case in side}
        return PlannedFolds(
            earlier,
            tuple(
                f"folds: {len(found)} cases are {where} ({', '.join(sorted(found)[:4])}); delete "
                f"{SPLITS_FILE} to get new folds"
                for found, where in (
                    (set(cases) - known, "in no fold"),
                    (known - set(cases), "in folds, but not in labelsTr"),
                )
                if found
            ),
        )
    if (
        earlier is not None or not cases or len(cases) >= FOLDS
    ):  # none: dataset.json lists files elsewhere
        return PlannedFolds(earlier)
    if len(cases) == 1:
        raise InputError(
            f"{raw.name} has one training case; a fold needs one more to validate on: add cases to "
            "imagesTr and labelsTr",
            Fault.TOO_FEW,
        )
    patients = [SplitPatient(case, (case,), {}, "train") for case in cases]
    return PlannedFolds(
        make_splits(patients, seed),
        (
            f"folds: {len(cases)}, because there are {len(cases)} training cases and no "
            f"{CASE_TABLE}; nnU-Net's own {FOLDS} need {FOLDS} cases",
        ),
    )


def read_splits(file: Path) -> Splits:
    """Read ``splits_final.json``.

    Raises
    ------
    InputError
        It is not a list of folds with ``train`` and ``val``.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{file.name}: is not valid JSON ({error})", Fault.DAMAGED) from error
    if not isinstance(content, list) or not all(map(_is_fold, content)):
        raise InputError(
            f"{file.name}: must be a list of folds, each with the cases of train and val; delete "
            "it and run 'nnunet_pst plan' again",
            Fault.MALFORMED,
        )
    return content


def _is_fold(content: object) -> bool:
    return isinstance(content, dict) and all(
        isinstance(content.get(side), list) and all(isinstance(c, str) for c in content[side])
        for side in ("train", "val")
    )


@dataclass(frozen=True)
class _Conflict:
    """A training that has learned from patients who may no longer be trained on there."""

    folder: Path
    record: TrainingRecord
    patients: frozenset[str]

    @property
    def accepted(self) -> bool:
        """Whether the user has accepted all of it before."""
        return self.patients <= self.record.accepted

    @property
    def text(self) -> str:
        return f"{self.record.name}: learned from {', '.join(sorted(self.patients))}"

    @property
    def problem(self) -> Problem:
        return Problem(
            f"{self.text}, who may no longer be trained on there (test patients, or validation of "
            "that fold now); delete this training, put the patients back, or add "
            "--overwrite-folds",
            Fault.LEAK,
        )

    def accept(self) -> None:
        """Remember that the user wants it so."""
        accepted = self.record.accepted | self.patients
        write_record(self.folder, self.record.patients, accepted, self.record.images)


def _record_trainings(
    results: Path | None, splits: Splits, rows: Sequence[Mapping[str, str]]
) -> None:
    """Write down what trainings without a record have learned from: the folds until now.

    Those of stock trainers, and of earlier versions of ours, leave no record of their own; after
    the folds have changed, nothing would tell any more.
    """
    patient_of = {row["case"]: row["patient"] for row in rows}
    for folder in trained_folds(results):
        name = folder.name.removeprefix("fold_")
        if read_record(folder) is not None:
            continue
        if name == "all":
            cases = {case for fold in splits for side in fold.values() for case in side}
        elif name.isdigit() and int(name) < len(splits):
            cases = set(splits[int(name)]["train"])
        else:
            continue
        images = patients_of_images([row for row in rows if row["case"] in cases])
        write_record(folder, {patient_of.get(case, case) for case in cases}, images=images)


def _conflicts(
    results: Path | None, splits: Splits, rows: Sequence[Mapping[str, str]]
) -> Iterable[_Conflict]:
    """Compare what every training has learned from with the folds as they are to be."""
    patient_of = {row["case"]: row["patient"] for row in rows}
    testing = {row["patient"] for row in rows if row["split"] == "test"}
    images = patients_of_images(rows)
    for folder in trained_folds(results):
        record = read_record(folder)
        if record is None:
            continue
        wrong = set(testing)
        if record.fold.isdigit() and int(record.fold) < len(splits):
            wrong |= {patient_of[case] for case in splits[int(record.fold)]["val"]}
        if known := record.knows(wrong, images):
            yield _Conflict(folder, record, known)


def check_fold(
    fold: Mapping[str, Sequence[str]], name: str, preprocessed: Path, raw: Path | None
) -> None:
    """Refuse to train a fold that does not agree with the dataset as it is now.

    Parameters
    ----------
    fold
        Cases of ``train`` and ``val``.
    name
        What messages call it, such as ``fold 0``.
    preprocessed, raw
        Folders of the dataset; ``raw`` is None where nnUNet_raw is not set.

    Raises
    ------
    InputError
        The fold holds test cases, lacks training cases or separates a patient; or the dataset was
        converted again since it was planned.
    """
    remedy = f"run 'nnunet_pst plan {preprocessed.name}' again"
    rows = cases_of_dataset(preprocessed)
    problems = [
        Problem(f"{name} {problem}; {remedy}", problem.fault)
        for problem in fold_problems(fold, rows)
    ]
    if rows and raw is not None and (raw / CASE_TABLE).is_file():
        now = cases_of_dataset(raw)
        problems += [
            Problem(f"{name}, as the dataset is now, {problem}; {remedy}", problem.fault)
            for problem in fold_problems(fold, now)
            if problem not in {str(known) for known in fold_problems(fold, rows)}
        ]
    if problems:
        raise InputError(problems)
