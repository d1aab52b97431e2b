"""The tables of a scan: a row for each stack of each series, and a row for each patient."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

from nnunet_pst.dicom.reading.headers import RTSTRUCT, SEG
from nnunet_pst.dicom.reading.series import Series
from nnunet_pst.dicom.reading.stack_geometry import grid_of
from nnunet_pst.dicom.scan.judgments import Judgment
from nnunet_pst.dicom.scan.studies import DicomStudy
from nnunet_pst.errors import InputError
from nnunet_pst.io.csv_text import csv_text
from nnunet_pst.io.sequence_columns import USUAL_SEQUENCES


@dataclass(frozen=True)
class SeriesRow:
    """A stack of a series, or a series without images; all fields are text."""

    patient: str
    study: str
    series: str
    stack: str
    description: str
    files: str
    slices: str
    plane: str
    tilt_degrees: str
    size: str
    spacing_mm: str
    sequence: str
    decision: str
    reason: str
    rule: str
    tag: str
    value: str


def series_rows(study: DicomStudy, patient: str, number: int, note: str = "") -> list[SeriesRow]:
    """List every series of a study, with or without images.

    Parameters
    ----------
    patient
        The patient's name in the tables.
    number
        Of the study, among the patient's.
    note
        Why the whole study isn't taken; empty when it is.
    """
    rows = [_stack_row(one, patient, number, note) for one in study.judgments]
    rows += [_other_row(one, study, patient, number) for one in study.series if not one.slices]
    return sorted(rows, key=lambda row: (len(row.series), row.series))


def _stack_row(one: Judgment, patient: str, number: int, note: str) -> SeriesRow:
    stack = one.stack
    try:
        spacing = " x ".join(f"{value:.4g}" for value in grid_of(stack).spacing_xyz_mm)
    except InputError:
        spacing = ""
    taken = one.chosen and not note
    return SeriesRow(
        patient=patient,
        study=str(number),
        series=_number(stack.series),
        stack=" ".join(f"{name}={value}" for name, value in stack.key),
        description=stack.description,
        files=str(len({s.origin for s in stack.slices})),
        slices=str(len(stack.slices)),
        plane=stack.plane,
        tilt_degrees=f"{stack.tilt_degrees:.1f}",
        size=f"{stack.first.columns} x {stack.first.rows}",
        spacing_mm=spacing,
        sequence=one.sequence,
        decision="taken" if taken else "rejected",
        reason=note if one.chosen and note else one.reason,
        rule=one.verdict.rule,
        tag=one.verdict.tag,
        value=one.verdict.value,
    )


def _other_row(one: Series, study: DicomStudy, patient: str, number: int) -> SeriesRow:
    """Describe structures and segments by the series that they refer to, and other objects."""
    known = {s.uid: _number(s) for s in study.series}
    referenced = [known[uid] for uid in one.first.references if uid in known]
    if one.first.modality not in (RTSTRUCT, SEG):
        reason = "holds no images"
    elif one.first.made_here:
        reason, referenced = "made by nnunet_pst segment: nothing to learn from", []
    elif referenced:
        reason = f"drawn on series {', '.join(referenced)}"
    else:
        reason = "refers to no series of this study"
    return SeriesRow(
        **{
            **dict.fromkeys((field.name for field in fields(SeriesRow)), ""),
            "patient": patient,
            "study": str(number),
            "series": _number(one),
            "description": one.first.description,
            "files": str(len(one.instances)),
            "sequence": "none",
            "decision": "mask" if referenced else "rejected",
            "reason": reason,
            "tag": "Modality; structures",
            "value": "; ".join([one.first.modality, ", ".join(one.first.structures)]),
        }
    )


def _number(series: Series) -> str:
    number = series.first.number
    return "" if number is None else str(number)


def series_table(rows: Iterable[SeriesRow]) -> str:
    """Write the rows as CSV."""
    names = [field.name for field in fields(SeriesRow)]
    return csv_text([names, *([getattr(row, name) for name in names] for row in rows)])


def cohort_table(rows: Sequence[Mapping[str, str]]) -> str:
    """Write the rows of patients as a cohort table with the columns that are needed."""
    sequences = [name for name in USUAL_SEQUENCES if any(row.get(name) for row in rows)]
    columns = ["patient", *(c for name in sequences for c in (name, f"{name}_label"))]
    return csv_text([columns, *([row.get(c, "") for c in columns] for row in rows)])
