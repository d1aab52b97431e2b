"""The paper's tables from the scores of a sweep's jobs; what is missing is empty, never 0."""

from __future__ import annotations

import csv
import io
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nnunet_pst.evaluation.averaging import CaseValue, patients_mean
from nnunet_pst.experiments.sweep_plan import OWN_TABLE, Job, Method
from nnunet_pst.io.csv_text import csv_text, restored

#: Measures of a table, as ``evaluate`` names them, with their headings.
MEASURES = {"dice": "Dice", "iou": "IoU"}
#: The column over all sequences.
ALL = "all"
TITLES = {
    "2": "Table 2: architectures, all sequences",
    "3": "Table 3: input strategies, by tested sequence",
    "4": "Table 4: all-sequence against T2-fusion, on T2",
    OWN_TABLE: "Listed methods",
}


@dataclass(frozen=True)
class JobScore:
    """One test case as one job segmented it.

    Attributes
    ----------
    sequence
        The tested one; of a fusion that of its first channel.
    values
        By measure; NaN where it is not defined.
    """

    job: Job
    case: str
    patient: str
    sequence: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class Cell:
    """A mean over patients, and how many there are; NaN and 0 where there is nothing."""

    mean: float
    patients: int


@dataclass(frozen=True)
class TableRow:
    """A line of a table: ``cells`` by sequence (or `ALL`) and measure."""

    method: Method
    done: int
    runs: int
    cells: Mapping[tuple[str, str], Cell]


def scores_of_job(job: Job, text: str) -> list[JobScore]:
    """Read the ``cases.csv`` that ``evaluate`` wrote for a job; an empty cell is NaN."""
    scores = []
    for row in csv.DictReader(io.StringIO(text, newline="")):
        values = {name: float(row[name]) if row[name] else math.nan for name in MEASURES}
        tested = restored(row["sequence"]).partition("+")[0]
        names = restored(row["case"]), restored(row["patient"])
        scores.append(JobScore(job, *names, tested, values))
    return scores


def columns_of_table(table: str, sequences: Sequence[str]) -> tuple[str, ...]:
    """Return the tested sequences of a table; only table 2's methods all see the same."""
    if table == "4":
        return ("T2",)
    return (*sequences, ALL) if table == "2" else tuple(sequences)


def table_rows(
    table: str,
    methods: Sequence[Method],
    *,
    jobs: Sequence[Job],
    scores: Iterable[JobScore],
    columns: Sequence[str],
) -> list[TableRow]:
    """Average in the order of `evaluation.averaging`; repeats are folds and seeds.

    Methods may have been tested on different patients: a fusion needs all of its channels, and a
    sequence is missing here and there. In each column only those patients count whom every method
    with a score there was tested on.
    """
    of_method: dict[Method, list[JobScore]] = defaultdict(list)
    for score in scores:
        of_method[score.job.method].append(score)
    of_column = {column: _same_patients(of_method, methods, column) for column in columns}
    return [
        TableRow(
            method,
            len({score.job for score in of_method[method]}),
            sum(job.method == method for job in jobs),
            {
                (column, measure): _cell(of_column[column][method], measure)
                for column in columns
                for measure in MEASURES
            },
        )
        for method in methods
    ]


def _same_patients(
    of_method: Mapping[Method, list[JobScore]], methods: Sequence[Method], column: str
) -> dict[Method, list[JobScore]]:
    """Return the scores of a column, of the patients that its methods share."""
    tested = {
        method: [s for s in of_method.get(method, ()) if column in (ALL, s.sequence)]
        for method in methods
    }
    patients = [{score.patient for score in scores} for scores in tested.values() if scores]
    common = set.intersection(*patients) if patients else set()
    return {
        method: [score for score in scores if score.patient in common]
        for method, scores in tested.items()
    }


def _cell(scores: Sequence[JobScore], measure: str) -> Cell:
    return Cell(
        *patients_mean(
            CaseValue(score.patient, score.case, score.values[measure]) for score in scores
        )
    )


def table_csv(rows: Sequence[TableRow], columns: Sequence[str]) -> str:
    """Write a table for machines: a mean and a number of patients for each cell."""
    heads = [f"{c}_{m}{part}" for c in columns for m in MEASURES for part in ("", "_patients")]
    lines: list[list[object]] = [["trained_on", "configuration", "runs_done", "runs", *heads]]
    for row in rows:
        cells = [row.cells[column, measure] for column in columns for measure in MEASURES]
        numbers = [
            text
            for cell in cells
            for text in ((f"{cell.mean:.6g}", cell.patients) if cell.patients else ("", ""))
        ]
        method = row.method
        lines.append([method.strategy.label, method.configuration, row.done, row.runs, *numbers])
    return csv_text(lines)


def table_markdown(
    table: str, rows: Sequence[TableRow], columns: Sequence[str], notes: Sequence[str]
) -> str:
    """Write a table for readers: ``mean (patients)``, and what has to be known of it below."""
    measures = MEASURES if table in ("4", OWN_TABLE) else {"dice": "Dice"}
    heads = [f"{column} {head}" for column in columns for head in measures.values()]
    lines = [["trained on", "configuration", "runs", *heads]]
    for row in rows:
        method = row.method
        cells = [row.cells[column, measure] for column in columns for measure in measures]
        numbers = [f"{cell.mean:.3f} ({cell.patients})" if cell.patients else "" for cell in cells]
        runs = f"{row.done}/{row.runs}"
        lines.append([method.strategy.label, method.configuration, runs, *numbers])
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    lines.insert(1, ["-" * width for width in widths])
    body = [
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    ]
    return "\n".join([f"## {TITLES[table]}", "", *body, "", *(f"- {note}" for note in notes), ""])


def cases_csv(scores: Iterable[JobScore]) -> str:
    """Write the scores of all jobs in long format, a row for each case of each job."""
    heads = ["job", "trained_on", "configuration", "trainer", "fold", "seed"]
    lines: list[list[object]] = [[*heads, "case", "patient", "sequence", *MEASURES]]
    for score in scores:
        job, method = score.job, score.job.method
        values = [
            "" if math.isnan(score.values[name]) else f"{score.values[name]:.6g}"
            for name in MEASURES
        ]
        origin = [job.name, method.strategy.label, method.configuration, job.trainer]
        lines.append(
            [*origin, job.fold, job.seed, score.case, score.patient, score.sequence, *values]
        )
    return csv_text(lines)
