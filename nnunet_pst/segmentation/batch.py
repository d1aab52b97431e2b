"""Many studies, one after the other: pseudonyms, resumption, isolation, and a table of all.

OUT/
  measures.csv                      a row for each mask of every study
  study_0001/
    report.html, report.json        the page, and the same for programs
    T2_mask.nii.gz, T2.png          on the sequence's own grid; slices with the outline
    itksnap_labels.txt, slicer_colors.ctbl
    dicom/T2_seg.dcm, T2_rtstruct.dcm
OUT_studies.csv                     which study is which, and where it lies: private

A study's folder appears whole or not at all. One that was made from the same images by the same
models stays as it is.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from nnunet_pst import __version__
from nnunet_pst.dicom.reading.files import printable
from nnunet_pst.errors import InputError, PSTError
from nnunet_pst.io.atomic_files import PARTIAL, write_atomically
from nnunet_pst.io.csv_text import csv_text, restored
from nnunet_pst.segmentation.model_interface import ModelChoice, ModelFacts
from nnunet_pst.segmentation.page import render_study_page
from nnunet_pst.segmentation.study import SegmentationSettings, segment_study, write_study
from nnunet_pst.segmentation.study_input import Study, StudySequence

REPORT, PAGE, TABLE = "report.json", "report.html", "measures.csv"
#: Raised when the same images and models would give other files than before.
_FORMAT = 2
_PRIVATE = 0o600
_PSEUDONYM = re.compile(r"study_(\d{4,9})")
_KEY_COLUMNS = ("study", "source", "folder")


@dataclass
class BatchOutcome:
    """What became of the studies.

    Attributes
    ----------
    finished
        Report by pseudonym, of those that are whole now.
    kept
        How many were so before.
    failed
        A line for each problem.
    """

    finished: dict[str, dict[str, Any]] = field(default_factory=dict)
    kept: int = 0
    failed: list[str] = field(default_factory=list)


def segment_studies(
    studies: Sequence[Study],
    models: ModelChoice,
    output: Path,
    settings: SegmentationSettings,
    *,
    overwrite: bool = False,
) -> BatchOutcome:
    """Segment studies one after the other; a study that fails leaves the others alone.

    Parameters
    ----------
    studies
        At least one; each is read, segmented, written and forgotten before the next.
    models
        Loaded.
    output
        Made if need be.
    overwrite
        Replace studies that were made from other images or by other models.

    Raises
    ------
    InputError
        When the output folder or its key can't be used.
    """
    _check_writable(output)
    key = key_of(output)
    numbered, folders = _read_key(key) if key.exists() else ({}, {})
    folders |= {study.identity: printable(study.folder) for study in studies if study.folder}
    place = _Place(output, _assign(studies, numbered), folders)
    outcome = BatchOutcome()
    # Silent when stderr is no terminal.
    for study in tqdm(studies, desc="segment", unit="study", disable=None):
        name = place.numbered[study.identity]
        try:
            report, kept = _segment_one(study, models, place, settings, overwrite=overwrite)
        except (PSTError, OSError) as error:
            problems = error.problems if isinstance(error, PSTError) else [_reason(error)]
            outcome.failed += [f"{study.label} ({name}): {problem}" for problem in problems]
            continue
        outcome.finished[name] = report
        outcome.kept += kept
    if outcome.finished:
        place.prepare()  # studies that were kept may lie elsewhere now
        _write_table(output)
    return outcome


def _check_writable(output: Path) -> None:
    """Notice before hours of work that nothing can be written."""
    if output.exists() and not output.is_dir():
        raise InputError(f"{output}: is a file; choose another output folder")
    place = next(one for one in (output.absolute(), *output.absolute().parents) if one.exists())
    if not place.is_dir():
        raise InputError(f"{output}: {place.name} is a file; choose another output folder")
    # The key lies beside the folder.
    for folder in {place, output.absolute().parent} if output.exists() else {place}:
        if not os.access(folder, os.W_OK | os.X_OK):
            raise InputError(f"{output}: can't be written ({folder.name} is read-only)")


def _reason(error: OSError) -> str:
    return f"can't be read or written ({error.strerror or error})"


@dataclass(frozen=True)
class _Place:
    """The output folder, the pseudonyms in it and where each study lies, by identity."""

    output: Path
    numbered: dict[str, str]
    folders: dict[str, str]

    def prepare(self) -> None:
        """Make the folder and write the key: not before there is something to go into it."""
        self.output.mkdir(parents=True, exist_ok=True)
        named = ((name, one, self.folders.get(one, "")) for one, name in self.numbered.items())
        text = csv_text([_KEY_COLUMNS, *named])
        write_atomically(key_of(self.output), text, mode=_PRIVATE)


def key_of(output: Path) -> Path:
    """Name the file that says which study is which; outside the folder, never to be shared."""
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
    """Make the folder of one study, or find it made; and whether that was so."""
    output, name = place.output, place.numbered[study.identity]
    sequences = study.read()
    digest = _digest(sequences, models, settings)
    earlier = _read_report(output / name)
    if earlier is not None and earlier["digest"] == digest:
        return earlier, True
    if (output / name).exists() and not overwrite:
        raise InputError(
            f"{output.name}/{name} was made from other images, by another model or with other "
            "settings; add --overwrite to replace it"
        )
    found = segment_study(sequences, models, settings)
    place.prepare()
    with _new_folder(output / name) as draft:
        results = write_study(found, draft, study=name, model_id=_model_id(models))
        report = {
            "study": name,
            "version": __version__,
            "notice": "For research use only. Not a medical device.",
            "input": "DICOM" if sequences[0].source is not None else "image files",
            "models": [model.facts.as_json() for model in models.all],
            "results": results,
            "agreement": found.agreement,
            "registration": found.registration,
            "not_segmented": list(found.missing),
            "notes": list(found.notes),
            "digest": digest,
        }
        write_atomically(draft / PAGE, render_study_page(report, draft))
        write_atomically(draft / REPORT, json.dumps(report, indent=2) + "\n")
    return report, False


def _digest(
    sequences: Sequence[StudySequence], models: ModelChoice, settings: SegmentationSettings
) -> str:
    """Digest of all that decides the result: voxels, weights, settings; no name of anyone."""
    parts = [
        _FORMAT,
        __version__,
        [(one.digest(), one.source is not None) for one in sequences],
        [_decisive(model.facts) for model in models.all],
        asdict(settings),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _decisive(facts: ModelFacts) -> tuple[Any, ...]:
    return facts.sha256, facts.mirroring, facts.engine, facts.precision


def _model_id(models: ModelChoice) -> str:
    """Name the weights in at most 64 characters, as DICOM's text allows."""
    total = hashlib.sha256(json.dumps([m.facts.sha256 for m in models.all]).encode())
    return total.hexdigest()[:32]


