"""Names of patients in the tables of a scan, and the private key that leads back to them."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from pathlib import Path

from nnunet_pst.dicom.scan.identity import PatientKey, person_of
from nnunet_pst.dicom.scan.studies import DicomStudy
from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.atomic_files import write_atomically
from nnunet_pst.io.csv_text import csv_text, restored
from nnunet_pst.io.wording import printable

_PRIVATE = 0o600
_KEY_COLUMNS = ("pseudonym", "patient", "folder")


class PatientNames:
    """Names of patients in the tables: their PatientID, or pseudonyms that stay the same.

    Parameters
    ----------
    key
        File of the key, which is continued where it exists; None for PatientIDs.
    by
        What makes two studies those of one patient; further persons under one PatientID get a
        number behind it.
    """

    def __init__(self, key: Path | None, by: PatientKey = PatientKey.ID) -> None:
        self._key = key
        self._by = by
        self._persons: dict[str, list[str]] = defaultdict(list)
        self._names, self._folders = _read_key(key) if key is not None else ({}, {})
        self._unnamed: dict[str, str] = {}

    def of(self, study: DicomStudy) -> str:
        """Name the patient of a study; without a PatientID, each study is a patient."""
        person = person_of(study, self._by)
        patient = study.patient or f"study {study.uid}"
        if self._key is None:
            if not study.patient:
                return self._unnamed.setdefault(patient, f"unnamed-{len(self._unnamed) + 1:04d}")
            persons = self._persons[study.patient]
            if person not in persons:
                persons.append(person)
            number = persons.index(person)
            return study.patient if not number else f"{study.patient}-{number + 1}"
        patient = f"{patient} | {person}" if person else patient
        if patient not in self._names:
            last = max((int(name[1:]) for name in self._names.values()), default=0)
            self._names[patient] = f"P{last + 1:04d}"
        return self._names[patient]

    def note_place(self, name: str, place: Path) -> None:
        """Note where a patient's images are, so that the key leads back to them."""
        self._folders[name] = printable(str(place))

    def write(self) -> None:
        """Write the key, readable by its owner only."""
        if self._key is None:
            return
        named = (
            (name, patient, self._folders.get(name, "")) for patient, name in self._names.items()
        )
        write_atomically(self._key, csv_text([_KEY_COLUMNS, *named]), mode=_PRIVATE)


def _read_key(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Read the key of an earlier scan: pseudonyms by patient, folders by pseudonym."""
    if not path.exists():
        return {}, {}
    problem = InputError(
        f"{path.name}: is not the key of an earlier scan; move it away, or name another table with "
        "-o",
        Fault.DAMAGED,
    )
    try:
        rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))
        # Older keys have no folder.
        if not rows or tuple(rows[0]) not in (_KEY_COLUMNS, _KEY_COLUMNS[:2]):
            raise ValueError(path.name)
        names = {restored(patient): name for name, patient, *_ in rows[1:]}
        numbers = [int(name[1:]) for name in names.values() if name.startswith("P")]
    except (ValueError, csv.Error) as error:
        raise problem from error
    if len(set(numbers)) < len(rows) - 1:
        raise problem
    return names, {row[0]: restored(row[2]) for row in rows[1:] if len(row) > 2}
