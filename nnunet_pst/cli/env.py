"""``nnunet_pst env ROOT``: for ``eval "$(nnunet_pst env ROOT)"`` in a POSIX shell."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys

from nnunet_pst.nnunet.environment import DATA_FOLDERS, make_folders, shell_environment


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``env``."""
    parser.add_argument(
        "root",
        metavar="ROOT",
        help="folder for nnUNet_raw, nnUNet_preprocessed and nnUNet_results (made if missing)",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object instead")
    parser.epilog = 'Use it as:  eval "$(nnunet_pst env ROOT)"'


def run(arguments: argparse.Namespace) -> int:
    """Create the folders and print the variables; notes go to stderr, so that eval is safe."""
    variables = shell_environment(arguments.root)
    make_folders(variables)
    if arguments.json:
        print(json.dumps(variables, indent=2))
        return 0
    for name in DATA_FOLDERS:
        previous = os.environ.get(name)
        if previous and previous != variables[name]:
            print(f"note: {name} was {previous}", file=sys.stderr)
    for name, value in variables.items():
        print(f"export {name}={shlex.quote(value)};")
    return 0
