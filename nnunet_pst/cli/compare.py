"""``nnunet_pst compare``: several methods on the same patients, paired, with intervals."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_pst.cli.argument_types import count, margin, positive
from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.dataset_folders import RESULTS, dataset_folder

if TYPE_CHECKING:
    from nnunet_pst.comparison.inputs import ComparisonSettings
    from nnunet_pst.comparison.methods import Method
    from nnunet_pst.comparison.results import Comparison


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "methods",
        nargs="*",
        metavar="NAME=FOLDER",
        help="a method, or several to compare, and the masks, from nnUNetv2_predict or a fold's "
        "validation folder; a name that comes again adds a repeat (seed), or the other folds",
    )
    parser.add_argument(
        "-d", "--dataset", help="raw dataset with the labels: a name, a number, or its folder"
    )
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
        metavar="MEASURE",
        help="the family that is tested and corrected; dice first, which conclusions are from "
        "(default: dice hd95_mm)",
    )
    parser.add_argument(
        "--margin",
        type=margin,
        help="largest loss of mean Dice that would not matter, such as 0.05: non-inferiority and "
        "equivalence are tested",
    )
    parser.add_argument(
        "--second-reader",
        type=Path,
        metavar="FOLDER",
        help="masks of a second reader, <case>.nii.gz for every case: agreement between readers, "
        "methods against each and their consensus (STAPLE), and whether they are within the range",
    )
    parser.add_argument("--seed", type=count, default=0, help="of the bootstrap (default: 0)")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier comparison")
    parser.add_argument("--no-overlays", action="store_true", help="draw no cases")
    parser.add_argument(
        "--workers", type=positive, help="processes (default: one per core, at most 8)"
    )
    parser.add_argument("--json", action="store_true", help="print comparison.json")


def run(arguments: argparse.Namespace) -> int:
    """Compare, write, and print a table and its conclusions."""
    from nnunet_pst.comparison.compare import run_comparison, scored_before
    from nnunet_pst.comparison.inputs import gather_inputs
    from nnunet_pst.comparison.results_folder import read_comparison
    from nnunet_pst.comparison.written_results import DESCRIPTION
    from nnunet_pst.nnunet.environment import usable_cores

    methods, settings, skipped = _methods(arguments)
    dataset = arguments.dataset or arguments.results
    if not dataset:
        raise InputError("--dataset: name the raw dataset that holds the labels", Fault.MISSING)
    inputs = gather_inputs(methods, dataset_folder(dataset), settings, skipped)
    kept = scored_before(arguments.output)
    if kept:
        print(
            f"going on: {kept} of {len(inputs.parts)} evaluations were finished before and count "
            "if their files are as they were",
            file=sys.stderr,
        )
    run_comparison(
        inputs,
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


def _methods(
    arguments: argparse.Namespace,
) -> tuple[list[Method], ComparisonSettings, tuple[str, ...]]:
    """Find the methods, what is decided about them, and the methods that were left out."""
    from nnunet_pst.comparison.inputs import FAMILY, ComparisonSettings
    from nnunet_pst.comparison.methods import parse_methods
    from nnunet_pst.comparison.trained_methods import stock_method, trained_methods

    if bool(arguments.methods) == bool(arguments.results):
        raise InputError(
            "give either NAME=FOLDER, once or more, or --results DATASET", Fault.CONTRADICTION
        )
    skipped: tuple[str, ...] = ()
    if arguments.results:
        trained = trained_methods(dataset_folder(arguments.results, RESULTS, holds=""))
        methods, skipped = list(trained.methods), tuple(f"left out: {x}" for x in trained.skipped)
        baseline = arguments.baseline or stock_method(methods)
    else:
        methods, baseline = parse_methods(arguments.methods), arguments.baseline
    settings = ComparisonSettings(
        baseline=baseline,
        split=arguments.split,
        measures=tuple(arguments.measures or FAMILY),
        margin=arguments.margin,
        seed=arguments.seed,
        second_reader=arguments.second_reader,
    )
    return methods, settings, skipped


def _lines(comparison: Comparison) -> list[str]:
    """Means with intervals, then a sentence for each method, then warnings."""
    from nnunet_pst.comparison.conclusions import conclusions
    from nnunet_pst.comparison.descriptions import descriptions
    from nnunet_pst.comparison.reader_words import reader_sentences
    from nnunet_pst.evaluation.metrics.measures import where_found
    from nnunet_pst.io.wording import aligned, count, interval, measure_name, value

    family = [name for name in comparison.measures if name in comparison.family]
    # A measure of the tumors that were found stands before the one that lost tumors spoil.
    shown = [one for name in family for one in (where_found(name), name) if one]
    units = {name: comparison.measures[name].unit for name in shown}
    rows = [["", "tumors found", *(measure_name(name, units[name]) for name in shown)]]
    for method in comparison.methods:
        cells = ["{} of {}".format(*comparison.found_cases(method))]
        for name in shown:
            found = next(
                row
                for row in comparison.intervals
                if (row.measure, row.stratum, row.method) == (name, "all", method)
            )
            reach = interval(found.low, found.high, units[name])
            cells.append(f"{value(found.mean, units[name])} ({reach or 'too few for an interval'})")
        rows.append([method, *cells])
    lines = aligned(rows)
    lines.append(
        f"means over {count(len(comparison.patients), 'patient')} with {comparison.interval_kind}"
    )
    # Measures outside the family are in the report: too many for a terminal, and untested.
    declared = replace(
        comparison, differences=[d for d in comparison.differences if d.measure in family]
    )
    lines += [
        f"{one.method} against {one.baseline}: {' '.join(one.sentences)}"
        for one in conclusions(declared)
    ]
    lines += reader_sentences(comparison)
    if len(comparison.methods) == 1:
        lines += [f"{one.method}: {' '.join(one.sentences)}" for one in descriptions(comparison)]
        lines.append("one method: nothing is compared; `nnunet_pst report` makes its page")
    warnings = comparison.facts.get("warnings")
    return lines + [f"note: {line}" for line in (warnings if isinstance(warnings, list) else ())]
