"""The cohort table: one CSV, a row a patient, read into typed patients and sequences.

Columns: ``patient``; per sequence ``<SEQ>`` (path of the image) and ``<SEQ>_label``; optional
``<SEQ>_first`` and ``<SEQ>_last`` (0-based slices that enclose the lesion), ``<SEQ>_annotated``
(``7-17`` or ``7,9,11``), ``label_kind`` (``coarse``/``fine``), ``split`` (``train``/``val``/
``test``); all others are covariates. An empty cell means that the patient lacks the sequence.

Where the table leaves something open: no ``split`` column means that all patients train; a
``label_kind`` that is missing or empty means ``coarse`` for a sequence that has ``_annotated`` or
``_first``/``_last`` (they would say nothing about a fine mask; the clicks of test patients are only
checked) and ``fine`` otherwise; an image without a label is accepted for test patients only.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from nnunet_pst.errors import InputError
from nnunet_pst.io.csv_text import restored
from nnunet_pst.io.image_paths import image_path_problem
from nnunet_pst.io.sequence_columns import SUFFIXES, Columns, classify_columns, near_miss

Split = Literal["train", "val", "test"]
LabelKind = Literal["coarse", "fine"]
Word = TypeVar("Word", Split, LabelKind)
SPLITS: tuple[Split, ...] = ("train", "val", "test")
LABEL_KINDS: tuple[LabelKind, ...] = ("coarse", "fine")
#: No table of patients is larger; an image given by mistake often is.
MAX_TABLE_BYTES = 50_000_000


@dataclass(frozen=True)
class Sequence:
    """One sequence of one patient.

    Parameters
    ----------
    name
        Such as ``T2``.
    image
        Path of the image.
    label
        Path of the mask; None where nobody drew one (test patients only).
    label_kind
        ``fine``: drawn on every slice; ``coarse``: drawn on some.
    annotated
        Slices whose label is known (0-based), or None to apply the coarse rule.
    first, last
        0-based slices that enclose the lesion, or None.
    """

    name: str
    image: Path
    label: Path | None
    label_kind: LabelKind
    annotated: tuple[int, ...] | None = None
    first: int | None = None
    last: int | None = None


@dataclass(frozen=True)
class Patient:
    """A row of the table.

    Parameters
    ----------
    identifier
        The ``patient`` cell. Private: it must never reach the dataset folder.
    row
        Row in the table as a spreadsheet shows it (the header is row 1).
    split
        ``train``, ``val`` or ``test``.
    sequences
        The sequences that the patient has, by name, in table order.
    covariates
        All other cells, by column.
    """

    identifier: str
    row: int
    split: Split
    sequences: Mapping[str, Sequence]
    covariates: Mapping[str, str]


@dataclass(frozen=True)
class Cohort:
    """A whole table.

    Parameters
    ----------
    table
        The file it came from.
    patients
        In table order.
    sequences, covariates
        Names of the columns, in table order.
    has_label_kind
        Whether the table says itself which masks are coarse.
    """

    table: Path
    patients: tuple[Patient, ...]
    sequences: tuple[str, ...]
    covariates: tuple[str, ...]
    has_label_kind: bool


@dataclass
class _Problems:
    """Collects lines that say file, row, column and what to do."""

    table: Path
    lines: list[str] = field(default_factory=list)

    def add(self, text: str, *, row: int | None = None, column: str | None = None) -> None:
        place = [self.table.name]
        place += [f"row {row}"] if row is not None else []
        place += [f"column {column}"] if column is not None else []
        self.lines.append(f"{', '.join(place)}: {text}")


def read_cohort(table: Path) -> Cohort:
    """Read and check a cohort table.

    Raises
    ------
    InputError
        With a line for every problem in the table, each with row, column and what to do.
    """
    cohort, problems = parse_cohort(table)
    if problems:
        raise InputError(problems)
    return cohort


def parse_cohort(table: Path, masks_from: str | None = None) -> tuple[Cohort, list[str]]:
    """Read a table as far as it goes: what could be understood, and all problems.

    Parameters
    ----------
    masks_from
        The sequence that is drawn on, so that the others need no masks; None: all need one.

    Raises
    ------
    InputError
        When the file is no table at all, so that nothing can be said about its rows.
    """
    header, rows = _read_table(table)
    problems = _Problems(table)
    for name in sorted({name for name in header if header.count(name) > 1}):
        problems.add("the column occurs twice; keep one", column=name or "(without a name)")
    columns = classify_columns(dict.fromkeys(name for name in header if name))
    for name, text in columns.problems:
        problems.add(text, column=name)
    if not columns.sequences and not columns.problems:
        problems.add("no image columns: expected pairs such as 'T2' and 'T2_label'", row=1)
    found = [
        _read_patient(row, columns, masks_from) for row in _checked_rows(header, rows, problems)
    ]
    patients = [patient for patient in found if patient is not None]
    _check_across_rows(patients, problems)
    if not columns.problems:
        _check_label_columns(patients, header, problems, masks_from)
    # A row that was not understood, or left out for its cells, may be the training patient.
    if len(patients) == len(rows) and not any(patient.split == "train" for patient in patients):
        problems.add("no training patient; write 'train' for some", column="split")
    cohort = Cohort(
        table, tuple(patients), columns.sequences, columns.covariates, "label_kind" in header
    )
    return cohort, problems.lines


def _read_table(table: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return header and non-empty rows, each with its number in the spreadsheet."""
    if table.is_dir():
        raise InputError(f"{table}: a folder; give the cohort table in it, a CSV file")
    if not table.is_file():
        raise InputError(f"{table}: no such file; give the cohort table, a CSV file")
    if table.stat().st_size > MAX_TABLE_BYTES:
        raise InputError(f"{table.name}: larger than 50 MB, no cohort table; give the CSV file")
    raw = table.read_bytes()
    if raw[:4] == b"PK\x03\x04" or raw[:4] == b"\xd0\xcf\x11\xe0":
        raise InputError(f"{table.name}: an Excel workbook; save it as 'CSV UTF-8' and give that")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{table.name}: not UTF-8 text (byte {error.start}); save it as 'CSV UTF-8'"
        ) from error
    if "\0" in text:
        raise InputError(f"{table.name}: a binary file, no table; give the CSV file")
    first_line = next((line for line in text.splitlines() if line.strip()), "")
    if not first_line:
        raise InputError(f"{table.name}: the table is empty; expected a header and rows")
    delimiter = max(",;\t", key=first_line.count)
    try:
        records = [
            (number, [restored(cell.strip()) for cell in record])
            for number, record in enumerate(
                csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), start=1
            )
        ]
    except csv.Error as error:
        raise InputError(f"{table.name}: no table that can be read ({error})") from error
    (_, header), *rows = [record for record in records if any(record[1])]
    if "patient" not in header:
        meant = next((n for n in header if n and near_miss(n, ["patient", "patient_id"])), None)
        hint = f"rename '{meant}' to it" if meant else "add one with a name or number per patient"
        missing = f"{table.name}, row 1: there is no column 'patient'; {hint}"
        others = classify_columns(dict.fromkeys(n for n in header if n and n != meant)).problems
        raise InputError([missing, *(f"{table.name}, column {n}: {text}" for n, text in others)])
    if not rows:
        raise InputError(f"{table.name}: the table has a header but no rows")
    return header, rows


