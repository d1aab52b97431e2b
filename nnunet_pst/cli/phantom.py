"""``nnunet_pst phantom``: a synthetic cohort of pelvic MRI, its table, and its truth."""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path

from nnunet_pst.cli.argument_types import count, positive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument("folder", type=Path, metavar="OUT", help="empty or new folder")
    parser.add_argument("--patients", type=positive, default=24, metavar="N", help="default: 24")
    parser.add_argument("--seed", type=count, default=0, metavar="S", help="default: 0")
    parser.add_argument(
        "--size",
        choices=["small", "paper"],
        default="small",
        help="small: 80 to 96 pixels a side, for quick tests; paper: 288 to 320 (default: small)",
    )
    parser.add_argument(
        "--coarse",
        action="store_true",
        help="draw masks of training patients on the largest slice and 5 on each side only",
    )
    parser.add_argument(
        "--cluttered",
        action="store_true",
        help="hide tumors: crowded bowel, marrow of two kinds, tumors as bright as other tissue, "
        "fat suppression that fails in parts",
    )
    parser.add_argument(
        "--workers", type=positive, metavar="N", help="processes (default: nnUNet_def_n_proc)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Make the cohort and say where it is."""
    from nnunet_pst.nnunet.environment import process_count
    from nnunet_pst.phantom.cohort import CohortPlan, write_cohort

    plan = CohortPlan(
        arguments.patients,
        arguments.seed,
        arguments.size,
        arguments.coarse,
        arguments.cluttered,
    )
    table = write_cohort(
        arguments.folder, plan, workers=arguments.workers or process_count(os.environ)
    )
    print(f"{arguments.patients} synthetic patients (no real data) in {arguments.folder}")
    print(f"truth (motion, volumes, extent): {arguments.folder / 'truth'}")
    name = shlex.quote(str(table))
    print(f"next: nnunet_pst convert {name} --dataset DatasetPhantom --layout all-sequence")
    return 0
