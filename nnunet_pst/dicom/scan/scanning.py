"""From a tree of studies to a cohort table, and a table of every series with its reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nnunet_pst.dicom.reading.addresses import SeriesByPlace, address_of
from nnunet_pst.dicom.reading.files import printable
from nnunet_pst.dicom.scan.mask_search import MaskSearch, mask_files
from nnunet_pst.dicom.scan.patient_names import PatientNames
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
from nnunet_pst.errors import Fault, InputError, Problem
from nnunet_pst.io.atomic_files import refusals_in_one_line
from nnunet_pst.io.claims import Claim, claimed
from nnunet_pst.io.image_paths import is_image_name
from nnunet_pst.io.viewer_labels import SLICER_FILE


@dataclass
class ScanSummary:
    """The tables of a scan, and what is in them.

    Parameters
    ----------
    cohort, series, key
        Tables that were written; the key only with pseudonyms.
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
    """

    cohort: Path
    series: Path
    key: Path | None = None
    taken: dict[str, dict[str, str]] = field(default_factory=dict)
    without: list[str] = field(default_factory=list)
    masks: int = 0
    rows: int = 0
    results: int = 0
    problems: list[Problem] = field(default_factory=list)


def scan(
    root: str | Path,
    output: str | Path,
    *,
    rules: Path | None = None,
    roi: str | None = None,
    anonymous_ids: bool = False,
    overwrite: bool = False,
) -> ScanSummary:
    """Find the sequences of every patient below a folder, and write the tables.

    Parameters
    ----------
    root
        Folder of any shape, or a zip.
    output
        The cohort table; ``series.csv`` is written beside it.
    rules
        Table of rules instead of the package's.
    roi
        Structure or segment that is the mask.
    anonymous_ids
        Call patients ``P0001`` and so on; the key, which also says where their images are, goes to
        a separate file and continues that of an earlier scan.
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
    summary = ScanSummary(output, output.with_name("series.csv"), key)
    _check_name(summary)
    base = output.absolute().parent
    # Every scan into a folder writes the same series.csv.
    with claimed(base, "scan", summary.series.name) as claim:
        _check_output(summary, overwrite, claim)
        names = PatientNames(key)
        rows, cohort_rows = _look(root, summary, names, read_rules(rules), roi)
        summary.rows = len(rows)
        with refusals_in_one_line(base):
            names.write()
            claim.write(
                {summary.series: series_table(rows), summary.cohort: cohort_table(cohort_rows)}
            )
    return summary


def _look(
    root: Path,
    summary: ScanSummary,
    names: PatientNames,
    rules: tuple[Rule, ...],
    roi: str | None,
) -> tuple[list[SeriesRow], list[dict[str, str]]]:
    """Return the rows of ``series.csv`` and of the cohort table."""
    tree = find_series(root)
    summary.problems += tree.problems
    studies = judge_studies(tree.series, rules)
    _check_usable(root, studies, summary)
    base = summary.cohort.absolute().parent
    places = SeriesByPlace(tree.series)
    search = MaskSearch(mask_files(_foreign_files(tree, summary)), roi, base)
    rows: list[SeriesRow] = []
    cohort_rows: list[dict[str, str]] = []
    for name, own in _by_patient(studies, names):
        best = _best(own)
        names.note_place(name, best.place)
        rows += _rows_of_patient(name, own, best, summary)
        if best.chosen:
            cells = _cohort_cells(best, places, search, name, summary)
            cohort_rows.append({"patient": name, **cells})
            summary.taken[name] = {s: one.stack.name for s, one in best.chosen.items()}
        else:
            summary.without.append(name)
    return rows, cohort_rows


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
    name: str, studies: Sequence[DicomStudy], best: DicomStudy, summary: ScanSummary
) -> list[SeriesRow]:
    """List the series of all studies of a patient, and report stacks that lack pixels."""
    rows: list[SeriesRow] = []
    for number, study in enumerate(studies, 1):
        note = "" if study is best else "another study of this patient is taken"
        rows += series_rows(study, name, number, note)
        summary.problems += [problem.within(name) for problem in cut_off(study)]
    return rows


def _cohort_cells(
    study: DicomStudy,
    places: SeriesByPlace,
    search: MaskSearch,
    name: str,
    summary: ScanSummary,
) -> dict[str, str]:
    """Write the cells of a patient's row: images and masks of the study that is taken."""
    labels, problems = search.labels_of(study)
    summary.problems += [problem.within(printable(name)) for problem in problems]
    summary.masks += sum(map(bool, labels.values()))
    base = summary.cohort.absolute().parent
    cells: dict[str, str] = {}
    for sequence, one in study.chosen.items():
        cells[sequence] = address_of(one.stack, places, base)
        cells[f"{sequence}_label"] = labels[sequence]
    return cells


def _check_name(summary: ScanSummary) -> None:
    if summary.cohort.suffix.casefold() != ".csv" or summary.cohort.name == summary.series.name:
        raise InputError(
            f"{summary.cohort.name}: name the table something.csv, not series.csv", Fault.MALFORMED
        )


def _check_output(summary: ScanSummary, overwrite: bool, claim: Claim) -> None:
    tables = (summary.cohort, summary.series)
    existing = [path.name for path in tables if not claim.may_replace(path, overwrite=overwrite)]
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


def _best(studies: Sequence[DicomStudy]) -> DicomStudy:
    """Return the study of a patient with most sequences, then most masks, then the latest."""

    def worth(study: DicomStudy) -> tuple[int, int, str, str]:
        chosen = study.chosen.values()
        masks = sum(one.stack.series.uid in study.masks for one in chosen)
        latest = max((one.stack.series.first.series_time for one in chosen), default="")
        return len(study.chosen), masks, latest, study.uid

    return max(studies, key=worth)
