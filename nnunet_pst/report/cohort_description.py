"""Who is in which split: the paper's Table 1, with tests and standardized mean differences.

P-values are those of the paper: one-way analysis of variance for numbers, Pearson's chi-squared
test without Yates's correction for categories. With large cohorts they find differences that don't
matter and with small ones they miss those that do; the standardized mean difference says how large
a difference is (above 0.1 is often called imbalance).
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

from nnunet_pst.io.case_table import CASE_COLUMNS, SPLITS, rows_by_patient
from nnunet_pst.io.csv_text import csv_text
from nnunet_pst.io.number_columns import MOST_CODES, as_number
from nnunet_pst.io.rounding import short
from nnunet_pst.io.templates import render_text
from nnunet_pst.io.wording import aligned

#: A category column with more levels would print half the cohort.
_MOST_LEVELS = 20


@dataclass(frozen=True)
class Line:
    """A line of Table 1.

    Parameters
    ----------
    characteristic, level
        Column and category, or what of a number; "missing" counts patients without a value.
    cells
        A text per split.
    p, smd, smd_low, smd_high
        On the first line of a characteristic; NaN elsewhere and where they don't exist. The
        difference is the largest between any two splits, with its 95 % interval.
    test
        Which test ``p`` is of, with what it lacks.
    """

    characteristic: str
    level: str
    cells: tuple[str, ...]
    p: float = math.nan
    test: str = ""
    smd: float = math.nan
    smd_low: float = math.nan
    smd_high: float = math.nan


def describe_cohort(
    rows: Sequence[Mapping[str, str]], categories: Collection[str] = ()
) -> tuple[tuple[str, ...], list[Line]]:
    """Describe the patients of each split.

    Parameters
    ----------
    rows
        Rows of a case table, or one per patient: ``patient``, ``split``, covariates. A covariate
        belongs to the patient: the first row that has a value gives it.
    categories
        Columns whose numbers are codes.

    Returns
    -------
    tuple
        The splits that there are, and the lines.
    """
    patients = rows_by_patient(rows)
    split_of = {patient: cases[0]["split"] for patient, cases in patients.items()}
    splits = tuple(name for name in SPLITS if name in split_of.values())
    counts = Counter(split_of.values())
    lines = [Line("patients", "n", tuple(str(counts[name]) for name in splits))]
    for column in dict.fromkeys(key for row in rows for key in row if key not in CASE_COLUMNS):
        values = {
            name: [
                next((case[column] for case in cases if case.get(column)), "")
                for patient, cases in patients.items()
                if split_of[patient] == name
            ]
            for name in splits
        }
        groups = [values[name] for name in splits]
        lines += _characteristic(column, groups, numbers=column not in categories)
    return splits, lines


def few_numbers(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Name the columns of few different whole numbers, which may be measurements or codes."""
    columns = dict.fromkeys(key for row in rows for key in row if key not in CASE_COLUMNS)
    found = []
    for column in columns:
        values = {row[column] for row in rows if row.get(column)}
        whole = all(as_number(value).is_integer() for value in values)
        if _are_numbers(list(values)) and whole and len(values) <= MOST_CODES:
            found.append(column)
    return found


def _are_numbers(values: Sequence[str]) -> bool:
    """Whether a column holds numbers: all cells do, and there are more than two different ones."""
    numbers = {as_number(value) for value in values}
    return len(numbers) > 2 and not any(map(math.isnan, numbers))


def chi_squared(counts: Sequence[Sequence[int]]) -> tuple[float, str]:
    """Pearson's chi-squared test of a (levels, splits) table of counts, without correction.

    Returns
    -------
    tuple
        p, NaN if fewer than two levels or splits have anyone; and a remark where an expected
        count is below 5, so that the test is only rough.
    """
    table = np.asarray(counts, dtype=np.float64)
    table = table[table.sum(1) > 0][:, table.sum(0) > 0]
    if min(table.shape, default=0) < 2:
        return math.nan, ""
    found = stats.chi2_contingency(table, correction=False)
    rough = "; expected counts below 5" if found.expected_freq.min() < 5 else ""
    return float(found.pvalue), f"chi-squared{rough}"


