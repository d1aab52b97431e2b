"""From a tree of studies to a cohort table, a table of every series, and a page to look through."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nnunet_pst.dicom.reading.addresses import SeriesByPlace, address_of
from nnunet_pst.dicom.scan.identity import (
    PatientKey,
    copies_in,
    repeated_identifiers,
    shared_identifiers,
)
from nnunet_pst.dicom.scan.left_over import left_over_masks
from nnunet_pst.dicom.scan.mask_search import FoundMasks, MaskSearch, mask_files
from nnunet_pst.dicom.scan.page import PatientOnPage, on_page, render_page
from nnunet_pst.dicom.scan.patient_names import PatientNames
from nnunet_pst.dicom.scan.redaction import Redaction
from nnunet_pst.dicom.scan.scanned_rows import SeriesRow, cohort_table, series_rows, series_table
from nnunet_pst.dicom.scan.sequence_rules import Rule, read_rules
from nnunet_pst.dicom.scan.studies import (
    DicomStudy,
    SeriesOfTree,
    cut_off,
    find_series,
    judge_studies,
    reasons,
    without_images,
)
from nnunet_pst.dicom.scan.study_choice import StudyChoice, best_study
from nnunet_pst.errors import Fault, InputError, Problem
from nnunet_pst.io.atomic_files import refusals_in_one_line
from nnunet_pst.io.claims import Claim, claimed
from nnunet_pst.io.image_paths import is_image_name
from nnunet_pst.io.viewer_labels import SLICER_FILE
from nnunet_pst.io.wording import printable

#: Most reasons that a line about a patient without a usable sequence tells.
_REASONS = 3


@dataclass
class ScanSummary:
    """The tables of a scan, and what is in them.

    Parameters
    ----------
    cohort, series, key
        Tables that were written; the key only with pseudonyms.
    page
        The page to look through, ``scan.html``.
    taken
        Names of the stacks that were taken, by patient and sequence.
    without
        Patients without a usable sequence; ``series.csv`` says why.
    masks
        Number of masks that were attached.
    rows
        Number of stacks that were judged.
    results
        Number of masks that `nnunet_pst segment` has made, and that were left out.
    problems
        A line for each file that could not be read, and each mask that could not be attached.
    warnings
        A line for everything that was guessed, or left out although it may be wanted.
    notes
        A line for what was decided between things that are all right.
    """

    cohort: Path
    series: Path
    page: Path
    key: Path | None = None
    taken: dict[str, dict[str, str]] = field(default_factory=dict)
    without: list[str] = field(default_factory=list)
    masks: int = 0
    rows: int = 0
    results: int = 0
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Look:
    """What a scan found, before it is written."""

    rows: list[SeriesRow]
    cohort: list[dict[str, str]]
    page: str


def scan(
    root: str | Path,
    output: str | Path,
    *,
    rules: Path | None = None,
    roi: str | None = None,
    anonymous_ids: bool = False,
    patients_by: str = PatientKey.ID.value,
    study_by: str = StudyChoice.MASK.value,
    overwrite: bool = False,
) -> ScanSummary:
    """Find the sequences of every patient below a folder, and write the tables.

    Parameters
    ----------
    root
        Folder of any shape, or a zip.
    output
        The cohort table; ``series.csv`` and ``scan.html`` are written beside it.
    rules
        Table of rules instead of the package's.
    roi
        Structure or segment that is the mask.
    anonymous_ids
        Call patients ``P0001`` and so on, also on the page; the key, which also says where their
        images are, goes to a separate file and continues that of an earlier scan.
    patients_by
        What makes two studies those of one patient: a value of `PatientKey`.
    study_by
        Which study of a patient is taken: a value of `StudyChoice`.
    overwrite
        Replace tables of an earlier scan.

    Raises
    ------
    InputError
        When there is no usable sequence, or a table exists and may not be replaced.

    Examples
    --------
    >>> import nnunet_pst
    >>> summary = nnunet_pst.scan("dicom", "cohort.csv")
    >>> {patient: list(series) for patient, series in summary.taken.items()}
    {'p01': ['T2']}
    """
    root, output = Path(root), Path(output)
    key = output.with_name(f"{output.stem}_key.csv") if anonymous_ids else None
    beside = (output.with_name("series.csv"), output.with_name("scan.html"))
    summary = ScanSummary(output, *beside, key)
    ways = _ways(read_rules(rules), roi, patients_by, study_by)
    _check_name(summary)
    base = output.absolute().parent
    # Every scan into a folder writes the same series.csv.
    with claimed(base, "scan", summary.series.name) as claim:
        _check_output(summary, overwrite, claim)
        names = PatientNames(key, ways.by)
        look = _look(root, summary, names, ways)
        summary.rows = len(look.rows)
        with refusals_in_one_line(base):
            names.write()
            claim.write(
                {
                    summary.series: series_table(look.rows),
                    summary.page: look.page,
                    summary.cohort: cohort_table(look.cohort),
                }
            )
    return summary


@dataclass(frozen=True)
class _Ways:
    """How a scan decides."""

    rules: tuple[Rule, ...]
    roi: str | None
    by: PatientKey
    choice: StudyChoice


def _ways(rules: tuple[Rule, ...], roi: str | None, patients_by: str, study_by: str) -> _Ways:
    try:
        return _Ways(rules, roi, PatientKey(patients_by), StudyChoice(study_by))
    except ValueError as error:
        raise InputError(f"{error}; see nnunet_pst scan --help", Fault.UNKNOWN_NAME) from error


def _look(root: Path, summary: ScanSummary, names: PatientNames, ways: _Ways) -> _Look:
    """Judge everything below a folder, patient by patient."""
    tree = find_series(root)
    summary.problems += tree.problems
    studies = judge_studies(tree.series, ways.rules)
    _check_usable(root, studies, summary)
    shared = shared_identifiers(studies, ways.by)
    places = SeriesByPlace(tree.series)
    base = summary.cohort.absolute().parent
    search = MaskSearch(mask_files(_foreign_files(tree, summary)), ways.roi, base)
    rows: list[SeriesRow] = []
    cohort: list[dict[str, str]] = []
    pages: list[PatientOnPage] = []
    # Files that can't be read have no header that says which words are private.
    unread, hidden = len(tree.problems), Redaction(tree.series, tree.others)
    for name, own in _by_patient(studies, names):
        said = [
            line for patient in {one.patient for one in own} for line in shared.get(patient, ())
        ]
        _warn(name, said, summary)
        best, advantages = best_study(own, ways.choice)
        names.note_place(name, best.place)
        found = search.masks_of(best)
        _tell_of_patient(name, own, best, found, summary)
        listed = _rows_of_patient(name, own, advantages, summary)
        if summary.key is not None:
            listed = [hidden.row(row) for row in listed]
        rows += listed
        if best.chosen:
            cohort.append({"patient": name, **_cohort_cells(best, places, found, base)})
            summary.masks += sum(map(bool, found.labels.values()))
            summary.taken[name] = {s: one.stack.name for s, one in best.chosen.items()}
        else:
            summary.without.append(name)
            why = list(dict.fromkeys(reasons(best, shown=len(best.judgments))))
            text = f"no usable sequence: {'; '.join(why[:_REASONS]) or 'no images'}"
            _warn(name, [Problem(text, Fault.MISSING)], summary)
        shown = on_page(name, best, found, listed)
        _warn(name, shown.remarks, summary)
        pages.append(shown)
    summary.rows = len(rows)
    clean = None if summary.key is None else hidden
    page = render_page(pages, summary.warnings, summary.problems[unread:], unread, clean)
    return _Look(rows, cohort, page)


def _warn(name: str, lines: Iterable[Problem], summary: ScanSummary) -> None:
    summary.warnings += [line.within(printable(name)) for line in lines]


def _tell_of_patient(
    name: str,
    own: Sequence[DicomStudy],
    best: DicomStudy,
    found: FoundMasks,
    summary: ScanSummary,
) -> None:
    """Say what was guessed, left over, repeated or computed of a patient."""
    place = printable(name)
    summary.problems += [problem.within(place) for problem in found.problems]
    _warn(name, found.guesses, summary)
    _warn(name, left_over_masks(own, best, found), summary)
    for study in own:
        _warn(name, repeated_identifiers(study), summary)
        summary.notes += [f"{place}: {line}" for line in copies_in(study)]
    for sequence, one in best.chosen.items():
        if one.computed:
            text = f"{one.stack.name} is taken as {sequence}, but it was computed, not acquired"
            _warn(name, [Problem(text, Fault.CONTRADICTION)], summary)


def _by_patient(
    studies: Sequence[DicomStudy], names: PatientNames
) -> list[tuple[str, list[DicomStudy]]]:
    """Group studies by the patient's name in the tables, in the order of the names."""
    patients: dict[str, list[DicomStudy]] = defaultdict(list)
    for study in studies:
        patients[names.of(study)].append(study)
    return sorted(patients.items())