def _read_report(folder: Path) -> dict[str, Any] | None:
    """Read what an earlier run wrote; None when there is nothing whole."""
    try:
        report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        files = [name for one in report["results"] for name in one["files"].values()]
        if not all((folder / name).is_file() for name in (*files, PAGE)):
            return None
        return {**report, "digest": str(report["digest"])}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # Damaged or from another version: as if it weren't there.
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
            "it away to number the studies anew"
        ) from error
    folders = {restored(row["source"]): restored(row.get("folder") or "") for row in rows}
    return numbered, folders


def _assign(studies: Sequence[Study], numbered: dict[str, str]) -> dict[str, str]:
    """Give every study a pseudonym: the one that the key has, else the next number."""
    following = 1 + max((int(name[6:]) for name in numbered.values()), default=0)
    for study in studies:
        if study.identity not in numbered:
            numbered[study.identity] = f"study_{following:04d}"
            following += 1
    return numbered


def _write_table(output: Path) -> None:
    """Write a row for each mask of every study that lies in the folder."""
    reports = [_read_report(folder) for folder in sorted(output.glob("study_*"))]
    rows = [
        {
            "study": report["study"],
            "sequence": one["name"],
            "model": one["model"],
            **one["measures"],
            "warnings": "; ".join(one["warnings"]),
        }
        for report in reports
        if report is not None
        for one in report["results"]
    ]
    if not rows:
        return
    columns = list(rows[0])
    lines = ([row[column] for column in columns] for row in rows)
    write_atomically(output / TABLE, csv_text([columns, *lines]))


@contextmanager
def _new_folder(final: Path) -> Iterator[Path]:
    """Give a folder to write into, which becomes ``final`` if nothing goes wrong."""
    for left in final.parent.glob(f"{PARTIAL}*-{final.name}"):  # by a run that was killed
        shutil.rmtree(left)
    draft = final.with_name(f"{PARTIAL}{os.getpid()}-{final.name}")
    draft.mkdir()
    try:
        yield draft
        if final.exists():
            old = final.with_name(f"{PARTIAL}old-{final.name}")
            final.rename(old)
            draft.rename(final)
            shutil.rmtree(old)
        else:
            draft.rename(final)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
