"""``nnunet_pst calibrate``: learn how far a trained model's masks can be believed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_pst.cli.argument_types import count

if TYPE_CHECKING:
    from nnunet_pst.calibration.calibration import Calibration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.epilog = (
        "Segments the validation cases of each finished fold by that fold's network, which has not "
        "learned from them, and writes calibration.json beside the model. `segment` then gives "
        "every mask an expected Dice, a range for its volume and a flag. Test patients are not "
        "used."
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "dataset", nargs="?", help="dataset of the training: a name, a number, or its raw folder"
    )
    source.add_argument("-d", dest="also_dataset", metavar="dataset", help="the same, as nnU-Net's")
    parser.add_argument("-c", dest="configuration", default="2d_5", help="default: 2d_5")
    parser.add_argument(
        "-tr", dest="trainer", default="nnUNetTrainerPST25D", help="default: %(default)s"
    )
    parser.add_argument("-p", dest="plans", default="nnUNetPlans", help="default: nnUNetPlans")
    parser.add_argument(
        "-f",
        dest="folds",
        type=count,
        nargs="+",
        default=[],
        help="folds (default: all that are finished)",
    )
    parser.add_argument(
        "--references",
        type=Path,
        help="folder of labels drawn on every slice, for datasets with coarse ones: without it "
        "there is no range for the volume",
    )
    parser.add_argument(
        "--no-mirroring",
        action="store_true",
        help="calibrate for `segment --no-mirroring`",
    )
    parser.add_argument("-device", choices=("cpu", "cuda"), help="default: cuda if there is one")


def run(arguments: argparse.Namespace) -> int:
    """Calibrate, and print what was measured."""
    from nnunet_pst.nnunet.models.calibrate import CalibrationSettings, calibrate

    done = calibrate(
        arguments.dataset or arguments.also_dataset,
        CalibrationSettings(
            configuration=arguments.configuration,
            trainer=arguments.trainer,
            plans=arguments.plans,
            folds=tuple(arguments.folds),
            references=arguments.references,
            mirroring=not arguments.no_mirroring,
            device=arguments.device,
        ),
    )
    print("\n".join(_lines(done.calibration)))
    print(f"written: {done.file}")
    for note in done.notes:
        print(f"note: {note}", file=sys.stderr)
    return 0


def _lines(found: Calibration) -> list[str]:
    from nnunet_pst.calibration.conformal import fewest_patients
    from nnunet_pst.calibration.fitting import COVERAGE, FAILED_BELOW, FEWEST_PATIENTS

    lines = [f"{found.cases} validation cases of {found.patients} patients"]
    if not found.whole:
        lines.append(
            "labels are coarse: Dice is of known voxels, and there is neither a range for volumes "
            "nor a best threshold; --references gives finer labels"
        )
    if found.intervals is None or found.check is None:
        lines.append(f"no expected Dice: masks of {FEWEST_PATIENTS} patients are needed")
        return lines
    if found.intervals.dice_quantile is None:
        lines.append(
            f"no intervals: {COVERAGE:.0%} coverage needs {fewest_patients(COVERAGE)} patients"
        )
    measures, check = found.measures, found.check
    auroc = measures["failure_auroc"]
    lines.append(
        f"{measures['failed']} of {measures['masks']} masks failed (Dice below {FAILED_BELOW})"
        + ("" if auroc is None else f"; the expected Dice tells them with an AUROC of {auroc:.2f}")
    )
    missed = (
        "nothing failed, so no miss rate is known"
        if check.miss_rate is None
        else f"a failed mask of a new patient is missed with a chance of {check.miss_rate:.0%} "
        f"at most (failed masks of {check.failed_patients} patients)"
    )
    lines.append(
        f"masks below an expected Dice of {check.below:.2f} are flagged: {missed}, and "
        f"{check.flagged_good:.0%} of good ones are flagged too"
    )
    if found.empty:
        lines.append(f"{found.empty} empty masks, of which {found.empty_wrong} missed a tumor")
    for name, one in measures["probabilities"].items():
        lines.append(
            f"{name}: temperature {found.temperatures[name]:.2f}, calibration error "
            f"{one['ece']:.3f} before and {one['ece_at_temperature']:.3f} after"
        )
    if found.threshold:
        best = found.threshold
        lines.append(
            f"best threshold {best['threshold']:.2f}: Dice {best['dice']:.3f}, at one half "
            f"{best['dice_at_half']:.3f} (masks stay those of one half, as nnUNetv2_predict's)"
        )
    return lines
