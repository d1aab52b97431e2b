"""Table 1: the paper's p-values from its counts, formulas against others, and what is escaped."""

from __future__ import annotations

import csv
import math
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from nnunet_pst.cli.main import main
from nnunet_pst.report.cohort_description import (
    as_csv,
    as_html,
    as_markdown,
    as_text,
    chi_squared,
    describe_cohort,
    few_numbers,
    smd_interval,
    smd_of_categories,
    smd_of_numbers,
)

#: Counts of the paper's Table 1 (doi 10.1186/s40644-025-00850-8): training, validation, test.
PAPER = {
    "sex": ([[219, 56, 56], [181, 44, 60]], 0.414),
    "location": (
        [[80, 22, 26], [27, 12, 5], [32, 6, 7], [206, 45, 63], [55, 15, 15]],
        0.544,
    ),
    "malignancy": ([[302, 78, 86], [98, 22, 30]], 0.799),
}


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_p_values_come_out_of_its_counts(name: str):
    counts, published = PAPER[name]
    assert np.sum(counts, axis=0).tolist() == [400, 100, 116]
    assert round(chi_squared(counts)[0], 3) == published


def rows(counts: dict[str, list[int]], column: str = "sex") -> list[dict[str, str]]:
    found = []
    for level, numbers in counts.items():
        for split, number in zip(("train", "val", "test"), numbers, strict=True):
            found += [{"split": split, column: level}] * number
    return [{**row, "patient": f"P{place}"} for place, row in enumerate(found)]


def test_a_table_of_categories():
    splits, lines = describe_cohort(rows({"f": [181, 44, 60], "m": [219, 56, 56], "": [2, 0, 1]}))
    assert splits == ("train", "val", "test")
    assert [line.level for line in lines] == ["n", "f", "m", "missing"]
    assert lines[1].cells == ("181 (45.2 %)", "44 (44.0 %)", "60 (51.7 %)")
    assert lines[1].p == pytest.approx(0.41422, abs=1e-5)
    assert lines[3].cells == ("2", "0", "1")


def test_a_table_of_numbers():
    generator = np.random.default_rng(0)
    ages = {name: generator.normal(50, 12, 30) for name in ("train", "test")}
    table = [
        {"patient": f"{split}{place}", "split": split, "age": str(age)}
        for split, values in ages.items()
        for place, age in enumerate(values)
    ]
    _, lines = describe_cohort(table)
    assert lines[1].p == pytest.approx(stats.f_oneway(*ages.values()).pvalue)
    assert lines[1].smd == pytest.approx(smd_of_numbers(*ages.values()))
    pooled = math.sqrt(np.mean([np.var(v, ddof=1) for v in ages.values()]))
    assert lines[1].smd == pytest.approx(abs(ages["train"].mean() - ages["test"].mean()) / pooled)


def graded(column: str = "grade") -> list[dict[str, str]]:
    return [
        {"patient": f"p{n}", "split": ("train", "test")[n % 2], column: str(1 + n % 3)}
        for n in range(30)
    ]


def test_few_different_numbers_are_numbers_unless_they_are_called_codes():
    _, lines = describe_cohort(graded())
    assert [line.level for line in lines] == ["n", "mean (SD)", "median [range]"]
    _, lines = describe_cohort(graded(), ["grade"])
    assert [line.level for line in lines] == ["n", "1", "2", "3"]
    assert few_numbers(graded()) == ["grade"]
    two = [{**row, "grade": str(int(row["grade"] == "1"))} for row in graded()]
    assert few_numbers(two) == []
    assert [line.level for line in describe_cohort(two)[1]] == ["n", "0", "1"]


