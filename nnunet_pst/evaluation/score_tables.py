"""Tables of scores: from cases to patients to the cohort, and how they are written.

`averaging` says in which order. Every mean comes with the number of patients behind it.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, TypeAlias

from nnunet_pst import __version__
from nnunet_pst.evaluation.averaging import CaseValue, mean, patient_means
from nnunet_pst.evaluation.metrics.measures import (
    DEFAULT_TOLERANCES_MM,
    MEASURES,
    Measure,
    measures,
)
from nnunet_pst.evaluation.metrics.window_distance import BINS, AtDistance, pooled
from nnunet_pst.evaluation.references import ReferenceCase, References
from nnunet_pst.io.atomic_files import fill
from nnunet_pst.io.csv_text import csv_text

Value: TypeAlias = str | int | float
Row: TypeAlias = dict[str, Value]
#: Columns of tables by case or patient that are not measures.
_KEYS = frozenset(("case", "patient", "sequence", "class", "cases"))
#: ``window_distance.csv``: no case may have a row, so they can't be read off one.
_DISTANCE_COLUMNS = (
    *("case", "patient", "sequence", "distance_slices", "slices"),
    *("tp", "fp", "fn", "dice", "recall"),
)
#: The row of ``sequences.csv`` that averages over all sequences.
ALL = "all"


@dataclass(frozen=True)
class Evaluation:
    """Rows of the tables, and the summary.

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
    distances
        A row per case and distance from the annotated window: voxels, Dice, recall.
    measures
        What the columns mean, in their order.
    kept
        Cases that an earlier, interrupted evaluation had scored.
    classes
        A row per case and class, where the labels have several: case, patient, sequence, class,
        then every measure. All other rows are of the classes together.
    """

    cases: list[Row]
    patients: list[Row]
    sequences: list[Row]
    summary: dict[str, Any]
    distances: list[Row] = field(default_factory=list)
    measures: tuple[Measure, ...] = MEASURES
    kept: int = 0
    classes: list[Row] = field(default_factory=list)

    @property
    def long(self) -> list[Row]:
        """A row per case and measure: case, patient, sequence, measure, unit, value."""
        return [
            {key: row[key] for key in ("case", "patient", "sequence")}
            | {"measure": measure.name, "unit": measure.unit, "value": row[measure.name]}
            for row in self.cases
            for measure in self.measures
        ]


def evaluate_scores(
    references: References,
    values: Mapping[str, Mapping[str, float]],
    distances: Mapping[str, Sequence[AtDistance]],
    *,
    classes: Mapping[str, Mapping[str, Mapping[str, float]]] | None = None,
    tolerances_mm: Sequence[float] = DEFAULT_TOLERANCES_MM,
) -> Evaluation:
    """Average the measures of all cases.

    Parameters
    ----------
    references
        What was scored against.
    values
        `metrics.case.measure_case` of every case, by case name.
    distances
        `metrics.window_distance.by_distance` of every case, by case name.
    classes
        As ``values``, for each class of a case; empty where there is one class.
    tolerances_mm
        Tolerances of the normalized surface distance.
    """
    cases: list[Row] = [{**_keys(case), **values[case.name]} for case in references.cases]
    patients = patient_rows(cases)
    declared = measures(tolerances_mm)
    by_class = _class_rows(references, classes or {})
    summary = {
        **_subject(references, patients),
        "tolerances_mm": list(tolerances_mm),
        "label_rules": dict(references.label_rules),
        "cases_with_unknown_voxels": sum(float(row["known_share"]) < 1 for row in cases),
        "empty_masks": _empty_masks(cases),
        "detection": detection(cases),
        "measures": {measure.name: asdict(measure) for measure in declared},
        "averaging": "mean of each patient's cases, then over patients; undefined values left out",
        "overall": _statistics(patients),
        "sequences": _by_group(cases, "sequence"),
        "window_distance": {
            name: _statistics(patient_rows(_at_distances(references, distances, first, last)))
            for name, first, last in BINS
        },
        "versions": _versions(),
    }
    if by_class:
        summary["classes"] = _by_group(by_class, "class")
    return Evaluation(
        cases,
        patients,
        sequence_rows(cases),
        summary,
        distances=distance_rows(references, distances),
        measures=declared,
        classes=by_class,
    )


def _subject(references: References, patients: Sequence[Row]) -> dict[str, Any]:
    """Say in a summary what was scored; not the folder, which may be named after a patient."""
    return {
        "dataset": references.name,
        "split": references.split,
        "cases": len(references.cases),
        "patients": len(patients),
        "window_slices": references.window,
    }


def _by_group(rows: Sequence[Row], key: str) -> dict[str, Any]:
    """Give the statistics over patients for each value of a column that is not empty."""
    groups = _groups(rows, key)
    return {name: _statistics(patient_rows(part)) for name, part in groups if name}


def _class_rows(
    references: References, classes: Mapping[str, Mapping[str, Mapping[str, float]]]
) -> list[Row]:
    """Lay out the measures of every case and class."""
    return [
        _keys(case) | {"class": name} | dict(values)
        for case in references.cases
        for name, values in classes.get(case.name, {}).items()
    ]


def distance_rows(
    references: References, distances: Mapping[str, Sequence[AtDistance]]
) -> list[Row]:
    """Lay out the agreement of every case at every distance from the annotated window."""
    table: list[Row] = []
    for case in references.cases:
        for row in distances[case.name]:
            scores: Row = {"dice": row.dice, "recall": row.recall}
            table.append(_keys(case) | asdict(row) | scores)
    return table


def _at_distances(
    references: References,
    distances: Mapping[str, Sequence[AtDistance]],
    first: int,
    last: int | None,
) -> list[Row]:
    """Dice and recall of every case over the slices of a range of distances."""
    table: list[Row] = []
    for case in references.cases:
        part = pooled(distances[case.name], first, last)
        table.append(_keys(case) | {"dice": part.dice, "recall": part.recall})
    return table


def _keys(case: ReferenceCase) -> Row:
    return {"case": case.name, "patient": case.patient, "sequence": case.sequence}


def patient_rows(cases: Sequence[Row]) -> list[Row]:
    """Average the cases of each patient; rows are ordered by patient."""
    means = {
        key: patient_means(
            CaseValue(str(row["patient"]), str(row["case"]), float(row[key])) for row in cases
        )
        for key in _measured(cases)
    }
    table: list[Row] = []
    for name, rows in _groups(cases, "patient"):
        row: Row = {"patient": name, "cases": len(rows)}
        table.append(row | {key: means[key][name] for key in means})
    return table


def sequence_rows(cases: Sequence[Row]) -> list[Row]:
    """Average over the patients of each sequence, and over all patients in the row ``all``."""
    groups = [(name, rows) for name, rows in _groups(cases, "sequence") if name]
    table: list[Row] = []
    for name, rows in [*groups, (ALL, list(cases))]:
        patients = patient_rows(rows)
        row: Row = {"sequence": name, "patients": len(patients), "cases": len(rows)}
        found = detection(rows)
        row |= {key: found[key] for key in ("found_cases", "tumor_cases")}
        for key, numbers in _statistics(patients).items():
            row |= {
                f"{key}_{part}": math.nan if (value := numbers[part]) is None else value
                for part in ("mean", "median", "n")
            }
        table.append(row)
    return table


def detection(cases: Sequence[Row]) -> dict[str, Any]:
    """Count tumors that were found, and what was found where there is none.

    Parameters
    ----------
    cases
        With the columns ``patient``, ``case``, ``found``, ``false_alarms`` and ``specificity``.

    Returns
    -------
    dict
        ``found_cases`` of ``tumor_cases``; ``tumor_free_patients`` and ``tumor_free_cases`` with
        ``false_alarms_per_patient`` (predicted lesions) and ``specificity`` (share of patients
        without one), means over patients; None without such patients.
    """
    known = [float(row["found"]) for row in cases if not math.isnan(float(row["found"]))]
    free = [row for row in cases if not math.isnan(float(row["specificity"]))]
    alarms, specificity = (
        patient_means(
            CaseValue(str(row["patient"]), str(row["case"]), float(row[name])) for row in free
        )
        for name in ("false_alarms", "specificity")
    )
    return {
        "found_cases": round(sum(known)),
        "tumor_cases": len(known),
        "tumor_free_patients": len(alarms),
        "tumor_free_cases": len(free),
        "false_alarms_per_patient": mean(alarms.values()) if free else None,
        "specificity": mean(specificity.values()) if free else None,
    }


def write_tables(evaluation: Evaluation, folder: Path) -> None:
    """Write all tables as CSV, and ``summary.json``.

    ``cases.csv``, ``patients.csv`` and ``sequences.csv`` have a column per measure; ``long.csv``
    has a row per case and measure, ``window_distance.csv`` one per case and distance, and
    ``classes.csv``, where the labels have several classes, one per case and class.
    """
    tables = {"cases": evaluation.cases, "patients": evaluation.patients}
    tables |= {"sequences": evaluation.sequences, "long": evaluation.long}
    if evaluation.classes:
        tables["classes"] = evaluation.classes
    for name, rows in tables.items():
        write_csv(rows, list(rows[0]), folder / f"{name}.csv")
    write_csv(evaluation.distances, _DISTANCE_COLUMNS, folder / "window_distance.csv")
    text = json.dumps(evaluation.summary, indent=2, allow_nan=False)
    fill(folder / "summary.json", f"{text}\n".encode())


def write_csv(rows: Sequence[Row], columns: Sequence[str], path: Path) -> None:
    """Write some columns of rows as a table; an undefined value is an empty cell."""
    cells = ([_cell(row[column]) for column in columns] for row in rows)
    fill(path, csv_text([columns, *cells]).encode())


def _cell(value: Value) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return str(value)


def _groups(rows: Sequence[Row], key: str) -> list[tuple[str, list[Row]]]:
    """Rows by the value of one column, ordered by that value."""
    names = sorted({str(row[key]) for row in rows})
    return [(name, [row for row in rows if row[key] == name]) for name in names]


def _measured(rows: Sequence[Row]) -> list[str]:
    """Columns that hold measures."""
    return [key for key in rows[0] if key not in _KEYS]


def _column(rows: Sequence[Row], key: str) -> list[float]:
    return [float(row[key]) for row in rows]


def _statistics(rows: Sequence[Row]) -> dict[str, dict[str, float | int | None]]:
    """Mean, median, extremes and number of defined values of every measure."""
    table: dict[str, dict[str, float | int | None]] = {}
    for key in _measured(rows):
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
    names = ("nnunetv2", "numpy", "scipy", "SimpleITK")
    return {"nnunet_pst": __version__} | {name: metadata.version(name) for name in names}
