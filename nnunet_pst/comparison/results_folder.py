"""A comparison as ``nnunet_pst compare`` left it in a folder, read and checked as a whole."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nnunet_pst.comparison.results import (
    CaseRow,
    ComparedMeasure,
    Comparison,
    Difference,
    DistanceScore,
    MeanInterval,
    ReaderRow,
    ScoredFile,
)
from nnunet_pst.errors import Fault, InputError, Problem
from nnunet_pst.evaluation.metrics.measures import MEASURES
from nnunet_pst.io.checked_tables import is_plain_name, number, read_object, read_rows, read_table

_DESCRIPTION = "comparison.json"
_CASE_COLUMNS = ("method", "repeat", "case", "patient", "sequence")


def read_comparison(folder: Path) -> Comparison:
    """Read a folder that ``nnunet_pst compare`` wrote.

    Raises
    ------
    InputError
        With a line for each file that is missing or can't be used.
    """
    if not (folder / _DESCRIPTION).is_file():
        raise InputError(
            f"{folder}: holds no {_DESCRIPTION}; give a folder that `nnunet_pst compare` wrote",
            Fault.MISSING,
        )
    problems: list[Problem] = []
    facts = read_object(folder / _DESCRIPTION, problems)
    methods = _methods(facts, problems)
    measures = _measures(facts)
    cases = _cases(folder / "cases.csv", measures, problems)
    strangers = sorted({case.method for case in cases} - set(methods)) if methods else []
    problems += [
        Problem(f"cases.csv: method {name!r} is not in {_DESCRIPTION}", Fault.UNEXPECTED)
        for name in strangers
    ]
    intervals = read_rows(MeanInterval, folder / "intervals.csv", problems)
    differences = read_rows(Difference, folder / "differences.csv", problems)
    readers = folder / "readers.csv"
    reader_rows = read_rows(ReaderRow, readers, problems) if readers.exists() else []
    scored = folder / "files.csv"
    files = read_rows(ScoredFile, scored, problems) if scored.exists() else []
    distances = {
        method: [
            score
            for path in evaluation_files(folder, method, "window_distance.csv")
            for score in read_rows(DistanceScore, path, problems)
        ]
        for method in methods
        if is_plain_name(method)
    }
    if problems:
        raise InputError(problems)
    return Comparison(
        folder=folder,
        facts=facts,
        methods=methods,
        baseline=str(facts.get("baseline") or ""),
        measures=measures,
        cases=cases,
        intervals=intervals,
        differences=differences,
        distances=distances,
        digest=_digest(folder),
        readers=reader_rows,
        files=files,
    )


def evaluation_files(folder: Path, method: str, name: str) -> list[Path]:
    """Find a file of a method's evaluation, or of each of its repeats."""
    home = folder / "methods" / method
    # Folds and repeats are numbered 1, 2, ..., 10: the first that has a case is its first repeat.
    inner = sorted(home.iterdir(), key=lambda p: (len(p.name), p.name)) if home.is_dir() else []
    return [path for path in (home / name, *(p / name for p in inner)) if path.is_file()]


def _methods(facts: Mapping[str, Any], problems: list[Problem]) -> tuple[str, ...]:
    listed = facts.get("methods")
    methods = tuple(str(name) for name in listed) if isinstance(listed, list | dict) else ()
    if not methods and not problems:
        text = f"{_DESCRIPTION}: names no methods; make the comparison anew"
        problems.append(Problem(text, Fault.EMPTY))
    problems += [
        Problem(f"{_DESCRIPTION}: method {name!r} is not a plain folder name", Fault.UNTRUSTED)
        for name in methods
        if not is_plain_name(name)
    ]
    return methods


def _measures(facts: Mapping[str, Any]) -> dict[str, ComparedMeasure]:
    """Measures that were compared, then all others that an evaluation declares."""
    described = facts.get("measures")
    measures = {}
    for name, entry in described.items() if isinstance(described, dict) else ():
        fields: Mapping[str, Any] = entry if isinstance(entry, dict) else {}
        best = fields.get("best")
        value = float(best) if isinstance(best, int | float) else None
        measures[str(name)] = ComparedMeasure(str(name), str(fields.get("unit", "1")), value)
    others = {one.name: ComparedMeasure(one.name, one.unit, one.best) for one in MEASURES}
    return measures | {name: one for name, one in others.items() if name not in measures}


def _cases(
    path: Path, measures: Mapping[str, ComparedMeasure], problems: list[Problem]
) -> list[CaseRow]:
    rows: Sequence[dict[str, str]] = read_table(path, (*_CASE_COLUMNS, "dice"), problems)
    return [
        CaseRow(
            method=row["method"],
            repeat=row["repeat"],
            case=row["case"],
            patient=row["patient"],
            sequence=row["sequence"],
            values={
                name: number(row[name], name, path, problems) for name in measures if name in row
            },
        )
        for row in rows
    ]


def _digest(folder: Path) -> str:
    total = hashlib.sha256()
    for name in (_DESCRIPTION, "cases.csv", "intervals.csv", "differences.csv", "readers.csv"):
        if (folder / name).exists():
            total.update((folder / name).read_bytes())
    return total.hexdigest()[:16]
