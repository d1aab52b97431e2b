"""``nnunet_pst segment``: from studies to masks, measures, a page and DICOM objects."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunet_pst.errors import Fault, InputError, PartlyDoneError, Problem

if TYPE_CHECKING:
    from nnunet_pst.segmentation.batch import BatchOutcome
    from nnunet_pst.segmentation.model_interface import ModelChoice
    from nnunet_pst.segmentation.study_input import Study


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
        help="DICOM folder or zip, or a folder of many studies; or the files of one study with "
        "their sequence, such as T2=t2.nii.gz CET1=cet1.nii.gz",
    )
    parser.add_argument(
        "--model",
        type=Path,
        action="append",
        required=True,
        help="folder (<trainer>__<plans>__<configuration>) or archive of a trained model; give it "
        "twice to have a fusion model segment its first channel where all channels are there",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="output folder")
    parser.add_argument(
        "--consensus", action="store_true", help="also fuse the sequences' probabilities"
    )
    parser.add_argument(
        "--registration",
        choices=("simpleitk", "ants", "none"),
        default="simpleitk",
        help="for fusion models and the consensus (default: simpleitk)",
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda if there is one")
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
    parser.add_argument(
        "--overwrite", action="store_true", help="replace earlier, different results"
    )
    parser.add_argument("--json", action="store_true", help="print the reports as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Segment, write, and print a line for each mask."""
    from nnunet_pst.registration.policy import RegistrationSettings, require_engine
    from nnunet_pst.segmentation.batch import key_of, segment_studies
    from nnunet_pst.segmentation.study import SegmentationSettings

    registration = RegistrationSettings(engine=arguments.registration)
    require_engine(registration)
    studies, unread = _studies(arguments.study)
    _check_apart(arguments.study, arguments.output)
    outcome = segment_studies(
        studies,
        _models(arguments),
        arguments.output,
        SegmentationSettings(consensus=arguments.consensus, registration=registration),
        overwrite=arguments.overwrite,
    )
    if outcome.failed and not outcome.finished:
        raise InputError(outcome.failed)
    if arguments.json:
        print(json.dumps(list(outcome.finished.values()), indent=2))
    else:
        print("\n".join(_lines(outcome, arguments.output)))
        print(f"which study is which: {key_of(arguments.output).name} (private)")
    if outcome.failed or unread:
        raise PartlyDoneError([*outcome.failed, *unread])
    return 0


def _check_apart(words: list[str], output: Path) -> None:
    """Refuse to write into an input folder: the next run would read its own results."""
    place = output.resolve()
    inside = [word for word in words if Path(word).is_dir() and _within(place, Path(word))]
    if inside:
        raise InputError(
            f"{output}: is inside {inside[0]}, which is read; choose a folder outside",
            Fault.CONTRADICTION,
        )


def _within(place: Path, folder: Path) -> bool:
    return place.is_relative_to(folder.resolve())


def _studies(words: list[str]) -> tuple[list[Study], list[Problem]]:
    """Return the studies of sequence files or of DICOM, and the files that cannot be read."""
    from nnunet_pst.segmentation.dicom_studies import studies_of_dicom
    from nnunet_pst.segmentation.study_input import study_of_files

    pairs = [word for word in words if "=" in word and not Path(word).exists()]
    if pairs and len(pairs) < len(words):
        other = next(word for word in words if word not in pairs)
        raise InputError(
            f"{other}: give either folders and archives, or SEQUENCE=FILE pairs",
            Fault.CONTRADICTION,
        )
    if pairs:
        return [study_of_files(words)], []
    studies, notes, unread = studies_of_dicom([Path(word) for word in words])
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    return studies, unread


def _models(arguments: argparse.Namespace) -> ModelChoice:
    from nnunet_pst.nnunet.models.prediction import load_model
    from nnunet_pst.segmentation.model_interface import choose_models

    return choose_models(
        [
            load_model(
                path,
                device=arguments.device,
                engine=arguments.engine,
                mirroring=not arguments.no_mirroring,
                trusted=arguments.trust_model,
            )
            for path in arguments.model
        ]
    )


def _lines(outcome: BatchOutcome, output: Path) -> list[str]:
    lines = []
    for name, report in outcome.finished.items():
        lines.append(f"{name}: {output / name / 'report.html'}")
        lines += [f"  {_measured(one)}" for one in report["results"]]
        lines += [
            f"  {one['name']}: {warning}"
            for one in report["results"]
            for warning in one["warnings"]
        ]
        lines += [f"  {note}" for note in report["notes"]]
    if outcome.kept:
        lines.append(f"{outcome.kept} of {len(outcome.finished)} were finished before and kept")
    return lines


def _measured(one: dict[str, Any]) -> str:
    from nnunet_pst.segmentation.measures import volume_text

    measures = one["measures"]
    if not measures["slices"]:
        return f"{one['name']}: no tumor found"
    return (
        f"{one['name']}: {volume_text(measures['volume_ml'])}, {measures['longest_mm']:.0f} x "
        f"{measures['perpendicular_mm']:.0f} x {measures['height_mm']:.0f} mm, "
        f"{measures['slices']} slice{'' if measures['slices'] == 1 else 's'}"
    )
