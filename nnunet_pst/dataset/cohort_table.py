"""The cohort table: one CSV, a row for each patient, read into typed patients and sequences.

Columns: ``patient``; per sequence ``<SEQ>`` (path of the image) and ``<SEQ>_label``; optional
``<SEQ>_first`` and ``<SEQ>_last`` (0-based slices that enclose the lesion) or, for several lesions,
``<SEQ>_extent`` (``6-19;30-34``, a range each), ``<SEQ>_annotated`` (slices that were looked at:
``7-17`` or ``7,9,11``), ``label_kind`` (``coarse``/``fine``), ``split`` (``train``/``val``/
``test``); all others are covariates. An empty cell means that the patient lacks the sequence.

Defaults: without a ``split`` column all patients train; a ``label_kind`` that is missing or empty
means ``coarse`` for a sequence that has ``_annotated``, ``_extent`` or ``_first``/``_last`` (they
say nothing about a fine mask; the clicks of test patients are only checked) and ``fine`` otherwise;
an image without a label is accepted for test patients only.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypeVar

from nnunet_pst.dataset.cohort import (
    LABEL_KINDS,
    SPLITS,
    Cohort,
    Extent,
    LabelKind,
    Patient,
    Sequence,
    Split,
)
from nnunet_pst.dataset.cohort_checks import check_across_rows, check_label_columns
from nnunet_pst.dataset.cohort_rows import TableProblems, TableRow, named_rows, read_cells
from nnunet_pst.dataset.slice_ranges import parse_extents, parse_slices
from nnunet_pst.errors import Fault, InputError, Problem
from nnunet_pst.io.image_paths import image_path_problem
from nnunet_pst.io.sequence_columns import SUFFIXES, Columns, classify_columns

Word = TypeVar("Word", Split, LabelKind)


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


def parse_cohort(table: Path, masks_from: str | None = None) -> tuple[Cohort, list[Problem]]:
    """Read a table: the patients of the rows that can be understood, and all problems.

    Parameters
    ----------
    masks_from
        The only sequence that needs masks; None where every sequence needs them.

    Raises
    ------
    InputError
        When the file is not a table, so that nothing can be said about its rows.
    """
    header, rows = read_cells(table)
    problems = TableProblems(table)
    for name in sorted({name for name in header if name and header.count(name) > 1}):
        problems.add(Problem("the column occurs twice; keep one", Fault.REPEATED), column=name)
    columns = classify_columns(dict.fromkeys(name for name in header if name))
    for name, problem in columns.problems:
        problems.add(problem, column=name)
    if not columns.sequences and not columns.problems:
        text = "no image columns: expected pairs such as 'T2' and 'T2_label'"
        problems.add(Problem(text, Fault.MISSING), row=1)
    patients = [
        patient
        for row in named_rows(header, rows, problems)
        if (patient := _read_patient(row, columns, masks_from)) is not None
    ]
    check_across_rows(patients, problems)
    if not columns.problems:
        check_label_columns(patients, header, problems, masks_from)
    # A row that was not understood, or left out for its cells, may be the training patient.
    if len(patients) == len(rows) and not any(patient.split == "train" for patient in patients):
        text = "no training patient; write 'train' for some"
        problems.add(Problem(text, Fault.TOO_FEW), column="split")
    cohort = Cohort(
        table, tuple(patients), columns.sequences, columns.covariates, "label_kind" in header
    )
    return cohort, problems.problems


def _read_patient(row: TableRow, columns: Columns, masks_from: str | None) -> Patient | None:
    """Turn a row into a patient; None where split or label kind can't be told."""
    identifier = row.get("patient")
    if not identifier:
        text = "empty; give every patient a name or number"
        row.report(text, Fault.MISSING, column="patient")
    split = _choice(row, "split", SPLITS) if "split" in row.cells else "train"
    kind = _choice(row, "label_kind", LABEL_KINDS) if row.get("label_kind") else ""
    present = [name for name in columns.sequences if _has_image(row, name)]
    # A row with its image in a misspelled column, or with a label alone, has been reported already.
    if not columns.problems and not any(row.get(column) for column in columns.of_sequences):
        row.report("no image in this row; fill in a path or remove the row", Fault.MISSING)
    if split is None or kind is None:
        return None
    sequences = {}
    for name in present:
        needs_mask = split != "test" and masks_from in (None, name)
        sequences[name] = _read_sequence(row, name, kind=kind, split=split, needs_mask=needs_mask)
    covariates = {name: row.get(name) for name in columns.covariates}
    return Patient(identifier, row.number, split, sequences, covariates)


