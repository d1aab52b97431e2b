"""``nnunet_pst manifest``: the SHA-256 of a model's files, to check copies."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.epilog = (
        "Write the SHA-256 of the files that `segment` reads, beside the model; `segment` and "
        "`sha256sum -c` check copies against it."
    )
    parser.add_argument("model", type=Path, help="folder or archive of a trained model")


def run(arguments: argparse.Namespace) -> int:
    """Write the manifest and say where."""
    from nnunet_pst.nnunet.models.files import write_manifest

    print(f"written: {write_manifest(arguments.model)}")
    return 0