def smd_of_numbers(first: Sequence[float], second: Sequence[float]) -> float:
    """Absolute standardized difference of two means: over the root of the mean variance.

    Austin 2009, doi 10.1002/sim.3697. NaN where a variance can't be had or both are 0.
    """
    if min(len(first), len(second)) < 2:
        return math.nan
    pooled = (statistics.variance(first) + statistics.variance(second)) / 2
    if not pooled:
        return math.nan
    return abs(statistics.mean(first) - statistics.mean(second)) / math.sqrt(pooled)


def smd_interval(smd: float, first: int, second: int) -> tuple[float, float]:
    """95 % interval of a standardized difference, for its absolute value not below 0.

    Normal, with the variance of Hedges and Olkin (Statistical Methods for Meta-Analysis, 1985,
    p. 86), which Yang and Dalton 2012 take for categories too.

    Parameters
    ----------
    smd
        The difference, 0 or more.
    first, second
        Numbers of patients.
    """
    if math.isnan(smd):
        return math.nan, math.nan
    total = first + second
    reach = 1.959964 * math.sqrt(total / (first * second) + smd**2 / (2 * total))
    return max(0.0, smd - reach), smd + reach


def smd_of_categories(first: Sequence[int], second: Sequence[int]) -> float:
    """Standardized difference of two samples' categories, of any number.

    The Mahalanobis distance between the shares of all levels but one, under the mean of the two
    multinomial covariances (Yang and Dalton 2012, SAS Global Forum, paper 335-2012). With two
    levels it is Austin's difference of shares.

    Parameters
    ----------
    first, second
        (levels,) counts.

    Returns
    -------
    float
        0 or more; NaN where the covariance can't be inverted: a sample without anyone, or two that
        share no level.
    """
    counts = np.asarray([first, second], dtype=np.float64)
    counts = counts[:, counts.sum(0) > 0]
    if counts.shape[1] < 2 or not counts.sum(1).all():
        return math.nan
    shares = (counts / counts.sum(1, keepdims=True))[:, 1:]
    each = [np.diag(share) - np.outer(share, share) for share in shares]
    spread = np.mean(each, axis=0)
    if np.linalg.matrix_rank(spread) < len(spread):
        return math.nan
    apart = shares[0] - shares[1]
    return float(math.sqrt(apart @ np.linalg.solve(spread, apart)))


def as_csv(splits: Sequence[str], lines: Sequence[Line]) -> str:
    """Write the table as CSV."""
    return csv_text(_grid(splits, lines))


def as_markdown(splits: Sequence[str], lines: Sequence[Line]) -> str:
    """Write the table as Markdown that is safe in HTML too: no cell can end or begin anything."""
    rows = [[_escaped(cell) for cell in row] for row in _grid(splits, lines)]
    rows.insert(1, ["---"] * len(rows[0]))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def as_text(splits: Sequence[str], lines: Sequence[Line]) -> str:
    """Lay out the table for a terminal."""
    return "".join(f"{line.rstrip()}\n" for line in aligned(_grid(splits, lines)))


def as_html(splits: Sequence[str], lines: Sequence[Line]) -> str:
    """Write the table as a ``<table>`` whose every text is escaped."""
    template = (
        "<table>\n{% for row in rows %}{% set cell = 'th' if loop.first else 'td' %}<tr>"
        "{% for text in row %}<{{ cell }}>{{ text }}</{{ cell }}>{% endfor %}</tr>\n"
        "{% endfor %}</table>\n"
    )
    return render_text(template, {"rows": _grid(splits, lines)})