def test_the_command_asks_about_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    table = "case,patient,sequence,split,grade\n"
    table += "".join(f"c{n},p{n},T2,{'train' if n < 6 else 'test'},{n % 3}\n" for n in range(9))
    (tmp_path / "cases.csv").write_text(table)
    words = ["cohort", "--dataset", str(tmp_path)]
    assert main(words) == 0
    assert "note: grade has few different numbers" in capsys.readouterr().out
    assert main([*words, "--categories", "grade"]) == 0
    assert "note" not in capsys.readouterr().out
    assert main([*words, "--categories", "grad"]) == 1
    assert "--categories grad: is not a column of the table" in capsys.readouterr().err


def test_an_interval_of_a_difference_holds_it():
    generator = np.random.default_rng(1)
    held = []
    for _ in range(400):
        pair = generator.normal(0, 1, 40), generator.normal(0.6, 1, 30)
        low, high = smd_interval(smd_of_numbers(*pair), 40, 30)
        held.append(low <= 0.6 <= high)
    assert np.mean(held) == pytest.approx(0.95, abs=0.03)
    assert all(map(math.isnan, smd_interval(math.nan, 3, 4)))
    assert smd_interval(0.01, 20, 20)[0] == 0


def test_no_p_is_printed_as_zero():
    table = [
        {"patient": f"{split}{place}", "split": split, "age": str(place + shift)}
        for split, shift in (("train", 0), ("test", 50))
        for place in range(20)
    ]
    splits, lines = describe_cohort(table)
    assert 0 < lines[1].p < 0.001
    assert "<0.001" in as_text(splits, lines)
    assert "0.000" not in as_csv(splits, lines)
    assert "&lt;0.001" in as_html(splits, lines)


def test_two_levels_have_austins_difference():
    p, q = 0.3, 0.5
    expected = abs(p - q) / math.sqrt((p * (1 - p) + q * (1 - q)) / 2)
    assert smd_of_categories([30, 70], [50, 50]) == pytest.approx(expected)


def test_the_order_and_choice_of_levels_do_not_matter():
    one = smd_of_categories([10, 20, 30], [15, 15, 30])
    assert one == pytest.approx(smd_of_categories([30, 10, 20], [30, 15, 15]))
    assert smd_of_categories([10, 20, 30], [1, 2, 3]) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("pair", [([5, 0], [0, 5]), ([0, 0], [3, 4]), ([3], [4])])
def test_no_difference_without_a_covariance(pair):
    assert math.isnan(smd_of_categories(*pair))


def test_a_rough_test_says_so():
    assert chi_squared([[1, 2], [3, 4]])[1] == "chi-squared; expected counts below 5"
    assert math.isnan(chi_squared([[1, 2], [0, 0]])[0])


def test_strange_text_stays_text():
    splits, lines = describe_cohort(rows({"<b>|x": [3, 3, 3], "ok": [3, 3, 3]}))
    assert "<b>" not in as_html(splits, lines)
    assert "<b>" not in as_markdown(splits, lines)
    assert all(line.count("|") == 9 for line in as_markdown(splits, lines).splitlines())


def test_the_command_reads_a_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    table = "case,patient,sequence,split,sex\n"
    table += "".join(
        f"c{n},p{n},T2,{'train' if n < 6 else 'test'},{'fm'[n % 2]}\n" for n in range(9)
    )
    (tmp_path / "cases.csv").write_text(table)
    words = ["cohort", "--dataset", str(tmp_path), "-o", str(tmp_path / "out")]
    assert main(words) == 0
    assert re.search(r"^sex +f ", capsys.readouterr().out, re.MULTILINE)
    with (tmp_path / "out" / "cohort.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert lines[1]["train"] == "3 (50.0 %)"
    assert main(words) == 1
    assert "has cohort.csv already; add --overwrite" in capsys.readouterr().err


def test_what_was_observed_is_not_rounded():
    table = [
        {"patient": f"p{place}", "split": "train", "dose": str(value)}
        for place, value in enumerate((20_361, 20_207, 20_200, 20_201, 20_203, 20_205, 20_209))
    ]
    _, lines = describe_cohort(table)
    cells = [line.cells[0] for line in lines if line.characteristic == "dose"]
    assert cells == ["20227 (59.4)", "20205 [20200, 20361]"]
