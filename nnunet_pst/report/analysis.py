"""How the numbers of the page were made: a paragraph to copy, definitions, the flow of patients."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from nnunet_pst.comparison.cautions import dice_of_repeats
from nnunet_pst.comparison.results import Comparison
from nnunet_pst.evaluation.metrics.definitions import definition
from nnunet_pst.evaluation.metrics.measures import by_name
from nnunet_pst.evaluation.score_tables import Row
from nnunet_pst.io.wording import UNDEFINED, count, measure_words, value
from nnunet_pst.report.dataset_facts import DatasetFacts
from nnunet_pst.report.tables import Cell, Table


def methods_paragraph(comparison: Comparison) -> str:
    """Write the statistics section of a manuscript, from what was done."""
    cases = len({score.case for score in comparison.cases})
    parts = [
        f"{count(len(comparison.methods), 'method')} ({', '.join(comparison.methods)}) "
        f"{'was' if len(comparison.methods) == 1 else 'were'} evaluated on "
        f"{count(len(comparison.patients), 'patient')} ({count(cases, 'case')}).",
        "Values were averaged over the trainings of a method, then over the cases of a patient; "
        "patients are the units of all intervals and tests.",
        f"Means are given with their {comparison.interval_kind} (Gaffke 2005; Hesterberg 2015, doi "
        f"10.1080/00031305.2015.1089789), {comparison.facts.get('resamples', 'some')} resamples.",
    ]
    if len(comparison.methods) > 1:
        family = ", ".join(map(measure_words, sorted(comparison.family)))
        parts.append(
            f"Each method was compared with {comparison.baseline} by paired differences; a "
            "difference was called shown where the test of the mean and Wilcoxon's signed-rank "
            f"test both had p < 0.05 after Holm's correction over the declared family ({family}) "
            "and leaned to one side."
        )
    if comparison.margin is not None:
        parts.append(
            f"Non-inferiority and equivalence in mean Dice were tested with a margin of "
            f"{comparison.margin:g}, one-sided at 2.5 %, corrected over the methods (Holm)."
        )
    versions = comparison.facts.get("versions")
    if isinstance(versions, Mapping) and "nnunet_pst" in versions:
        parts.append(f"Computed with nnunet_pst {versions['nnunet_pst']}.")
    return " ".join(parts)


def definitions_table(comparison: Comparison) -> Table:
    """Give formula, unit, rule for empty masks and source of every measure with a best value."""
    rules = by_name()
    rows = []
    for name, measure in comparison.measures.items():
        found = definition(name)
        if measure.best is not None and found is not None:
            empty = rules[name].empty if name in rules else UNDEFINED
            unit = {"1": "share"}.get(measure.unit, measure.unit)
            cells = (measure_words(name, measure.unit), found.formula, unit, empty, found.source)
            rows.append([Cell(text) for text in cells])
    return Table(
        "Definitions",
        ["measure", "formula", "unit", "where a mask is empty", "source"],
        rows,
        "R: voxels of the reference, P: of the prediction, both without voxels that nobody knows.",
        texts=True,
    )


def flow_table(comparison: Comparison, dataset: DatasetFacts | None) -> Table | None:
    """Follow the patients from the dataset to the comparison; None without a case table."""
    if dataset is None or not dataset.cases:
        return None
    compared = set(comparison.patients)
    rows = [_counted("in the dataset", dataset.cases)]
    for name in dict.fromkeys(row["split"] for row in dataset.cases):
        own = [row for row in dataset.cases if row["split"] == name]
        rows.append(_counted(f"of these {name}", own))
    rows.append(_counted("compared", [r for r in dataset.cases if r["patient"] in compared]))
    split = comparison.facts.get("split")
    left = {r["patient"] for r in dataset.cases if r["split"] == split} - compared
    out = f"{count(len(left), 'patient')} of the {split} split were not compared. " if left else ""
    return Table(
        "Flow of patients",
        ["step", "patients", "cases"],
        rows,
        f"{out}Who was left out before the dataset was made is not in it: nnunet_pst scan and "
        "nnunet_pst convert name them, series by series, with the reason.",
    )


def _counted(step: str, rows: Sequence[Mapping[str, str]]) -> list[Cell]:
    return [Cell(step), Cell(str(len({row["patient"] for row in rows}))), Cell(str(len(rows)))]


def repeats_table(comparison: Comparison) -> Table | None:
    """Show how far the trainings (seeds) of each method lie apart; None where each has one."""
    scores: list[Row] = [
        {
            "method": score.method,
            "repeat": int(score.repeat or 1),
            "case": score.case,
            "patient": score.patient,
            "dice": score.values["dice"],
        }
        for score in comparison.cases
    ]
    rows = []
    for method in comparison.methods:
        means = list(dice_of_repeats(scores, method).values())
        spread = value(statistics.stdev(means)) if len(means) > 1 else UNDEFINED
        cells = (method, str(len(means)), ", ".join(map(value, means)), spread)
        rows.append([Cell(text) for text in cells])
    if all(row[1].text == "1" for row in rows):
        return None
    return Table(
        "Trainings of one method (seeds)",
        ["method", "trainings", "mean Dice of each", "standard deviation"],
        rows,
        "Intervals are about other patients, for the average of these trainings. The spread of the "
        "trainings is not in them: with one training nothing is known of it.",
    )
