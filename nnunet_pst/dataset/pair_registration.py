"""Every pair of sequences registered once: a folder with transforms, pictures and a table.

registration/DatasetPST/
  registration.csv                            measures and decisions, a row for each pair
  contact_sheet.png                           all pictures, the rejected ones first
  transforms/PST_0001_CET1_to_T2.tfm          maps points of T2 (LPS mm) to CET1
  coverage/PST_0001_CET1_to_T2.nii.gz         on T2's grid: 1 where CET1 has voxels, else 0
  overlays/PST_0001_CET1_to_T2.png
  records/PST_0001_CET1_to_T2.json            written last: the pair is finished
  engine/                                     the engine's own files, while it runs

A finished pair is registered again only when the content of its images, or a setting, has changed.
Everything is pseudonymous.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nnunet_pst.dataset.cohort import Sequence as Acquired
from nnunet_pst.dataset.image_sources import read_source_image
from nnunet_pst.dataset.layouts import Case
from nnunet_pst.dicom.reading.addresses import find_stack
from nnunet_pst.errors import InputError
from nnunet_pst.io.atomic_files import write_atomically, written_whole
from nnunet_pst.io.csv_text import csv_text
from nnunet_pst.io.image_paths import is_image_name, source_files, split_address
from nnunet_pst.io.volumes import Volume, write_volume
from nnunet_pst.io.workers import Runner
from nnunet_pst.registration.pictures import draw_registration, draw_registration_sheet
from nnunet_pst.registration.policy import RegistrationSettings, engine_version, register
from nnunet_pst.registration.resampling import resample_image
from nnunet_pst.registration.transforms import (
    SpatialTransform,
    read_transform,
    write_transform,
)

#: Raised when the same images and settings would give another result than before.
_FORMAT = 4
TABLE, SHEET = "registration.csv", "contact_sheet.png"
_FOLDERS = ("transforms", "coverage", "overlays", "records")
#: Where engines keep their files; the next run removes what a killed run left.
_SCRATCH = "engine"
_CHUNK_BYTES = 2**22


@dataclass(frozen=True)
class Pair:
    """Two sequences of a patient; the moving one is brought to the reference."""

    pseudonym: str
    reference: Acquired
    moving: Acquired

    @property
    def name(self) -> str:
        """Name of the pair's files, such as ``PST_0001_CET1_to_T2``."""
        return f"{self.pseudonym}_{self.moving.name}_to_{self.reference.name}"


@dataclass(frozen=True)
class PairRecord:
    """Measures and decision for a pair: a row of the table.

    Attributes
    ----------
    used
        ``registered``, ``scanner`` (the scanner's own coordinates) or ``missing`` (no image).
    reason
        Why the scanner's coordinates were kept against the engine, or empty.
    mutual_information_before, mutual_information_after, body_overlap_before, body_overlap_after
        As in `nnunet_pst.registration.quality.Alignment`; before: the scanner's coordinates,
        after: what is used.
    displacement_mm
        Largest displacement within the body, of what is used.
    covered
        Share of the reference's grid that the moving image has voxels for.
    frames
        ``same`` or ``different`` frames of reference by the DICOM headers; empty where a file has
        none.
    """

    patient: str
    reference: str
    moving: str
    engine: str
    model: str
    used: str
    reason: str = ""
    mutual_information_before: float | None = None
    mutual_information_after: float | None = None
    body_overlap_before: float | None = None
    body_overlap_after: float | None = None
    displacement_mm: float | None = None
    covered: float | None = None
    frames: str = ""


#: Values of `PairRecord.frames`.
_SAME_FRAME, _DIFFERENT_FRAMES = "same", "different"


@dataclass(frozen=True)
class CohortRegistration:
    """All pairs of a cohort.

    Attributes
    ----------
    folder
        Where all files are.
    records
        By name of the pair.
    kept
        How many were finished before.
    """

    folder: Path
    records: Mapping[str, PairRecord]
    kept: int

    @property
    def flagged(self) -> dict[str, str]:
        """Pairs that could not be registered, and why; they keep the scanner's coordinates."""
        return {name: record.reason for name, record in self.records.items() if record.reason}

    @property
    def frame_notes(self) -> list[str]:
        """Lines about pairs that an engine had to relate: their frames of reference differ."""
        return [
            f"{name}: the sequences have different frames of reference, "
            + (
                "and no registration relates them: the channel may be anywhere"
                if record.reason
                else "so their alignment rests on the registration alone; look at its picture"
            )
            for name, record in self.records.items()
            if record.frames == _DIFFERENT_FRAMES and record.engine != "none"
        ]


