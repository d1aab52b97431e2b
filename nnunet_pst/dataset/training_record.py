"""Whom a training has learned from, kept beside its checkpoints.

Folds change with the cohort, and what a model has learned stays. So a training writes down its
patients and digests of their images, which stay the same when a patient gets another name or
another file; planning, validation and scores ask this record, never the folds of today.

Functions here take ``patients``, by pseudonym, and ``images``: whose each image is, by its digest
(`io.case_table.patients_of_images`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.atomic_files import write_atomically

RECORD = "pst_learned_from.json"
#: A fold's folder with one of these has learned from its training cases.
_CHECKPOINTS = "checkpoint_*.pth"


@dataclass(frozen=True)
class TrainingRecord:
    """A training of one fold.

    Attributes
    ----------
    training
        Name of its folder: trainer, plans, configuration.
    fold
        ``0``, ``all``, and so on.
    patients
        Pseudonyms of those it has learned from; cases of a dataset without a table stand for
        patients.
    accepted
        Of these, the ones who may no longer be trained on, as the user has accepted.
    images
        Digests of their images; empty for datasets that have none.
    """

    training: str
    fold: str
    patients: frozenset[str]
    accepted: frozenset[str] = frozenset()
    images: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The training in messages."""
        return f"{self.training}, fold {self.fold}"

    def knows(self, patients: Collection[str], images: Mapping[str, str]) -> frozenset[str]:
        """Return those of the patients whom it has learned from, by name or by image."""
        by_image = {images[digest] for digest in self.images & images.keys()}
        return frozenset(patients) & (self.patients | by_image)


def read_record(fold: Path) -> TrainingRecord | None:
    """Read the record of a fold's folder; None where there is none.

    Raises
    ------
    InputError
        The record is damaged.
    """
    file = fold / RECORD
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        patients = frozenset(map(str, content["patients"]))
        accepted = frozenset(map(str, content["accepted"]))
        images = frozenset(map(str, content.get("images", ())))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{fold.parent.name}/{fold.name}/{RECORD}: is damaged; delete the training",
            Fault.DAMAGED,
        ) from error
    number = fold.name.removeprefix("fold_")
    return TrainingRecord(fold.parent.name, number, patients, accepted, images)


def write_record(
    fold: Path,
    patients: Collection[str],
    accepted: Collection[str] = (),
    images: Collection[str] = (),
) -> None:
    """Write or replace the record of a fold's folder."""
    content = {
        "patients": sorted(patients),
        "accepted": sorted(accepted),
        "images": sorted(images),
    }
    write_atomically(fold / RECORD, json.dumps(content, indent=2) + "\n")


def trained_folds(results: Path | None) -> list[Path]:
    """List the folders of a dataset's folds that have learned, in the order of their names."""
    if results is None or not results.is_dir():
        return []
    return sorted({file.parent for file in results.glob(f"*/fold_*/{_CHECKPOINTS}")})


def records_of(results: Path | None) -> list[TrainingRecord]:
    """Read the records of all trainings of a dataset; those of earlier versions have none."""
    return [record for fold in trained_folds(results) if (record := read_record(fold)) is not None]


def results_folder(dataset: str) -> Path | None:
    """Return the folder of a dataset's trainings; None where nnUNet_results is not set."""
    root = os.environ.get("nnUNet_results")  # noqa: SIM112 (the host's name)
    return Path(root) / dataset if root and dataset else None


def learned_warnings(
    dataset: str, patients: Collection[str], images: Mapping[str, str]
) -> list[str]:
    """Say which trainings of a dataset have learned from patients who are scored as test patients.

    ``nnUNetv2_predict`` does not write down which model made its masks, so this cannot be refused.
    """
    return [
        f"{record.name} has learned from {', '.join(sorted(known))}, who are scored here: if these "
        "masks are of that training, their scores are worth nothing"
        for record in records_of(results_folder(dataset))
        if (known := record.knows(patients, images))
    ]


def check_not_learned(
    fold: Path, patients: Collection[str], images: Mapping[str, str] | None = None
) -> None:
    """Refuse to validate a training, or to go on with it, on patients that it has learned from.

    Parameters
    ----------
    fold
        Folder of the training's fold.
    patients
        Those who validate the fold.

    Raises
    ------
    InputError
        The training has learned from some of them: folds have changed since.
    """
    record = read_record(fold)
    if record is not None and (known := record.knows(patients, images or {})):
        raise InputError(
            f"{record.name}: has learned from {', '.join(sorted(known))}, who validate this fold "
            "now; train the fold anew, without --c or --val",
            Fault.LEAK,
        )


def extend_record(
    fold: Path, patients: Collection[str], images: Collection[str] = (), *, anew: bool
) -> None:
    """Write down that a training learns from patients, besides those of before unless ``anew``."""
    earlier = None if anew else read_record(fold)
    if earlier is None:
        write_record(fold, patients, images=images)
    else:
        both = earlier.patients | set(patients), earlier.images | set(images)
        write_record(fold, both[0], earlier.accepted, both[1])
