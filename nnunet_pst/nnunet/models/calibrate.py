"""Learn from the folds' validation cases how far a model's masks can be believed.

Each case is segmented by the network of the fold that it validates, which has not learned from its
patient; test patients are never used. A killed calibration keeps the cases that it has finished.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from nnunet_pst.calibration.calibration import CALIBRATION, Calibration, as_text
from nnunet_pst.calibration.familiar import profile
from nnunet_pst.calibration.fitting import CalibrationCase
from nnunet_pst.calibration.learning import CalibratedCase, ImageProfile, learn
from nnunet_pst.calibration.reliability import count_voxels
from nnunet_pst.calibration.signs import Signs
from nnunet_pst.dataset.raw_dataset import OWN_KEY
from nnunet_pst.dataset.training_record import check_not_learned
from nnunet_pst.errors import Fault, InputError, Problem, few_of_each_kind
from nnunet_pst.evaluation.metrics.overlap import confusion, dice
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
from nnunet_pst.io.geometry import same_grid
from nnunet_pst.io.volumes import Volume, read_image, read_voxels
from nnunet_pst.labels import IGNORE, TUMOR
from nnunet_pst.nnunet.folds import SPLITS_FILE, read_splits
from nnunet_pst.nnunet.models.files import CHECKPOINT, MANIFEST
from nnunet_pst.nnunet.models.prediction import LoadedModel, load_model

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
    with claimed(model, "calibrate"):
        draft = model / DRAFT
        known = _finished(draft)
        cases: list[CalibratedCase] = []
        for fold in folds:
            cases += _fold_cases(fold, model, references, settings, known, draft)
        profiles = [_profile(case) for case in references.cases if case.image is not None]
        checkpoints = [file_digest(fold.folder / CHECKPOINT) for fold in folds]
        calibration = learn(cases, profiles, checkpoints, mirroring=settings.mirroring)
        write_atomically(model / CALIBRATION, as_text(calibration))
        _put_into_description(model / "dataset.json", calibration)
        draft.unlink(missing_ok=True)
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
    for number in wanted or found:
        names = splits[number]["val"] if number < len(splits) else []
        own = tuple(cases[name] for name in names if name in cases)
        if not own:
            raise InputError(f"{SPLITS_FILE}: fold {number} has no validation cases", Fault.EMPTY)
        folder = model / f"fold_{number}"
        check_not_learned(folder, {case.patient for case in own}, images_of(own))
        folds.append(_Fold(number, folder, own))
    return folds


def _fold_cases(
    fold: _Fold,
    model: Path,
    references: References,
    settings: CalibrationSettings,
    known: dict[str, dict[str, Any]],
    draft: Path,
) -> Iterator[CalibratedCase]:
    """Segment a fold's cases that are not finished, and measure them."""
    checkpoint = file_digest(fold.folder / CHECKPOINT)
    loaded: LoadedModel | None = None
    for case in tqdm(fold.cases, desc=f"fold {fold.number}", unit="case", disable=None):
        images = _channels(case, references)
        key = "-".join(
            (
                checkpoint,
                *(file_digest(file) for file in (case.label, *images)),
                f"{settings.mirroring} {settings.engine}",
            )
        )
        if key not in known:
            if loaded is None:
                loaded = load_model(
                    model,
                    device=settings.device,
                    engine=settings.engine,
                    mirroring=settings.mirroring,
                    folds=(fold.number,),
                )
            measured = _measured(case, images, loaded, references).as_json()
            # A line at a time: what is finished survives a kill.
            with draft.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"key": key, "case": measured}) + "\n")
                file.flush()
                os.fsync(file.fileno())
            known[key] = measured
        yield CalibratedCase.from_json(known[key])


def _finished(draft: Path) -> dict[str, dict[str, Any]]:
    """Read what a killed calibration has finished; its last line may be torn."""
    found = {}
    if draft.is_file():
        for line in draft.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                entry = json.loads(line)
                CalibratedCase.from_json(entry["case"])
                found[str(entry["key"])] = entry["case"]
            except (ValueError, KeyError, TypeError):  # noqa: PERF203
                continue
    return found


def _channels(case: ReferenceCase, references: References) -> list[Path]:
    """Return the image files of a case, channel by channel."""
    assert case.image is not None
    folder, ending = case.image.parent, references.file_ending
    return sorted(folder.glob(f"{case.name}_[0-9][0-9][0-9][0-9]{ending}"))


def _measured(
    case: ReferenceCase, images: Sequence[Path], model: LoadedModel, references: References
) -> CalibratedCase:
    label = read_voxels(case.label)
    channels = [read_image(file) for file in images]
    if not same_grid(label.grid, channels[0].grid):
        raise InputError(
            f"{case.label.name}: lies on another grid than its image; give the label that was "
            "drawn on it",
            Fault.GEOMETRY,
        )
    prediction = model.predict(channels, probability=True)
    assert prediction.probability is not None
    truth = references.labels.three_states(label.array)
    mask = prediction.labels > 0
    milliliters = label.grid.voxel_volume_ml
    whole = not (truth == IGNORE).any()
    return CalibratedCase(
        CalibrationCase(
            case.patient,
            case.sequence or model.facts.channels[0],
            prediction.signs or Signs(0.0),
            dice(confusion(truth, mask.astype(np.uint8))),
            int(mask.sum()) * milliliters,
            int((truth == TUMOR).sum()) * milliliters if whole else None,
        ),
        bool((truth == TUMOR).any()),
        count_voxels(prediction.probability, truth),
    )


def _profile(case: ReferenceCase) -> ImageProfile:
    assert case.image is not None
    image: Volume = read_image(case.image)
    array: npt.NDArray[Any] = image.array
    return ImageProfile(case.patient, case.sequence, profile(array))


def _put_into_description(file: Path, calibration: Calibration) -> None:
    """Keep a copy where ``nnUNetv2_export_model_to_zip`` takes it along."""
    description = json.loads(file.read_text(encoding="utf-8"))
    own = description.get(OWN_KEY)
    own = dict(own) if isinstance(own, dict) else {}
    own["calibration"] = json.loads(as_text(calibration))
    write_atomically(file, json.dumps({**description, OWN_KEY: own}, indent=4, sort_keys=False))
