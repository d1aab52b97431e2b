"""Speed and memory of the 2.5D plug-in beside stock nnU-Net, measured in the same run.

    python benchmarks/run.py [--only loader|train|predict|start] [--quick]

Writes JSON and Markdown into ``benchmarks/results``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import machine
import tables
from contest import Entry, hold
from startup import startup
from synthetic_cohort import TINY, Geometry, make_cohort

from nnunet_pst.io.atomic_files import write_atomically
from nnunet_pst.network.openvino_engine import multiplies_bfloat16

PARTS = ("loader", "train", "predict", "start")
RESULTS = Path(__file__).parent / "results"
#: nnU-Net's mirroring at prediction is on, as in `nnUNetv2_predict`.
MIRRORING = True


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the requested parts, print and write the results."""
    arguments = _arguments(argv)
    import torch

    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if not machine.allocator_variables_set():
        print(
            'The allocator variables are not set; with eval "$(nnunet_pst env FOLDER)" the network '
            "is up to twice as fast on a CPU (glibc).",
            file=sys.stderr,
        )
    geometry = TINY if arguments.quick else Geometry()
    results: dict[str, Any] = {
        "date": date.today().isoformat(),
        "quick": arguments.quick,
        "machine": machine.describe(device),
        "cohort": geometry.as_dict(),
    }
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        print("making, planning and preprocessing a synthetic cohort", file=sys.stderr)
        make_cohort(Path(folder), geometry)
        for part in arguments.only or PARTS:
            results.update(_measure(part, geometry, device, arguments.quick))
    text = tables.render(results)
    print(text)
    # A partial run must not replace a whole one of the same day.
    partial = [*(arguments.only or ()), *(["quick"] if arguments.quick else ())]
    if not results["machine"]["allocator_variables"]:
        partial.append("allocator-unset")
    _write(results, text, arguments.output, partial)
    return 0


def _measure(part: str, geometry: Geometry, device: str, quick: bool) -> dict[str, Any]:
    if part == "start":
        return {part: startup(2 if quick else 7)}
    rounds = 2 if quick else {"loader": 7, "train": 5, "predict": 3}[part]
    found = {
        part: hold(
            _entries(part, geometry, device, quick), device=device, rounds=rounds, title=part
        )
    }
    if part == "predict":
        # In turn: together they would need the memory of all.
        found["memory"] = [
            row
            for entry in _memory_entries(geometry, quick)
            for row in hold([entry], device=device, rounds=1, title=f"memory, {entry.name}")
        ]
    return found


def _entries(part: str, geometry: Geometry, device: str, quick: bool) -> list[Entry]:
    if part == "loader":
        amount = {"batches": 2 if quick else 20}
        return [
            *(
                Entry(f"2d_5, {name}", "loader", "2d_5", {**amount, **setting})
                for name, setting in (
                    ("cold", {"cache_gb": 0}),
                    ("warm", {"cache_gb": 4}),
                    ("for a GPU, cold", {"cache_gb": 0, "sampled": False}),
                    ("for a GPU, warm", {"cache_gb": 4, "sampled": False}),
                )
            ),
            *(
                Entry(name, "loader", "2d", {**amount, "cache_gb": 0, **setting}, stock=True)
                for name, setting in (
                    ("stock 2d", {}),
                    ("stock 2d, our crops", {"same_crops": True}),
                )
            ),
        ]
    if part == "train":
        return [
            Entry("2d_5", "training_step", "2d_5"),
            Entry("2d_5 with its loader", "training_step", "2d_5", {"fresh": True}),
            *(
                [Entry("2d_5, single precision", "training_step", "2d_5", {"single": True})]
                if device == "cpu"
                else []
            ),
            Entry("stock 2d", "training_step", "2d", stock=True),
        ]
    volume = {"slices": geometry.slices, "mirroring": MIRRORING}
    tile = {**volume, "one_tile": True}
    engines = _engines(device)
    return [
        Entry("2d_5", "prediction", "2d_5", volume),
        *(
            Entry(
                f"2d_5, segment, {engine}", "own_prediction", "2d_5", {**volume, "engine": engine}
            )
            for engine in engines
        ),
        Entry("stock 2d", "prediction", "2d", volume, stock=True),
        Entry("stock 3d_fullres", "prediction", "3d_fullres", tile, stock=True),
    ]


def _engines(device: str) -> tuple[str, ...]:
    """Name the engines of `nnunet_pst segment` that this machine has, and say which it lacks."""
    if device != "cpu":
        return ("torch",)
    if multiplies_bfloat16():
        return ("torch", "openvino", "openvino-bf16")
    print("openvino-bf16 is left out: this processor has no bfloat16", file=sys.stderr)
    return ("torch", "openvino")


def _memory_entries(geometry: Geometry, quick: bool) -> list[Entry]:
    return [
        Entry("2d_5", "prediction", "2d_5", {"slices": slices, "mirroring": MIRRORING})
        for slices in (geometry.slices * factor for factor in ((1, 2) if quick else (1, 2, 4)))
    ]


def _write(results: dict[str, Any], text: str, folder: Path, partial: Sequence[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    name = "-".join([results["date"], machine.file_name(results["machine"]), *partial])
    for ending, content in (("json", json.dumps(results, indent=1)), ("md", text)):
        file = folder / f"{name}.{ending}"
        write_atomically(file, content.rstrip("\n") + "\n")
        print(f"written: {file.name}", file=sys.stderr)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, help="measure these parts only")
    parser.add_argument(
        "--quick", action="store_true", help="smoke test on tiny arrays; the numbers mean nothing"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda if there is one")
    parser.add_argument(
        "--output", type=Path, default=RESULTS, metavar="FOLDER", help="default: benchmarks/results"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
