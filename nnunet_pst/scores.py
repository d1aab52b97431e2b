"""Tables of scores: from cases to patients to the cohort, and how they are written.

Averages go case -> patient -> cohort, so that a patient with four sequences weighs as much as one
with a single one. Values that are not defined are left out, and every mean comes with the number
of patients behind it.
"""

from __future__ import annotations

import csv
import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, TypeAlias

from nnunet_pst import __version__
from nnunet_pst.metrics.overlap import MEASURES
from nnunet_pst.references import References

Value: TypeAlias = str | int | float
Row: TypeAlias = dict[str, Value]
_NAMES = tuple(measure.name for measure in MEASURES)
#: The row of ``sequences.csv`` that averages over all sequences.
ALL = "all"


@dataclass(frozen=True)
class Evaluation:
    """Rows of the three tables, and the summary.

    Parameters
    ----------
    cases
        A row per case: case, patient, sequence, then every measure.
    patients
        A row per patient: means over the patient's cases.
    sequences
        A row per sequence and one for ``all``: mean, median and number over patients.
    summary
        What goes into ``summary.json``.
    """

    cases: list[Row]
    patients: list[Row]
    sequences: list[Row]
    summary: dict[str, Any]


def evaluate_scores(
    references: References, values: Mapping[str, Mapping[str, float]], *, predictions: str = ""
) -> Evaluation:
    """Average the measures of all cases.

    Parameters
    ----------
    references
        What was scored against.
    values
        `metrics.overlap.measure_case` of every case, by case name.
    predictions
        What reports call the predictions: their folder's name.
    """
    cases: list[Row] = []
    for case in references.cases:
        row: Row = {"case": case.name, "patient": case.patient, "sequence": case.sequence}
        cases.append({**row, **values[case.name]})
    patients = patient_rows(cases)
    sequences = sequence_rows(cases)
    summary = {
        "dataset": references.name,
        "split": references.split,
        "predictions": predictions,
        "cases": len(cases),
        "patients": len(patients),
        "window_slices": references.window,
        "label_rules": dict(references.label_rules),
        "cases_with_unknown_voxels": sum(float(row["known_share"]) < 1 for row in cases),
        "empty_masks": _empty_masks(cases),
        "measures": {measure.name: asdict(measure) for measure in MEASURES},
        "averaging": "mean of each patient's cases, then over patients; undefined values left out",
        "overall": _statistics(patients),
        "sequences": {
            name: _statistics(patient_rows(rows))
            for name, rows in _groups(cases, "sequence")
            if name
        },
        "versions": _versions(),
    }
    return Evaluation(cases, patients, sequences, summary)


def patient_rows(cases: Sequence[Row]) -> list[Row]:
    """Average the cases of each patient; rows are ordered by patient."""
    table: list[Row] = []
    for name, rows in _groups(cases, "patient"):
        row: Row = {"patient": name, "cases": len(rows)}
        table.append(row | {key: mean(_column(rows, key)) for key in _NAMES})
    return table


def sequence_rows(cases: Sequence[Row]) -> list[Row]:
    """Average over the patients of each sequence, and over all patients in the row ``all``."""
    groups = [(name, rows) for name, rows in _groups(cases, "sequence") if name]
    table: list[Row] = []
    for name, rows in [*groups, (ALL, list(cases))]:
        patients = patient_rows(rows)
        row: Row = {"sequence": name, "patients": len(patients), "cases": len(rows)}
        for key, numbers in _statistics(patients).items():
            row |= {
                f"{key}_{part}": math.nan if (value := numbers[part]) is None else value
                for part in ("mean", "median", "n")
            }
        table.append(row)
    return table


def mean(values: Iterable[float]) -> float:
    """Mean of the defined values; NaN if there is none."""
    defined = [value for value in values if not math.isnan(value)]
    return math.fsum(defined) / len(defined) if defined else math.nan


def write_tables(evaluation: Evaluation, folder: Path) -> None:
    """Write ``cases.csv``, ``patients.csv``, ``sequences.csv`` and ``summary.json``."""
    for name in ("cases", "patients", "sequences"):
        _write_csv(getattr(evaluation, name), folder / f"{name}.csv")
    text = json.dumps(evaluation.summary, indent=2, allow_nan=False)
    (folder / "summary.json").write_text(text + "\n", encoding="utf-8")


def _write_csv(rows: Sequence[Row], path: Path) -> None:
    """Write rows with equal keys; an undefined value is an empty cell."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(rows[0])
        writer.writerows([_cell(value) for value in row.values()] for row in rows)


def _cell(value: Value) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return str(value)


def _groups(rows: Sequence[Row], key: str) -> list[tuple[str, list[Row]]]:
    """Rows by the value of one column, ordered by that value."""
    names = sorted({str(row[key]) for row in rows})
    return [(name, [row for row in rows if row[key] == name]) for name in names]


def _column(rows: Sequence[Row], key: str) -> list[float]:
    return [float(row[key]) for row in rows]


def _statistics(rows: Sequence[Row]) -> dict[str, dict[str, float | int | None]]:
    """Mean, median, extremes and number of defined values of every measure."""
    table: dict[str, dict[str, float | int | None]] = {}
    for key in _NAMES:
        defined = [value for value in _column(rows, key) if not math.isnan(value)]
        table[key] = {"mean": None, "median": None, "min": None, "max": None, "n": len(defined)}
        if defined:
            middle = statistics.median(defined)
            extremes = {"min": min(defined), "max": max(defined)}
            table[key] |= {"mean": mean(defined), "median": middle, **extremes}
    return table


def _empty_masks(cases: Sequence[Row]) -> dict[str, int]:
    """Count the cases to which a rule for empty masks was applied."""
    empty = [(row["reference_ml"] == 0, row["predicted_ml"] == 0) for row in cases]
    return {
        "reference_and_prediction": empty.count((True, True)),
        "reference_only": empty.count((True, False)),
        "prediction_only": empty.count((False, True)),
    }


def _versions() -> dict[str, str]:
    names = ("nnunetv2", "numpy", "SimpleITK")
    return {"nnunet_pst": __version__} | {name: metadata.version(name) for name in names}
