"""A comparison from folders of masks to a folder of tables and figures, whole or not at all.

    .partial-NAME/keys/                digests of the evaluations that are finished
    .partial-NAME/result/methods/...   the evaluations; becomes the output in one step

A comparison that was interrupted goes on: evaluations whose files are as they were stay.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from nnunet_pst import __version__
from nnunet_pst.comparison.difference_figure import draw_differences
from nnunet_pst.comparison.methods import Method, Part, host_ranking, score_part
from nnunet_pst.comparison.paired_figures import draw_dice_by_sequence
from nnunet_pst.comparison.results_folder import read_comparison
from nnunet_pst.comparison.same_masks import same_masks
from nnunet_pst.comparison.statistics import INTERVAL_KIND, LEVEL
from nnunet_pst.comparison.strata import Stratum, strata
from nnunet_pst.comparison.tables import Design, difference_rows, interval_rows, means_by_patient
from nnunet_pst.errors import Fault, InputError, Problem
from nnunet_pst.evaluation.averaging import mean
from nnunet_pst.evaluation.metrics.measures import MEASURES
from nnunet_pst.evaluation.references import References
from nnunet_pst.evaluation.score_tables import Row, write_csv
from nnunet_pst.io.atomic_files import (
    PARTIAL,
    gone_if_refused,
    refusals_in_one_line,
    replace_folder,
    write_atomically,
)

DESCRIPTION = "comparison.json"
_KEYS = ("method", "repeat", "case", "patient", "sequence")


@dataclass(frozen=True)
class Plan:
    """What is compared, and how.

    Parameters
    ----------
    methods
        In the order of the tables.
    parts
        Their folders, from `compared_methods.parts_of`.
    references
        Labels of all cases.
    design
        What is tested.
    covariates
        Rows of the dataset's case table; empty where there is none.
    warnings
        What a reader must know, beside what is found here.
    """

    methods: Sequence[Method]
    parts: Sequence[Part]
    references: References
    design: Design
    covariates: Sequence[Mapping[str, str]] = ()
    warnings: tuple[str, ...] = ()


def run_comparison(
    plan: Plan, output: Path, *, workers: int = 1, overlays: bool = True, overwrite: bool = False
) -> None:
    """Score all methods, compare them, and write the folder.

    Parameters
    ----------
    plan
        What is compared.
    output
        Becomes a folder with ``cases.csv``, ``patients.csv``, ``intervals.csv``,
        ``differences.csv``, ``comparison.json``, ``patients.png``, ``differences.png`` and
        ``methods/<method>[/<number>]/``, an evaluation each.
    workers
        Number of processes; the result is the same with any.
    overlays
        Draw the cases.
    overwrite
        Replace an earlier comparison.

    Raises
    ------
    InputError
        With every problem of all methods, or ``output`` is in the way.
    """
    check_output(output, overwrite=overwrite)
    with refusals_in_one_line(output), _draft(output) as draft:
        result = draft / "result"
        rows = _score_all(plan, draft, workers=workers, overlays=overlays)
        groups = strata(_case_rows(plan))
        _write_tables(plan, rows, groups, result)
        comparison = read_comparison(result)
        pictures = {"patients": draw_dice_by_sequence(comparison)}
        if (drawn := draw_differences(comparison)) is not None:
            pictures["differences"] = drawn
        for name, picture in pictures.items():
            (result / f"{name}.png").write_bytes(picture.png)
        replace_folder(result, output)
    shutil.rmtree(draft)


def check_output(output: Path, *, overwrite: bool) -> None:
    """Refuse to replace what is there, or anything that is not a comparison."""
    if not output.exists():
        return
    if not output.is_dir() or not (output / DESCRIPTION).is_file():
        raise InputError(
            f"{output}: exists and is not a comparison; choose another output folder", Fault.EXISTS
        )
    if not overwrite:
        raise InputError(
            f"{output}: exists; choose another output folder or add --overwrite", Fault.EXISTS
        )


def scored_before(output: Path) -> int:
    """Count the evaluations that an interrupted comparison has finished for this output."""
    return len(list((_draft_folder(output) / "keys").glob("*.key")))


def _draft_folder(output: Path) -> Path:
    return output.absolute().with_name(f"{PARTIAL}{output.absolute().name}")


@contextmanager
def _draft(output: Path) -> Iterator[Path]:
    """Give the folder in which the comparison grows; after an interruption it stays.

    A refusal removes it: whoever is refused looks for nothing hidden, and finds nothing.
    """
    folder = _draft_folder(output)
    with gone_if_refused(folder):
        (folder / "keys").mkdir(parents=True, exist_ok=True)
        (folder / "result").mkdir(exist_ok=True)
        yield folder


def _score_all(plan: Plan, draft: Path, *, workers: int, overlays: bool) -> list[Row]:
    """Score every folder; the problems of all are reported together."""
    home = draft / "result" / "methods"
    _forget_strangers(plan, home)
    problems: list[str] = []

    def scored(part: Part) -> list[Row]:
        try:
            return score_part(part, home, draft / "keys", workers=workers, overlays=overlays)
        except InputError as error:
            problems.extend(error.problems)
            return []

    rows = [row for part in plan.parts for row in scored(part)]
    if problems:
        raise InputError(problems)
    return rows


def _forget_strangers(plan: Plan, home: Path) -> None:
    """Remove the evaluations of a draft that are not part of this comparison."""
    wanted = {part.place for part in plan.parts}
    for folder in sorted(home.glob("*")) + sorted(home.glob("*/*")):
        place = str(folder.relative_to(home))
        inside = any(part == place or part.startswith(f"{place}/") for part in wanted)
        within = any(place.startswith(f"{part}/") for part in wanted)
        if folder.is_dir() and not inside and not within:
            shutil.rmtree(folder)


def _case_rows(plan: Plan) -> list[Mapping[str, str]]:
    """Rows of the case table for the cases that are compared."""
    compared = {case.name for part in plan.parts for case in part.references.cases}
    return [row for row in plan.covariates if row["case"] in compared]


def _write_tables(plan: Plan, rows: Sequence[Row], groups: Sequence[Stratum], folder: Path) -> None:
    design = plan.design
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
    write_csv(differences, list(differences[0]), folder / "differences.csv")
    facts = _facts(plan, groups, means)
    text = json.dumps(facts, indent=2, allow_nan=False)
    write_atomically(folder / DESCRIPTION, text + "\n")


def _facts(
    plan: Plan, groups: Sequence[Stratum], means: Mapping[tuple[str, str], Mapping[str, float]]
) -> dict[str, Any]:
    design = plan.design
    return {
        "dataset": plan.references.name,
        "split": plan.references.split,
        "methods": list(design.methods),
        "repeats": {
            name: max(part.repeat for part in plan.parts if part.method == name)
            for name in design.methods
        },
        "baseline": design.baseline,
        "measures": {one.name: {"unit": one.unit, "best": one.best} for one in design.measures},
        "family": list(design.family),
        "correction": "Holm, over the family's measures and all methods against the baseline",
        "test": "Wilcoxon signed-rank, two-sided, over patients",
        "effect": "matched-pairs rank-biserial correlation, above 0 where the method is better",
        "interval": INTERVAL_KIND,
        "level": LEVEL,
        "margin": design.margin,
        "seed": design.seed,
        "resamples": design.resamples,
        "strata": {group.name: _described(group, plan) for group in groups},
        "label_rules": dict(plan.references.label_rules),
        "warnings": [*plan.warnings, *same_masks(plan.parts), *_ranking_warning(plan, means)],
        "versions": {"nnunet_pst": __version__}
        | {name: metadata.version(name) for name in ("nnunetv2", "numpy", "scipy", "SimpleITK")},
    }


def _described(group: Stratum, plan: Plan) -> dict[str, Any]:
    """Say how many patients each level has, how many have none, and where numbers were cut."""
    patient_of = {row["case"]: row["patient"] for row in _case_rows(plan)}
    members = {
        level: {patient_of[case] for case, own in group.levels.items() if own == level}
        for level in group.order
    }
    return {
        "patients": {level: len(members[level]) for level in group.order},
        "cut_points": list(group.cuts),
        "missing": len(set(patient_of.values()) - set().union(*members.values())),
    }


def _ranking_warning(plan: Plan, means: Mapping[tuple[str, str], Mapping[str, float]]) -> list[str]:
    """Warn when nnU-Net's own scores order the methods otherwise."""
    host = host_ranking(plan.methods)
    if not host:
        return []
    ours = {name: mean(means[name, "dice"].values()) for name in host}
    theirs = sorted(host, key=lambda name: -host[name])
    if theirs == sorted(ours, key=lambda name: -ours[name]):
        return []
    said = ", ".join(f"{name} {host[name]:.3f}" for name in theirs)
    return [f"nnU-Net's own mean Dice (annotated voxels only) orders the methods otherwise: {said}"]


def measures_of(names: Sequence[str]) -> tuple[str, ...]:
    """Check the names of the family.

    Raises
    ------
    InputError
        With a line for each that is not a measure, or has no best value.
    """
    known = {measure.name: measure for measure in MEASURES}
    problems = [
        f"'{name}' is not a measure; known are {', '.join(known)}"
        for name in names
        if name not in known
    ]
    if names[0] != "dice":
        text = f"'{names[0]}' comes first; put dice there, from which a comparison concludes"
        problems.append(Problem(text, Fault.MALFORMED))
    problems += [
        Problem(
            f"'{name}' describes the case and has no best value; it cannot be tested",
            Fault.UNSUPPORTED,
        )
        for name in names
        if name in known and known[name].best is None
    ]
    if problems:
        raise InputError(problems)
    return tuple(dict.fromkeys(names))
