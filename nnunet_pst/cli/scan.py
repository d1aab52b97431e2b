"""``nnunet_pst scan``: a tree of DICOM files becomes a cohort table."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_pst.errors import PartlyDoneError

if TYPE_CHECKING:
    from nnunet_pst.dicom.scan.scanning import ScanSummary

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
        help="cohort table to write; series.csv and scan.html go beside it (default: cohort.csv)",
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
    parser.add_argument(
        "--patients-by",
        choices=("id", "name", "birth-date", "study"),
        default="id",
        help="what makes two studies those of one patient, besides PatientID (default: id)",
    )
    parser.add_argument(
        "--study-by",
        choices=("mask", "fullest", "latest"),
        default="mask",
        help="which study of a patient is taken (default: mask, one with a mask, then the fullest)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace tables that exist")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


class _PrintRules(argparse.Action):
    """Print the table and exit, like ``--version``: no folder is needed."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from nnunet_pst.dicom.scan.sequence_rules import explained_rules_text

        print(explained_rules_text(), end="")
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
        patients_by=arguments.patients_by,
        study_by=arguments.study_by,
        overwrite=arguments.overwrite,
    )
    if arguments.json:
        print(json.dumps(asdict(summary), default=str, indent=2))
    else:
        print("\n".join(_lines(summary)))
    for problem in summary.problems:
        print(f"error: {problem}", file=sys.stderr)
    partly = summary.problems or summary.warnings or summary.without
    return PartlyDoneError.exit_code if partly else 0


def _lines(summary: ScanSummary) -> Iterator[str]:
    """Say what was found, then what to look at, then what to do."""
    for patient, taken in list(summary.taken.items())[:_SHOWN]:
        yield f"{patient}: " + ", ".join(f"{name} {what}" for name, what in taken.items())
    if len(summary.taken) > _SHOWN:
        yield f"and {len(summary.taken) - _SHOWN} more patients"
    if summary.without:
        more = ", ..." if len(summary.without) > _SHOWN else ""
        named = ", ".join(summary.without[:_SHOWN])
        count = len(summary.without)
        yield f"without a usable sequence: {count} patients ({named}{more})"
    yield from (f"look at it: {warning}" for warning in summary.warnings)
    yield from (f"note: {note}" for note in summary.notes)
    yield f"{summary.masks} mask{'s' * (summary.masks != 1)} attached"
    if summary.results:
        yield f"left out, because nnunet_pst segment made them: {summary.results} objects"
    yield f"every series with its reason ({summary.rows} rows): {summary.series}"
    yield f"a page with pictures of what was taken: {summary.page}"
    if summary.key is not None:
        yield f"key from pseudonyms to patients, never to be shared: {summary.key}"
        yield "the table holds names of folders; if they name patients, don't share it"
    if summary.masks:
        then = ["nnunet_pst", "convert", str(summary.cohort), "--dataset", "DatasetPST"]
        yield f"look through it, then: {shlex.join(then)}"
    else:
        yield "no mask was found: draw some and scan again to train, or use nnunet_pst segment"