def _choice(row: TableRow, column: str, words: tuple[Word, ...]) -> Word | None:
    """Return a cell that must be one of a few words (in any case), or report and return None."""
    value = row.get(column).casefold()
    for word in words:
        if word == value:
            return word
    expected = " or ".join(f"'{word}'" for word in words)
    text = f"'{row.get(column)}' is unknown; write {expected}"
    row.report(text, Fault.UNKNOWN_NAME, column=column)
    return None


def _has_image(row: TableRow, name: str) -> bool:
    """Whether the row has this sequence; a label or a click without an image is reported."""
    if row.get(name):
        return True
    for column in (f"{name}_{suffix}" for suffix in SUFFIXES):
        if row.get(column):
            text = f"filled, but '{name}' (the image) is empty"
            row.report(text, Fault.MISSING, column=column)
    return False


def _read_sequence(
    row: TableRow, name: str, *, kind: str, split: Split, needs_mask: bool
) -> Sequence:
    """Read the cells of one sequence, and report the problems of each."""
    image = _path(row, name)
    label: Path | None = None
    if row.get(f"{name}_label"):
        label = _path(row, f"{name}_label")
    elif needs_mask and f"{name}_label" in row.cells:
        text = f"empty, but {split} patients need a mask; draw one, or empty '{name}' too"
        row.report(text, Fault.MISSING, column=f"{name}_label")
    extents = _extents(row, name)
    annotated = _annotated(row, f"{name}_annotated")
    if annotated is not None and kind == "fine":
        text = (
            "given for a fine mask, where all slices are known; empty it or write 'coarse' in "
            "label_kind"
        )
        row.report(text, Fault.CONTRADICTION, column=f"{name}_annotated")
    # Clicks say nothing new about a fine mask, so a mask with clicks is coarse; test masks are
    # drawn on every slice.
    hints = annotated is not None or (bool(extents) and split != "test")
    label_kind: LabelKind = "coarse" if kind == "coarse" or (not kind and hints) else "fine"
    return Sequence(name, image, label, label_kind, annotated, extents, kind_is_guessed=not kind)


def _path(row: TableRow, column: str) -> Path:
    """Resolve a path relative to the table, and report when there is no such image file."""
    cell = row.get(column)
    path = row.problems.table.parent / cell
    if problem := image_path_problem(cell, path):
        row.report(problem, column=column)
    return path


def _extents(row: TableRow, name: str) -> tuple[Extent, ...]:
    """Read where the lesions begin and end: one range from two columns, or several from one."""
    clicks, cell = _clicks(row, name), row.get(f"{name}_extent")
    if not cell:
        return clicks
    if row.get(f"{name}_first") or row.get(f"{name}_last"):
        text = f"given beside {name}_first and {name}_last; fill in one of the two"
        row.report(text, Fault.CONTRADICTION, column=f"{name}_extent")
    try:
        return parse_extents(cell)
    except ValueError:
        text = f"'{cell}' does not say where lesions begin and end; write such as 6-19;30-34"
        row.report(text, Fault.MALFORMED, column=f"{name}_extent")
        return ()


def _clicks(row: TableRow, name: str) -> tuple[Extent, ...]:
    """Read the slices that enclose the lesion: both, or neither."""
    first, last = (_slice_number(row, f"{name}_{end}") for end in ("first", "last"))
    if first is not None and last is not None:
        if first > last:
            text = f"first ({first}) is above last ({last})"
            row.report(text, Fault.CONTRADICTION, column=f"{name}_first")
            return ()
        return ((first, last),)
    # A cell that is not a number has been reported already.
    if bool(row.get(f"{name}_first")) != bool(row.get(f"{name}_last")):
        text = "one of first and last is empty; fill in both"
        row.report(text, Fault.MISSING, column=f"{name}_first")
    return ()


def _slice_number(row: TableRow, column: str) -> int | None:
    """Read a 0-based slice number; spreadsheets may have written it as 7.0."""
    cell = row.get(column)
    if match := re.fullmatch(r"(\d{1,6})(\.0+)?", cell):
        return int(match[1])
    if cell:
        comma = re.fullmatch(r"\d+,0*", cell)
        text = (
            f"'{cell}' has a comma; write {cell.partition(',')[0]}"
            if comma
            else f"'{cell}' is not a slice number (0, 1, 2, ...)"
        )
        row.report(text, Fault.MALFORMED, column=column)
    return None


def _annotated(row: TableRow, column: str) -> tuple[int, ...] | None:
    """Read the annotated slices of a cell, or None where it is empty or wrong."""
    cell = row.get(column)
    if not cell:
        return None
    try:
        return parse_slices(cell)
    except ValueError:
        text = f"'{cell}' is not a list of slices; write such as 7-17 or 7,9,11"
        row.report(text, Fault.MALFORMED, column=column)
        return None
