"""Tables of the page as texts: means with intervals, differences, numbers of patients."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from nnunet_pst.comparison.conclusions import verdict_of
from nnunet_pst.comparison.results import (
    ComparedMeasure,
    Comparison,
    Difference,
    MeanInterval,
)
from nnunet_pst.evaluation.averaging import mean
from nnunet_pst.evaluation.metrics.measures import where_found
from nnunet_pst.io.wording import (
    MINUS,
    UNDEFINED,
    interval,
    measure_name,
    p_value,
    signed,
    signed_interval,
    value,
)
from nnunet_pst.report.dataset_facts import RegisteredPair
from nnunet_pst.report.volume_agreement import Agreement


@dataclass(frozen=True)
class Cell:
    """A text, with a smaller one below it and a kind that gives it a color."""

    text: str
    small: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """A table of the page.

    Parameters
    ----------
    title
        Above it.
    head
        Headings.
    rows
        Cells; the first is the row's heading.
    caption
        Below it: what numbers and intervals are, of how many.
    texts
        Whether the cells are words rather than numbers.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    texts: bool = False


def in_parts(table: Table, most: int = 5) -> list[Table]:
    """Split a table with many columns so that its parts fit on paper; the first column stays."""
    columns = len(table.head) - 1
    if columns <= most:
        return [table]
    number = -(-columns // most)
    parts = []
    for part in range(number):
        kept = [0, *range(1 + part * most, min(1 + (part + 1) * most, columns + 1))]
        parts.append(
            replace(
                table,
                title=f"{table.title} (part {part + 1} of {number})",
                head=[table.head[place] for place in kept],
                rows=[[row[place] for place in kept] for row in table.rows],
            )
        )
    return parts


def results_table(comparison: Comparison) -> Table:
    """Means of every measure that has a best value, over all cases, a column a method."""
    measures = [one for one in comparison.measures.values() if one.best is not None]
    return Table(
        "Means of the compared measures",
        ["measure", *comparison.methods],
        _mean_rows(comparison, measures),
        f"Mean over patients with its {comparison.interval_kind} below, and the number of "
        "patients for whom the measure is defined (n). A tumor is found where mask and reference "
        "share a voxel. Measures of found tumors leave the lost ones out; in the others an empty "
        "mask counts as Dice 0 and as the image's diagonal.",
    )


def described_table(comparison: Comparison) -> Table | None:
    """Means of what was measured and not compared, sizes among it; None without any."""
    compared = {row.measure for row in comparison.intervals}
    rows = []
    for measure in comparison.measures.values():
        columns = [comparison.patient_means(measure.name, name) for name in comparison.methods]
        if measure.name not in compared and any(columns):
            cells = [
                Cell(value(mean(list(column.values())), measure.unit), f"n = {len(column)}")
                for column in columns
            ]
            rows.append(
                [Cell(measure_name(measure.name, measure.unit), _direction(measure)), *cells]
            )
    if not rows:
        return None
    return Table(
        "Other measures and sizes, only described",
        ["measure", *comparison.methods],
        rows,
        "Mean over patients for whom the measure is defined (n), without intervals: these were not "
        "compared. Those without a best value describe cases and predictions.",
    )


def _mean_rows(comparison: Comparison, measures: Iterable[ComparedMeasure]) -> list[list[Cell]]:
    rows = []
    for measure in measures:
        found = {
            row.method: row
            for row in comparison.intervals
            if (row.measure, row.stratum) == (measure.name, "all")
        }
        if measure.name in _WITHOUT_TUMOR and not any(row.patients for row in found.values()):
            continue  # the facts say that every patient has a tumor
        if found:
            name = Cell(measure_name(measure.name, measure.unit), _direction(measure))
            cells = list(_mean_cells(found, comparison.methods, measure.unit))
            if measure.name == "found":
                cells = [
                    _found_cell(comparison, method, cell)
                    for method, cell in zip(comparison.methods, cells, strict=True)
                ]
            rows.append([name, *cells])
    return rows


#: Measures of patients without a tumor, whom few cohorts have.
_WITHOUT_TUMOR = frozenset(("false_alarms", "specificity"))


def _found_cell(comparison: Comparison, method: str, mean: Cell) -> Cell:
    found, tumors = comparison.found_cases(method)
    return Cell(f"{found} of {tumors} cases", f"{mean.text}; {mean.small}") if tumors else mean


def strata_table(comparison: Comparison) -> Table | None:
    """Mean Dice in every stratum, a column a method; None without strata."""
    keys = dict.fromkeys(
        (row.stratum, row.level)
        for row in comparison.intervals
        if row.measure == "dice" and row.stratum != "all"
    )
    rows = []
    for stratum, level in keys:
        found = {
            row.method: row
            for row in comparison.intervals
            if (row.measure, row.stratum, row.level) == ("dice", stratum, level)
        }
        label = Cell(f"{stratum.replace('_', ' ')}, {level}")
        rows.append([label, *_mean_cells(found, comparison.methods, "1")])
    if not rows:
        return None
    return Table(
        "Dice in groups of patients",
        ["group", *comparison.methods],
        rows,
        f"Mean over the patients of the group with its {comparison.interval_kind}. Groups are "
        "looked at side by side; a difference between groups is not tested.",
    )


def _mean_cells(
    found: dict[str, MeanInterval], methods: Sequence[str], unit: str
) -> Iterable[Cell]:
    for method in methods:
        row = found.get(method)
        if row is None or math.isnan(row.mean):
            yield Cell(UNDEFINED, "n = 0" if row else "")
            continue
        reach = interval(row.low, row.high, unit) or "too few for an interval"
        yield Cell(value(row.mean, unit), f"{reach}; n = {row.patients}")


def _direction(measure: ComparedMeasure) -> str:
    if measure.best is None:
        return ""
    lost = "; with lost tumors" if where_found(measure.name) else ""
    return f"best {measure.best:g}{lost}"


def differences_tables(comparison: Comparison) -> list[Table]:
    """Give paired differences of all measures over all cases, a table a method."""
    tables = []
    pairs = dict.fromkeys(
        (row.method, row.baseline) for row in comparison.differences if row.stratum == "all"
    )
    for method, baseline in pairs:
        rows = [
            _difference_cells(comparison, row)
            for row in comparison.differences
            if (row.method, row.baseline, row.stratum) == (method, baseline, "all")
            and _has_best(comparison, row.measure)
        ]
        tables.append(_differences(f"{method} less {baseline}", "measure", rows))
    return tables


def _has_best(comparison: Comparison, name: str) -> bool:
    measure = comparison.measures.get(name)
    return measure is not None and measure.best is not None


def strata_differences_table(comparison: Comparison) -> Table | None:
    """Give paired differences in Dice in every stratum; None without strata."""
    rows = []
    for row in comparison.differences:
        if row.measure == "dice" and row.stratum != "all":
            cells = _difference_cells(comparison, row)
            name = f"{row.stratum.replace('_', ' ')}, {row.level}"
            rows.append([Cell(name, f"{row.method} less {row.baseline}"), *cells[1:]])
    return (
        _differences(
            "Differences in Dice in groups of patients",
            "group",
            [[*cells[:2], *cells[4:]] for cells in rows],
            tested=False,
        )
        if rows
        else None
    )


def _differences(
    title: str, first: str, rows: Sequence[Sequence[Cell]], *, tested: bool = True
) -> Table:
    paired = "Differences are paired by patient; below each its interval and number of patients. "
    effect = (
        f"Effect: rank-biserial correlation, from {MINUS}1 (always worse) to 1 (always better); a "
        "dash: too few patients."
    )
    if not tested:
        words = f"{paired}{effect} Groups are described, not tested."
        return Table(
            title, [first, "mean difference", "effect", "wins / ties / losses"], rows, words
        )
    return Table(
        title,
        [first, "mean difference", "p, mean", "p, ranks", "effect", "wins / ties / losses"],
        rows,
        f"{paired}p, mean: test of the mean, which belongs to the interval; p, ranks: Wilcoxon's "
        "signed-rank test; a dash: too few patients; below: corrected over the declared family "
        f"(Holm). {effect} Green and red mark what is shown to be better or worse: both corrected "
        "p are below 0.05, and mean and ranks lean to one side.",
    )


def _difference_cells(comparison: Comparison, row: Difference) -> list[Cell]:
    measure = comparison.measures.get(row.measure, ComparedMeasure(row.measure, "1", None))
    verdict = verdict_of(row, measure)
    kind = verdict if verdict in {"better", "worse"} else ""
    reach = signed_interval(row.low, row.high, measure.unit)
    margin = ""
    if row.noninferior:
        margin = f"; non-inferior: {row.noninferior}; equivalent: {row.equivalent}"
    small = f"{reach or 'too few for an interval'}; n = {row.patients}{margin}"
    return [
        Cell(measure_name(row.measure, measure.unit)),
        Cell(signed(row.difference, measure.unit), small, kind),
        _p_cell(row.p_mean, row.p_mean_holm),
        _p_cell(row.p, row.p_holm),
        Cell(UNDEFINED if math.isnan(row.effect) else signed(row.effect)[:-1]),
        Cell(f"{row.wins} / {row.ties} / {row.losses}"),
    ]


def _p_cell(p: float, corrected: float) -> Cell:
    return Cell(p_value(p), "" if math.isnan(corrected) else f"Holm {p_value(corrected)}")


def agreement_table(
    rows: dict[str, Agreement], percent: dict[str, Agreement] | None = None
) -> Table:
    """Bias and limits of agreement of the volume, a row a method.

    Parameters
    ----------
    rows
        In ml.
    percent
        The same in percent, where differences grow with the volume; else None.
    """
    units = {"ml": rows} if percent is None else {"%": percent, "ml": rows}
    heads = [f"{what} ({unit})" for unit in units for what in ("bias", "95 % limits of agreement")]
    grown = "" if percent is None else "Differences grow with the volume, so percent comes first."
    return Table(
        "Volume: bias and limits of agreement",
        ["method", *heads, "cases", "patients"],
        [
            [
                Cell(name),
                *(
                    cell
                    for unit, own in units.items()
                    for cell in _limit_cells(own.get(name), unit)
                ),
                Cell(str(found.cases)),
                Cell(str(found.patients)),
            ]
            for name, found in rows.items()
        ],
        grown,
    )


def _limit_cells(found: Agreement | None, unit: str) -> list[Cell]:
    if found is None:
        return [Cell(UNDEFINED), Cell(UNDEFINED)]
    limits = signed_interval(found.low, found.high, unit) or UNDEFINED
    return [Cell(signed(found.bias, unit)), Cell(limits)]


def readers_table(comparison: Comparison) -> Table | None:
    """Give the agreement of readers and methods, a row a method; None without a second reader."""
    if not comparison.readers:
        return None
    names = {"first": "with the first reader", "second": "with the second", "consensus": "STAPLE"}
    # Measures of found tumors are in readers.csv: the table is to fit on half a page.
    measures = dict.fromkeys(
        row.measure
        for row in comparison.readers
        if row.against in names and row.measure in {"found", *comparison.family}
    )
    rows = []
    for name in measures:
        unit = comparison.measures[name].unit
        for method in dict.fromkeys(row.method for row in comparison.readers):
            found = {
                row.against: row
                for row in comparison.readers
                if (row.measure, row.method) == (name, method)
            }
            cells = [
                Cell(
                    value(row.mean, unit),
                    f"{interval(row.low, row.high, unit) or 'too few for an interval'}; "
                    f"n = {row.patients}",
                )
                if (row := found.get(against))
                else Cell(UNDEFINED)
                for against in names
            ]
            rows.append([Cell(method, measure_name(name, unit)), *cells])
    return Table(
        "Agreement with two readers",
        ["method", *names.values()],
        rows,
        f"Mean over patients with its {comparison.interval_kind}. The dataset's labels are the "
        "first reader's; the row of the second reader is the agreement between readers. STAPLE "
        "(Warfield 2004): their consensus, which of two masks keeps little beyond what both hold. "
        "Range of the readers: a method's mean Dice with both less theirs with each other, by "
        "patient (Williams' index as a difference; Chalana and Kim 1997).",
    )


def flags_table(pairs: Sequence[RegisteredPair]) -> Table:
    """Give pairs of sequences to look at, a row a pair."""
    return Table(
        "Pairs that were not registered",
        ["patient", "sequences", "engine and model", "used instead", "why"],
        [
            [
                Cell(pair.patient),
                Cell(f"{pair.moving} onto {pair.reference}"),
                Cell(f"{pair.engine}, {pair.model}"),
                Cell(
                    {"scanner": "scanner's coordinates", "missing": "zeros (no image)"}.get(
                        pair.used, pair.used
                    )
                ),
                Cell(pair.reason or UNDEFINED),
            ]
            for pair in pairs
        ],
        texts=True,
    )
