"""Tables of the page besides the main ones, recomputed from cases and case table by pandas."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from scipy import stats

from page_reader import Page, close, number
from report_example import DATASET, METHODS


@pytest.fixture(scope="module")
def scored(built: Path, compared: tuple[Page, Path]) -> pd.DataFrame:
    """Every case and method with what the case table knows of it."""
    known = pd.read_csv(built / "raw" / DATASET / "cases.csv")
    cases = pd.read_csv(compared[1] / "cases.csv")
    return cases.merge(known.drop(columns=["patient", "sequence"]), on="case")


def by_patient(cases: pd.DataFrame, measure: str) -> pd.Series:
    return cases.groupby("patient")[measure].mean()


def members(scored: pd.DataFrame, group: str) -> pd.DataFrame:
    """Cases of a group as the page calls it: a word, or a range of numbers."""
    name, level = group.split(", ")
    column = {"size cm": "size_cm"}.get(name, name)
    if level in set(scored[column].astype(str)):
        return scored[scored[column].astype(str) == level]
    ends = [float(part) for part in level.replace("above", "").replace("to", "").split()]
    values = scored[column]
    if level.startswith("to"):
        return scored[values <= ends[0]]
    if level.startswith("above"):
        return scored[values > ends[0]]
    return scored[(values > ends[0]) & (values <= ends[1])]


def test_groups_are_those_of_the_case_table(
    compared: tuple[Page, Path], scored: pd.DataFrame
) -> None:
    head, *lines = compared[0].tables["Dice in groups of patients"]
    names = {line[0][0].split(", ")[0] for line in lines}
    assert names == {"sequence", "age", "sex", "size cm", "location"}
    for line in lines:
        own = members(scored, line[0][0])
        for method, cell in zip((cell[0] for cell in head[1:]), line[1:], strict=True):
            means = by_patient(own[own["method"] == method], "dice")
            assert close(cell[0], means.mean()), (line[0][0], method)
            assert cell[1].endswith(f"n = {len(means)}")


def test_differences_in_groups_are_paired_by_patient(
    compared: tuple[Page, Path], scored: pd.DataFrame
) -> None:
    _, *lines = compared[0].tables["Differences in Dice in groups of patients"]
    for line in lines:
        group, pair = line[0]
        method, baseline = pair.split(" less ")
        own = members(scored, group)
        ours, theirs = (
            by_patient(own[own["method"] == name], "dice") for name in (method, baseline)
        )
        gains = ours - theirs
        assert close(line[1][0], gains.mean()), (group, pair)
        tally = [int((gains > 1e-6).sum()), int((gains.abs() <= 1e-6).sum())]
        assert line[3][0].split(" / ")[:2] == [str(n) for n in tally]


def test_effects_are_those_of_ranks_by_scipy(
    compared: tuple[Page, Path], scored: pd.DataFrame
) -> None:
    for method in sorted(METHODS)[1:]:
        _, *lines = compared[0].tables[f"{method} less 2d"]
        (dice,) = (line for line in lines if line[0][0] == "Dice")
        gains = by_patient(scored[scored["method"] == method], "dice") - by_patient(
            scored[scored["method"] == "2d"], "dice"
        )
        ranks = stats.rankdata(gains.abs())
        effect = ranks[gains > 0].sum() - ranks[gains < 0].sum()
        assert abs(number(dice[4][0]) - effect / ranks.sum()) < 0.0051


def test_numbers_of_patients_are_those_of_the_case_table(
    built: Path, compared: tuple[Page, Path]
) -> None:
    known = pd.read_csv(built / "raw" / DATASET / "cases.csv")
    _, *lines = compared[0].tables["Flow of patients"]
    counted = {line[0][0]: (line[1][0], line[2][0]) for line in lines}
    for split, own in known.groupby("split"):
        expected = (str(own["patient"].nunique()), str(len(own)))
        assert counted[f"of these {split}"] == expected
    assert counted["in the dataset"] == (str(known["patient"].nunique()), str(len(known)))
    assert counted["compared"] == counted["of these test"]
