"""Who is who in a cohort table: names that mean one patient, paths that mean one file.

One patient under two names may be learned from and tested on. So names are compared as a reader
sees them, and files by what they are on the disk. Copies of images: `repeated_voxels`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from nnunet_pst.dataset.cohort import Patient
from nnunet_pst.io.real_paths import real_path


def patient_key(identifier: str) -> str:
    """Write a patient's identifier in the form in which it is compared.

    Unicode compatibility form (NFKC), without capitals, without characters that have no width, and
    with one plain blank where there is any white space.
    """
    text = unicodedata.normalize("NFKC", identifier)
    text = "".join(c for c in text if unicodedata.category(c) not in ("Cf", "Cc") or c.isspace())
    return " ".join(unicodedata.normalize("NFKC", text.casefold()).split())


def number_key(identifier: str) -> str | None:
    """Return the number that an identifier is, as a spreadsheet would write it; or None."""
    match = re.fullmatch(r"0*(\d+?)([.,]0*)?", patient_key(identifier))
    return match[1] if match else None


def identity_key(identifier: str) -> str:
    """Return what two identifiers of one patient have in common."""
    return number_key(identifier) or patient_key(identifier)


def look_alike_key(identifier: str) -> str:
    """Return an identifier without signs, blanks and leading zeros."""
    text = re.sub(r"[\W_]", "", patient_key(identifier))
    return re.sub(r"(?<!\d)0+(?=\d)", "", text)


def file_key(path: Path) -> tuple[int, int] | Path:
    """Return what tells a file from others: two links to one file have the same key."""
    try:
        state = path.stat()
    except OSError:
        return real_path(path)
    return (state.st_dev, state.st_ino) if state.st_ino else real_path(path)


def name_notes(patients: Sequence[Patient]) -> list[str]:
    """Say which names may mean one patient, by rows and without the names."""
    notes = []
    seen: dict[str, Patient] = {}
    for patient in patients:
        key = look_alike_key(patient.identifier)
        first = seen.setdefault(key, patient) if key else patient
        if first is not patient:
            notes.append(
                f"the patients of rows {first.row} and {patient.row} have names that differ in "
                "blanks, signs or leading zeros only: is it one patient?"
            )
    return notes
