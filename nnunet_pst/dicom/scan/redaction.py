"""Texts without what would name a patient: for the page and the table of a pseudonymous scan."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from nnunet_pst.dicom.reading.series import Series
from nnunet_pst.dicom.scan.scanned_rows import SeriesRow
from nnunet_pst.errors import Problem

#: What stands in place of a private word.
HIDDEN = "…"
#: Shorter words of names and files are too often words of something else.
_SHORTEST = 3
#: Dates as headers and people write them.
_DATES = re.compile(
    r"(?<!\d)(?:(?:19|20)\d{2}[-./]?[01]\d[-./]?[0-3]\d|[0-3]?\d[./-][01]?\d[./-](?:19|20)\d{2})(?!\d)"
)


class Redaction:
    """Hides identifiers, names, dates, and names of files and folders.

    Parameters
    ----------
    series
        All series of a scan: their headers say which words are private.
    files
        Files that are not DICOM.
    """

    def __init__(self, series: Iterable[Series], files: Iterable[Path]) -> None:
        words: set[str] = set()
        for one in series:
            for instance in one.instances:
                words.add(instance.patient)
                words.update(re.findall(r"\w+", instance.patient_name))
                words.add(instance.birth_date)
                words.update((instance.origin.path.name, Path(instance.origin.member).name))
                words.update(instance.origin.path.parent.parts[-2:])
        words.update(path.name for path in files)
        long = (word for word in words if len(word) >= _SHORTEST and not _is_small_number(word))
        self._words = sorted(long, key=lambda word: (-len(word), word))

    def clean(self, text: str) -> str:
        """Return a text without private words."""
        folded = text.casefold()
        for word in self._words:
            if word.casefold() in folded:
                pattern = rf"(?<![^\W_]){re.escape(word)}(?![^\W_])"
                text = re.sub(pattern, HIDDEN, text, flags=re.IGNORECASE)
        return _DATES.sub(HIDDEN, text)

    def problem(self, line: Problem) -> Problem:
        """Return a line without private words; its fault stays."""
        return Problem(self.clean(line), line.fault)

    def row(self, row: SeriesRow) -> SeriesRow:
        """Return a row of ``series.csv`` without private words in its texts."""
        return replace(
            row,
            description=self.clean(row.description),
            reason=self.clean(row.reason),
            value=self.clean(row.value),
        )


def _is_small_number(word: str) -> bool:
    """Whether a word is a number as those of series and slices are."""
    return word.isdigit() and len(word) <= _SHORTEST
