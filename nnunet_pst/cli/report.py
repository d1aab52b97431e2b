"""``nnunet_pst report``: one page about a comparison, with figures, tables and a checklist."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.dataset_folders import dataset_folder
from nnunet_pst.io.real_paths import real_path

if TYPE_CHECKING:
    from nnunet_pst.comparison.results import Comparison
    from nnunet_pst.report.dataset_facts import DatasetFacts
    from nnunet_pst.report.training_logs import Curve


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("comparison", type=Path, help="folder that `nnunet_pst compare` wrote")
    parser.add_argument(
        "-d",
        "--dataset",
        help="raw dataset: a name, a number, or its folder (default: the comparison's, if "
        "nnUNet_raw has it)",
    )
    parser.add_argument(
        "--results",
        help="dataset whose training logs are drawn: a name in nnUNet_results, or a folder there "
        "(default: the comparison's, if it is there)",
    )
    parser.add_argument(
        "--predictions",
        nargs="+",
        default=(),
        metavar="NAME=FOLDER",
        help="as they were given to compare: the page says which masks have changed since (labels "
        "are looked at wherever the dataset is found)",
    )
    parser.add_argument(
        "--scan",
        type=Path,
        metavar="SERIES",
        help="series.csv of `nnunet_pst scan`, for the flow of patients from the scan to the test",
    )
    parser.add_argument("--sweep", type=Path, help="folder of `nnunet_pst sweep`, for tables 2-4")
    parser.add_argument(
        "-o", "--output", type=Path, help="the page (default: COMPARISON/report.html)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier report")


def run(arguments: argparse.Namespace) -> int:
    """Read, draw, write, and say where."""
    from nnunet_pst.comparison.results_folder import read_comparison
    from nnunet_pst.experiments.paper_tables import read_paper_tables, table_one
    from nnunet_pst.report.inputs import Sources
    from nnunet_pst.report.patient_flow import read_scan
    from nnunet_pst.report.writing import figure_folder, write_report

    page = arguments.output or arguments.comparison / "report.html"
    comparison = read_comparison(arguments.comparison)
    dataset = _dataset(arguments.dataset, comparison)
    changed, looked_at = _changes(arguments, comparison)
    sources = Sources(
        comparison=comparison,
        dataset=dataset,
        curves=_curves(arguments.results, comparison),
        paper_tables=[table_one(dataset), *read_paper_tables(arguments.sweep)],
        changed=changed,
        scanned=None if arguments.scan is None else read_scan(arguments.scan),
        looked_at=looked_at,
    )
    write_report(sources, page, overwrite=arguments.overwrite)
    print(f"written to {page}; figures as SVG and PNG in {figure_folder(page).name}/")
    return 0


def _changes(arguments: argparse.Namespace, comparison: Comparison) -> tuple[list[str], str]:
    """Look for labels and masks that have changed since; say what was looked at and is the same."""
    from nnunet_pst.comparison.methods import parse_methods
    from nnunet_pst.comparison.scored_files import (
        changed_labels,
        changed_predictions,
        said_of_changes,
    )

    methods = parse_methods(arguments.predictions) if arguments.predictions else []
    folder = _folder(arguments.dataset, comparison, "nnUNet_raw", holds="dataset.json")
    if not comparison.files:
        return [], "not known: the comparison is of an earlier version"
    labels = [] if folder is None else changed_labels(comparison, folder)
    masks = changed_predictions(comparison, methods)
    same = [] if folder is None or labels else ["labels"]
    same += [f"masks of {one.name}" for one in methods if one.name not in masks]
    rest = "; other masks were not looked at (report --predictions NAME=FOLDER)"
    looked_at = (
        f"{', '.join(same) or 'nothing'}{rest if len(methods) < len(comparison.methods) else ''}"
    )
    return said_of_changes(labels, masks), looked_at


def _dataset(name: str | None, comparison: Comparison) -> DatasetFacts | None:
    """Read the dataset that was named, else the comparison's if it is there."""
    from nnunet_pst.report.dataset_facts import read_dataset

    folder = _folder(name, comparison, "nnUNet_raw", holds="dataset.json")
    compared = str(comparison.facts.get("dataset") or "")
    if folder is not None and compared and real_path(folder).name != compared:
        raise InputError(
            f"--dataset {name}: the comparison is of {compared}; give that dataset",
            Fault.CONTRADICTION,
        )
    return None if folder is None else read_dataset(folder)


def _curves(name: str | None, comparison: Comparison) -> list[Curve] | None:
    from nnunet_pst.report.training_logs import read_curves

    folder = _folder(name, comparison, "nnUNet_results", holds="")
    return None if folder is None else read_curves(folder)


def _folder(name: str | None, comparison: Comparison, variable: str, *, holds: str) -> Path | None:
    """Find a folder that is given by name or by path; a folder that was named must exist."""
    root = os.environ.get(variable)
    if name is None:
        known = str(comparison.facts.get("dataset") or "")
        if not root or not known or Path(known).name != known:
            return None
        found = Path(root) / known
        return found if (found / holds).exists() else None
    found = dataset_folder(name, variable, holds=holds)
    if not found.is_dir():
        raise InputError(
            f"{found}: is not a folder; give a name in {variable}, or a folder", Fault.MISSING
        )
    return found
