"""``nnunet_pst compare``: several methods on the same patients, paired, with intervals."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_pst.cli.argument_types import count, margin, positive
from nnunet_pst.cli.dataset_folders import RESULTS, dataset_folder
from nnunet_pst.errors import InputError

if TYPE_CHECKING:
    from nnunet_pst.comparison.methods import Method
    from nnunet_pst.comparison.results import Comparison
    from nnunet_pst.comparison.tables import Design
    from nnunet_pst.evaluation.references import References

#: What is tested unless something else is declared: overlap, and the surface where it is worst.
FAMILY = ("dice", "hd95_mm")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "methods",
        nargs="*",
        metavar="NAME=FOLDER",
        help="a method and its masks, from nnUNetv2_predict or a fold's validation folder; a name "
        "that comes again adds a repeat (seed), or the other folds",
    )
    parser.add_argument("--dataset", help="raw dataset with the labels: a name, or its folder")
    parser.add_argument(
        "--results",
        metavar="DATASET",
        help="compare what is trained in nnUNet_results, by the validation of the folds",
    )
    parser.add_argument(
        "--split",
        choices=("test", "train", "val"),
        help="which cases (default: test; all of labelsTr for validation folders)",
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("comparison"), help="default: comparison"
    )
    parser.add_argument("--baseline", help="method that the others are compared with")
    parser.add_argument(
        "--measures",
        nargs="+",
        default=list(FAMILY),
        metavar="MEASURE",
        help="the family that is tested and corrected; dice first, from which is concluded "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--margin",
        type=margin,
        help="non-inferiority margin in Dice, such as 0.02",
    )
    parser.add_argument("--seed", type=count, default=0, help="of the bootstrap (default: 0)")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier comparison")
    parser.add_argument("--no-overlays", action="store_true", help="draw no cases")
    parser.add_argument(
        "--workers", type=positive, help="processes (default: one per core, at most 8)"
    )
    parser.add_argument("--json", action="store_true", help="print comparison.json")


def run(arguments: argparse.Namespace) -> int:
    """Compare, write, and print a table and what it allows to say."""
    from nnunet_pst.comparison.compare import (
        DESCRIPTION,
        Plan,
        check_output,
        run_comparison,
        scored_before,
    )
    from nnunet_pst.comparison.methods import parts_of
    from nnunet_pst.comparison.results_folder import read_comparison
    from nnunet_pst.nnunet.environment import usable_cores

    check_output(arguments.output, overwrite=arguments.overwrite)
    methods, baseline, skipped = _methods(arguments)
    references, table = _references(arguments, methods)
    parts = parts_of(methods, references)
    if not table:
        skipped += (
            "the dataset has no cases.csv: every case counts as a patient of its own, and "
            "intervals and p hold only if that is so",
        )
    kept = scored_before(arguments.output)
    if kept:
        print(
            f"going on: {kept} of {len(parts)} evaluations were finished before and count if "
            "their files are as they were",
            file=sys.stderr,
        )
    run_comparison(
        Plan(methods, parts, references, _design(arguments, methods, baseline), table, skipped),
        arguments.output,
        workers=arguments.workers or min(8, usable_cores()),
        overlays=not arguments.no_overlays,
        overwrite=arguments.overwrite,
    )
    comparison = read_comparison(arguments.output)
    if arguments.json:
        print(json.dumps(comparison.facts, indent=2))
    else:
        print("\n".join([*_lines(comparison), f"written to {arguments.output}/{DESCRIPTION}, …"]))
    return 0


def _methods(arguments: argparse.Namespace) -> tuple[list[Method], str, tuple[str, ...]]:
    """Find the methods, the baseline, and what was left out."""
    from nnunet_pst.comparison.methods import parse_methods
    from nnunet_pst.comparison.trained_methods import stock_method, trained_methods

    if bool(arguments.methods) == bool(arguments.results):
        raise InputError("give either NAME=FOLDER NAME=FOLDER or --results DATASET")
    skipped: tuple[str, ...] = ()
    if arguments.results:
        found = trained_methods(dataset_folder(arguments.results, RESULTS, holds=""))
        methods, skipped = list(found.methods), tuple(f"left out: {x}" for x in found.skipped)
        baseline = arguments.baseline or stock_method(methods)
    else:
        methods = parse_methods(arguments.methods)
        baseline = arguments.baseline or methods[0].name
    if baseline not in {method.name for method in methods}:
        names = ", ".join(method.name for method in methods)
        raise InputError(f"--baseline {baseline}: is none of the methods {names}")
    return methods, baseline, skipped


def _references(
    arguments: argparse.Namespace, methods: list[Method]
) -> tuple[References, list[dict[str, str]]]:
    """Labels of the cases, and the dataset's case table."""
    from nnunet_pst.comparison.methods import VALIDATION
    from nnunet_pst.evaluation.references import TRAINING, references_of_dataset
    from nnunet_pst.io.case_table import cases_of_dataset, number_problems

    name = arguments.dataset or arguments.results
    if not name:
        raise InputError("--dataset: name the raw dataset that holds the labels")
    folder = dataset_folder(name)
    validated = any(path.name == VALIDATION for method in methods for path in method.folders)
    split = arguments.split or (TRAINING if validated else "test")
    references, rows = references_of_dataset(folder, split), cases_of_dataset(folder)
    if problems := number_problems(rows):
        raise InputError(problems)
    return references, rows


def _design(arguments: argparse.Namespace, methods: list[Method], baseline: str) -> Design:
    from nnunet_pst.comparison.compare import measures_of
    from nnunet_pst.comparison.tables import Design
    from nnunet_pst.evaluation.metrics.measures import MEASURES

    return Design(
        methods=tuple(method.name for method in methods),
        baseline=baseline,
        measures=MEASURES,
        family=measures_of(arguments.measures),
        margin=arguments.margin,
        seed=arguments.seed,
    )


def _lines(comparison: Comparison) -> list[str]:
    """Means with intervals, then a sentence for each method, then warnings."""
    from nnunet_pst.comparison.conclusions import conclusions
    from nnunet_pst.io.wording import count, interval, measure_name, value

    family = [name for name in comparison.measures if name in comparison.family]
    units = {name: comparison.measures[name].unit for name in family}
    rows = [["", *(measure_name(name, units[name]) for name in family)]]
    for method in comparison.methods:
        cells = []
        for name in family:
            found = next(
                row
                for row in comparison.intervals
                if (row.measure, row.stratum, row.method) == (name, "all", method)
            )
            reach = interval(found.low, found.high, units[name])
            cells.append(f"{value(found.mean, units[name])} ({reach or 'no interval'})")
        rows.append([method, *cells])
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
    lines.append(
        f"means over {count(len(comparison.patients), 'patient')} with {comparison.interval_kind}"
    )
    # What lies outside the family stands in the report: too much for a terminal, and untested.
    declared = replace(
        comparison, differences=[d for d in comparison.differences if d.measure in family]
    )
    lines += [
        f"{one.method} against {one.baseline}: {' '.join(one.sentences)}"
        for one in conclusions(declared)
    ]
    warnings = comparison.facts.get("warnings")
    return lines + [f"note: {line}" for line in (warnings if isinstance(warnings, list) else ())]
