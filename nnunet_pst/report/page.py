"""The page: what is said where, and one HTML file that asks no network for anything."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from nnunet_pst.report.answers import claim_answers
from nnunet_pst.report.canvas import Picture
from nnunet_pst.report.checklist import filled_checklist
from nnunet_pst.report.comparison import Comparison
from nnunet_pst.report.conclusions import conclusions
from nnunet_pst.report.dataset_facts import DatasetFacts, described_rules
from nnunet_pst.report.difference_figure import draw_differences
from nnunet_pst.report.galleries import Gallery
from nnunet_pst.report.learning_curves import draw_learning_curves
from nnunet_pst.report.score_figures import (
    draw_dice_by_sequence,
    draw_dice_by_size,
    draw_other_measures,
    draw_window_distance,
    interval_kind,
)
from nnunet_pst.report.sources import Sources
from nnunet_pst.report.tables import (
    Cell,
    Table,
    agreement_table,
    differences_tables,
    flags_table,
    in_parts,
    properties_table,
    results_table,
    strata_differences_table,
    strata_table,
)
from nnunet_pst.report.volume_agreement import agreement_rows, draw_bland_altman
from nnunet_pst.report.words import count, value

_CONTENTS = (
    ("conclusions", "What was found"),
    ("data", "Methods and data"),
    ("tables", "Tables 1 to 4"),
    ("results", "Results"),
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
    comparison = sources.comparison
    sizes, what = tumour_sizes(sources)
    drawn = {
        "Dice of every patient": draw_dice_by_sequence(comparison),
        "paired differences: the comparison has none": (
            draw_differences(comparison, interval_kind=interval_kind(comparison))
        ),
        "volume (Bland and Altman): the comparison has no volumes": draw_bland_altman(comparison),
        "Dice against the tumour's size: fewer than three patients have a known one": (
            draw_dice_by_size(comparison, sizes, what=what)
        ),
        "distance from the annotated window: the evaluations hold no window_distance.csv": (
            draw_window_distance(comparison)
        ),
        "other measures: the comparison has none": draw_other_measures(comparison),
        "learning curves: no training logs were found; give --results": (
            draw_learning_curves(sources.curves or ())
        ),
    }
    return Figures(
        [picture for picture in drawn.values() if picture is not None],
        [f"Not drawn: {line}." for line, picture in drawn.items() if picture is None],
    )


def tumour_sizes(sources: Sources) -> tuple[dict[str, float], str]:
    """Size of every patient's tumour: ``size_cm`` if the cohort has it, else the drawn volume."""
    if sources.dataset is not None:
        sizes = sources.dataset.sizes_cm()
        known = {name: sizes[name] for name in sources.comparison.patients if name in sizes}
        if known:
            return known, "tumour size (cm, from the cohort table)"
    method = sources.comparison.methods[0]
    volumes = sources.comparison.patient_means("reference_ml", method)
    return volumes, "tumour volume of the reference (ml)"


