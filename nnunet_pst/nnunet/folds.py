"""The folds of a planned dataset: made, kept in agreement with the case table, checked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunet_pst.dataset.fold_updates import FoldUpdate, fold_problems, update_splits
from nnunet_pst.dataset.splits import (
    Splits,
    make_splits,
    separated_patients,
    split_patients,
)
from nnunet_pst.errors import Fault, InputError, Problem
from nnunet_pst.io.case_table import CASE_TABLE, cases_of_dataset

SPLITS_FILE = "splits_final.json"
_FOLD = "fold_"
#: A fold folder with one of these has learned from its training cases.
_CHECKPOINTS = "checkpoint_*.pth"


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
        return PlannedFolds(earlier)
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
    update = update_splits(earlier, rows, seed)
    contradicted = list(_contradictions(update, results))
    if contradicted and not overwrite:
        raise InputError(contradicted, Fault.LEAK)
    kept = () if update.changes else ("folds: as before",)
    return PlannedFolds(
        update.splits,
        (
            *update.changes,
            *kept,
            *(f"folds: changed all the same: {line}" for line in contradicted),
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


def trained_folds(results: Path) -> dict[str, list[str]]:
    """List the trainings of each fold that have a checkpoint: fold (``0``, ``all``) to names."""
    trainings: dict[str, list[str]] = {}
    for checkpoint in sorted(results.glob(f"*/{_FOLD}*/{_CHECKPOINTS}")):
        fold = checkpoint.parent.name.removeprefix(_FOLD)
        name = checkpoint.parents[1].name
        if name not in trainings.setdefault(fold, []):
            trainings[fold].append(name)
    return trainings


def _contradictions(update: FoldUpdate, results: Path | None) -> Iterable[Problem]:
    """Name the trainings that have learned from patients who may no longer be trained on."""
    if results is None or not results.is_dir() or not update.learned:
        return
    for fold, trainings in trained_folds(results).items():
        patients = (
            sorted({name for names in update.learned.values() for name in names})
            if fold == "all"
            else list(update.learned.get(int(fold), ()))
            if fold.isdigit()
            else []
        )
        if patients:
            yield Problem(
                f"{', '.join(trainings)}, fold {fold}: learned from {', '.join(patients)}, who may "
                "no longer be trained on there; delete these trainings, put the patients back, or "
                "add --overwrite-folds",
                Fault.LEAK,
            )


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
