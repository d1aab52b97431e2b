"""Seconds and memory of `nnunet_pst segment` on synthetic studies that are written as DICOM.

    python benchmarks/segment.py MODEL --studies 20 --out benchmarks/results

One process segments them one after the other, as a user's command does. Also counts how often a
checkpoint is read, and looks for the planted identifiers in everything that is written but SEG and
RTSTRUCT; either is an error when it isn't as it should be.
"""

from __future__ import annotations

import argparse
import gzip
import json
import resource
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from dicom_studies import Identity, write_study
from machine import describe, file_name

from nnunet_pst.cli import main as command_line
from nnunet_pst.nnunet import prediction
from nnunet_pst.phantom.cohort import render_patient
from nnunet_pst.phantom.patients import draw_patient
from nnunet_pst.segmentation import batch

PLANTED = ("Quasimodo", "4711-", "19370812", "20240229", "ACC8842917")


def main() -> None:
    """Write the studies, segment them, and print or write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, nargs="+", help="one or two trained models")
    parser.add_argument("--studies", type=int, default=20)
    # The phantom's other size has the pixels of a survey, which is not segmented.
    parser.add_argument("--size", choices=["paper"], default="paper")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--no-mirroring", action="store_true")
    parser.add_argument("--out", type=Path, help="folder for JSON and Markdown")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        studies = Path(folder) / "studies"
        for number in range(arguments.studies):
            patient = render_patient(draw_patient(0, number), 0, arguments.size)
            write_study(studies / f"Quasimodo{number}", patient.images, _identity(number))
        found = measure(studies, Path(folder) / "masks", arguments)
    text = table(found)
    print(text)
    if arguments.out:
        stem = arguments.out / f"{found['date']}-segment-{file_name(found['machine'])}"
        stem.with_suffix(".md").write_text(text)
        stem.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")


def _identity(number: int) -> Identity:
    return Identity(f"Quasimodo^{number}", f"4711-{number}", "19370812", "20240229", "ACC8842917")


def measure(studies: Path, output: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the command in this process, with a clock around every study."""
    seconds: list[float] = []
    loaded: list[str] = []
    inner, read = batch._segment_one, prediction.read_checkpoint

    def timed(*positional: Any, **named: Any) -> Any:
        begin = time.perf_counter()
        try:
            return inner(*positional, **named)
        finally:
            seconds.append(time.perf_counter() - begin)

    def counted(content: bytes, where: str, **named: Any) -> Any:
        loaded.append(where)
        return read(content, where, **named)

    words = ["segment", str(studies), "-o", str(output), "--device", arguments.device]
    words += [word for model in arguments.model for word in ("--model", str(model))]
    words += ["--no-mirroring"] if arguments.no_mirroring else []
    begin = time.perf_counter()
    with (
        mock.patch.object(batch, "_segment_one", timed),
        mock.patch.object(prediction, "read_checkpoint", counted),
    ):
        code = command_line.main(words)
    total = time.perf_counter() - begin
    reports = sorted(output.glob("study_*/report.json"))
    assert code == 0, f"exit code {code}"
    assert len(reports) == arguments.studies, f"{len(reports)} studies were finished"
    assert len(set(loaded)) == len(loaded), f"read more than once: {loaded}"
    assert not (leaks := list(planted(output))), leaks
    return {
        "date": date.today().isoformat(),
        "machine": describe(arguments.device),
        "studies": arguments.studies,
        "size": arguments.size,
        "models": len(arguments.model),
        "mirroring": not arguments.no_mirroring,
        "masks": sum(len(json.loads(r.read_text())["results"]) for r in reports),
        "seconds": [round(one, 2) for one in seconds],
        "total_s": round(total, 1),
        # Kilobytes on Linux.
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "checkpoints_read": len(loaded),
    }


def planted(output: Path) -> Iterator[str]:
    """Where an identifier is left outside of the DICOM objects, which must carry it."""
    for path in sorted(output.rglob("*")):
        if path.is_file() and path.parent.name != "dicom":
            content = path.read_bytes()
            if path.suffix == ".gz":
                content += gzip.decompress(content)
            yield from (f"{path.name}: {word}" for word in PLANTED if word.encode() in content)


def table(found: dict[str, Any]) -> str:
    """Markdown."""
    machine, seconds = found["machine"], np.array(found["seconds"])
    return "\n".join(
        [
            f"# `segment` on {found['studies']} synthetic DICOM studies, size {found['size']}",
            "",
            f"{found['date']}, {machine['gpu'] or machine['cpu']}, {machine['torch_threads']} "
            f"threads, {'with' if found['mirroring'] else 'without'} mirroring.",
            "",
            "| studies | masks | median s a study | slowest | in all, s | peak memory, MB | "
            "checkpoints read |",
            "|--:|--:|--:|--:|--:|--:|--:|",
            f"| {found['studies']} | {found['masks']} | {np.median(seconds):.1f} | "
            f"{seconds.max():.1f} | {found['total_s']:.1f} | {found['peak_mb']} | "
            f"{found['checkpoints_read']} |",
            "",
            "In all: with start, imports, loading, and finding the series. No planted identifier "
            "was found outside of SEG and RTSTRUCT.",
            "",
        ]
    )


if __name__ == "__main__":
    main()
