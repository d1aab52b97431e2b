"""The paragraph, the definitions and the LaTeX table that a report gives to copy."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from nnunet_pst.comparison.results_folder import read_comparison
from nnunet_pst.evaluation.metrics.definitions import definition
from nnunet_pst.evaluation.metrics.measures import MEASURES
from nnunet_pst.report.analysis import definitions_table, methods_paragraph, repeats_table
from nnunet_pst.report.facts_in_words import reading_of_intervals
from nnunet_pst.report.latex import as_latex, escaped
from nnunet_pst.report.tables import Cell, Table
from report_example import Example


@pytest.mark.parametrize(
    "measure", [m for m in MEASURES if m.best is not None], ids=lambda m: m.name
)
def test_every_measure_with_a_best_value_is_defined(measure):
    assert definition(measure.name) is not None


def test_the_tolerance_is_in_the_formula():
    assert "4.5 mm" in definition("nsd_4.5mm").formula


def test_the_paragraph_says_what_was_done(whole: Example):
    one = read_comparison(whole.comparison)
    text = methods_paragraph(one)
    assert "6 patients (12 cases)" in text
    assert "Each method was compared with 2d by paired differences" in text
    assert "with a margin of 0.05, one-sided at 2.5 %" in text
    alone = replace(one, methods=("2d",), facts={})
    assert "margin" not in methods_paragraph(alone)
    assert "1 method (2d) was evaluated" in methods_paragraph(alone)


def test_definitions_are_those_of_the_measures_with_a_best_value(whole: Example):
    table = definitions_table(read_comparison(whole.comparison))
    names = [row[0].text for row in table.rows]
    assert names[:3] == ["tumors found", "Dice of found tumors", "Dice"]
    assert "reference volume" not in names
    assert all(len(row) == len(table.head) for row in table.rows)


def test_seeds_are_shown_with_their_spread(whole: Example):
    one = read_comparison(whole.comparison)
    assert repeats_table(one) is None
    again = [
        replace(case, repeat="2", values={**case.values, "dice": case.values["dice"] / 2})
        for case in one.cases
        if case.method == "2d"
    ]
    table = repeats_table(replace(one, cases=[*one.cases, *again]))
    cells = {row[0].text: [cell.text for cell in row[1:]] for row in table.rows}
    first, second = (float(text) for text in cells["2d"][1].split(", "))
    assert cells["2d"][0] == "2"
    assert second == pytest.approx(first / 2, abs=0.001)
    assert float(cells["2d"][2]) == pytest.approx((first - second) / math.sqrt(2), abs=0.001)
    assert cells["2d_5"][0] == "1"


def test_latex_is_escaped():
    table = Table("A_B", ["x", "y"], [[Cell("50 %"), Cell("\N{MINUS SIGN}1", "n = 3")]], "C & D")
    assert as_latex(table).splitlines() == [
        r"\begin{table}",
        r"\caption{A\_B. C \& D}",
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"x & y \\",
        r"\midrule",
        r"50 \% & $-$1 (n = 3) \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    assert escaped("a\\input{x}~^") == (
        r"a\textbackslash{}input\{x\}\textasciitilde{}\textasciicircum{}"
    )


@pytest.mark.parametrize(("low", "said"), [(2.0, True), (math.nan, False)])
def test_intervals_that_are_too_narrow_say_so(whole: Example, low: float, said: bool):
    comparison = read_comparison(whole.comparison)
    row = replace(comparison.intervals[0], measure="hd95_mm", low=low, high=low + 1)
    words = reading_of_intervals(replace(comparison, intervals=[row]))
    assert ("a little too narrow" in words) == said
