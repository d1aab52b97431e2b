"""The diagram of patients: numbers of each box, and who left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from nnunet_pst.comparison.results_folder import read_comparison
from nnunet_pst.dicom.scan.scanned_rows import SeriesRow, series_table
from nnunet_pst.errors import InputError
from nnunet_pst.report.dataset_facts import read_dataset
from nnunet_pst.report.patient_flow import Scanned, draw_flow, flow_steps, read_scan
from report_example import Example


def test_numbers_are_those_of_the_tables(whole: Example) -> None:
    comparison = read_comparison(whole.comparison)
    dataset = read_dataset(whole.dataset)
    patients = {row["patient"] for row in dataset.cases}
    down, splits, last = flow_steps(
        comparison, dataset, Scanned(len(patients) + 5, 99, len(patients) + 2)
    )
    assert [step.left for step in down] == [
        "",
        "no series taken\n3 patients",
        "not in the table, or not converted\n2 patients",
    ]
    assert down[-1].text == f"in the dataset\n{len(patients)} patients, {len(dataset.cases)} cases"
    assert splits[-1] == "test\n6 patients, 12 cases"
    assert (last.text, last.left) == ("compared\n6 patients, 12 cases", "")


def test_who_was_not_compared_is_beside_the_last_box(whole: Example) -> None:
    comparison = read_comparison(whole.comparison)
    gone = comparison.patients[0]
    fewer = replace(comparison, cases=[c for c in comparison.cases if c.patient != gone])
    *_, last = flow_steps(fewer, read_dataset(whole.dataset), None)
    assert last.text == "compared\n5 patients, 10 cases"
    assert last.left == "of the test split, not compared\n1 patient"


def test_a_scan_is_counted_from_its_own_table(tmp_path: Path, whole: Example) -> None:
    empty = dict.fromkeys(SeriesRow.__dataclass_fields__, "")
    rows = [("a", "taken"), ("a", "rejected"), ("b", "rejected"), ("c", "taken")]
    made = [SeriesRow(**{**empty, "patient": who, "decision": what}) for who, what in rows]
    table = tmp_path / "series.csv"
    table.write_text(series_table(made), encoding="utf-8")
    scanned = read_scan(table)
    assert scanned == Scanned(3, 4, 2)
    drawn = draw_flow(read_comparison(whole.comparison), read_dataset(whole.dataset), scanned)
    assert drawn is not None
    assert "series.csv" in drawn.caption
    table.write_text("patient\na\n", encoding="utf-8")
    with pytest.raises(InputError, match="lacks the columns decision"):
        read_scan(table)
