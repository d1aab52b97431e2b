"""The page: what is said where, and one HTML file that asks no network for anything."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tqdm import tqdm

from nnunet_pst.comparison.conclusions import conclusions
from nnunet_pst.comparison.descriptions import descriptions
from nnunet_pst.comparison.difference_figure import draw_differences
from nnunet_pst.comparison.figure_style import Picture
from nnunet_pst.comparison.paired_figures import (
    draw_dice_by_sequence,
    draw_other_measures,
)
from nnunet_pst.comparison.reader_words import reader_sentences
from nnunet_pst.comparison.results import Comparison
from nnunet_pst.io.templates import render
from nnunet_pst.io.wording import value
from nnunet_pst.report.analysis import (
    definitions_table,
    flow_table,
    methods_paragraph,
    repeats_table,
)
from nnunet_pst.report.claim_answers import claim_answers
from nnunet_pst.report.claim_checklist import filled_checklist
from nnunet_pst.report.dataset_facts import DatasetFacts
from nnunet_pst.report.facts_in_words import (
    data_facts,
    method_facts,
    missing_data,
    notes_of_comparison,
    numbers_table,
    reading_of_intervals,
    registration_in_words,
    subtitle,
    version_facts,
    warnings_on_top,
)
from nnunet_pst.report.galleries import Gallery
from nnunet_pst.report.inputs import Sources
from nnunet_pst.report.latex import as_latex
from nnunet_pst.report.learning_curves import draw_learning_curves
from nnunet_pst.report.patient_flow import draw_flow
from nnunet_pst.report.score_figures import FEWEST_PATIENTS, draw_dice_by_size, draw_window_distance
from nnunet_pst.report.tables import (
    Table,
    agreement_table,
    described_table,
    differences_tables,
    flags_table,
    in_parts,
    readers_table,
    results_table,
    strata_differences_table,
    strata_table,
)
from nnunet_pst.report.volume_agreement import agreement_rows, draw_bland_altman, growing

_CONTENTS = (
    ("conclusions", "What was found"),
    ("data", "Methods and data"),
    ("tables", "Tables 1 to 4"),
    ("results", "Results"),
    ("analysis", "How this was analyzed"),
    ("figures", "Figures"),
    ("cases", "Best, median and worst cases"),
    ("registration", "Registration"),
    ("reproduction", "Versions and seeds"),
    ("checklist", "Checklist"),
)


@dataclass(frozen=True)
class Figures:
    """Drawn figures, and a line for each that could not be drawn."""

    pictures: Sequence[Picture]
    missing: Sequence[str]


def draw_figures(sources: Sources) -> Figures:
    """Draw every figure for which there are data."""
    pictures, missing = [], []
    for why_not, draw in tqdm(_drawers(sources), desc="figures", disable=None):
        drawn = draw()
        if drawn is None:
            missing.append(f"Not drawn: {why_not}.")
        else:
            pictures.append(drawn)
    return Figures(pictures, missing)


def _drawers(sources: Sources) -> list[tuple[str, Callable[[], Picture | None]]]:
    """List the figures in the order of the page, with what is missing where one is not drawn."""
    one = sources.comparison
    sizes, what = tumor_sizes(sources)
    return [
        (
            "the flow of patients: the dataset, or its cases.csv, is not known",
            partial(draw_flow, one, sources.dataset, sources.scanned),
        ),
        ("Dice of every patient", partial(draw_dice_by_sequence, one)),
        ("paired differences: there is no second method", partial(draw_differences, one)),
        (
            "volume (Bland and Altman): the comparison has no volumes",
            partial(draw_bland_altman, one),
        ),
        (
            "Dice against the tumor's size: fewer than three patients have a known one",
            partial(draw_dice_by_size, one, sizes, what=what),
        ),
        (
            "distance from the annotated window: the evaluations hold no window_distance.csv",
            partial(draw_window_distance, one),
        ),
        ("other measures: the comparison has none", partial(draw_other_measures, one)),
        (
            "learning curves: no training logs were found; give --results",
            partial(draw_learning_curves, sources.curves or ()),
        ),
    ]


def tumor_sizes(sources: Sources) -> tuple[dict[str, float], str]:
    """Size of every patient's tumor: ``size_cm`` if the cohort has it, else the drawn volume."""
    if sources.dataset is not None:
        sizes = sources.dataset.sizes_cm()
        known = {name: sizes[name] for name in sources.comparison.patients if name in sizes}
        if len(known) >= FEWEST_PATIENTS:
            return known, "tumor size (cm, from the cohort table)"
    method = sources.comparison.methods[0]
    volumes = sources.comparison.patient_means("reference_ml", method)
    return volumes, "tumor volume of the reference (ml)"


