"""``nnunet_pst info``: what a bug report needs, and what is missing."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from nnunet_pst.errors import HostError

if TYPE_CHECKING:
    from nnunet_pst.nnunet.installation import Finding


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``info``."""
    parser.add_argument("--json", action="store_true", help="print a JSON object instead")
    parser.add_argument(
        "--paths",
        action="store_true",
        help="also print local paths and the host's messages; leave it out of a public report",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the findings; missing necessities go to stderr, with exit code 1."""
    from nnunet_pst.nnunet.installation import collect_info, problems

    findings = collect_info()
    print(
        as_json(findings, arguments.paths) if arguments.json else as_text(findings, arguments.paths)
    )
    missing = list(problems(findings))
    if missing:
        raise HostError(missing)
    return 0


def as_text(findings: list[Finding], paths: bool) -> str:
    """Aligned lines; with ``paths``, the detail on a line of its own."""
    width = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{finding.name:<{width}}  {finding.value}")
        if paths and finding.detail:
            lines.append(f"{'':<{width}}  {finding.detail}")
    return "\n".join(lines)


def as_json(findings: list[Finding], paths: bool) -> str:
    """JSON by name: value, whether it is in order, and what to do if not."""
    report = {}
    for finding in findings:
        entry: dict[str, object] = {"value": finding.value, "ok": not finding.to_do}
        if finding.to_do:
            entry["to_do"] = finding.to_do
        if paths and finding.detail:
            entry["detail"] = finding.detail
        report[finding.name] = entry
    return json.dumps(report, indent=2)
