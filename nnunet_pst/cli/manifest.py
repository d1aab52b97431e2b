"""``nnunet_pst manifest``: the SHA-256 of a model's files, for those who get a copy."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.epilog = (
        "Write the SHA-256 of what `segment` reads of a model, beside it; `segment` and "
        "`sha256sum -c` hold a copy against it."
    )
    parser.add_argument("model", type=Path, help="folder or archive of a trained model")


def run(arguments: argparse.Namespace) -> int:
    """Write the manifest and say where."""
    from nnunet_pst.nnunet.models.files import write_manifest

    print(f"written: {write_manifest(arguments.model)}")
    return 0
