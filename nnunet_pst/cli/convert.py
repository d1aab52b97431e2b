"""``nnunet_pst convert``: a cohort table becomes an nnU-Net raw dataset."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_pst.cli.argument_types import count, positive
from nnunet_pst.layouts import LAYOUT_MODULES

if TYPE_CHECKING:
    from nnunet_pst.nnunet.conversion import ConversionSummary

#: Cases that are named; of more the number must do.
_SHOWN = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument("table", type=Path, metavar="COHORT.csv", help="cohort table")
    parser.add_argument(
        "--dataset", required=True, metavar="NAME", help="such as DatasetPST or Dataset501_PST"
    )
    parser.add_argument("--layout", choices=list(LAYOUT_MODULES), default="all-sequence")
    parser.add_argument(
        "--sequences", nargs="+", metavar="SEQ", help="convert only these (default: all)"
    )
    parser.add_argument(
        "--coarse-slices",
        type=count,
        default=5,
        metavar="N",
        help="slices above and below the largest one that a coarse mask covers (default: 5)",
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
        help="take slices far from a single lesion as free of tumor",
    )
    parser.add_argument(
        "--unknown",
        choices=["ignore", "background"],
        default="ignore",
        help="what slices become that nobody drew (default: ignore)",
    )
    parser.add_argument(
        "--workers", type=positive, metavar="N", help="processes (default: nnUNet_def_n_proc)"
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="convert every case anew; without it a run adds cases and renews those whose row or "
        "files have changed, but refuses to remove a whole case or to take all from other files",
    )
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Convert and print what was done."""
    from nnunet_pst.annotation import LabelRules
    from nnunet_pst.nnunet.conversion import convert_cohort
    from nnunet_pst.nnunet.environment import process_count

    summary = convert_cohort(
        arguments.table,
        arguments.dataset,
        layout=arguments.layout,
        sequences=arguments.sequences,
        rules=LabelRules(
            coarse_slices=arguments.coarse_slices,
            simulate_coarse=arguments.simulate_coarse,
            far_negatives=arguments.far_negatives,
            unknown=arguments.unknown,
        ),
        workers=arguments.workers or process_count(os.environ),
        overwrite=arguments.overwrite,
    )
    if arguments.json:
        print(json.dumps(asdict(summary), default=str, indent=2))
    else:
        print("\n".join(_lines(summary, arguments.unknown)))
    return 0


def _lines(summary: ConversionSummary, unknown: str) -> list[str]:
    """Say in a few lines what was written and what to type next."""
    patients, cases = summary.patients, summary.cases
    lines = [
        f"{summary.dataset}: {sum(cases.values())} cases of {sum(patients.values())} patients ("
        + ", ".join(f"{cases[s]} {s} of {patients[s]}" for s in cases if cases[s])
        + f") in {summary.folder}"
    ]
    if summary.kept or summary.removed_files:
        lines.append(
            f"found {summary.kept} cases whole already and kept them, wrote {summary.written}, "
            f"removed {summary.removed_files} left-over files"
        )
    for what, names in (("converted anew", summary.renewed), ("removed", summary.removed)):
        if names:
            more = ", ..." if len(names) > _SHOWN else ""
            lines.append(f"{what}: {len(names)} cases ({', '.join(names[:_SHOWN])}{more})")
    named = "unknown" if unknown == "ignore" else "unknown (written as background)"
    lines.append(
        f"labels: {summary.coarse} coarse, {summary.fine} fine; slices: {summary.known} known "
        f"({summary.tumor} with tumor), {summary.free_negative} free negative, "
        f"{summary.unknown} {named}"
    )
    lines += [f"resampled: {case}: {text}" for case, text in summary.resampled.items()]
    lines += [f"note: {note}" for note in summary.notes]
    lines.append(f"key from pseudonyms to patients, never to be shared: {summary.key}")
    lines.append(f"next: nnunet_pst plan {summary.dataset}")
    return lines
