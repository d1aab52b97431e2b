"""``nnunet_pst demo``: the whole way on a synthetic cohort, and a page with the results."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from nnunet_pst.cli.argument_types import count


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument(
        "folder", type=Path, nargs="?", default=Path("nnunet_pst_demo"), metavar="OUT",
        help="empty or new folder (default: nnunet_pst_demo)",
    )  # fmt: skip
    parser.add_argument("--patients", type=_enough, default=20, metavar="N", help="default: 20")
    parser.add_argument("--seed", type=count, default=0, metavar="S", help="default: 0")
    parser.add_argument(
        "-device", "--device", default="cpu", choices=["cpu", "cuda", "mps"],
        help="as nnU-Net's (default: cpu)",
    )  # fmt: skip


def _enough(text: str) -> int:
    value = int(text)
    if value < 8:
        raise argparse.ArgumentTypeError("must be 8 or more: five folds and a test patient")
    return value


def run(arguments: argparse.Namespace) -> int:
    """Run the demo, then print the table and where the page is."""
    from nnunet_pst.experiments.demo import Demo, run_demo

    begin = time.monotonic()
    demo = Demo(arguments.folder, arguments.patients, arguments.seed, arguments.device)
    page = run_demo(demo)
    for configuration in ("2d_5", "2d"):
        log = demo.folder / "logs" / f"evaluate_{configuration}.txt"
        scores = log.read_text(encoding="utf-8").strip()
        print(f"\n{configuration}, synthetic test patients:\n{scores}")
    minutes = (time.monotonic() - begin) / 60
    print(f"\n{minutes:.1f} minutes; look at {page}")
    return 0
