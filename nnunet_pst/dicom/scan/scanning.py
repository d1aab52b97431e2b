"""From a tree of studies to a cohort table, and a table of every series with its reason."""

from __future__ import annotations

import csv
import io
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nnunet_pst.dicom.masks.structures import choose_name
from nnunet_pst.dicom.reading.addresses import address_of, mask_address
from nnunet_pst.dicom.reading.files import printable
from nnunet_pst.dicom.reading.headers import RTSTRUCT, Instance
from nnunet_pst.dicom.reading.series import Series
from nnunet_pst.dicom.reading.stack_geometry import grid_of
from nnunet_pst.dicom.scan.choice import Judgment
from nnunet_pst.dicom.scan.scanned_rows import SeriesRow, cohort_table, series_rows, series_table
from nnunet_pst.dicom.scan.sequence_rules import read_rules
from nnunet_pst.dicom.scan.studies import (
    DicomStudy,
    cut_off,
    find_series,
    judge_studies,
    reasons,
    without_images,
)
from nnunet_pst.errors import InputError
from nnunet_pst.io.atomic_files import refusals_in_one_line, write_atomically
from nnunet_pst.io.csv_text import csv_text, restored
from nnunet_pst.io.geometry import Grid, same_grid
from nnunet_pst.io.image_paths import is_image_name
from nnunet_pst.io.volumes import read_header

_PRIVATE = 0o600
#: Lies beside the masks in every folder that `nnunet_pst segment` makes.
RESULT_FILE = "slicer_colors.ctbl"
_KEY_COLUMNS = ("pseudonym", "patient", "folder")


@dataclass
class ScanSummary:
    """What a scan found and wrote.

    Parameters
    ----------
    cohort, series, key
        Tables that were written; the key only with pseudonyms.
    taken
        Per patient, as the tables call them: sequence and stack.
    without
        Patients of whom nothing is usable; ``series.csv`` says why.
    masks
        Number of masks that were attached.
    rows
        Number of stacks that were judged.
    results
        Masks that `nnunet_pst segment` has made, and that were left out.
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
    problems: list[str] = field(default_factory=list)


def scan(
    root: Path,
    output: Path,
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
        Structure or segment that masks are.
    anonymous_ids
        Call patients ``P0001`` and so on; the key, which says where each lies too, goes to a file
        of its own, and that of an earlier scan is continued.

    Raises
    ------
    InputError
        When nothing usable is found, or a table exists and may not be replaced.
    """
    key = output.with_name(f"{output.stem}_key.csv")
    summary = ScanSummary(output, output.with_name("series.csv"), key if anonymous_ids else None)
    _check_output(summary, overwrite)
    table = read_rules(rules)
    found = find_series(root)
    summary.problems += found.problems
    studies = judge_studies(found.series, table)
    _check_usable(root, studies, summary)
    names = _Names(key if anonymous_ids else None)
    patients: dict[str, list[DicomStudy]] = defaultdict(list)
    for study in studies:
        patients[names.of(study)].append(study)
    base = output.absolute().parent
    results = {path.parent for path in found.others if path.name == RESULT_FILE}
    foreign = [path for path in found.others if path.parent not in results]
    summary.results = sum(map(is_image_name, found.others)) - sum(map(is_image_name, foreign))
    summary.results += sum(file.made_here for one in found.series for file in one.instances)
    masks = _files_with_grids(foreign)
    rows: list[SeriesRow] = []
    cohort_rows: list[dict[str, str]] = []
    for name, own in sorted(patients.items()):
        taken = _best(own)
        names.lie(name, taken.place)
        for number, study in enumerate(own, 1):
            note = "" if study is taken else "another study of this patient is taken"
            rows += series_rows(study, name, number, note)
            summary.problems += [f"{name}: {line}" for line in cut_off(study)]
        if taken.chosen:
            before = len(summary.problems)
            cells = _cohort_row(taken, found.series, masks, roi, base, summary)
            lines = summary.problems[before:]
            summary.problems[before:] = [f"{printable(name)}: {line}" for line in lines]
            cohort_rows.append({"patient": name, **cells})
            summary.taken[name] = {s: one.stack.name for s, one in taken.chosen.items()}
        else:
            summary.without.append(name)
    summary.rows = len(rows)
    with refusals_in_one_line(base):
        base.mkdir(parents=True, exist_ok=True)
        names.write()
        write_atomically(summary.series, series_table(rows))
        write_atomically(summary.cohort, cohort_table(cohort_rows))
    return summary


def _check_output(summary: ScanSummary, overwrite: bool) -> None:
    if summary.cohort.suffix.casefold() != ".csv" or summary.cohort.name == summary.series.name:
        raise InputError(f"{summary.cohort.name}: name the table something.csv, not series.csv")
    existing = [path.name for path in (summary.cohort, summary.series) if path.exists()]
    if existing and not overwrite:
        raise InputError(
            f"{' and '.join(existing)}: there already, perhaps edited; give --overwrite, or "
            "another -o"
        )


def _check_usable(root: Path, studies: Sequence[DicomStudy], summary: ScanSummary) -> None:
    """Refuse when there is nothing to write a table of, with the reasons."""
    if any(study.chosen for study in studies):
        return
    if not any(study.judgments for study in studies):
        raise InputError(without_images(root, summary.problems))
    why = [line for study in studies for line in reasons(study)]
    raise InputError([*summary.problems, f"{printable(root.name)}: no usable sequence", *why])


