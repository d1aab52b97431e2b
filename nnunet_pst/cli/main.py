"""Entry point of ``nnunet_pst VERB``: finds the verb's module, prints errors, sets exit codes."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from nnunet_pst import __version__
from nnunet_pst.cli.standard_output import patient_output
from nnunet_pst.errors import PSTError, told_by_the_system

#: What a shell expects of a program that Ctrl-C ended: 128 and the signal's number.
INTERRUPTED = 130
#: Verb and its line in ``--help``. The module ``nnunet_pst.cli.<verb>`` holds
#: ``add_arguments(parser)`` and ``run(arguments) -> int``; it is imported only when its verb is
#: called, and imports heavy libraries only inside ``run``.
VERBS: dict[str, str] = {
    "env": "print the shell lines that set up nnU-Net's folders and this plug-in",
    "info": "print versions, device, folders and what is missing (for bug reports)",
    "demo": "run the whole way on a synthetic cohort, in a few minutes",
    "phantom": "make a synthetic cohort of pelvic MRI with known truth",
    "scan": "find T1, T2, DWI and CET1 in a tree of DICOM files, and write a cohort table",
    "convert": "turn a cohort table into an nnU-Net raw dataset",
    "plan": "plan and preprocess a dataset for the stock and the 2.5D configurations",
    "segment": "segment a new study: masks, volumes, pictures, a page",
    "calibrate": "learn from validation cases how far a model's masks can be believed",
    "manifest": "write the SHA-256 of a trained model's files, to share with it",
    "evaluate": "score predictions against fine labels, with tables and overlays",
    "cohort": "describe a cohort split by split (the paper's Table 1)",
    "compare": "compare methods on the same patients, with intervals and paired tests",
    "power": "say how many patients the next study needs, from the spread of a comparison",
    "report": "write one page about a comparison: tables, figures, checklist",
    "sweep": "train and compare methods or input strategies: the paper's tables 2 to 4",
}


def build_parser(verb: str | None) -> argparse.ArgumentParser:
    """Make the parser; only ``verb`` gets its arguments, so that the others stay unimported."""
    parser = argparse.ArgumentParser(
        prog="nnunet_pst",
        description="2.5D segmentation of pelvic and sacral tumors with nnU-Net v2. "
        "For research use only; not a medical device.",
    )
    parser.add_argument("--version", action="version", version=f"nnunet_pst {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, help_line in VERBS.items():
        subparser = verbs.add_parser(name, help=help_line, description=help_line)
        if name == verb:
            importlib.import_module(f"nnunet_pst.cli.{name}").add_arguments(subparser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code (see `nnunet_pst.errors`)."""
    with patient_output() as output:
        code = _run(argv)
        output.flush()
        return output.exit_code(code)


def _run(argv: Sequence[str] | None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    verb = next((word for word in words if not word.startswith("-")), None)
    arguments = build_parser(verb).parse_args(words)
    module = importlib.import_module(f"nnunet_pst.cli.{arguments.verb}")
    try:
        return int(module.run(arguments))
    except PSTError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        if error.errno is None:
            raise  # not the system's word
        print(f"error: {told_by_the_system(error)}", file=sys.stderr)
        return PSTError.exit_code
    except KeyboardInterrupt:
        print("\ninterrupted; the same command again goes on where it can", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