@dataclass(frozen=True)
class _Row:
    """The cells of a row by column, its number in the spreadsheet, and where to report."""

    number: int
    cells: Mapping[str, str]
    problems: _Problems

    def report(self, text: str, column: str | None = None) -> None:
        self.problems.add(text, row=self.number, column=column)

    def get(self, column: str) -> str:
        """Return a cell; empty where the table lacks the column."""
        return self.cells.get(column, "")


def _checked_rows(
    header: list[str], rows: list[tuple[int, list[str]]], problems: _Problems
) -> Iterator[_Row]:
    """Give every row; those with too many or too few cells are reported and left out."""
    for number, cells in rows:
        surplus = cells[len(header) :]
        if any(surplus) or len(cells) < len(header):
            problems.add(
                f"{len(cells)} cells under {len(header)} columns; put quotes around cells that "
                "hold the separator",
                row=number,
            )
            continue
        named = {name: cell for name, cell in zip(header, cells, strict=False) if name}
        yield _Row(number, named, problems)


def _read_patient(row: _Row, columns: Columns, masks_from: str | None) -> Patient | None:
    """Turn a row into a patient; None where split or label kind can't be told."""
    identifier = row.get("patient")
    if not identifier:
        row.report("empty; give every patient a name or number", "patient")
    split = _choice(row, "split", SPLITS) if "split" in row.cells else "train"
    kind = _choice(row, "label_kind", LABEL_KINDS) if row.get("label_kind") else ""
    present = [name for name in columns.sequences if _has_image(row, name)]
    # A row whose only image stands in a misspelled column, or lacks beside its label, has its line.
    if not columns.problems and not any(row.get(column) for column in columns.of_sequences):
        row.report("no image in this row; fill in a path or remove the row")
    if split is None or kind is None:
        return None
    sequences = {
        name: _read_sequence(row, name, kind=kind, split=split, drawn=masks_from in (None, name))
        for name in present
    }
    covariates = {name: row.get(name) for name in columns.covariates}
    return Patient(identifier, row.number, split, sequences, covariates)


