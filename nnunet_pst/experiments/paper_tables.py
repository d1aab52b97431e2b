"""The tables of the paper: 1 from the dataset, 2 to 4 from a sweep, finished or not."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from nnunet_pst.errors import Fault, InputError, Problem
from nnunet_pst.experiments.sweep_plan import Budget
from nnunet_pst.experiments.sweep_record import SWEEP_FILE, read_sweep
from nnunet_pst.io.checked_tables import number, read_table
from nnunet_pst.io.wording import UNDEFINED, interval, measure_name, p_value, value
from nnunet_pst.report.cohort_description import Line, describe_cohort
from nnunet_pst.report.dataset_facts import DatasetFacts
from nnunet_pst.report.inputs import PaperTable
from nnunet_pst.report.tables import Cell, Table

_FIRST = "Table 1: characteristics of the patients"
_TITLES = {
    2: "Table 2: architectures, all sequences",
    3: "Table 3: input strategies, by tested sequence",
    4: "Table 4: all-sequence against T2-fusion, on T2",
}
_COLUMNS = ("trained_on", "configuration", "runs_done", "runs")
_SCORE = re.compile(r"(?P<tested>.+)_(?P<measure>dice|iou)")


def table_one(dataset: DatasetFacts | None) -> PaperTable:
    """Describe the patients of each split, as ``nnunet_pst cohort`` does."""
    if dataset is None:
        return PaperTable(_FIRST, None, "Not shown: give the dataset with --dataset.")
    if not dataset.cases:
        return PaperTable(_FIRST, None, f"Not shown: {dataset.name} has no cases.csv.")
    splits, lines = describe_cohort(dataset.cases)
    rows = [
        [
            Cell(line.characteristic if fresh else ""),
            Cell(line.level),
            *map(Cell, line.cells),
            Cell("" if math.isnan(line.p) else p_value(line.p), line.test),
            Cell(
                "" if math.isnan(line.smd) else value(line.smd),
                interval(line.smd_low, line.smd_high),
            ),
        ]
        for line, fresh in _with_first(lines)
    ]
    caption = (
        "p: one-way analysis of variance for numbers, Pearson's chi-squared test for categories. "
        "SMD: the largest standardized mean difference between two splits; it says how large a "
        "difference is, which p does not; below it its 95 % interval."
    )
    head = ["characteristic", "", *splits, "p", "SMD"]
    return PaperTable(_FIRST, Table(_FIRST, head, rows, caption))


def _with_first(lines: Sequence[Line]) -> Iterator[tuple[Line, bool]]:
    """Say of each line whether it is the first of its characteristic."""
    before = None
    for line in lines:
        yield line, line.characteristic != before
        before = line.characteristic


def read_paper_tables(folder: Path | None) -> list[PaperTable]:
    """Read ``table2.csv`` to ``table4.csv`` of a sweep; each missing table says why.

    Parameters
    ----------
    folder
        Of ``nnunet_pst sweep``; None where no sweep was given.

    Raises
    ------
    InputError
        The folder is missing or not of a sweep, or one of its tables cannot be used.
    """
    if folder is not None:
        _check_sweep(folder)
        origin = _origin(folder)
    problems: list[Problem] = []
    tables = []
    for place, title in _TITLES.items():
        path = None if folder is None else folder / f"table{place}.csv"
        if path is None:
            missing = "Not shown: no sweep was given (--sweep FOLDER)."
            tables.append(PaperTable(title, None, missing))
        elif not path.is_file():
            missing = "Not shown: the sweep has not made this table (nnunet_pst sweep)."
            tables.append(PaperTable(title, None, missing))
        else:
            table = _read(path, title, problems)
            tables.append(PaperTable(title, replace(table, caption=origin + table.caption)))
    if problems:
        raise InputError(problems)
    return tables


def _origin(folder: Path) -> str:
    """Say whose tables these are, and how long the trainings were; empty for tables alone."""
    if not (folder / SWEEP_FILE).is_file():
        return ""
    settings = read_sweep(folder).settings
    full = Budget.read(settings.budget) == Budget()
    length = "of full length" if full else f"of {settings.budget}"
    return (
        f"A sweep of {settings.dataset}, trainings {length} on {settings.device}, encoder weights "
        f"{settings.weights}; patients need not be the comparison's. "
    )


def _check_sweep(folder: Path) -> None:
    """Refuse other folders: the page would say of each table that it is not made yet."""
    if not folder.is_dir():
        raise InputError(
            f"{folder}: is not a folder; give one that `nnunet_pst sweep` made",
            Fault.WRONG_TYPE if folder.exists() else Fault.MISSING,
        )
    signs = [SWEEP_FILE, *(f"table{place}.csv" for place in _TITLES)]
    if not any((folder / name).is_file() for name in signs):
        raise InputError(
            f"{folder}: is not the folder of a sweep (`nnunet_pst sweep --out`), which holds "
            f"{SWEEP_FILE}, jobs/ and tables such as {signs[1]}",
            Fault.WRONG_TYPE,
        )


def _read(path: Path, title: str, problems: list[Problem]) -> Table:
    rows = read_table(path, _COLUMNS, problems)
    scores = [name for name in (rows[0] if rows else ()) if _SCORE.fullmatch(name)]
    if "4" not in path.stem:  # as in the paper, which shows IoU in table 4 alone
        scores = [name for name in scores if name.endswith("_dice")]
    lines = []
    for row in rows:
        cells = [_cell(row, name, path, problems) for name in scores]
        runs = Cell(f"{row['runs_done']} of {row['runs']}")
        lines.append([Cell(row["trained_on"]), Cell(row["configuration"]), runs, *cells])
    caption = (
        "Mean over test patients (n), over the trainings that are done (runs); a dash where "
        "nothing was tested yet, or the sequence was not trained on. No intervals: a sweep "
        "compares by these means alone; nnunet_pst compare gives paired differences of methods "
        "that predicted the same cases."
    )
    return Table(
        title, ["trained on", "configuration", "runs", *map(_heading, scores)], lines, caption
    )


def _cell(row: dict[str, str], name: str, path: Path, problems: list[Problem]) -> Cell:
    mean = number(row[name], name, path, problems)
    patients = row.get(f"{name}_patients", "")
    return Cell(value(mean), f"n = {patients}") if patients else Cell(UNDEFINED)


def _heading(name: str) -> str:
    match = _SCORE.fullmatch(name)
    assert match is not None  # only such names are asked for
    return f"{match['tested']}, {measure_name(match['measure'])}"