def _grid(splits: Sequence[str], lines: Sequence[Line]) -> list[list[str]]:
    grid = [["characteristic", "level", *splits, "p", "p of", "smd"]]
    for line in lines:
        numbers = [_p_value(line.p), line.test, _difference(line)]
        grid.append([line.characteristic, line.level, *line.cells, *numbers])
    return grid


def _difference(line: Line) -> str:
    if math.isnan(line.smd):
        return ""
    return f"{line.smd:.3f} ({line.smd_low:.2f} to {line.smd_high:.2f})"


def _characteristic(column: str, groups: Sequence[Sequence[str]], *, numbers: bool) -> list[Line]:
    """Lines of one column; ``groups`` are the splits' values, empty where missing."""
    present = [[value for value in group if value] for group in groups]
    flat = [value for group in present for value in group]
    missing = [len(group) - len(some) for group, some in zip(groups, present, strict=True)]
    if numbers and _are_numbers(flat):
        lines = _number_lines(column, [[float(value) for value in group] for group in present])
    elif len(set(flat)) > _MOST_LEVELS:
        empty = tuple("" for _ in groups)
        lines = [Line(column, f"left out: more than {_MOST_LEVELS} categories", empty)]
    else:
        lines = _category_lines(column, present)
    if any(missing):
        lines.append(Line(column, "missing", tuple(map(str, missing))))
    return lines


def _number_lines(column: str, groups: Sequence[Sequence[float]]) -> list[Line]:
    filled = [group for group in groups if len(group) > 1]
    varied = len(filled) > 1 and any(len(set(group)) > 1 for group in filled)
    p = float(stats.f_oneway(*filled).pvalue) if varied else math.nan
    smd = _largest(
        (smd_of_numbers(first, second), len(first), len(second))
        for first, second in combinations(groups, 2)
    )
    return [
        Line(
            column,
            "mean (SD)",
            tuple(
                f"{_center(statistics.mean(g))} ({short(statistics.stdev(g), 3)})"
                if len(g) > 1
                else "-"
                for g in groups
            ),
            p,
            "ANOVA" if varied else "",
            *smd,
        ),
        Line(
            column,
            "median [range]",
            tuple(
                f"{_center(statistics.median(g))} [{min(g):.12g}, {max(g):.12g}]" if g else "-"
                for g in groups
            ),
        ),
    ]


def _center(value: float) -> str:
    """Four digits, or all before the point."""
    return f"{value:.0f}" if abs(value) >= 10_000 else short(value)


def _category_lines(column: str, groups: Sequence[Sequence[str]]) -> list[Line]:
    levels = sorted({value for group in groups for value in group})
    counts = [[group.count(level) for group in groups] for level in levels]
    p, test = chi_squared(counts) if levels else (math.nan, "")
    by_split = [[row[place] for row in counts] for place in range(len(groups))]
    smd = _largest(
        (smd_of_categories(first, second), sum(first), sum(second))
        for first, second in combinations(by_split, 2)
    )
    lines = []
    for place, level in enumerate(levels):
        cells = tuple(
            f"{count} ({100 * count / len(group):.1f} %)" if group else "0"
            for count, group in zip(counts[place], groups, strict=True)
        )
        lines.append(Line(column, level, cells, *((p, test, *smd) if place == 0 else ())))
    return lines


def _largest(pairs: Iterable[tuple[float, int, int]]) -> tuple[float, float, float]:
    """Give the largest difference of all pairs of splits, with its interval."""
    defined = [pair for pair in pairs if not math.isnan(pair[0])]
    if not defined:
        return math.nan, math.nan, math.nan
    smd, first, second = max(defined)
    return smd, *smd_interval(smd, first, second)


def _p_value(value: float) -> str:
    return "<0.001" if value < 0.001 else _number(value)


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3f}"


def _escaped(text: str) -> str:
    """Escape what Markdown or HTML would read as more than text."""
    marks = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "`": "&#96;", "](": "]&#40;"}
    for mark, safe in {**marks, "\n": " ", "\r": " "}.items():
        text = text.replace(mark, safe)
    return text