def _foreign_files(tree: SeriesOfTree, summary: ScanSummary) -> list[Path]:
    """Return the files that `nnunet_pst segment` has not made, and count its masks."""
    # Every folder of its masks has this file.
    results = {path.parent for path in tree.others if path.name == SLICER_FILE}
    foreign = [path for path in tree.others if path.parent not in results]
    summary.results = sum(map(is_image_name, tree.others)) - sum(map(is_image_name, foreign))
    summary.results += sum(file.made_here for one in tree.series for file in one.instances)
    return foreign


def _rows_of_patient(
    name: str, studies: Sequence[DicomStudy], advantages: dict[str, str], summary: ScanSummary
) -> list[SeriesRow]:
    """List the series of all studies of a patient, and report stacks that lack pixels."""
    rows: list[SeriesRow] = []
    for number, study in enumerate(studies, 1):
        advantage = advantages.get(study.uid)
        note = f"another study of this patient is taken: it {advantage}" if advantage else ""
        rows += series_rows(study, name, number, note)
        summary.problems += [problem.within(name) for problem in cut_off(study)]
        if advantage and study.chosen:
            text = f"of {len(studies)} studies another one than study {number} is taken"
            summary.notes.append(f"{printable(name)}: {text}: it {advantage} (--study-by)")
    return rows


