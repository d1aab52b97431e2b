"""Many studies in turn: pseudonyms, resumption, isolation of failures, and a table of all.

OUT/
  measures.csv                      a row for each mask of every study, and each of its classes
  study_0001/
    report.html, report.json        the page, and the same for programs
    T2_mask.nii.gz, T2.png          on the sequence's own grid; slices with the outline
    T2_doubt.png                    the slices whose probabilities are least certain
    itksnap_labels.txt, slicer_colors.ctbl
    dicom/T2_seg.dcm, T2_sr.dcm, T2_rtstruct.dcm
OUT_studies.csv                     each pseudonym's study and its place: private

A study's folder is whole or absent. A folder that was made from the same images by the same models
stays as it is.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from nnunet_pst import __version__
from nnunet_pst.errors import Fault, InputError, Problem, PSTError
from nnunet_pst.io.atomic_files import folder_written_whole, write_atomically
from nnunet_pst.io.claims import claimed
from nnunet_pst.io.csv_text import csv_text, restored
from nnunet_pst.io.leftovers import sweep
from nnunet_pst.io.wording import printable
from nnunet_pst.segmentation.measures_table import TABLE, write_measures
from nnunet_pst.segmentation.model_interface import ModelChoice, ModelFacts
from nnunet_pst.segmentation.page import render_study_page
from nnunet_pst.segmentation.registration_choice import choose_registration
from nnunet_pst.segmentation.study import SegmentationSettings, segment_study
from nnunet_pst.segmentation.study_folder import write_study
from nnunet_pst.segmentation.study_input import Study, StudySequence

REPORT, PAGE = "report.json", "report.html"
#: Increased when the same images and models give other files than before.
_FORMAT = 5
_PRIVATE = 0o600
_PSEUDONYM = re.compile(r"study_(\d{4,9})")
_KEY_COLUMNS = ("study", "source", "folder")


@dataclass
class BatchOutcome:
    """The finished and the failed studies.

    Attributes
    ----------
    finished
        Report by pseudonym.
    kept
        Number of studies that an earlier run finished.
    failed
        A line for each problem.
    notes
        Series that must be copied again, and trainings of one name in the table.
    unread
        A problem for each file that cannot be read; any study may lack it.
    """

    finished: dict[str, dict[str, Any]] = field(default_factory=dict)
    kept: int = 0
    failed: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unread: list[Problem] = field(default_factory=list)


def segment_studies(
    studies: Sequence[Study],
    models: ModelChoice,
    output: Path,
    settings: SegmentationSettings,
    *,
    overwrite: bool = False,
) -> BatchOutcome:
    """Segment studies in turn; a study that fails doesn't stop the others.

    Parameters
    ----------
    studies
        At least one; only one at a time is in memory.
    models
        Loaded.
    output
        Made if it is missing.
    overwrite
        Replace studies that were made from other images or by other models or settings.

    Raises
    ------
    InputError
        When the output folder or its key cannot be used.
    """
    _check_writable(output)
    with claimed(output, "segment", below=[output]):
        key = key_of(output)
        sweep(key.parent)
        new = not key.exists()
        try:
            return _segment_all(studies, models, output, settings, overwrite=overwrite)
        finally:
            if new and not any(output.glob("study_*")):
                with suppress(OSError):  # a broken disk; the outcome says so
                    key.unlink(missing_ok=True)


def _segment_all(
    studies: Sequence[Study],
    models: ModelChoice,
    output: Path,
    settings: SegmentationSettings,
    *,
    overwrite: bool,
) -> BatchOutcome:
    """Segment studies in turn while nobody else writes there."""
    key = key_of(output)
    numbered, folders = _read_key(key) if key.exists() else ({}, {})
    folders |= {study.identity: printable(study.folder) for study in studies if study.folder}
    place = _Place(output, _assign(studies, numbered), folders)
    outcome = BatchOutcome()
    # Silent when stderr is not a terminal.
    for study in tqdm(studies, desc="segment", unit="study", disable=None):
        name = place.numbered[study.identity]
        try:
            report, kept = _segment_one(study, models, place, settings, overwrite=overwrite)
        except (PSTError, OSError) as error:
            problems = error.problems if isinstance(error, PSTError) else [_refusal(error)]
            outcome.failed += [problem.within(f"{study.label} ({name})") for problem in problems]
            continue
        outcome.finished[name] = report
        outcome.kept += kept
    if outcome.finished:
        place.prepare()  # the input of kept studies may have moved
        reports = [_read_report(folder) for folder in sorted(output.glob("study_*"))]
        outcome.notes += write_measures(output / TABLE, [one for one in reports if one is not None])
    return outcome


def _check_writable(output: Path) -> None:
    """Refuse before hours of work an output folder that cannot be written."""
    if output.exists() and not output.is_dir():
        raise InputError(f"{output}: is a file; choose another output folder", Fault.WRONG_TYPE)
    absolute = output.absolute()
    place = next(path for path in (absolute, *absolute.parents) if path.exists())
    if not place.is_dir():
        raise InputError(
            f"{output}: {place.name} is a file; choose another output folder", Fault.WRONG_TYPE
        )
    # The key is beside the folder.
    for folder in {place, absolute.parent} if output.exists() else {place}:
        if not os.access(folder, os.W_OK | os.X_OK):
            raise InputError(
                f"{output}: cannot be written ({folder.name} is read-only)", Fault.UNWRITABLE
            )


def _refusal(error: OSError) -> Problem:
    why = error.strerror or error
    text = f"cannot be read or written ({why}); make room, or make the files readable"
    return Problem(text, Fault.UNREADABLE)


@dataclass(frozen=True)
class _Place:
    """The output folder; by identity, each study's pseudonym and the place of its input."""

    output: Path
    numbered: dict[str, str]
    folders: dict[str, str]

    def prepare(self) -> None:
        """Make the folder and write the key; call it when the first study is ready."""
        self.output.mkdir(parents=True, exist_ok=True)
        rows = (
            (name, identity, self.folders.get(identity, ""))
            for identity, name in self.numbered.items()
        )
        text = csv_text([_KEY_COLUMNS, *rows])
        write_atomically(key_of(self.output), text, mode=_PRIVATE)


