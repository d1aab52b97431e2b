"""Learn from the folds' validation cases how far a model's masks can be believed.

Each case is segmented by the network of the fold that it validates, which has not learned from its
patient; test patients are never used. A killed calibration keeps the cases that it has finished.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy.typing as npt
from tqdm import tqdm

from nnunet_pst.calibration.calibration import CALIBRATION, Calibration, as_text
from nnunet_pst.calibration.familiar import profile
from nnunet_pst.calibration.learning import CalibratedCase, ImageProfile, learn
from nnunet_pst.dataset.raw_dataset import OWN_KEY
from nnunet_pst.dataset.training_record import check_not_learned
from nnunet_pst.errors import Fault, InputError, Problem, few_of_each_kind
from nnunet_pst.evaluation.references import (
    TRAINING,
    ReferenceCase,
    References,
    images_of,
    references_of_dataset,
)
from nnunet_pst.io.atomic_files import write_atomically
from nnunet_pst.io.claims import claimed
from nnunet_pst.io.dataset_folders import RAW, RESULTS, dataset_folder
from nnunet_pst.io.digests import file_digest
from nnunet_pst.io.volumes import Volume, read_image
from nnunet_pst.nnunet.folds import SPLITS_FILE, read_splits
from nnunet_pst.nnunet.models.calibration_cases import Draft, FoldMeasuring, check_labels
from nnunet_pst.nnunet.models.files import CHECKPOINT, MANIFEST

PREPROCESSED = "nnUNet_preprocessed"
#: What a killed calibration has finished; hidden, and gone when all is done.
DRAFT = ".calibration_cases.jsonl"


@dataclass(frozen=True)
class CalibrationSettings:
    """Which model is calibrated, and how its masks are made.

    Attributes
    ----------
    configuration, trainer, plans
        Of the training.
    folds
        Their numbers; empty for all that are finished.
    references
        Folder with finer labels of the same cases; None for the dataset's own.
    mirroring, device, engine
        As for ``segment``.
    """

    configuration: str = "2d_5"
    trainer: str = "nnUNetTrainerPST25D"
    plans: str = "nnUNetPlans"
    folds: tuple[int, ...] = ()
    references: Path | None = None
    mirroring: bool = True
    device: str | None = None
    engine: str = "torch"


@dataclass(frozen=True)
class Calibrated:
    """What was learned, and where it is.

    Attributes
    ----------
    notes
        Lines for the user.
    """

    calibration: Calibration
    file: Path
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Fold:
    """A finished fold with the cases that validate it."""

    number: int
    folder: Path
    cases: tuple[ReferenceCase, ...]


def calibrate(dataset: str, settings: CalibrationSettings | None = None) -> Calibrated:
    """Calibrate a model on its folds' validation cases and write ``calibration.json`` beside it.

    Parameters
    ----------
    dataset
        Name of the dataset, or its raw folder.
    settings
        Which model, and how its masks are made.

    Raises
    ------
    InputError
        There is no such model or fold, a fold has no validation cases or has learned from them,
        or labels are missing.
    """
    settings = settings or CalibrationSettings()
    raw = dataset_folder(dataset, RAW)
    references = _references(raw, settings.references)
    name = f"{settings.trainer}__{settings.plans}__{settings.configuration}"
    model = dataset_folder(raw.name, RESULTS, holds="") / name
    folds = _folds(
        model, settings.folds, dataset_folder(raw.name, PREPROCESSED, holds=""), references
    )
    check_labels([case for fold in folds for case in fold.cases], references.labels)
    with claimed(model, "calibrate"):
        draft = Draft(model / DRAFT)
        cases: list[CalibratedCase] = []
        for fold in folds:
            how = (settings.mirroring, settings.engine)
            measuring = FoldMeasuring(model, fold.number, references, *how, settings.device)
            bar = tqdm(fold.cases, desc=f"fold {fold.number}", unit="case", disable=None)
            cases += [draft.measured(case, measuring) for case in bar]
        profiles = [_profile(case) for case in references.cases if case.image is not None]
        checkpoints = [file_digest(fold.folder / CHECKPOINT) for fold in folds]
        calibration = learn(cases, profiles, checkpoints, mirroring=settings.mirroring)
        write_atomically(model / CALIBRATION, as_text(calibration))
        _put_into_description(model / "dataset.json", calibration)
        draft.file.unlink(missing_ok=True)
    notes = []
    if (model / MANIFEST).is_file():
        notes.append(f"{MANIFEST} is older than the calibration; run `nnunet_pst manifest` again")
    return Calibrated(calibration, model / CALIBRATION, tuple(notes))


def _references(raw: Path, finer: Path | None) -> References:
    """Return the training cases, with the labels of a folder where one is given."""
    references = references_of_dataset(raw, TRAINING)
    if finer is None:
        return references
    cases = [
        replace(case, label=finer / f"{case.name}{references.file_ending}")
        for case in references.cases
    ]
    lost = [
        (case.name, Problem(f"{case.label} is missing", Fault.MISSING))
        for case in cases
        if not case.label.is_file()
    ]
    if lost:
        raise InputError(few_of_each_kind(lost))
    return replace(references, cases=tuple(cases))


def _folds(
    model: Path, wanted: Sequence[int], preprocessed: Path, references: References
) -> list[_Fold]:
    """Find finished folds with their validation cases; refuse one that has learned from them."""
    if not model.is_dir():
        raise InputError(f"{model}: there is no such training", Fault.MISSING)
    found = sorted(
        int(file.parent.name[5:])
        for file in model.glob(f"fold_*/{CHECKPOINT}")
        if file.parent.name[5:].isdigit()
    )
    missing = [number for number in wanted if number not in found]
    if missing or not found:
        numbers = ", ".join(map(str, missing)) or "0"
        raise InputError(
            f"{model.name}: fold {numbers} is not finished; train it, because a model of fold all "
            "leaves no patient to calibrate on",
            Fault.MISSING,
        )
    file = preprocessed / SPLITS_FILE
    if not file.is_file():
        raise InputError(f"{file}: is missing; run `nnunet_pst plan` again", Fault.MISSING)
    splits = read_splits(file)
    cases = {case.name: case for case in references.cases}
    folds = []
    for number in sorted(set(wanted)) or found:
        names = splits[number]["val"] if number < len(splits) else []
        own = tuple(cases[name] for name in names if name in cases)
        if not own:
            raise InputError(f"{SPLITS_FILE}: fold {number} has no validation cases", Fault.EMPTY)
        folder = model / f"fold_{number}"
        check_not_learned(folder, {case.patient for case in own}, images_of(own))
        folds.append(_Fold(number, folder, own))
    every = [case.name for fold in folds for case in fold.cases]
    if len(set(every)) < len(every):
        raise InputError(
            f"{SPLITS_FILE}: a case validates several folds, and would count several times; name "
            "folds by -f that share none",
            Fault.CONTRADICTION,
        )
    return folds


def _profile(case: ReferenceCase) -> ImageProfile:
    assert case.image is not None
    image: Volume = read_image(case.image)
    array: npt.NDArray[Any] = image.array
    # Of a fusion, the first channel: the one that is segmented.
    return ImageProfile(case.patient, case.sequence.partition("+")[0], profile(array))


def _put_into_description(file: Path, calibration: Calibration) -> None:
    """Keep a copy where ``nnUNetv2_export_model_to_zip`` takes it along."""
    description = json.loads(file.read_text(encoding="utf-8"))
    own = description.get(OWN_KEY)
    own = dict(own) if isinstance(own, dict) else {}
    own["calibration"] = json.loads(as_text(calibration))
    write_atomically(file, json.dumps({**description, OWN_KEY: own}, indent=4, sort_keys=False))
