"""The order of averaging, and that every table and page follows it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from nnunet_pst.comparison.results import CaseRow, Comparison
from nnunet_pst.comparison.tables import means_by_patient
from nnunet_pst.evaluation.averaging import CaseValue, mean, patient_means, patients_mean
from nnunet_pst.evaluation.score_tables import patient_rows
from nnunet_pst.experiments.sweep_plan import Job, Method, Strategy
from nnunet_pst.experiments.sweep_tables import JobScore, table_rows

#: Repeat, case, Dice of one patient; one value is not defined.
ONE_UNDEFINED = (("1", "A", 0.5), ("2", "A", 0.7), ("1", "B", math.nan), ("2", "B", 0.9))


def test_repeats_are_averaged_before_cases():
    means = patient_means(CaseValue("p", case, dice) for _, case, dice in ONE_UNDEFINED)
    assert means == {"p": pytest.approx(0.75)}


def test_the_tables_of_a_comparison_follow():
    rows = [
        {"method": "m", "patient": "p", "case": case, "dice": dice}
        for _, case, dice in ONE_UNDEFINED
    ]
    assert means_by_patient(rows, "dice", "m") == {"p": pytest.approx(0.75)}


def test_the_page_follows():
    cases = [
        CaseRow("m", repeat, case, "p", "T2", {"dice": dice})
        for repeat, case, dice in ONE_UNDEFINED
    ]
    comparison = Comparison(Path(), {}, ("m",), "m", {}, cases, (), (), {}, "")
    assert comparison.patient_means("dice", "m") == {"p": pytest.approx(0.75)}


def test_the_papers_tables_follow():
    method = Method(Strategy("all-sequence", ("T2",)), "2d_5")
    jobs = [Job(method, "DatasetPST", "nnUNetTrainerPST25D", 0, seed) for seed in (1, 2)]
    scores = [
        JobScore(jobs[int(repeat) - 1], case, "p", "T2", {"dice": dice, "iou": dice})
        for repeat, case, dice in ONE_UNDEFINED
    ]
    (row,) = table_rows("3", [method], jobs=jobs, scores=scores, columns=["T2"])
    assert row.cells["T2", "dice"].mean == pytest.approx(0.75)


def test_the_tables_of_an_evaluation_follow():
    rows = [
        {"case": c, "patient": "p", "sequence": "T2", "dice": d}
        for c, d in (("A", 0.6), ("B", 0.9))
    ]
    assert patient_rows(rows)[0]["dice"] == pytest.approx(0.75)


def test_undefined_values_are_left_out_and_counted():
    values = [CaseValue("p", "A", 0.5), CaseValue("q", "B", math.nan)]
    assert patients_mean(values) == (0.5, 1)
    assert math.isnan(patient_means(values)["q"])
    assert math.isnan(mean([]))
    assert patients_mean([])[1] == 0
