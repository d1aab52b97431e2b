"""What was compared, on what, made how: the facts around the results, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping

from nnunet_pst.comparison.results import CaseRow, Comparison
from nnunet_pst.evaluation.metrics.measures import where_found
from nnunet_pst.io.wording import count
from nnunet_pst.report.dataset_facts import DatasetFacts, described_rules
from nnunet_pst.report.inputs import Sources
from nnunet_pst.report.tables import Cell, Table


def subtitle(comparison: Comparison) -> str:
    """Say in a line which split, and how many methods, patients and cases."""
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


def warnings_on_top(sources: Sources) -> list[str]:
    """Return what nobody may miss: changes, synthetic images, the ablation, leaks."""
    lines = list(sources.changed)
    dataset = sources.dataset
    if dataset is not None and dataset.is_synthetic:
        lines.append(
            "Synthetic images: this dataset calls itself a phantom, synthetic or simulated. Its "
            "numbers say nothing about real tumors."
        )
    if dataset is not None and dataset.unknown_is_background:
        lines.append(
            "Ablation: this dataset was converted with unknown slices as BACKGROUND "
            "(--unknown background). Methods learned that slices nobody drew on hold no tumor."
        )
    if dataset is not None and dataset.patients_in_several_splits:
        number = count(len(dataset.patients_in_several_splits), "patient")
        lines.append(f"Splits are broken: {number} in more than one of them.")
    leaks = sum(line.startswith("leak: ") for line in notes_of_comparison(sources.comparison))
    if leaks:
        lines.append(
            f"Leak: {count(leaks, 'test image')} may have been learned from under another name; "
            "see the notes of the comparison."
        )
    return lines


def notes_of_comparison(comparison: Comparison) -> list[str]:
    """Return what ``compare`` warned of or left out, in its own words."""
    warnings = comparison.facts.get("warnings")
    return [str(line) for line in (warnings if isinstance(warnings, list) else [])]


def reading_of_intervals(comparison: Comparison) -> str:
    """Say what the intervals hold for, and what they leave out."""
    said = (
        f"In brackets: {comparison.interval_kind}. Intervals hold for "
        "patients like these, drawn in the same way, and for these trainings: another seed, "
        "hospital or scanner may give other numbers."
    )
    penalized = [row for row in comparison.intervals if where_found(row.measure)]
    if any(comparison.measures[r.measure].unit == "mm" and r.low == r.low for r in penalized):
        said += (
            " Intervals of distances with lost tumors in them are a little too narrow: in "
            "simulated studies of 80 to 200 patients they held the true mean in 90 to 95 %, the "
            "less the rarer tumors are lost. Read them with the number of tumors found."
        )
    return said


def method_facts(comparison: Comparison) -> list[tuple[str, str]]:
    """Return what was compared and how, as pairs of words."""
    facts = comparison.facts
    repeats = {
        name: len({s.repeat for s in comparison.cases if s.method == name})
        for name in comparison.methods
    }
    # One method is compared with nothing.
    compared = [
        ("baseline", comparison.baseline or "none"),
        ("declared family (Holm)", _written(facts.get("family"))),
        ("non-inferiority margin", _written(facts.get("margin")) or "none declared"),
        ("test", _written(facts.get("test"))),
        ("effect", _written(facts.get("effect"))),
    ]
    pairs = [
        ("methods", ", ".join(comparison.methods)),
        ("trainings of each method", ", ".join(f"{name}: {n}" for name, n in repeats.items())),
        ("patients without a tumor", _without_tumor(comparison)),
        ("patients with several cases", _several(comparison)),
        ("averages", "a patient's cases first, then patients: every patient weighs the same"),
        ("intervals", comparison.interval_kind),
        ("resamples", facts.get("resamples")),
        *(compared if len(comparison.methods) > 1 else []),
        *_strata(facts.get("strata")),
    ]
    return [(name, str(text)) for name, text in pairs if text not in {None, ""}]


def _several(comparison: Comparison) -> str:
    """Say how patients with several cases count: two scans of a patient are not two patients."""
    cases: dict[str, set[str]] = {}
    for score in comparison.cases:
        cases.setdefault(score.patient, set()).add(score.case)
    several = sum(len(own) > 1 for own in cases.values())
    if not several:
        return "none"
    return (
        f"{several} of {len(cases)}; their cases are averaged to one value, and a patient is drawn "
        "and tested as a whole (clusters of equal weight)"
    )


def _without_tumor(comparison: Comparison) -> str:
    """Say who has no tumor: only they have false alarms and a specificity."""
    patients = {s.patient for s in comparison.cases if not math.isnan(_specificity(s))}
    if not patients:
        return "none, so nothing is known of false alarms per patient and specificity"
    return f"{len(patients)}, from whom false alarms per patient and specificity are"


def _specificity(score: CaseRow) -> float:
    return score.values.get("specificity", math.nan)


def _strata(strata: object) -> list[tuple[str, str]]:
    """Write the groups of patients of each stratum, and who has no value."""
    pairs = []
    for name, entry in strata.items() if isinstance(strata, Mapping) else ():
        fields = entry if isinstance(entry, Mapping) else {}
        levels = fields.get("patients")
        if name == "all" or not isinstance(levels, Mapping):
            continue
        text = "; ".join(f"{level} (n = {number})" for level, number in levels.items())
        missing = fields.get("missing")
        text += f"; without a value: {missing}" if missing else ""
        pairs.append((f"groups by {str(name).replace('_', ' ')}", text))
    return pairs


def _written(fact: object) -> str:
    """Write a fact of ``comparison.json`` in one line."""
    if fact is None:
        return ""
    if isinstance(fact, Mapping):
        return "; ".join(f"{str(k).replace('_', ' ')}: {_written(v)}" for k, v in fact.items())
    if isinstance(fact, list | tuple):
        return ", ".join(_written(item) for item in fact)
    return f"{fact:g}" if isinstance(fact, float) else str(fact)


def data_facts(dataset: DatasetFacts | None) -> list[tuple[str, str]]:
    """Return what the dataset says of itself and of its labels, as pairs of words."""
    if dataset is None:
        return []
    said = [(f"the dataset's {key}", text) for key, text in dataset.said.items()]
    channels = [("channels", ", ".join(dataset.channels))] if dataset.channels else []
    return [("dataset", dataset.name), *said, *channels, *described_rules(dataset.rules)]


def numbers_table(dataset: DatasetFacts) -> Table:
    """Patients, cases and kinds of label in each split."""
    keys = ("split", "patients", "cases", "labels")
    return Table(
        "Patients and cases by split",
        keys,
        [[Cell(str(row[key])) for key in keys] for row in dataset.numbers()],
        "Labels: how many are fine (drawn on every slice), coarse, or absent.",
    )


def missing_data(dataset: DatasetFacts | None) -> list[str]:
    """Say what is not known of the dataset, and how to get it."""
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


def registration_in_words(dataset: DatasetFacts | None) -> str:
    """Say how many pairs of sequences were registered, or why nothing is said."""
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


def version_facts(comparison: Comparison, dataset: DatasetFacts | None) -> list[tuple[str, str]]:
    """Return versions, seeds and the digest of the comparison, as pairs of words."""
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