def _choice(row: _Row, column: str, words: tuple[Word, ...]) -> Word | None:
    """Return a cell that must be one of a few words (in any case), or report and return None."""
    value = row.get(column).casefold()
    for word in words:
        if word == value:
            return word
    expected = " or ".join(f"'{word}'" for word in words)
    row.report(f"'{row.get(column)}' is unknown; write {expected}", column)
    return None


def _has_image(row: _Row, name: str) -> bool:
    """Whether the row has this sequence; a label or a click without an image is reported."""
    if row.get(name):
        return True
    for column in (f"{name}_{suffix}" for suffix in SUFFIXES):
        if row.get(column):
            row.report(f"filled, but '{name}' (the image) is empty", column)
    return False


def _read_sequence(row: _Row, name: str, *, kind: str, split: Split, drawn: bool) -> Sequence:
    """Read the cells of one sequence, reporting what is wrong with each.

    A sequence that is not ``drawn`` needs no mask.
    """
    image = _path(row, name)
    label: Path | None = None
    if row.get(f"{name}_label"):
        label = _path(row, f"{name}_label")
    elif split != "test" and drawn and f"{name}_label" in row.cells:
        row.report(
            f"empty, but {split} patients need a mask; draw one, or empty '{name}' too",
            f"{name}_label",
        )
    first, last = _clicks(row, name)
    annotated = _annotated(row, f"{name}_annotated")
    if annotated is not None and kind == "fine":
        row.report(
            "given for a fine mask, of which all slices are known; empty it or write 'coarse' "
            "in label_kind",
            f"{name}_annotated",
        )
    # Clicks say nothing new about a fine mask, so whoever gives them has a coarse one; test masks
    # are drawn on every slice.
    hints = annotated is not None or (first is not None and split != "test")
    coarse = kind == "coarse" or (not kind and hints)
    return Sequence(name, image, label, "coarse" if coarse else "fine", annotated, first, last)


def _path(row: _Row, column: str) -> Path:
    """Resolve a path relative to the table and report when there is no such image file."""
    cell = row.get(column)
    path = row.problems.table.parent / cell
    if problem := image_path_problem(cell, path):
        row.report(problem, column)
    return path


def _clicks(row: _Row, name: str) -> tuple[int | None, int | None]:
    """Read the slices that enclose the lesion: both, or neither."""
    first, last = (_slice_number(row, f"{name}_{end}") for end in ("first", "last"))
    if first is not None and last is not None:
        if first > last:
            row.report(f"first ({first}) is above last ({last})", f"{name}_first")
        return first, last
    # A cell that holds no number has been reported already.
    if bool(row.get(f"{name}_first")) != bool(row.get(f"{name}_last")):
        row.report("one of first and last is empty; fill in both", f"{name}_first")
    return None, None


