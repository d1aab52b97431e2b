"""The private files of a conversion beside the dataset folder: the key and the journal.

Both have mode 0600 and are in ``nnUNet_raw``, outside the dataset folder: the key names patients,
and the journal holds digests of their files' paths and dates.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nnunet_pst.dataset.case_building import CaseFacts
from nnunet_pst.dataset.cohort import Patient, Sequence
from nnunet_pst.dataset.identity import patient_key
from nnunet_pst.dataset.image_sources import SourceDigests
from nnunet_pst.dataset.layouts import Case
from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.atomic_files import not_whole, write_atomically
from nnunet_pst.io.csv_text import csv_text, restored
from nnunet_pst.io.image_paths import image_path_problem, source_files
from nnunet_pst.io.real_paths import real_path

#: Raised when the same sources and rules would give other files than before.
_FORMAT = 4
_PRIVATE = 0o600


def read_key(path: Path) -> dict[str, str]:
    """Read the key: pseudonym by `identity.patient_key`; empty when there is no file.

    Raises
    ------
    InputError
        When the file is there but isn't a key: it is never replaced.
    """
    if not path.exists():
        return {}
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))
        key = {patient_key(restored(row["patient"])): row["pseudonym"] for row in rows}
        if len(set(key.values())) < len(rows) or not all(map(_number, key.values())):
            raise ValueError
    except (OSError, ValueError, KeyError, AttributeError, csv.Error) as error:
        raise InputError(
            f"{path.name} is not a key that was written here; put the right one back, or move it "
            "away to number the patients again",
            Fault.DAMAGED,
        ) from error
    return key


def _number(pseudonym: str) -> int:
    match = re.fullmatch(r"PST_(\d{4,9})", pseudonym)
    if match is None:
        raise ValueError(pseudonym)
    return int(match[1])


def assign_pseudonyms(patients: Iterable[Patient], key: Mapping[str, str]) -> dict[str, str]:
    """Give every patient a pseudonym: that of the key, or else the next number.

    Parameters
    ----------
    patients
        In table order.
    key
        Earlier pseudonyms. They stay, in any order of the table, because results may name them.

    Returns
    -------
    dict
        Pseudonym by `identity.patient_key`, also of patients in the key that the table lacks.
    """
    pseudonyms = dict(key)
    following = 1 + max(map(_number, key.values()), default=0)
    for patient in patients:
        if patient_key(patient.identifier) not in pseudonyms:
            pseudonyms[patient_key(patient.identifier)] = f"PST_{following:04d}"
            following += 1
    return pseudonyms


def write_key(path: Path, pseudonyms: Mapping[str, str], patients: Iterable[Patient]) -> None:
    """Write the key, readable by its owner only."""
    spelled = {patient_key(patient.identifier): patient.identifier for patient in patients}
    numbered = sorted(pseudonyms.items(), key=lambda item: _number(item[1]))
    named = ((pseudonym, spelled.get(folded, folded)) for folded, pseudonym in numbered)
    write_atomically(path, csv_text([("pseudonym", "patient"), *named]), mode=_PRIVATE)


def _sources(case: Case) -> list[Path]:
    return [p for s in _sequences(case) for p in (s.image, s.label) if p is not None]


def _sequences(case: Case) -> list[Sequence]:
    return [*case.present, *([case.mask_from] if case.mask_from else [])]


def has_sources(case: Case) -> bool:
    """Whether all sources of a case exist and have the names of images."""
    return all(image_path_problem(path.name, path) is None for path in _sources(case))


def source_stamp(case: Case) -> str:
    """Digest of everything that a case is made from: its row, and the state of its files.

    As in make, size and time represent the content: reading every image again to see that nothing
    has changed would take as long as converting it.
    """
    files = [
        [str(real_path(source))]
        + [
            [str(real_path(f)), f.stat().st_size, f.stat().st_mtime_ns]
            for f in source_files(source)
        ]
        for source in _sources(case)
    ]
    parts = [
        _FORMAT,
        case.name,
        case.patient.identifier,
        case.patient.split,
        [
            [s.name, s.label_kind, s.annotated, s.extents, s.kind_is_guessed]
            for s in _sequences(case)
        ],
        [None if channel is None else channel.name for channel in case.channels],
        files,
    ]
    return _digest(parts)


def source_places(case: Case) -> str:
    """Digest of the paths of a case's files, without their content."""
    return _digest([str(real_path(path)) for path in _sources(case)])


def _digest(parts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Record:
    """A finished case.

    Parameters
    ----------
    stamp, places
        State and paths of its sources when it was written.
    facts
        What it holds and how it was made.
    files
        `quick_digest` of each of its files, in the order of `RawDataset.files`.
    sha256
        Of the same files, all of their bytes; empty in journals of earlier versions.
    """

    stamp: str
    places: str
    facts: CaseFacts
    files: tuple[str, ...]
    sha256: tuple[str, ...] = ()


@dataclass
class Journal:
    """The finished cases of a conversion, one line each, appended when they finish.

    Parameters
    ----------
    path
        The file.
    settings
        What holds for all cases; None when nothing was converted yet.
    records
        Finished cases by name.
    """

    path: Path
    settings: dict[str, Any] | None
    records: dict[str, Record]

    @classmethod
    def read(cls, path: Path) -> Journal:
        """Read a journal; lines that a killed process left incomplete are skipped."""
        journal = cls(path, None, {})
        if not path.exists():
            return journal
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            journal._take(line)
        return journal

    def _take(self, line: str) -> None:
        try:
            entry = json.loads(line)
            if "settings" in entry:
                self.settings = dict(entry["settings"])
                return
            lists = ("annotated", "carry_problems", "remarks")
            facts = {**entry["facts"], **{name: tuple(entry["facts"][name]) for name in lists}}
            facts["digests"] = tuple(
                SourceDigests(one["column"], one["voxels"], tuple(one["slices"]))
                for one in facts["digests"]
            )
            self.records[entry["case"]] = Record(
                entry["stamp"],
                entry["places"],
                CaseFacts(**facts),
                tuple(entry["files"]),
                tuple(entry.get("sha256", ())),
            )
        except (ValueError, KeyError, TypeError):
            return

    def begin(self, settings: dict[str, Any], keep: Iterable[str]) -> None:
        """Start a run: forget all cases except those to keep."""
        self.settings = settings
        self.records = {name: self.records[name] for name in keep}
        lines = [json.dumps({"settings": settings})]
        lines += [self._line(name, record) for name, record in self.records.items()]
        write_atomically(self.path, "".join(f"{line}\n" for line in lines), mode=_PRIVATE)

    def append(self, name: str, record: Record) -> None:
        """Note that a case is finished; the note is on disk when this returns."""
        self.records[name] = record
        line = f"{self._line(name, record)}\n".encode()
        with self.path.open("ab") as file:
            begin = file.tell()
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        with self.path.open("rb") as file:
            file.seek(begin)
            if file.read() != line:
                raise not_whole(self.path)

    def settle(self, names: list[str]) -> None:
        """Put the lines into an order that tells nothing of workers, failures and interruptions."""
        if self.settings is not None and list(self.records) != names:
            self.begin(self.settings, names)

    @staticmethod
    def _line(name: str, record: Record) -> str:
        content = {"case": name, **asdict(record)}
        if not record.sha256:
            del content["sha256"]  # a line of an earlier version stays as it is
        return json.dumps(content)