def key_of(output: Path) -> Path:
    """Name the key from pseudonyms to studies: outside the folder, never to be shared."""
    final = output.absolute()
    return final.with_name(f"{final.name}_studies.csv")


def _segment_one(
    study: Study,
    models: ModelChoice,
    place: _Place,
    settings: SegmentationSettings,
    *,
    overwrite: bool,
) -> tuple[dict[str, Any], bool]:
    """Make the folder of one study unless it is there; return its report, and whether it was."""
    output, name = place.output, place.numbered[study.identity]
    sequences = study.read()
    digest = _digest(study, sequences, models, settings)
    earlier = _read_report(output / name)
    if earlier is not None and earlier["digest"] == digest:
        return earlier, True
    if (output / name).exists() and not overwrite:
        raise InputError(
            f"{output.name}/{name} was made from other images, by another model or with other "
            "settings; add --overwrite to replace it",
            Fault.EXISTS,
        )
    segmented = segment_study(sequences, models, settings)
    place.prepare()
    with folder_written_whole(output / name) as draft:
        results = write_study(
            segmented,
            draft,
            study=name,
            model_id=_model_id(models),
            classes=models.classes,
            probabilities=settings.probabilities,
        )
        report = {
            "study": name,
            "version": __version__,
            "notice": "For research use only. Not a medical device.",
            "input": "DICOM" if sequences[0].is_dicom else "image files",
            "models": _models(models, results),
            "results": results,
            "agreement": segmented.agreement,
            "registration": segmented.registration,
            "not_segmented": list(segmented.missing),
            "notes": [*segmented.notes, *study.left_out],
            "digest": digest,
        }
        write_atomically(draft / PAGE, render_study_page(report, draft))
        write_atomically(draft / REPORT, json.dumps(report, indent=2) + "\n")
    return report, False


def _models(models: ModelChoice, results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """List the models for a report, and which of them segmented anything."""
    used = {result["model"] for result in results}
    return [{**model.facts.as_json(), "used": model.facts.name in used} for model in models.all]


def _digest(
    study: Study,
    sequences: Sequence[StudySequence],
    models: ModelChoice,
    settings: SegmentationSettings,
) -> str:
    """Digest of voxels, weights and settings, which decide the result; without names."""
    frames = list(dict.fromkeys(sequence.frame_of_reference for sequence in sequences))
    parts = [
        _FORMAT,
        __version__,
        [
            (one.digest(), one.source is not None, one.is_dicom, one.remarks, one.taken_as)
            for one in sequences
        ],
        [frames.index(sequence.frame_of_reference) for sequence in sequences],
        study.left_out,
        [_decisive(model.facts) for model in models.all],
        settings.consensus,
        # Only where it is wanted, so that what was made without it stays as it is.
        *(["probabilities"] if settings.probabilities else []),
        asdict(choose_registration(settings.registration, models).settings),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _decisive(facts: ModelFacts) -> tuple[Any, ...]:
    return facts.sha256, facts.mirroring, facts.engine, facts.precision


def _model_id(models: ModelChoice) -> str:
    """Name the weights in at most 64 characters, as DICOM's text allows."""
    total = hashlib.sha256(json.dumps([m.facts.sha256 for m in models.all]).encode())
    return total.hexdigest()[:32]


def _read_report(folder: Path) -> dict[str, Any] | None:
    """Read the report of an earlier run; None unless all of its files are there."""
    try:
        report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        files = [name for result in report["results"] for name in result["files"].values()]
        if not all((folder / name).is_file() for name in (*files, PAGE)):
            return None
        return {**report, "digest": str(report["digest"])}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # A report that is damaged or of another version counts as missing.
        return None


def _read_key(key: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Read an earlier run's key: pseudonym and folder by identity."""
    try:
        text = key.read_text(encoding="utf-8")
        reader = csv.DictReader(io.StringIO(text, newline=""))
        rows = list(reader)
        # Older keys have no folder.
        if tuple(reader.fieldnames or ()) not in (_KEY_COLUMNS, _KEY_COLUMNS[:2]):
            raise ValueError(key.name)
        numbered = {restored(row["source"]): row["study"] for row in rows}
        names = set(numbered.values())
        if len(names) < len(rows) or not all(_PSEUDONYM.fullmatch(name) for name in names):
            raise ValueError(key.name)
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise InputError(
            f"{key.name} is not a key that was written here; put the right one back, or move "
            "it away to number the studies anew",
            Fault.DAMAGED,
        ) from error
    folders = {restored(row["source"]): restored(row.get("folder") or "") for row in rows}
    return numbered, folders


def _assign(studies: Sequence[Study], numbered: dict[str, str]) -> dict[str, str]:
    """Give every study a pseudonym: the key's, else the next number."""
    following = 1 + max((int(name[6:]) for name in numbered.values()), default=0)
    for study in studies:
        if study.identity not in numbered:
            numbered[study.identity] = f"study_{following:04d}"
            following += 1
    return numbered
