"""Every number that a page claims is traced to the tables beside it: the page is parsed, not built.

The tables are recomputed from the scores of the cases by pandas and scipy, which the package's own
averages, tests and intervals don't use in this way.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from page_reader import NUMBER, Page, close, number, patients, rows

METHODS = ("2d", "2d_5", "3d_fullres")
NAMES = {"Dice": "dice", "HD95 (mm)": "hd95_mm", "IoU": "iou", "Dice of found tumors": "dice_found"}


def test_every_mean_of_the_page_is_that_of_the_cases(compared: tuple[Page, Path]):
    page, output = compared
    table = page.tables["Means of the compared measures"]
    methods = [cell[0] for cell in table[0][1:]]
    assert methods == list(METHODS)
    seen = set()
    for row in table[1:]:
        name = NAMES.get(row[0][0])
        if name is None:
            continue
        seen.add(name)
        means = patients(output, name)
        for method, cell in zip(methods, row[1:], strict=True):
            assert close(cell[0], means[method].mean()), (name, method)
            assert cell[1].endswith(f"n = {means[method].notna().sum()}")
    assert seen == set(NAMES.values())


def test_the_intervals_of_the_page_are_those_of_the_table(compared: tuple[Page, Path]):
    page, output = compared
    (dice,) = (row for row in page.tables["Means of the compared measures"] if row[0][0] == "Dice")
    known = {
        row["method"]: row
        for row in rows(output / "intervals.csv")
        if (row["measure"], row["stratum"]) == ("dice", "all")
    }
    for method, cell in zip(METHODS, dice[1:], strict=True):
        low, high = re.findall(NUMBER, cell[1])[:2]
        assert close(low, float(known[method]["low"]))
        assert close(high, float(known[method]["high"]))
    (distance,) = (
        row for row in page.tables["Means of the compared measures"] if row[0][0] == "HD95 (mm)"
    )
    assert all(cell[1].startswith("too few for an interval") for cell in distance[1:])


def test_tumors_found_are_counted_in_the_cases(compared: tuple[Page, Path]):
    page, output = compared
    cases = pd.read_csv(output / "cases.csv")
    (found,) = (
        row for row in page.tables["Means of the compared measures"] if row[0][0] == "tumors found"
    )
    for method, cell in zip(METHODS, found[1:], strict=True):
        own = cases[(cases["method"] == method) & cases["found"].notna()]
        assert cell[0] == f"{int(own['found'].sum())} of {len(own)} cases"


@pytest.mark.parametrize("method", METHODS[1:])
def test_what_was_found_is_said_with_the_numbers_of_scipy(compared: tuple[Page, Path], method: str):
    page, output = compared
    text = " ".join(page.paragraphs[f"{method} against 2d"])
    dice = patients(output, "dice")
    gains = dice[method] - dice["2d"]
    said = re.search(
        rf"difference in Dice ({NUMBER}) \(({NUMBER}) to ({NUMBER})\) over (\d+)", text
    )
    assert said is not None
    assert close(said[1], gains.mean())
    assert int(said[4]) == len(gains)
    wins = re.search(r"it wins in (\d+), ties in (\d+) and loses in (\d+)", text)
    assert [int(n) for n in wins.groups()] == [
        *((gains > 1e-6).sum(), (gains.abs() <= 1e-6).sum(), (gains < -1e-6).sum()),
    ]
    p = re.search(r"signed-rank test p = ([\d.]+)", text)
    assert close(p[1], stats.wilcoxon(gains, method="exact").pvalue)
    known = next(
        row
        for row in rows(output / "differences.csv")
        if (row["measure"], row["stratum"], row["method"]) == ("dice", "all", method)
    )
    assert close(said[2], float(known["low"]))
    assert close(said[3], float(known["high"]))
    shown = float(known["p_holm"]) < 0.05 and float(known["p_mean_holm"]) < 0.05
    assert ("No difference in Dice was shown" in text) == (not shown)
    verdict = "Non-inferior:" if known["noninferior"] == "yes" else "Non-inferiority not shown:"
    assert verdict in text
    assert (known["noninferior"] == "yes") == (float(known["p_noninferior"]) < 0.025)


def test_corrections_are_those_of_statsmodels(compared: tuple[Page, Path]):
    _, output = compared
    family = [
        row
        for row in rows(output / "differences.csv")
        if row["stratum"] == "all" and row["measure"] in {"dice", "hd95_mm"}
    ]
    for name in ("p", "p_mean"):
        tested = [row for row in family if row[name]]
        expected = multipletests([float(row[name]) for row in tested], method="holm")[1]
        assert [float(row[f"{name}_holm"]) for row in tested] == pytest.approx(
            list(expected), abs=2e-6
        )
    assert not any(row["p_mean"] for row in family if row["measure"] == "hd95_mm")


def test_limits_of_agreement_of_the_page(compared: tuple[Page, Path]):
    page, output = compared
    cases = pd.read_csv(output / "cases.csv")
    for row in page.tables["Volume: bias and limits of agreement"][1:]:
        own = cases[cases["method"] == row[0][0]]
        difference = own["predicted_ml"] - own["reference_ml"]
        assert close(row[1][0], difference.mean())
        assert row[3][0] == str(len(own))
        # Two cases a patient: the mean squares of a one-way analysis of variance, by scipy's F.
        groups = [values.to_numpy() for _, values in difference.groupby(own["patient"])]
        assert {len(group) for group in groups} == {2}
        within = sum(group.var(ddof=1) for group in groups) / len(groups)
        between = within * stats.f_oneway(*groups).statistic
        reach = 1.959964 * math.sqrt(max(0.0, (between - within) / 2) + within)
        low, high = re.findall(NUMBER, row[2][0])
        assert close(low, difference.mean() - reach)
        assert close(high, difference.mean() + reach)


def test_a_number_that_is_changed_on_the_page_is_found(compared: tuple[Page, Path]):
    page, output = compared
    (dice,) = (row for row in page.tables["Means of the compared measures"] if row[0][0] == "Dice")
    wrong = f"{number(dice[1][0]) + 0.001:.3f}"
    assert not close(wrong, patients(output, "dice")["2d"].mean())