def pairs_of(cases: Iterable[Case]) -> list[Pair]:
    """List the pairs that the cases need, each once."""
    pairs = [
        Pair(case.pseudonym, reference, moving)
        for case in cases
        for reference, moving in case.registered
    ]
    return list({pair.name: pair for pair in pairs}.values())


def register_cohort(
    cases: Sequence[Case], folder: Path, settings: RegistrationSettings, runner: Runner
) -> CohortRegistration:
    """Register every pair that isn't finished, then write the table and the contact sheet.

    Parameters
    ----------
    cases
        Of one dataset; files in ``folder`` that belong to none of their pairs are removed. Where
        no case has a pair, the table names the missing channels and there is no contact sheet.
    folder
        Made where it is missing.

    Raises
    ------
    InputError, HostError, OSError
        An image can't be read, the engine is not installed, or a file can't be written. Finished
        pairs stay.
    """
    pairs = pairs_of(cases)
    for name in _FOLDERS:
        (folder / name).mkdir(parents=True, exist_ok=True)
    _remove_others(folder, {pair.name for pair in pairs})
    shutil.rmtree(folder / _SCRATCH, ignore_errors=True)
    (folder / _SCRATCH).mkdir()
    task = partial(_register_pair, folder, settings)
    records: dict[str, PairRecord] = {}
    kept = 0
    try:
        for pair, outcome in runner.run(task, pairs, "registering", unit="pair"):
            if isinstance(outcome, Exception):
                raise outcome
            records[pair.name], finished_before = outcome
            kept += finished_before
    finally:
        shutil.rmtree(folder / _SCRATCH, ignore_errors=True)
    ordered = {pair.name: records[pair.name] for pair in pairs}
    write_atomically(folder / TABLE, _table([*ordered.values(), *_missing(cases, settings)]))
    order = sorted(ordered, key=lambda name: (not ordered[name].reason, name))
    pictures = [folder / "overlays" / f"{name}.png" for name in order]
    titles = [_title(name, ordered[name]) for name in order]
    draw_registration_sheet(folder / SHEET, pictures, titles)
    return CohortRegistration(folder, ordered, kept)


def transforms_of(case: Case, folder: Path) -> dict[tuple[str, str], SpatialTransform]:
    """Read the transforms that a case needs, by the names of reference and moving sequence.

    The inverse of each is included.
    """
    transforms: dict[tuple[str, str], SpatialTransform] = {}
    for reference, moving in case.registered:
        transform = read_transform(
            folder / "transforms" / Pair(case.pseudonym, reference, moving).name
        )
        transforms[reference.name, moving.name] = transform
        transforms[moving.name, reference.name] = transform.inverse()
    return transforms


def _register_pair(
    folder: Path, settings: RegistrationSettings, pair: Pair
) -> tuple[PairRecord, bool]:
    """Register one pair, or read its record; and return whether it was finished before."""
    digest = _digest(pair, settings)
    finished = _finished(folder, pair, digest)
    if finished is not None:
        return finished, True
    reference = read_source_image(pair.reference.image)
    moving = read_source_image(pair.moving.image)
    frames = _frames(pair)
    one_frame = frames != _DIFFERENT_FRAMES
    result = register(reference, moving, settings, one_frame=one_frame, scratch=folder / _SCRATCH)
    record = PairRecord(
        patient=pair.pseudonym,
        reference=pair.reference.name,
        moving=pair.moving.name,
        engine=settings.engine,
        model=settings.model,
        used="registered" if result.displacement_mm > 0 else "scanner",
        reason=result.reason,
        mutual_information_before=result.before.mutual_information,
        mutual_information_after=result.after.mutual_information,
        body_overlap_before=result.before.body_overlap,
        body_overlap_after=result.after.body_overlap,
        displacement_mm=result.displacement_mm,
        covered=result.after.covered,
        frames=frames,
    )
    write_transform(folder / "transforms" / pair.name, result.transform)
    after, covered = resample_image(moving, reference.grid, result.transform)
    _write_coverage(folder / "coverage" / f"{pair.name}.nii.gz", Volume(covered, reference.grid))
    before, _ = resample_image(moving, reference.grid, SpatialTransform.identity())
    picture = folder / "overlays" / f"{pair.name}.png"
    draw_registration(picture, reference, before, after, title=_title(pair.name, record))
    content = {"digest": digest, "record": asdict(record)}
    write_atomically(folder / "records" / f"{pair.name}.json", json.dumps(content, indent=2) + "\n")
    return record, False