def render_page(sources: Sources, figures: Figures, galleries: Sequence[Gallery]) -> str:
    """Return the page as HTML; every text is escaped."""
    import jinja2

    source = resources.files("nnunet_pst").joinpath("templates/report.html").read_text("utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    return environment.from_string(source).render(page=_page(sources, figures, galleries))


def _page(sources: Sources, figures: Figures, galleries: Sequence[Gallery]) -> dict[str, Any]:
    comparison, dataset = sources.comparison, sources.dataset
    checklist = filled_checklist(claim_answers(sources))
    repeats = {score.repeat for score in comparison.cases}
    first = "; of several trainings the first" if len(repeats) > 1 else ""
    return {
        "title": f"Comparison on {comparison.facts.get('dataset') or 'a folder of labels'}",
        "subtitle": _subtitle(comparison),
        "warnings": _warnings(sources),
        "contents": _CONTENTS,
        "conclusions": conclusions(comparison),
        "reading": _reading(comparison),
        "method_facts": _method_facts(comparison),
        "data_facts": _data_facts(dataset),
        "data_tables": [_numbers_table(dataset)] if dataset and dataset.cases else [],
        "missing_data": _missing_data(dataset),
        "paper_tables": sources.paper_tables,
        "result_tables": _result_tables(comparison),
        "pictures": [_inlined(picture) for picture in figures.pictures],
        "missing_figures": figures.missing,
        "galleries": [_gallery(gallery) for gallery in galleries],
        "gallery_note": first,
        "registration": _registration(dataset),
        "flags": flags_table(dataset.flagged) if dataset and dataset.flagged else None,
        "versions": _versions(comparison, dataset),
        "checklist": checklist,
        "answered": sum(bool(item.answer) for item in checklist),
    }


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


def _subtitle(comparison: Comparison) -> str:
    split = comparison.facts.get("split")
    cases = len({score.case for score in comparison.cases})
    parts = [
        f"{split} split" if split else "",
        count(len(comparison.methods), "method"),
        count(len(comparison.patients), "patient"),
        count(cases, "case"),
        ", ".join(comparison.sequences),
    ]
    return " · ".join(part for part in parts if part)


def _warnings(sources: Sources) -> list[str]:
    """Return what nobody may miss: synthetic images, the ablation, broken splits, compare's own."""
    lines = []
    dataset = sources.dataset
    if dataset is not None and dataset.is_synthetic:
        lines.append(
            "Synthetic images: this dataset calls itself a phantom, synthetic or simulated. Its "
            "numbers say nothing about real tumours."
        )
    if dataset is not None and dataset.unknown_is_background:
        lines.append(
            "Ablation: this dataset was converted with unknown slices as BACKGROUND "
            "(--unknown background). Methods learnt that slices nobody drew on hold no tumour."
        )
    if dataset is not None and dataset.patients_in_several_splits:
        number = count(len(dataset.patients_in_several_splits), "patient")
        lines.append(f"Splits are broken: {number} in more than one of them.")
    warnings = sources.comparison.facts.get("warnings")
    return lines + [str(line) for line in (warnings if isinstance(warnings, list) else [])]


def _reading(comparison: Comparison) -> str:
    return (
        f"Intervals are {_plural(interval_kind(comparison))} with patients as the unit. They hold "
        "for patients like these, drawn in the same way, and for these trainings: another seed, "
        "hospital or scanner may give other numbers."
    )


def _plural(words: str) -> str:
    return f"{words}s" if words.endswith("interval") else words


def _method_facts(comparison: Comparison) -> list[tuple[str, str]]:
    facts = comparison.facts
    repeats = {
        name: len({s.repeat for s in comparison.cases if s.method == name})
        for name in comparison.methods
    }
    pairs = [
        ("methods", ", ".join(comparison.methods)),
        ("baseline", comparison.baseline or "none"),
        ("trainings of each method", ", ".join(f"{name}: {n}" for name, n in repeats.items())),
        ("averages", "a patient's cases first, then patients: every patient weighs the same"),
        ("intervals", interval_kind(comparison)),
        ("resamples", facts.get("resamples")),
        ("declared family (Holm)", _written(facts.get("family"))),
        ("non-inferiority margin", _written(facts.get("margin")) or "none declared"),
        ("groups", _written(facts.get("strata"))),
    ]
    return [(name, str(text)) for name, text in pairs if text not in {None, ""}]


def _written(fact: object) -> str:
    """Write a fact of ``comparison.json`` in one line."""
    if fact is None:
        return ""
    if isinstance(fact, Mapping):
        return "; ".join(f"{str(k).replace('_', ' ')}: {_written(v)}" for k, v in fact.items())
    if isinstance(fact, list | tuple):
        return ", ".join(_written(item) for item in fact)
    return f"{fact:g}" if isinstance(fact, float) else str(fact)


def _data_facts(dataset: DatasetFacts | None) -> list[tuple[str, str]]:
    if dataset is None:
        return []
    said = [(f"the dataset's {key}", text) for key, text in dataset.said.items()]
    channels = [("channels", ", ".join(dataset.channels))] if dataset.channels else []
    return [("dataset", dataset.name), *said, *channels, *described_rules(dataset.rules)]


def _numbers_table(dataset: DatasetFacts) -> Table:
    keys = ("split", "patients", "cases", "labels")
    return Table(
        "Patients and cases by split",
        keys,
        [[Cell(str(row[key])) for key in keys] for row in dataset.numbers()],
        "Labels: how many are fine (drawn on every slice), coarse, or absent.",
    )


def _missing_data(dataset: DatasetFacts | None) -> list[str]:
    if dataset is None:
        return ["Not shown: label rules and numbers by split. Give the dataset with --dataset."]
    lines = []
    if not dataset.rules:
        lines.append(
            f"{dataset.name} was not converted by nnunet_pst: how its labels were made is unknown."
        )
    if not dataset.cases:
        lines.append(f"{dataset.name} has no cases.csv: patients and splits are unknown.")
    return lines


def _result_tables(comparison: Comparison) -> list[Table]:
    kind = interval_kind(comparison)
    volumes = agreement_rows(comparison)
    tables = [
        *in_parts(results_table(comparison, kind)),
        *differences_tables(comparison),
        *_parts_of(strata_table(comparison, kind)),
        strata_differences_table(comparison),
        agreement_table(volumes) if volumes else None,
        *_parts_of(properties_table(comparison, kind)),
    ]
    return [table for table in tables if table is not None]


def _parts_of(table: Table | None) -> list[Table]:
    return [] if table is None else in_parts(table)


def _registration(dataset: DatasetFacts | None) -> str:
    if dataset is None:
        return "Not shown: give the dataset with --dataset."
    if dataset.pairs is None:
        return "No sequences of this dataset were registered onto each other."
    if not dataset.flagged:
        return f"All {count(len(dataset.pairs), 'pair')} of sequences were registered."
    return (
        f"{len(dataset.flagged)} of {count(len(dataset.pairs), 'pair')} of sequences were not "
        "registered: the scanner's own coordinates, or zeros, were used instead, as below."
    )


def _versions(comparison: Comparison, dataset: DatasetFacts | None) -> list[tuple[str, str]]:
    versions = comparison.facts.get("versions")
    pairs = [(str(k), str(v)) for k, v in versions.items()] if isinstance(versions, dict) else []
    seed = comparison.facts.get("seed")
    repeats = sorted({s.repeat for s in comparison.cases if s.repeat})
    if seed is not None:
        pairs.append(("seed of the resampling", str(seed)))
    if repeats:
        pairs.append(("repeats of the trainings", ", ".join(repeats)))
    pairs.append(("comparison", f"SHA-256 {comparison.digest}… of its tables and description"))
    if dataset is not None and "version" in dataset.rules:
        pairs.append(("converted with", f"nnunet_pst {dataset.rules['version']}"))
    return pairs
