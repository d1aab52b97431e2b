"""``nnunet_pst evaluate``: score predictions against labels, with tables and overlays."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunet_pst.cli.argument_types import positive
from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.dataset_folders import dataset_folder

if TYPE_CHECKING:
    from nnunet_pst.evaluation.references import References
    from nnunet_pst.evaluation.score_tables import Evaluation, Row

#: Columns of the printed table: measure, heading.
_COLUMNS = (
    ("found", "found"),
    ("dice_found", "Dice if found"),
    ("dice", "Dice"),
    ("iou", "IoU"),
    ("dice_in_window", "in window"),
    ("dice_beyond_window", "beyond"),
    ("recall_beyond_window", "recall beyond"),
    ("hd95_found_mm", "HD95 mm if found"),
    ("hd95_mm", "HD95 mm"),
    ("volume_error_percent", "volume error %"),
    ("false_positive_ml_on_free_slices", "FP ml free slices"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("predictions", type=Path, help="folder that nnUNetv2_predict wrote")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "-d", "--dataset", help="raw dataset with the labels: a name, a number, or its folder"
    )
    source.add_argument("--references", type=Path, help="folder of labels, instead of a dataset")
    parser.add_argument(
        "--split",
        choices=("test", "train", "val"),
        default="test",
        help="which cases of the dataset (default: test)",
    )
    parser.add_argument("--images", type=Path, help="images for overlays, with --references")
    parser.add_argument("--cases", type=Path, help="cases.csv with patients, with --references")
    parser.add_argument(
        "--window",
        type=_slices,
        help="slices on each side of the largest one that count as annotated "
        "(default: the dataset's, else 5)",
    )
    parser.add_argument(
        "--tolerances",
        type=_millimeters,
        nargs="+",
        metavar="MM",
        help="tolerances of the normalized surface distance (default: 2 3)",
    )
    parser.add_argument(
        "-o", "--output", type=Path, help="output folder (default: PREDICTIONS/evaluation)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier evaluation")
    parser.add_argument("--no-overlays", action="store_true", help="tables only")
    parser.add_argument(
        "--workers", type=positive, help="processes (default: one per core, at most 8)"
    )
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Score, write, and print a short table or the summary."""
    from nnunet_pst.evaluation.evaluate import evaluate_predictions, scored_before
    from nnunet_pst.evaluation.metrics.measures import DEFAULT_TOLERANCES_MM
    from nnunet_pst.evaluation.prediction_names import name_problems
    from nnunet_pst.nnunet.environment import usable_cores

    references = _references(arguments)
    output = arguments.output or arguments.predictions / "evaluation"
    overwrite = arguments.overwrite
    before = scored_before(output)
    if before and not name_problems(arguments.predictions, references):
        print(
            f"going on with an evaluation that was interrupted: {before} of "
            f"{len(references.cases)} cases are scored; those that changed are scored again",
            file=sys.stderr,
        )
    evaluation = evaluate_predictions(
        arguments.predictions,
        references,
        output=output,
        overlays=not arguments.no_overlays,
        workers=arguments.workers or min(8, usable_cores()),
        overwrite=overwrite,
        tolerances_mm=sorted(set(arguments.tolerances or DEFAULT_TOLERANCES_MM)),
    )
    if arguments.json:
        print(json.dumps(evaluation.summary, indent=2))
    else:
        print("\n".join([*_table(evaluation), *_remarks(evaluation), f"written to {output}"]))
    return 0


def _slices(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return number


def _millimeters(text: str) -> float:
    number = float(text)
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a distance in mm")
    return number


def _references(arguments: argparse.Namespace) -> References:
    """Find the labels that the arguments name."""
    from nnunet_pst.evaluation.metrics.overlap import DEFAULT_WINDOW
    from nnunet_pst.evaluation.references import references_in_folder, references_of_dataset

    if arguments.dataset is not None:
        if arguments.images or arguments.cases:
            raise InputError(
                "--images and --cases go with --references; a dataset has its own",
                Fault.CONTRADICTION,
            )
        folder = dataset_folder(arguments.dataset)
        return references_of_dataset(folder, arguments.split, window=arguments.window)
    window = DEFAULT_WINDOW if arguments.window is None else arguments.window
    return references_in_folder(
        arguments.references, images=arguments.images, table=arguments.cases, window=window
    )


def _table(evaluation: Evaluation) -> list[str]:
    """Lay out ``sequences.csv``: means, with the number of patients where it is smaller."""
    from nnunet_pst.io.wording import aligned

    heads = ["sequence", "patients", *(head for _, head in _COLUMNS)]
    rows = [
        [str(row["sequence"]), str(row["patients"]), *_cells(row)] for row in evaluation.sequences
    ]
    return aligned([heads, *rows], numbers=True)


def _cells(row: Row) -> list[str]:
    cells = []
    for name, _ in _COLUMNS:
        if name == "found":
            cells.append(f"{row['found_cases']} of {row['tumor_cases']}")
            continue
        number = int(row[f"{name}_n"])
        cell = f"{row[f'{name}_mean']:.3f}" if number else "-"
        cells.append(cell if number in (0, row["patients"]) else f"{cell} (n={number})")
    return cells


def _remarks(evaluation: Evaluation) -> list[str]:
    """Return notes for readers of the table."""
    summary = evaluation.summary
    lines = [
        "means over patients; window: the largest slice and "
        f"{summary['window_slices']} slices on each side"
    ]
    if not any(row["sequence"] for row in evaluation.cases):
        lines.append(
            "no cases.csv names the patients: every case counts as its own patient (--cases)"
        )
    unknown = summary["cases_with_unknown_voxels"]
    if unknown:
        lines.append(
            f"{unknown} of {summary['cases']} labels hold unknown voxels: "
            "their scores are over annotated voxels only"
        )
    if classes := summary.get("classes"):
        each = ", ".join(
            f"{name} {'-' if (mean := scores['dice']['mean']) is None else f'{mean:.3f}'}"
            for name, scores in classes.items()
        )
        lines.append(f"above: all classes together; Dice of each: {each} (classes.csv)")
    if summary["label_rules"].get("unknown") == "background" and "train" in summary["split"]:
        lines.append("labels of training patients take what was not drawn as background")
    lines += [f"look at it: {warning}" for warning in summary.get("warnings", ())]
    if evaluation.kept:
        lines.append(f"{evaluation.kept} cases were scored before the interruption and kept")
    lines += _detection(summary["detection"])
    empty = summary["empty_masks"]
    if any(empty.values()):
        lines.append(
            f"empty masks: prediction only {empty['prediction_only']}, reference only "
            f"{empty['reference_only']} (Dice 0, HD95 the image's diagonal), both "
            f"{empty['reference_and_prediction']} (Dice 1, HD95 0)"
        )
    return lines


def _detection(found: Mapping[str, Any]) -> list[str]:
    """Say what lost tumors count, and what was found in patients without one."""
    lines = []
    lost = found["tumor_cases"] - found["found_cases"]
    if lost:
        lines.append(
            f"found: the masks share a voxel; {lost} lost cases count as Dice 0, and as HD95 the "
            "image's diagonal if nothing was predicted; both measures also without them"
        )
    if found["tumor_free_patients"]:
        lines.append(
            f"{found['tumor_free_patients']} patients without a tumor: "
            f"{found['false_alarms_per_patient']:.3g} false alarms per patient, specificity "
            f"{found['specificity']:.3f} (share of patients without a false alarm)"
        )
    return lines