def _cohort_cells(
    study: DicomStudy, places: SeriesByPlace, found: FoundMasks, base: Path
) -> dict[str, str]:
    """Write the cells of a patient's row: images and masks of the study that is taken."""
    cells: dict[str, str] = {}
    for sequence, one in study.chosen.items():
        cells[sequence] = address_of(one.stack, places, base)
        cells[f"{sequence}_label"] = found.labels[sequence]
    return cells


def _check_name(summary: ScanSummary) -> None:
    if summary.cohort.suffix.casefold() != ".csv" or summary.cohort.name == summary.series.name:
        raise InputError(
            f"{summary.cohort.name}: name the table something.csv, not series.csv", Fault.MALFORMED
        )


def _check_output(summary: ScanSummary, overwrite: bool, claim: Claim) -> None:
    written = (summary.cohort, summary.series, summary.page)
    existing = [path.name for path in written if not claim.may_replace(path, overwrite=overwrite)]
    if existing:
        raise InputError(
            f"{' and '.join(existing)}: there already, perhaps edited; give --overwrite, or "
            "another -o",
            Fault.EXISTS,
        )


def _check_usable(root: Path, studies: Sequence[DicomStudy], summary: ScanSummary) -> None:
    """Refuse a tree without a usable sequence, with the reasons."""
    if any(study.chosen for study in studies):
        return
    if not any(study.judgments for study in studies):
        raise InputError(without_images(root, summary.problems))
    nothing = Problem("no usable sequence", Fault.MISSING).within(printable(root.name))
    why = [line for study in studies for line in reasons(study)]
    raise InputError([*summary.problems, nothing, *why])
