"""``nnunet_pst power``: how many patients the next study needs to show a difference in Dice."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_pst.cli.argument_types import margin

if TYPE_CHECKING:
    from nnunet_pst.comparison.planning import Planned


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "--from",
        dest="comparison",
        type=Path,
        required=True,
        help="folder that `nnunet_pst compare` wrote; its patients tell the spread",
    )
    parser.add_argument(
        "--difference",
        type=margin,
        nargs="+",
        default=[0.02, 0.05, 0.1],
        metavar="DICE",
        help="mean differences that the next study should show (default: 0.02 0.05 0.1)",
    )
    parser.add_argument("--method", help="whose differences to the baseline (default: the first)")


def run(arguments: argparse.Namespace) -> int:
    """Simulate, and print a table and what it rests on."""
    from nnunet_pst.comparison.planning import SIZES, STUDIES, dice_differences, planned
    from nnunet_pst.comparison.results_folder import read_comparison
    from nnunet_pst.io.wording import aligned

    comparison = read_comparison(arguments.comparison)
    others = [name for name in comparison.methods if name != comparison.baseline]
    method = arguments.method or (others[0] if others else "")
    differences = dice_differences(comparison, method)
    found = {d: planned(differences, d) for d in sorted(set(arguments.difference))}
    rows = [["patients", *map(str, SIZES)]]
    rows += [
        [f"shows {d:g}", *(f"{100 * one.power:.0f} %" for one in sizes)]
        for d, sizes in found.items()
    ]
    print("\n".join(aligned(rows, numbers=True)))
    print("\n".join(_needed(d, sizes) for d, sizes in found.items()))
    print(
        f"{method} against {comparison.baseline}: share of {STUDIES} simulated studies that show "
        "the mean difference in Dice, by both tests at 5 % without correction; patients drawn from "
        f"the {len(differences)} compared ones"
    )
    print("a tumor loss that these patients do not show is not in it: plan with more")
    return 0


def _needed(difference: float, sizes: list[Planned]) -> str:
    enough = next((one.patients for one in sizes if one.power >= 0.8), None)
    if enough is None:
        return f"a difference of {difference:g} takes more than {sizes[-1].patients} patients"
    return f"a difference of {difference:g} takes {enough} patients for 80 %"
