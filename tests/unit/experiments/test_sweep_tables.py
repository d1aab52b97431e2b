"""The tables of a sweep, from scores that a reader can average by hand."""

from __future__ import annotations

import csv
import io
import math

from nnunet_pst.experiments.sweep_plan import (
    OWN_TABLE,
    Job,
    Method,
    Strategy,
    input_strategies,
    methods_of_table,
)
from nnunet_pst.experiments.sweep_tables import (
    JobScore,
    cases_csv,
    columns_of_table,
    scores_of_job,
    table_csv,
    table_markdown,
    table_rows,
)

FOUR = ("T1", "T2", "DWI", "CET1")
TABLE2, TABLE3, TABLE4 = (methods_of_table(name, FOUR) for name in "234")


def job(method: Method, fold: int = 0, seed: int = 1) -> Job:
    return Job(method, method.strategy.dataset("DatasetPST", FOUR), "nnUNetTrainer", fold, seed)


def score(of: Job, patient: str, sequence: str, dice: float) -> JobScore:
    values = {"dice": dice, "iou": dice / (2 - dice)}
    return JobScore(of, f"{patient}_{sequence}", patient, sequence, values)


def rows_of(table, methods, jobs, scores):
    columns = columns_of_table(table, FOUR)
    return table_rows(table, methods, jobs=jobs, scores=scores, columns=columns), columns


def test_runs_then_cases_then_patients_are_averaged():
    runs = [job(TABLE2[2], seed=seed) for seed in (1, 2)]
    scores = [score(runs[0], "A", "T1", 0.2), score(runs[1], "A", "T1", 0.4)]
    scores += [score(run, "A", "T2", 0.7) for run in runs]
    scores += [score(run, "B", "T2", 0.9) for run in runs]
    (row,), _ = rows_of("2", TABLE2[2:], runs, scores)
    assert (row.done, row.runs) == (2, 2)
    assert math.isclose(row.cells["T1", "dice"].mean, 0.3)
    assert math.isclose(row.cells["T2", "dice"].mean, 0.8)
    # A: (0.3 + 0.7) / 2, B: 0.9.
    assert math.isclose(row.cells["all", "dice"].mean, 0.7)
    assert row.cells["all", "dice"].patients == 2


def test_an_empty_reference_or_unfinished_run_is_left_out_of_its_mean():
    one = job(TABLE2[0])
    scores = [score(one, "A", "T1", math.nan), score(one, "B", "T1", 0.0)]
    (row,), _ = rows_of("2", TABLE2[:1], [one], scores)
    assert row.cells["T1", "dice"].mean == 0.0
    assert row.cells["T1", "dice"].patients == 1


def test_the_triangle_is_empty_where_nothing_was_tested():
    jobs = [job(method) for method in TABLE3]
    done = [one for one in jobs if one.method.strategy.label in ("T1", "T1+T2")]
    scores = [
        score(one, "A", sequence, 0.5) for one in done for sequence in one.method.strategy.sequences
    ]
    rows, columns = rows_of("3", TABLE3, jobs, scores)
    assert columns == FOUR
    table = list(csv.DictReader(io.StringIO(table_csv(rows, columns))))
    assert len(table) == 14
    filled = {
        (row["trained_on"], column)
        for row in table
        for column in FOUR
        if row[f"{column}_dice"] or row[f"{column}_dice_patients"]
    }
    assert filled == {("T1", "T1"), ("T1+T2", "T1"), ("T1+T2", "T2")}
    text = table_markdown("3", rows, columns, ["a note"])
    line = next(line for line in text.splitlines() if line.startswith("| DWI "))
    assert [cell.strip() for cell in line.split("|")[3:-1]] == ["0/1", "", "", "", ""]
    assert "0.000" not in text


def test_a_true_zero_is_shown():
    one = job(TABLE3[0])
    rows, columns = rows_of("3", TABLE3[:1], [one], [score(one, "A", "T1", 0.0)])
    assert "0.000 (1)" in table_markdown("3", rows, columns, [])
    assert next(csv.DictReader(io.StringIO(table_csv(rows, columns))))["T1_dice"] == "0"


def test_table_4_counts_only_patients_of_both_models():
    whole, fused = (job(method) for method in TABLE4)
    scores = [score(whole, patient, "T2", dice) for patient, dice in (("A", 0.4), ("B", 1.0))]
    scores += [score(whole, "A", "T1", 0.1), score(fused, "A", "T2", 0.6)]
    rows, columns = rows_of("4", TABLE4, [whole, fused], scores)
    assert columns == ("T2",)
    assert [row.cells["T2", "dice"].mean for row in rows] == [0.4, 0.6]
    # Without scores of the fusion, all patients of the other model count.
    rows, _ = rows_of("4", TABLE4, [whole, fused], scores[:3])
    assert math.isclose(rows[0].cells["T2", "dice"].mean, 0.7)
    assert rows[1].cells["T2", "dice"].patients == 0


def test_only_table_2_has_a_column_over_all_sequences():
    assert columns_of_table("2", FOUR) == (*FOUR, "all")
    assert columns_of_table("3", FOUR) == FOUR
    assert len(input_strategies(FOUR)) == len(TABLE3)


def test_scores_are_read_and_listed():
    one = job(TABLE4[1])
    text = "case,patient,sequence,dice,recall,iou\nA,A,T2+CET1,0.5,1,0.25\nB,B,T2+CET1,,,\n"
    scores = scores_of_job(one, text)
    assert [entry.sequence for entry in scores] == ["T2", "T2"]
    assert scores[0].values == {"dice": 0.5, "iou": 0.25}
    assert math.isnan(scores[1].values["dice"])
    listed = list(csv.DictReader(io.StringIO(cases_csv(scores))))
    assert [row["dice"] for row in listed] == ["0.5", ""]
    assert listed[0]["trained_on"] == "fusion:T2+CET1"


def test_listed_methods_count_only_patients_of_every_method():
    """Each column has patients of its own: whom every method with a score there was tested on."""
    one = Method(Strategy("all-sequence", FOUR), "2d_5")
    other = Method(Strategy("fusion", ("T2", "CET1")), "2d_5")
    jobs = [Job(one, "A", "T", 0, 1), Job(other, "B", "T", 0, 1)]
    scores = [
        JobScore(jobs[0], "a", "p", "T2", {"dice": 0.9, "iou": 0.8}),
        JobScore(jobs[0], "b", "q", "T2", {"dice": 0.1, "iou": 0.1}),
        JobScore(jobs[0], "c", "q", "T1", {"dice": 0.3, "iou": 0.2}),
        JobScore(jobs[1], "d", "p", "T2", {"dice": 0.7, "iou": 0.6}),
    ]
    first, second = table_rows(
        OWN_TABLE, [one, other], jobs=jobs, scores=scores, columns=["T1", "T2"]
    )
    assert (first.cells["T2", "dice"].mean, first.cells["T2", "dice"].patients) == (0.9, 1)
    assert (second.cells["T2", "dice"].mean, second.cells["T2", "dice"].patients) == (0.7, 1)
    assert first.cells["T1", "dice"].mean == 0.3
