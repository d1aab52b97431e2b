"""``nnunet_pst segment``: from studies to masks, measures, a page and DICOM objects."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunet_pst.errors import InputError, PartlyDoneError
from nnunet_pst.io.dataset_folders import RESULTS, dataset_folder

if TYPE_CHECKING:
    from nnunet_pst.segmentation.batch import BatchOutcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.epilog = (
        "Segment studies with a trained model, or with an all-sequence and a fusion model: one "
        "mask per sequence, with volumes, pictures, a page, and DICOM objects where the study is "
        "DICOM. For research use only; not a medical device."
    )
    parser.add_argument(
        "study",
        nargs="+",
        metavar="STUDY",
        help="DICOM folder or zip, a folder of many studies, or the folders of one study's series; "
        "or the files of one study with their sequence, such as T2=t2.nii.gz CET1=cet1.nii.gz",
    )
    parser.add_argument(
        "--model",
        type=Path,
        action="append",
        default=[],
        help="folder (<trainer>__<plans>__<configuration>) or archive of a trained model; give it "
        "twice to have a fusion model segment its first channel where all channels are there (or "
        "were missing in its training too)",
    )
    _add_training(parser)
    parser.add_argument("-o", "--output", type=Path, required=True, help="output folder")
    parser.add_argument(
        "--consensus", action="store_true", help="also fuse the sequences' probabilities"
    )
    parser.add_argument(
        "--probabilities",
        action="store_true",
        help="also write the probability of tumor in each voxel, on the image's own grid",
    )
    _add_registration(parser)
    _add_network(parser)
    parser.add_argument(
        "--overwrite", action="store_true", help="replace earlier, different results"
    )
    parser.add_argument("--json", action="store_true", help="print the reports as JSON")
    parser.set_defaults(wrong_usage=parser.error)


def _add_training(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("a training in nnUNet_results, instead of --model")
    group.add_argument("-d", "--dataset", metavar="NAME", help="name or number of its dataset")
    group.add_argument("-c", "--configuration", metavar="NAME", default="2d_5")
    group.add_argument("-tr", "--trainer", metavar="NAME", default="nnUNetTrainerPST25D")
    group.add_argument("-p", "--plans", metavar="NAME", default="nnUNetPlans")


def _add_registration(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--registration",
        choices=("simpleitk", "ants", "none"),
        help="engine for fusion models and the consensus (default: as the fusion model's training "
        "data, else simpleitk)",
    )
    parser.add_argument(
        "--transform",
        choices=("rigid", "affine", "syn"),
        help="what a registration may move (default: as the fusion model's training data, else "
        "rigid)",
    )
    parser.add_argument(
        "--interpolation",
        choices=("linear", "bspline"),
        help="of a fusion model's channels (default: as its training data, else linear)",
    )


def _add_network(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-device", "--device", choices=("cpu", "cuda"), help="default: cuda if there is one"
    )
    parser.add_argument(
        "--engine",
        choices=("torch", "openvino", "openvino-bf16"),
        default="torch",
        help="what computes the network: on a CPU openvino is faster and openvino-bf16 faster "
        "still, with slightly different masks; both need nnunet_pst[openvino] (default: torch)",
    )
    parser.add_argument(
        "--no-mirroring",
        action="store_true",
        help="don't average over mirrored images, as nnU-Net does: a quarter of the network's work "
        "(of a 3D model an eighth), and different masks; compare before you rely on it",
    )
    parser.add_argument(
        "--trust-model", action="store_true", help="load a model that could run code"
    )


def run(arguments: argparse.Namespace) -> int:
    """Segment, write, and print a line for each mask."""
    models = [*_training(arguments), *arguments.model]
    if not models:
        arguments.wrong_usage("name a model: --model, or -d and what it was trained with")
    from nnunet_pst.nnunet.models.segment import ModelSettings, segment
    from nnunet_pst.segmentation.batch import key_of
    from nnunet_pst.segmentation.registration_choice import RegistrationWish
    from nnunet_pst.segmentation.study import SegmentationSettings

    outcome = segment(
        arguments.study,
        models,
        arguments.output,
        SegmentationSettings(
            consensus=arguments.consensus,
            probabilities=arguments.probabilities,
            registration=RegistrationWish(
                arguments.registration, arguments.transform, arguments.interpolation
            ),
        ),
        ModelSettings(
            device=arguments.device,
            engine=arguments.engine,
            mirroring=not arguments.no_mirroring,
            trusted=arguments.trust_model,
        ),
        overwrite=arguments.overwrite,
    )
    for note in outcome.notes:
        print(f"note: {note}", file=sys.stderr)
    if outcome.failed and not outcome.finished:
        raise InputError(outcome.failed)
    if arguments.json:
        print(json.dumps(list(outcome.finished.values()), indent=2))
    else:
        print("\n".join(_lines(outcome, arguments.output)))
        print(f"which study is which: {key_of(arguments.output).name} (private)")
    if outcome.failed or outcome.unread:
        raise PartlyDoneError([*outcome.failed, *outcome.unread])
    return 0


def _training(arguments: argparse.Namespace) -> list[Path]:
    """Find the folder of the training that is named as nnU-Net's commands name it."""
    if arguments.dataset is None:
        return []
    name = f"{arguments.trainer}__{arguments.plans}__{arguments.configuration}"
    return [dataset_folder(arguments.dataset, RESULTS, holds=name) / name]


def _lines(outcome: BatchOutcome, output: Path) -> list[str]:
    lines = []
    for name, report in outcome.finished.items():
        lines.append(f"{name}: {output / name / 'report.html'}")
        parts = [part for one in report["results"] for part in _named_parts(one)]
        lines += [f"  {_measured(*part)}" for part in parts]
        lines += [f"  {_believed(one)}" for one in report["results"]]
        lines += [f"  {name}: {warning}" for name, _, one in parts for warning in one["warnings"]]
        lines += [f"  {note}" for note in report["notes"]]
        if report["not_segmented"]:
            names = ", ".join(report["not_segmented"])
            lines.append(f"  not segmented, for want of a model: {names}")
    if outcome.kept:
        lines.append(f"{outcome.kept} of {len(outcome.finished)} were finished before and kept")
    return lines


def _named_parts(result: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Return a mask and each class of several: its name in a line, what it outlines, the part."""
    name = result["name"]
    return [
        (name, result["what"], result),
        *((f"{name} {one['name']}", one["name"], one) for one in result["classes"]),
    ]


def _believed(result: dict[str, Any]) -> str:
    """Say whether to believe a mask, in a line."""
    trust = result.get("trust")  # reports of earlier versions have none
    if trust is None:
        return f"{result['name']}: not calibrated (an earlier version segmented it)"
    interval = trust["volume_interval_ml"]
    between = "" if interval is None else f"; {interval[0]:.1f} to {interval[1]:.1f} ml"
    return f"{result['name']}: {trust['flag']} ({'; '.join(trust['reasons'])}{between})"


def _measured(name: str, what: str, one: dict[str, Any]) -> str:
    from nnunet_pst.segmentation.measures import volume_text

    measures = one["measures"]
    if not measures["slices"]:
        return f"{name}: no {what} found"
    return (
        f"{name}: {volume_text(measures['volume_ml'])}, {measures['longest_mm']:.0f} x "
        f"{measures['perpendicular_mm']:.0f} x {measures['height_mm']:.0f} mm, "
        f"{measures['slices']} slice{'' if measures['slices'] == 1 else 's'}"
    )
