"""Folds when a dataset is planned, and planned again after its patients have changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nnunet_pst.dataset.training_record import check_not_learned
from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.case_table import cases_of_dataset
from nnunet_pst.labels import LABEL_VALUES
from nnunet_pst.nnunet.folds import plan_folds
from nnunet_pst.nnunet.planning import PlanningSettings, plan_dataset
from planning_example import (
    DATASET,
    become_test,
    leave_training,
    splits_of,
    write_cases,
)


def test_existing_folds_that_separate_a_patients_cases_are_refused(planned_by_the_host: Path):
    splits = [{"train": ["PST_0000_T1"], "val": ["PST_0000_T2", "PST_0001_T1"]}]
    (planned_by_the_host / "splits_final.json").write_text(json.dumps(splits))
    with pytest.raises(InputError) as caught:
        plan_dataset(DATASET, PlanningSettings(extend=True))
    assert caught.value.fault is Fault.LEAK
    assert "PST_0000;" in str(caught.value)
    plans = json.loads((planned_by_the_host / "nnUNetPlans.json").read_text())
    assert list(plans["configurations"]) == ["2d"]


def test_existing_folds_keep_their_sides_and_every_change_is_said(planned_by_the_host: Path):
    own = [{"train": ["PST_0000_T1", "PST_0000_T2"], "val": ["PST_0001_T1"]}]
    (planned_by_the_host / "splits_final.json").write_text(json.dumps(own))
    result = plan_dataset(DATASET, PlanningSettings(extend=True))
    assert result.folds == 1
    (fold,) = splits_of(planned_by_the_host)
    assert fold["val"] == ["PST_0001_T1", "PST_0001_T2"]
    assert fold["train"][:2] == own[0]["train"]
    assert any("new: PST_0002" in line for line in result.decisions)
    assert any("PST_0001_T2" in line for line in result.decisions)


def test_a_patient_who_became_a_test_patient_leaves_the_folds(
    planned_by_the_host: Path, tmp_path: Path
):
    plan_dataset(DATASET, PlanningSettings(extend=True))
    become_test(tmp_path / "nnUNet_raw" / DATASET, "PST_0003")
    result = plan_dataset(DATASET, PlanningSettings(extend=True))
    folds = splits_of(planned_by_the_host)
    assert not [c for f in folds for side in f for c in f[side] if "PST_0003" in c]
    assert any("test patients now" in line and "PST_0003" in line for line in result.decisions)


@pytest.mark.parametrize("fold", ["0", "all"])
def test_a_finished_training_is_not_contradicted_unasked(
    planned_by_the_host: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fold: str
):
    monkeypatch.setenv("nnUNet_results", str(tmp_path / "results"))
    plan_dataset(DATASET, PlanningSettings(extend=True))
    before = splits_of(planned_by_the_host)
    trained = before[0]["train"][0].rpartition("_")[0]
    folder = tmp_path / "results" / DATASET / "T__nnUNetPlans__2d_5" / f"fold_{fold}"
    folder.mkdir(parents=True)
    (folder / "checkpoint_best.pth").touch()
    become_test(tmp_path / "nnUNet_raw" / DATASET, trained)
    with pytest.raises(InputError) as caught:
        plan_dataset(DATASET, PlanningSettings(extend=True))
    assert caught.value.fault is Fault.LEAK
    assert trained in str(caught.value)
    assert splits_of(planned_by_the_host) == before
    result = plan_dataset(DATASET, PlanningSettings(extend=True, overwrite_folds=True))
    assert any(line.startswith("folds: accepted: ") for line in result.decisions)
    assert not [c for f in splits_of(planned_by_the_host) for c in f["train"] if trained in c]


def test_a_patient_who_comes_back_as_a_test_patient_is_remembered(
    with_results: Path, tmp_path: Path
):
    """What a training has learned from outlives the folds in which the patient was."""
    table = tmp_path / "nnUNet_raw" / DATASET / "cases.csv"
    whole = table.read_text()
    # Of a fold with two validation patients, so that no fold runs empty.
    two = {c for f in splits_of(with_results) if len(f["val"]) == 4 for c in f["val"]}
    number = next(n for n, f in enumerate(splits_of(with_results)) if min(two) in f["train"])
    learned = min(two).rpartition("_")[0]
    leave_training(tmp_path, str(number))
    kept = [line for line in whole.splitlines(keepends=True) if learned not in line]
    table.write_text("".join(kept))
    plan_dataset(DATASET, PlanningSettings(extend=True))
    table.write_text(whole)
    become_test(table.parent, learned)
    with pytest.raises(InputError) as caught:
        plan_dataset(DATASET, PlanningSettings(extend=True))
    assert f"learned from {learned}" in str(caught.value)


def test_a_training_is_not_blamed_for_patients_who_came_later(with_results: Path, tmp_path: Path):
    table = tmp_path / "nnUNet_raw" / DATASET / "cases.csv"
    before = table.read_text()
    leave_training(tmp_path)
    plan_dataset(DATASET, PlanningSettings(extend=True))
    table.write_text(before.replace(",test,", ",train,"))  # PST_0006 is trained on from now on
    plan_dataset(DATASET, PlanningSettings(extend=True))
    table.write_text(before)
    result = plan_dataset(DATASET, PlanningSettings(extend=True))
    assert not any("learned from" in line for line in result.decisions)


def test_what_was_accepted_is_said_each_time_and_refuses_nothing_more(
    with_results: Path, tmp_path: Path
):
    learned = splits_of(with_results)[0]["train"][0].rpartition("_")[0]
    fold = leave_training(tmp_path)
    become_test(tmp_path / "nnUNet_raw" / DATASET, learned)
    plan_dataset(DATASET, PlanningSettings(extend=True, overwrite_folds=True))
    result = plan_dataset(DATASET, PlanningSettings(extend=True))
    assert any(f"accepted: T__nnUNetPlans__2d_5, fold 0: learned from {learned}" in line
               for line in result.decisions)  # fmt: skip
    with pytest.raises(InputError) as caught:
        check_not_learned(fold, {learned})
    assert caught.value.fault is Fault.LEAK


def test_without_a_table_folds_are_left_to_the_host(planned_by_the_host: Path, tmp_path: Path):
    (tmp_path / "nnUNet_raw" / DATASET / "cases.csv").unlink()
    result = plan_dataset(DATASET, PlanningSettings(extend=True))
    assert result.folds == 0
    assert "left to nnU-Net" in result.decisions[-1]
    assert not (planned_by_the_host / "splits_final.json").exists()
    assert cases_of_dataset(planned_by_the_host) == []


def test_sizes_are_spread_over_the_folds(planned_by_the_host: Path, tmp_path: Path):
    write_cases(tmp_path / "nnUNet_raw" / DATASET, count=16)
    plan_dataset(DATASET, PlanningSettings(extend=True))
    splits = json.loads((planned_by_the_host / "splits_final.json").read_text())
    for fold in splits:
        sizes = sorted(int(name[4:8]) for name in fold["val"] if name.endswith("T1"))
        # 0 to 14 cm without the test patient's 6: thirds end after 4 and 10.
        assert [size > 4 for size in sizes] == [False, True, True]
        assert [size > 10 for size in sizes] == [False, False, True]


def test_one_patient_is_too_few_for_folds(planned_by_the_host: Path, tmp_path: Path):
    write_cases(tmp_path / "nnUNet_raw" / DATASET, count=1)
    with pytest.raises(InputError) as caught:
        plan_dataset(DATASET, PlanningSettings(extend=True))
    assert caught.value.fault is Fault.TOO_FEW
    assert len(caught.value.problems) == 1
    assert not (planned_by_the_host / "splits_final.json").exists()


@pytest.mark.parametrize(("count", "folds"), [(2, 2), (4, 4), (5, None), (1, Fault.TOO_FEW)])
def test_few_cases_without_a_table(tmp_path: Path, count: int, folds: int | Fault | None):
    raw = tmp_path / "raw"
    (raw / "labelsTr").mkdir(parents=True)
    (raw / "dataset.json").write_text(json.dumps({"file_ending": ".mha", "labels": LABEL_VALUES}))
    for number in range(count):
        (raw / "labelsTr" / f"c{number}.mha").touch()
    if isinstance(folds, Fault):
        with pytest.raises(InputError) as caught:
            plan_folds(raw, tmp_path / "preprocessed", None, seed=1)
        assert caught.value.fault is folds
        return
    planned = plan_folds(raw, tmp_path / "preprocessed", None, seed=1)
    assert (planned.splits and len(planned.splits)) == folds
    assert len(planned.changes) == (folds is not None)


def test_folds_without_a_table_that_miss_cases_are_told_of(tmp_path: Path):
    raw, preprocessed = tmp_path / "raw", tmp_path / "preprocessed"
    (raw / "labelsTr").mkdir(parents=True)
    preprocessed.mkdir()
    (raw / "dataset.json").write_text(json.dumps({"file_ending": ".mha"}))
    for name in "abd":
        (raw / "labelsTr" / f"{name}.mha").touch()
    splits = [{"train": ["a"], "val": ["b", "c"]}]
    (preprocessed / "splits_final.json").write_text(json.dumps(splits))
    planned = plan_folds(raw, preprocessed, None, seed=1)
    assert planned.splits == splits
    added, gone = planned.changes
    assert "(d)" in added
    assert "(c)" in gone
