"""Strategies, names, budgets, and the paper's tables as lists of methods."""

from __future__ import annotations

from collections import Counter

import pytest

from nnunet_pst.errors import Fault, InputError
from nnunet_pst.experiments.sweep_plan import (
    Budget,
    Job,
    Method,
    Strategy,
    input_strategies,
    methods_of_table,
    parse_strategy,
)

FOUR = ("T1", "T2", "DWI", "CET1")


def test_the_papers_fourteen_strategies():
    strategies = input_strategies(FOUR)
    assert Counter(len(one.sequences) for one in strategies) == {1: 4, 2: 6, 3: 4}
    assert len(set(strategies)) == 14
    assert strategies[4].label == "T1+T2"


@pytest.mark.parametrize(
    ("text", "label", "tested"),
    [
        ("all", "T1+T2+DWI+CET1", FOUR),
        ("DWI+T1", "T1+DWI", ("T1", "DWI")),
        ("fusion:T2+CET1", "fusion:T2+CET1", ("T2",)),
        ("fusion:CET1+T2", "fusion:CET1+T2", ("CET1",)),
    ],
)
def test_strategies_are_read(text: str, label: str, tested: tuple[str, ...]):
    strategy = parse_strategy(text, FOUR)
    assert (strategy.label, strategy.tested) == (label, tested)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("T9", Fault.UNKNOWN_NAME),
        ("T1+T1", Fault.REPEATED),
        ("fusion:T2", Fault.TOO_FEW),
        ("", Fault.UNKNOWN_NAME),
        ("fusion:T2+T2", Fault.REPEATED),
        ("T1,T2", Fault.UNKNOWN_NAME),
    ],
)
def test_a_wrong_strategy_is_refused(text: str, fault: Fault):
    with pytest.raises(InputError) as caught:
        parse_strategy(text, FOUR)
    assert caught.value.fault is fault


@pytest.mark.parametrize(
    ("base", "text", "name"),
    [
        ("DatasetPST", "all", "DatasetPST"),
        ("DatasetPST", "T1+T2", "DatasetPST_T1_T2"),
        ("DatasetPST", "fusion:T2+CET1", "DatasetPST_fusion_T2_CET1"),
        # A second folder with the number would make nnU-Net refuse both.
        ("Dataset501_PST", "all", "Dataset501_PST"),
        ("Dataset501_PST", "T1", "DatasetPST_T1"),
    ],
)
def test_names_of_datasets(base: str, text: str, name: str):
    assert parse_strategy(text, FOUR).dataset(base, FOUR) == name


def test_every_strategy_has_a_dataset_of_its_own():
    strategies = [*input_strategies(FOUR), parse_strategy("all", FOUR)]
    strategies.append(Strategy("fusion", ("T2", "CET1")))
    names = {one.dataset("DatasetPST", FOUR) for one in strategies}
    assert len(names) == len(strategies) == 16


def test_the_papers_tables():
    table2 = methods_of_table("2", FOUR)
    assert [one.configuration for one in table2] == ["3d_fullres", "2d_mobilenetv2", "2d_5"]
    assert {one.strategy.label for one in table2} == {"T1+T2+DWI+CET1"}
    assert len(methods_of_table("3", FOUR)) == 14
    assert len(methods_of_table("3", FOUR, ["2d", "2d_5"])) == 28
    table4 = methods_of_table("4", FOUR)
    assert [one.strategy.label for one in table4] == ["T1+T2+DWI+CET1", "fusion:T2+CET1"]
    # The all-sequence model of table 4 is the 2.5D model of table 2: trained once.
    assert table4[0] == table2[2]


def test_a_cohort_without_the_papers_sequences():
    with pytest.raises(InputError) as caught:
        methods_of_table("4", ("T1", "T2"))
    assert caught.value.fault is Fault.MISSING
    with pytest.raises(InputError) as caught:
        methods_of_table("3", ("T1",))
    assert caught.value.fault is Fault.TOO_FEW


@pytest.mark.parametrize(
    ("budget", "text", "ours", "stock"),
    [
        (Budget(), "full", "nnUNetTrainerPST25D", "nnUNetTrainer"),
        (Budget(30), "30 seconds", "nnUNetTrainerPST25DSeconds", "nnUNetTrainerSeconds"),
        (Budget(epochs=5), "5 epochs", "nnUNetTrainerPST25D_5epochs", "nnUNetTrainer_5epochs"),
    ],
)
def test_budgets_name_trainers(budget: Budget, text: str, ours: str, stock: str):
    assert str(budget) == text
    assert Budget.read(text) == budget
    assert budget.trainer(ours=True) == ours
    assert budget.trainer(ours=False) == stock


def test_the_name_of_a_job_tells_it_from_every_other():
    method = Method(parse_strategy("T1+T2", FOUR), "2d_5")
    jobs = {
        Job(method, "DatasetPST_T1_T2", "nnUNetTrainerPST25D", fold, seed).name
        for fold in (0, 1)
        for seed in (1, 2)
    }
    assert len(jobs) == 4
    assert "DatasetPST_T1_T2__2d_5__fold_0__seed_1" in jobs