def render_page(sources: Sources, figures: Figures, galleries: Sequence[Gallery]) -> str:
    """Return the page as HTML; every text is escaped."""
    values = {"page": _page(sources, figures, galleries)}
    return render("nnunet_pst.report", "report.html", values)


def _page(sources: Sources, figures: Figures, galleries: Sequence[Gallery]) -> dict[str, Any]:
    comparison, dataset = sources.comparison, sources.dataset
    checklist = filled_checklist(claim_answers(sources))
    repeats = {score.repeat for score in comparison.cases}
    first = "; of several trainings the first" if len(repeats) > 1 else ""
    return {
        "title": _title(comparison),
        "subtitle": subtitle(comparison),
        "warnings": warnings_on_top(sources),
        "notes": notes_of_comparison(comparison),
        "contents": _CONTENTS,
        "conclusions": conclusions(comparison),
        "descriptions": descriptions(comparison) if len(comparison.methods) == 1 else [],
        "readers": reader_sentences(comparison),
        "reading": reading_of_intervals(comparison),
        "method_facts": method_facts(comparison),
        "data_facts": data_facts(dataset),
        "data_tables": _data_tables(comparison, dataset),
        "missing_data": missing_data(dataset),
        "paper_tables": sources.paper_tables,
        "result_tables": _result_tables(comparison),
        "paragraph": methods_paragraph(comparison),
        "definitions": definitions_table(comparison),
        "latex": as_latex(results_table(comparison)),
        "pictures": [_inlined(picture) for picture in figures.pictures],
        "missing_figures": figures.missing,
        "galleries": [_gallery(gallery) for gallery in galleries],
        "gallery_note": first,
        "registration": registration_in_words(dataset),
        "flags": flags_table(dataset.flagged) if dataset and dataset.flagged else None,
        "versions": [*version_facts(comparison, dataset), *_unchanged(sources)],
        "checklist": checklist,
        "answered": sum(bool(item.answer) for item in checklist),
    }


def _unchanged(sources: Sources) -> list[tuple[str, str]]:
    return [("unchanged since compare ran", sources.looked_at)] if sources.looked_at else []


def _title(comparison: Comparison) -> str:
    where = comparison.facts.get("dataset") or "a folder of labels"
    if len(comparison.methods) == 1:
        return f"{comparison.methods[0]} on {where}"
    return f"Comparison on {where}"


def _inlined(picture: Picture) -> dict[str, str]:
    return {
        "name": picture.name,
        "title": picture.title,
        "caption": picture.caption,
        "base64": _base64(picture.svg),
    }


def _gallery(gallery: Gallery) -> dict[str, Any]:
    return {
        "method": gallery.method,
        "missing": gallery.missing,
        "pictures": [
            {
                "role": one.role,
                "case": one.case,
                "dice": value(one.dice),
                "base64": _base64(one.jpeg),
            }
            for one in gallery.pictures
        ],
    }


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _data_tables(comparison: Comparison, dataset: DatasetFacts | None) -> list[Table]:
    flow = flow_table(comparison, dataset)
    return [numbers_table(dataset), flow] if dataset is not None and flow is not None else []


def _result_tables(comparison: Comparison) -> list[Table]:
    volumes = agreement_rows(comparison)
    percent = agreement_rows(comparison, "%") if growing(comparison) else None
    tables = [
        *in_parts(results_table(comparison)),
        repeats_table(comparison),
        *differences_tables(comparison),
        readers_table(comparison),
        *_parts_of(strata_table(comparison)),
        strata_differences_table(comparison),
        agreement_table(volumes, percent) if volumes else None,
        *_parts_of(described_table(comparison)),
    ]
    return [table for table in tables if table is not None]


def _parts_of(table: Table | None) -> list[Table]:
    return [] if table is None else in_parts(table)
