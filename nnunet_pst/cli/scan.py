"""``nnunet_pst scan``: a tree of DICOM files becomes a cohort table."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from nnunet_pst.errors import PartlyDoneError

#: Most patients that are named.
_SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder of any shape, or a zip")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("cohort.csv"),
        metavar="COHORT.csv",
        help="cohort table to write; series.csv goes beside it (default: cohort.csv)",
    )
    parser.add_argument(
        "--roi", metavar="NAME", help="structure or segment that is the tumor, loosely"
    )
    parser.add_argument(
        "--rules",
        type=Path,
        metavar="RULES.csv",
        help="your own rules for sequences, instead of those of --print-rules",
    )
    parser.add_argument(
        "--print-rules",
        action=_PrintRules,
        help="print the rules of this program, a table to copy and change, and exit",
    )
    parser.add_argument(
        "--anonymous-ids",
        action="store_true",
        help="call patients P0001 and so on; their names and folders go into a separate key",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace tables that exist")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


class _PrintRules(argparse.Action):
    """Print the table and exit, like ``--version``: no folder is needed."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from nnunet_pst.dicom.scan.sequence_rules import own_rules_text

        print(own_rules_text(), end="")
        parser.exit()


def run(arguments: argparse.Namespace) -> int:
    """Scan and print a summary."""
    from nnunet_pst.dicom.scan.scanning import scan

    summary = scan(
        arguments.folder,
        arguments.output,
        rules=arguments.rules,
        roi=arguments.roi,
        anonymous_ids=arguments.anonymous_ids,
        overwrite=arguments.overwrite,
    )
    if arguments.json:
        print(json.dumps(asdict(summary), default=str, indent=2))
    else:
        for patient, taken in list(summary.taken.items())[:_SHOWN]:
            print(f"{patient}: " + ", ".join(f"{name} {what}" for name, what in taken.items()))
        if len(summary.taken) > _SHOWN:
            print(f"and {len(summary.taken) - _SHOWN} more patients")
        if summary.without:
            more = ", ..." if len(summary.without) > _SHOWN else ""
            named = ", ".join(summary.without[:_SHOWN])
            print(f"without a usable sequence: {len(summary.without)} patients ({named}{more})")
        print(f"{summary.masks} mask{'s' * (summary.masks != 1)} attached")
        if summary.results:
            print(f"left out, because nnunet_pst segment made them: {summary.results} masks")
        print(f"every series with its reason ({summary.rows} rows): {summary.series}")
        if summary.key is not None:
            print(f"key from pseudonyms to patients, never to be shared: {summary.key}")
            print("the table holds names of folders; if they name patients, don't share it")
        then = ["nnunet_pst", "convert", str(summary.cohort), "--dataset", "DatasetPST"]
        if summary.masks:
            print(f"look through it, then: {shlex.join(then)}")
        else:
            print("no mask was found: draw some and scan again to train, or use nnunet_pst segment")
    for problem in summary.problems:
        print(f"error: {problem}", file=sys.stderr)
    return PartlyDoneError.exit_code if summary.problems else 0
