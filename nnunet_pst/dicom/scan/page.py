"""The page of a scan: what was taken of each patient, as pictures, and why; one file alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nnunet_pst import __version__
from nnunet_pst.dicom.scan.judgments import Judgment
from nnunet_pst.dicom.scan.mask_search import FoundMasks
from nnunet_pst.dicom.scan.redaction import Redaction
from nnunet_pst.dicom.scan.scanned_rows import SeriesRow
from nnunet_pst.dicom.scan.sequence_rules import NONE
from nnunet_pst.dicom.scan.studies import DicomStudy
from nnunet_pst.dicom.scan.thumbnails import Thumbnail, thumbnail_of
from nnunet_pst.errors import Problem
from nnunet_pst.io.sequence_columns import USUAL_SEQUENCES
from nnunet_pst.io.templates import render
from nnunet_pst.io.wording import printable


@dataclass(frozen=True)
class SequenceOnPage:
    """A sequence of a patient that was taken.

    Parameters
    ----------
    name
        T1, T2, DWI, CET1.
    stack
        Its name, such as ``series 8, b=800``.
    description
        SeriesDescription, as ``series.csv`` has it.
    reason
        Why it was taken.
    picture
        One of its slices; None where it can't be read.
    said
        What can't be read, or was left out of its mask.
    mask
        Whether a mask is attached.
    """

    name: str
    stack: str
    description: str
    reason: str
    picture: Thumbnail | None
    said: tuple[Problem, ...] = ()
    mask: bool = False


@dataclass(frozen=True)
class PatientOnPage:
    """A row of the page.

    Parameters
    ----------
    name
        As in the tables.
    sequences
        Those that were taken, in the usual order.
    missing
        Names of the sequences that the patient lacks.
    others
        The other series with their reasons, runners-up first.
    """

    name: str
    sequences: tuple[SequenceOnPage, ...]
    missing: tuple[str, ...]
    others: tuple[SeriesRow, ...]

    @property
    def remarks(self) -> list[Problem]:
        """What is said of its sequences."""
        return [line for one in self.sequences for line in one.said]


def on_page(
    name: str, study: DicomStudy, found: FoundMasks, rows: Sequence[SeriesRow]
) -> PatientOnPage:
    """Describe a patient, with a picture of each sequence that is taken.

    Parameters
    ----------
    name
        Of the patient, in the tables.
    study
        That is taken.
    found
        Its masks.
    rows
        All series of the patient.
    """
    sequences = tuple(_sequence(key, one, found) for key, one in study.chosen.items())
    missing = tuple(key for key in USUAL_SEQUENCES if key not in study.chosen)
    left = [row for row in rows if row.decision != "taken"]
    # Those that might have been taken come first.
    others = tuple(sorted(left, key=lambda row: row.sequence == NONE))
    return PatientOnPage(printable(name), sequences, missing, others)


def _sequence(name: str, one: Judgment, found: FoundMasks) -> SequenceOnPage:
    source = found.shown.get(name)
    picture, said = thumbnail_of(one.stack, source)
    return SequenceOnPage(
        name=name,
        stack=one.stack.name,
        description=one.stack.description,
        reason=one.reason,
        picture=picture,
        said=tuple(said),
        mask=source is not None,
    )


def _cleaned(patient: PatientOnPage, hidden: Redaction) -> PatientOnPage:
    sequences = tuple(
        replace(
            one,
            description=hidden.clean(one.description),
            reason=hidden.clean(one.reason),
            said=tuple(hidden.problem(line) for line in one.said),
        )
        for one in patient.sequences
    )
    return replace(patient, sequences=sequences)


def render_page(
    patients: Sequence[PatientOnPage],
    warnings: Sequence[Problem],
    problems: Sequence[Problem],
    unread: int,
    hidden: Redaction | None,
) -> str:
    """Return the page as HTML; every text is escaped.

    Parameters
    ----------
    warnings, problems
        Lines of the scan, without those about files that can't be read.
    unread
        Number of files that can't be read; their names may be anything, so they aren't shown.
    hidden
        Hides private words of a pseudonymous scan; None shows texts as they are.
    """
    lines = [*problems, *warnings]
    if hidden is not None:
        lines = [hidden.problem(line) for line in lines]
        patients = [_cleaned(patient, hidden) for patient in patients]
    values = {"version": __version__, "patients": patients, "lines": lines, "unread": unread}
    return render("nnunet_pst.dicom.scan", "scan.html", values)
