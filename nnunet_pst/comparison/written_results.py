"""The tables and the description of a comparison, as they are written into its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from importlib import metadata
from pathlib import Path
from typing import Any

from nnunet_pst import __version__
from nnunet_pst.comparison.cautions import cautions
from nnunet_pst.comparison.inputs import ComparisonInputs
from nnunet_pst.comparison.methods import host_ranking
from nnunet_pst.comparison.results import Difference, ScoredFile
from nnunet_pst.comparison.same_masks import same_masks
from nnunet_pst.comparison.scored_files import scored_files
from nnunet_pst.comparison.statistics import INTERVAL_KIND, LEVEL
from nnunet_pst.comparison.strata import Stratum, strata
from nnunet_pst.comparison.tables import difference_rows, interval_rows, means_by_patient
from nnunet_pst.evaluation.averaging import mean
from nnunet_pst.evaluation.score_tables import Row, write_csv
from nnunet_pst.io.atomic_files import write_atomically

DESCRIPTION = "comparison.json"
_KEYS = ("method", "repeat", "case", "patient", "sequence")


def _case_rows(inputs: ComparisonInputs) -> list[Mapping[str, str]]:
    """Rows of the case table for the cases that are compared."""
    compared = {case.name for part in inputs.parts for case in part.references.cases}
    return [row for row in inputs.covariates if row["case"] in compared]


def write_results(
    inputs: ComparisonInputs, rows: Sequence[Row], copies: Sequence[str], folder: Path
) -> None:
    """Write all tables, which files were scored, and ``comparison.json``.

    Parameters
    ----------
    rows
        A row a case, method and repeat.
    copies
        What is said of images that show the same under two patients.
    folder
        Where.
    """
    groups = strata(_case_rows(inputs))
    design = inputs.design
    names = [measure.name for measure in design.measures]
    write_csv(rows, [*_KEYS, *names], folder / "cases.csv")
    means = {
        (method, name): means_by_patient(rows, name, method)
        for method in design.methods
        for name in names
    }
    patients: list[Row] = [
        {
            "method": method,
            "patient": patient,
            **{name: means[method, name][patient] for name in names},
        }
        for method in design.methods
        for patient in means[method, names[0]]
    ]
    write_csv(patients, ["method", "patient", *names], folder / "patients.csv")
    intervals = interval_rows(rows, design, groups)
    write_csv(intervals, list(intervals[0]), folder / "intervals.csv")
    differences = difference_rows(rows, design, groups)
    columns = [field.name for field in fields(Difference)]
    write_csv(differences, columns, folder / "differences.csv")
    columns = [field.name for field in fields(ScoredFile)]
    write_csv(scored_files(inputs.parts), columns, folder / "files.csv")
    facts = _facts(inputs, groups, means, rows)
    facts["warnings"] = [*copies, *facts["warnings"]]
    text = json.dumps(facts, indent=2, allow_nan=False)
    write_atomically(folder / DESCRIPTION, text + "\n")


def _facts(
    inputs: ComparisonInputs,
    groups: Sequence[Stratum],
    means: Mapping[tuple[str, str], Mapping[str, float]],
    rows: Sequence[Row],
) -> dict[str, Any]:
    design = inputs.design
    return {
        "dataset": inputs.references.name,
        "split": inputs.references.split,
        "methods": list(design.methods),
        "repeats": {
            name: max(part.repeat for part in inputs.parts if part.method == name)
            for name in design.methods
        },
        "baseline": design.baseline if design.others else None,
        "measures": {one.name: {"unit": one.unit, "best": one.best} for one in design.measures},
        "family": list(design.family),
        "correction": "Holm, over the family's measures and all methods against the baseline",
        "test": "two, which must agree: of the mean (that of its interval), and Wilcoxon "
        "signed-rank; two-sided, over patients",
        "effect": "matched-pairs rank-biserial correlation, above 0 where the method is better",
        "interval": INTERVAL_KIND,
        "level": LEVEL,
        "margin": design.margin,
        "seed": design.seed,
        "resamples": design.resamples,
        "strata": {group.name: _described(group, inputs) for group in groups},
        "label_rules": dict(inputs.references.label_rules),
        "warnings": [
            *inputs.warnings,
            *same_masks(inputs.parts),
            *cautions(inputs.parts, rows),
            *_ranking_warning(inputs, means),
        ],
        "versions": {"nnunet_pst": __version__}
        | {name: metadata.version(name) for name in ("nnunetv2", "numpy", "scipy", "SimpleITK")},
    }


def _described(group: Stratum, inputs: ComparisonInputs) -> dict[str, Any]:
    """Say how many patients each level has, how many have none, and where numbers were cut."""
    patient_of = {row["case"]: row["patient"] for row in _case_rows(inputs)}
    members = {
        level: {patient_of[case] for case, own in group.levels.items() if own == level}
        for level in group.order
    }
    return {
        "patients": {level: len(members[level]) for level in group.order},
        "cut_points": list(group.cuts),
        "missing": len(set(patient_of.values()) - set().union(*members.values())),
    }


def _ranking_warning(
    inputs: ComparisonInputs, means: Mapping[tuple[str, str], Mapping[str, float]]
) -> list[str]:
    """Warn when nnU-Net's own scores order the methods otherwise."""
    host = host_ranking(inputs.methods)
    if not host:
        return []
    ours = {name: mean(means[name, "dice"].values()) for name in host}
    theirs = sorted(host, key=lambda name: -host[name])
    if theirs == sorted(ours, key=lambda name: -ours[name]):
        return []
    said = ", ".join(f"{name} {host[name]:.3f}" for name in theirs)
    return [f"nnU-Net's own mean Dice (annotated voxels only) orders the methods otherwise: {said}"]