def _frames(pair: Pair) -> str:
    """Compare the frames of reference of two sequences that are DICOM."""
    uids = [frame_of_reference(sequence.image) for sequence in (pair.reference, pair.moving)]
    if not all(uids):
        return ""
    return _SAME_FRAME if uids[0] == uids[1] else _DIFFERENT_FRAMES


def frame_of_reference(source: Path) -> str:
    """Return the FrameOfReferenceUID of the DICOM images that a cell means; empty for a file."""
    return "" if is_image_name(source) else find_stack(source).frame_of_reference


def _write_coverage(path: Path, covered: Volume) -> None:
    with written_whole(path) as partial:
        write_volume(partial, Volume(covered.array.astype(np.uint8), covered.grid))


def _title(name: str, record: PairRecord) -> str:
    title = f"{name}: {record.used}"
    return f"{title} ({record.reason})" if record.reason else title


def _digest(pair: Pair, settings: RegistrationSettings) -> str:
    """Digest of everything that decides a pair's result: both images, the settings, the engine."""
    total = hashlib.sha256()
    parts = [_FORMAT, pair.name, asdict(settings), engine_version(settings)]
    total.update(json.dumps(parts).encode())
    sources = (pair.reference.image, pair.moving.image)
    for source in sources:
        if split_address(source)[1]:  # which of the images in a folder
            total.update(json.dumps(split_address(source)[1]).encode())
    for path in (file for source in sources for file in source_files(source)):
        # The size comes first, so that two files can't be confused with one.
        total.update(str(path.stat().st_size).encode())
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                total.update(chunk)
    return total.hexdigest()


def _finished(folder: Path, pair: Pair, digest: str) -> PairRecord | None:
    """Read the record of a pair whose files exist and whose images haven't changed."""
    path = folder / "records" / f"{pair.name}.json"
    others = [folder / "coverage" / f"{pair.name}.nii.gz", folder / "overlays" / f"{pair.name}.png"]
    if not all(file.is_file() for file in (path, *others)):
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["digest"] != digest:
            return None
        read_transform(folder / "transforms" / pair.name)
        return PairRecord(**content["record"])
    except (ValueError, KeyError, TypeError, InputError):
        # Damaged or from another version: registering again mends it.
        return None


def _remove_others(folder: Path, names: set[str]) -> None:
    """Remove unfinished files and those of pairs that the cohort no longer has."""
    for inner in _FOLDERS:
        for path in (folder / inner).iterdir():
            stem = path.name.partition(".")[0]
            stem = stem.removesuffix("_to_moving").removesuffix("_to_reference")
            if stem not in names:
                path.unlink()


def _missing(cases: Iterable[Case], settings: RegistrationSettings) -> list[PairRecord]:
    """Rows for channels that are zero because the patient lacks them."""
    return [
        PairRecord(
            patient=case.pseudonym,
            reference=case.reference.name,
            moving=name,
            engine=settings.engine,
            model=settings.model,
            used="missing",
        )
        for case in cases
        for name in case.missing
    ]


def _table(records: Iterable[PairRecord]) -> str:
    names = [field.name for field in fields(PairRecord)]
    return csv_text([names, *(map(_cell, asdict(record).values()) for record in records)])


def _cell(value: Any) -> Any:  # noqa: ANN401 - a cell may hold anything
    return f"{value:.4f}" if isinstance(value, float) else value
