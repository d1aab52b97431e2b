"""``nnunet_pst convert``: a cohort table becomes an nnU-Net raw dataset."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_pst.cli.argument_types import count, distance, positive
from nnunet_pst.dataset.layouts import LAYOUT_MODULES
from nnunet_pst.errors import Fault, InputError, PartlyDoneError

if TYPE_CHECKING:
    from nnunet_pst.dataset.conversion_summary import ConversionSummary

#: Most cases that a line names.
_SHOWN = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument("table", type=Path, metavar="COHORT.csv", help="cohort table")
    parser.add_argument(
        "-d",
        "--dataset",
        required=True,
        metavar="NAME",
        help="such as DatasetPST or Dataset501_PST, or the number of one that exists",
    )
    parser.add_argument("--layout", choices=list(LAYOUT_MODULES), default="all-sequence")
    parser.add_argument(
        "--sequences",
        nargs="+",
        metavar="SEQ",
        help="convert only these (layout all-sequence; default: all)",
    )
    parser.add_argument(
        "--channels",
        nargs="+",
        metavar="SEQ",
        help="channels of layout fusion; the others are registered to the first",
    )
    parser.add_argument(
        "--allow-missing",
        action="store_true",
        help="give patients who lack a channel zeros in its place (default: leave them out)",
    )
    parser.add_argument(
        "--labels-from",
        metavar="SEQ",
        help="carry this sequence's mask to those without one",
    )
    parser.add_argument(
        "--roi",
        metavar="NAME",
        help="structure or segment of DICOM labels, where the table names none",
    )
    _add_registration(parser)
    _add_label_rules(parser)
    parser.add_argument(
        "--workers", type=positive, metavar="N", help="processes (default: nnUNet_def_n_proc)"
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="convert every case anew; without it a run adds cases and renews those whose row or "
        "files have changed, but refuses to remove a whole case or to take all from other files",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="read every file of finished cases and compare it with what was written, instead of "
        "sizes and both ends; damaged cases are converted anew",
    )
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def _add_label_rules(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--coarse-slices",
        type=count,
        default=5,
        metavar="N",
        help="slices above and below the largest one that the annotators of coarse masks meant to "
        "draw: what scores call the annotated window; labels know what was drawn (default: 5)",
    )
    parser.add_argument(
        "--simulate-coarse",
        type=count,
        metavar="N",
        help="make fine masks coarse: forget all but N slices above and below the largest one "
        "(never of test patients)",
    )
    parser.add_argument(
        "--far-negatives",
        action="store_true",
        help="take slices far from a single lesion as free of tumor, in training patients",
    )
    parser.add_argument(
        "--unknown",
        choices=["ignore", "background"],
        default="ignore",
        help="label of slices without annotation, in training patients (default: ignore)",
    )


def _add_registration(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("registration (layout fusion, --labels-from)")
    group.add_argument(
        "--registration",
        choices=["ants", "simpleitk", "none"],
        default="ants",
        help="engine; none: trust the scanner's coordinates (default: ants)",
    )
    group.add_argument(
        "--transform",
        choices=["rigid", "affine", "syn"],
        default="rigid",
        help="syn is deformable, and ANTs's alone (default: rigid)",
    )
    group.add_argument(
        "--max-motion",
        type=distance,
        default=40.0,
        metavar="MM",
        help="a larger displacement is rejected (default: 40)",
    )
    group.add_argument(
        "--interpolation", choices=["linear", "bspline"], default="linear", help="(default: linear)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Convert and print a summary."""
    from nnunet_pst.dataset.annotation import LabelRules
    from nnunet_pst.dataset.conversion import convert_cohort
    from nnunet_pst.dataset.conversion_settings import ConversionSettings
    from nnunet_pst.nnunet.environment import process_count
    from nnunet_pst.registration.policy import RegistrationSettings

    fusion = arguments.layout == "fusion"
    if arguments.sequences and fusion:
        raise InputError(
            "layout fusion takes --channels, the reference first, not --sequences",
            Fault.CONTRADICTION,
        )
    if not fusion and (arguments.channels or arguments.allow_missing):
        raise InputError(
            "--channels and --allow-missing are for --layout fusion", Fault.CONTRADICTION
        )
    settings = ConversionSettings(
        layout=arguments.layout,
        sequences=tuple((arguments.channels if fusion else arguments.sequences) or ()),
        allow_missing=arguments.allow_missing,
        labels_from=arguments.labels_from,
        roi=arguments.roi,
        rules=LabelRules(
            coarse_slices=arguments.coarse_slices,
            simulate_coarse=arguments.simulate_coarse,
            far_negatives=arguments.far_negatives,
            unknown=arguments.unknown,
        ),
        registration=RegistrationSettings(
            engine=arguments.registration,
            model=arguments.transform,
            max_motion_mm=arguments.max_motion,
            interpolation=arguments.interpolation,
        ),
    )
    summary = convert_cohort(
        arguments.table,
        arguments.dataset,
        settings,
        workers=arguments.workers or process_count(os.environ),
        overwrite=arguments.overwrite,
        verify=arguments.verify,
    )
    if arguments.json:
        print(json.dumps(asdict(summary), default=str, indent=2))
    else:
        print("\n".join(_lines(summary, arguments.unknown)))
    # All cases are written, but some of them without registration: done in part.
    return PartlyDoneError.exit_code if summary.flagged else 0


def _lines(summary: ConversionSummary, unknown: str) -> list[str]:
    """Say in a few lines what was written and what to type next."""
    from nnunet_pst.io.wording import count as counted

    patients, cases = summary.patients, summary.cases
    lines = [
        f"{summary.dataset}: {counted(sum(cases.values()), 'case')} of "
        f"{counted(sum(patients.values()), 'patient')} ("
        + ", ".join(f"{cases[s]} {s} of {patients[s]}" for s in cases if cases[s])
        + f") in {summary.folder}"
    ]
    if summary.kept or summary.removed_files:
        lines.append(
            f"found {counted(summary.kept, 'case')} whole already and kept them, wrote "
            f"{summary.written}, removed {counted(summary.removed_files, 'left-over file')}"
        )
    for what, names in (("converted anew", summary.renewed), ("removed", summary.removed)):
        if names:
            more = ", ..." if len(names) > _SHOWN else ""
            lines.append(
                f"{what}: {counted(len(names), 'case')} ({', '.join(names[:_SHOWN])}{more})"
            )
    named = "unknown" if unknown == "ignore" else "unknown (written as background)"
    lines.append(
        f"labels: {summary.coarse} coarse, {summary.fine} fine; slices: {summary.known} known "
        f"({summary.tumor} with tumor), {summary.free_negative} free negative, "
        f"{summary.unknown} {named}"
    )
    lines += [f"resampled: {case}: {text}" for case, text in summary.resampled.items()]
    if summary.registration is not None:
        before = f", {summary.registered_before} before" if summary.registered_before else ""
        lines.append(
            f"registered: {summary.registered} pairs{before}; table, transforms and pictures: "
            f"{summary.registration}"
        )
    lines += [f"look at it: {name}: {reason}" for name, reason in summary.flagged.items()]
    lines += [f"note: {note}" for note in summary.notes]
    lines.append(f"key from pseudonyms to patients, never to be shared: {summary.key}")
    lines.append(f"next: nnunet_pst plan {summary.dataset}")
    return lines
