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

#: Cyrillic and Greek small letters that look like Latin ones (Unicode Technical Standard 39,
#: confusables.txt), after case folding.
_LATIN = str.maketrans(
    "\u0430\u0432\u0435\u043a\u043c\u043d\u043e\u0440\u0441\u0442\u0443\u0445\u0456\u0458\u0455"
    "\u03b1\u03b2\u03b5\u03b7\u03b9\u03ba\u03bc\u03bd\u03bf\u03c1\u03c4\u03c5\u03c7",
    "abekmhopctyxijs" + "abehikmnoptyx",
)
_DIGITS = str.maketrans("oil", "011")


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
    """Return what is left of an identifier where everything that is often mistaken is one.

    Signs, blanks, leading zeros, the order of names, letters of other alphabets that look like
    Latin ones, accents, and beside digits the letters O, I and L.
    """
    text = patient_key(identifier).translate(_LATIN)
    text = "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))
    words = [word for word in re.split(r"[\W_]+", text) if word]
    if any(re.search(r"\d", word) for word in words):
        # The order of numbers means something: patient 2 of site 1 is not patient 1 of site 2.
        text = "".join(_with_digits(word) for word in words)
        return re.sub(r"(?<!\d)0+(?=\d)", "", text)
    return "".join(sorted(words))


def _with_digits(word: str) -> str:
    """Read the letters O, I and L beside digits as 0 and 1."""
    return re.sub(r"[oil]+(?=\d)|(?<=\d)[oil]+", lambda part: part[0].translate(_DIGITS), word)


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
                "blanks, signs, leading zeros, order or look-alike letters only: is it one patient?"
            )
    return notes