class _Names:
    """How tables call patients: by PatientID, or by pseudonyms that stay the same."""

    def __init__(self, key: Path | None) -> None:
        self._key = key
        self._names, self._folders = _read_key(key) if key is not None else ({}, {})
        self._unnamed: dict[str, str] = {}

    def of(self, study: DicomStudy) -> str:
        """Name the patient of a study; without a PatientID, each study is a patient."""
        patient = study.patient or f"study {study.uid}"
        if self._key is None:
            if study.patient:
                return study.patient
            return self._unnamed.setdefault(patient, f"unnamed-{len(self._unnamed) + 1:04d}")
        if patient not in self._names:
            last = max((int(name[1:]) for name in self._names.values()), default=0)
            self._names[patient] = f"P{last + 1:04d}"
        return self._names[patient]

    def lie(self, name: str, place: Path) -> None:
        """Note where a patient's images lie, so that the key leads back to them."""
        self._folders[name] = printable(str(place))

    def write(self) -> None:
        """Write the key, readable for its owner only."""
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
    problem = f"{path.name}: no key of an earlier scan; move it away, or name another table with -o"
    try:
        rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))
        # Older keys have no folder.
        if not rows or tuple(rows[0]) not in (_KEY_COLUMNS, _KEY_COLUMNS[:2]):
            raise ValueError(path.name)
        names = {restored(patient): name for name, patient, *_ in rows[1:]}
        numbers = [int(name[1:]) for name in names.values() if name.startswith("P")]
    except (ValueError, csv.Error) as error:
        raise InputError(problem) from error
    if len(set(numbers)) < len(rows) - 1:
        raise InputError(problem)
    return names, {row[0]: restored(row[2]) for row in rows[1:] if len(row) > 2}


def _best(studies: Sequence[DicomStudy]) -> DicomStudy:
    """Of a patient's studies take the one with most sequences, then most masks, then the latest."""

    def worth(study: DicomStudy) -> tuple[int, int, str, str]:
        chosen = study.chosen.values()
        drawn = sum(one.stack.series.uid in study.masks for one in chosen)
        latest = max((one.stack.series.first.series_time for one in chosen), default="")
        return len(study.chosen), drawn, latest, study.uid

    return max(studies, key=worth)


@dataclass(frozen=True)
class _MaskFile:
    """A file that may be a mask, such as ITK-SNAP writes: it refers to nothing but a grid."""

    path: Path
    grid: Grid


def _files_with_grids(files: Iterable[Path]) -> list[_MaskFile]:
    found = []
    for path in files:
        if is_image_name(path):
            try:
                found.append(_MaskFile(path, read_header(path)))
            except InputError:
                continue  # whatever it is, it is no mask of a volume found here
    return found


def _cohort_row(
    study: DicomStudy,
    every: Sequence[Series],
    files: Sequence[_MaskFile],
    roi: str | None,
    base: Path,
    summary: ScanSummary,
) -> dict[str, str]:
    cells: dict[str, str] = {}
    by_grid = _masks_by_grid(study, files, summary)
    for sequence, one in study.chosen.items():
        cells[sequence] = address_of(one.stack, every, base)
        drawn = study.masks.get(one.stack.series.uid, ())
        label = _drawn_label(one, drawn, roi, base, summary) if drawn else ""
        if not label and sequence in by_grid:
            label = os.path.relpath(by_grid[sequence], base).replace(os.sep, "/")
        cells[f"{sequence}_label"] = label
        summary.masks += bool(label)
    return cells


def _drawn_label(
    one: Judgment,
    drawn: Sequence[Instance],
    roi: str | None,
    base: Path,
    summary: ScanSummary,
) -> str:
    """Write the label's cell: the mask of this series that has the structure."""
    where = f"{one.stack.name}: mask {drawn[0].origin.name}"
    fitting: list[tuple[Instance, str]] = []
    problems: list[str] = []
    for mask in drawn:
        what = "structure" if mask.modality == RTSTRUCT else "segment"
        try:
            names = mask.structures
            fitting.append((mask, names[choose_name(names, roi, what)]))
        except InputError as error:
            problems += error.problems
    if len(fitting) == 1:
        mask, name = fitting[0]
        return mask_address(mask, name if len(mask.structures) > 1 else None, base)
    if fitting:
        problems = [f"{len(fitting)} masks refer to this series"]
    summary.problems.append(f"{printable(where)} not attached: {'; '.join(problems)}")
    return ""


def _masks_by_grid(
    study: DicomStudy, files: Sequence[_MaskFile], summary: ScanSummary
) -> Mapping[str, Path]:
    """Attach files to the sequence on whose grid they lie, when there is one of each.

    Only files from the study's own folder or below: those of another patient may lie anywhere.
    """
    if not files:
        return {}
    folders = [s.origin.path.parent for one in study.series for s in one.instances]
    home = Path(os.path.commonpath(folders))
    homes = {home, home.parent} if len(set(folders)) == 1 else {home}
    grids = {name: grid_of(one.stack) for name, one in study.chosen.items()}
    found: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        if file.path.parent not in homes and not file.path.is_relative_to(home):
            continue
        fits = [name for name, grid in grids.items() if same_grid(grid, file.grid)]
        named = [name for name in fits if name.casefold() in file.path.name.casefold()]
        for name in named[:1] or fits:
            found[name].append(file.path)
    for name, paths in found.items():
        if len(paths) > 1:
            listed = ", ".join(printable(path.name) for path in paths)
            summary.problems.append(
                f"{study.chosen[name].stack.name}: {listed} lie on its grid; none attached"
            )
    return {name: paths[0] for name, paths in found.items() if len(paths) == 1}