def _slice_number(row: _Row, column: str) -> int | None:
    """Read a 0-based slice number; spreadsheets may have written it as 7.0."""
    cell = row.get(column)
    if match := re.fullmatch(r"(\d{1,6})(\.0+)?", cell):
        return int(match[1])
    if cell:
        row.report(f"'{cell}' is no slice number (0, 1, 2, ...)", column)
    return None


def _annotated(row: _Row, column: str) -> tuple[int, ...] | None:
    """Read the annotated slices of a cell, or None where it is empty or wrong."""
    cell = row.get(column)
    if not cell:
        return None
    try:
        return parse_slices(cell)
    except ValueError:
        row.report(f"'{cell}' is no list of slices; write such as 7-17 or 7,9,11", column)
        return None


def parse_slices(text: str) -> tuple[int, ...]:
    """Read ``7-17``, ``7,9,11`` or a mixture into sorted slice numbers.

    Raises
    ------
    ValueError
        When the text is anything else.
    """
    slices: set[int] = set()
    for part in re.split(r"[,;]", text):
        match = re.fullmatch(r"\s*(\d{1,5})\s*(?:-\s*(\d{1,5})\s*)?", part)
        if match is None:
            raise ValueError(f"no slices: {text!r}")
        start, stop = int(match[1]), int(match[2] or match[1])
        if stop < start:
            raise ValueError(f"a range that runs backwards: {text!r}")
        slices.update(range(start, stop + 1))
    return tuple(sorted(slices))


def format_slices(slices: tuple[int, ...]) -> str:
    """Write slice numbers as compactly as `parse_slices` reads them: ``7-17,20``."""
    parts: list[list[int]] = []
    for number in sorted(set(slices)):
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ",".join(str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts)


def _check_across_rows(patients: list[Patient], problems: _Problems) -> None:
    """Report patients that occur twice, and files that serve two patients."""
    seen: dict[str, Patient] = {}
    owners: dict[Path, Patient] = {}
    for patient in patients:
        earlier = seen.setdefault(patient.identifier.casefold(), patient)
        if earlier is not patient and patient.identifier:
            text = f"'{patient.identifier}' is already in row {earlier.row}"
            if earlier.split != patient.split:
                text += f", there in split '{earlier.split}' and here in '{patient.split}'"
            problems.add(f"{text}; a patient has one row", row=patient.row, column="patient")
            continue
        _check_within_row(patient, problems)
        for column, path in _files(patient):
            owner = owners.setdefault(path.resolve(), patient)
            if owner is not patient:
                problems.add(
                    f"the same file as in row {owner.row}; every patient has files of its own",
                    row=patient.row,
                    column=column,
                )


def _check_label_columns(
    patients: list[Patient], header: list[str], problems: _Problems, masks_from: str | None
) -> None:
    """Report a sequence without a label column, once and not in every row."""
    needed = {name for p in patients if p.split != "test" for name in p.sequences}
    if masks_from is not None:
        needed &= {masks_from}
    for column in (f"{name}_label" for name in sorted(needed)):
        if column not in header:
            problems.add("there is no such column, but training patients need masks", column=column)


def _check_within_row(patient: Patient, problems: _Problems) -> None:
    """Report an image that stands for two sequences, or for its own answer.

    One mask for two sequences is no mistake of the table: it is put onto each image's grid.
    """
    images: dict[Path, str] = {}
    for sequence in patient.sequences.values():
        images.setdefault(sequence.image.resolve(), sequence.name)
    for column, path in _files(patient):
        earlier = images.get(path.resolve())
        if earlier is not None and earlier != column:
            problems.add(
                f"the same file as in column '{earlier}'; give each sequence its own image, and "
                "masks in the label columns",
                row=patient.row,
                column=column,
            )


def _files(patient: Patient) -> Iterator[tuple[str, Path]]:
    """Give the files of a patient with their columns."""
    for sequence in patient.sequences.values():
        yield sequence.name, sequence.image
        if sequence.label is not None:
            yield f"{sequence.name}_label", sequence.label
