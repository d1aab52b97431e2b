"""Seconds and memory of `nnunet_pst segment` on synthetic studies that are written as DICOM.

    python benchmarks/segment.py MODEL --studies 20 --engine openvino --out benchmarks/results

First the command in a fresh process on the first study; then one process segments all studies in
turn. Masks of other engines than torch are compared with torch's, which are nnUNetv2_predict's bit
for bit (tests/golden/test_segment.py). It is an error if a checkpoint is read more than once, or if
a planted identifier is found in any file but SEG and RTSTRUCT.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import resource
import subprocess
import sys
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
from nnunet_pst.io.volumes import read_voxels
from nnunet_pst.nnunet.models import prediction
from nnunet_pst.phantom.cohort import render_patient
from nnunet_pst.phantom.patients import draw_patient
from nnunet_pst.segmentation import batch

PLANTED = ("Quasimodo", "4711-", "19370812", "20240229", "ACC8842917")


def main() -> None:
    """Write the studies, segment them, and print or write the measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, nargs="+", help="one or two trained models")
    parser.add_argument("--studies", type=int, default=20)
    # The phantom's other size has the pixels of a survey, which is not segmented.
    parser.add_argument("--size", choices=["paper"], default="paper")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--engine", choices=["torch", "openvino", "openvino-bf16"], default="torch")
    parser.add_argument("--complete", action="store_true", help="only patients with four sequences")
    parser.add_argument("--no-mirroring", action="store_true")
    parser.add_argument("--out", type=Path, help="folder for JSON and Markdown")
    arguments = parser.parse_args()
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        studies = Path(folder) / "studies"
        make_studies(studies, arguments)
        found = {"fresh_s": fresh(next(studies.iterdir()), Path(folder) / "fresh", arguments)}
        found.update(measure(studies, Path(folder) / "masks", arguments, arguments.engine))
        if arguments.engine != "torch":
            by_torch = measure(studies, Path(folder) / "torch", arguments, "torch")
            found["torch_seconds"] = by_torch["seconds"]
            found["dice_with_torch"] = agreement(Path(folder) / "torch", Path(folder) / "masks")
    text = table(found)
    print(text)
    if arguments.out:
        named = [found["date"], "segment", found["engine"], file_name(found["machine"])]
        named += ["without-mirroring"] if arguments.no_mirroring else []
        stem = arguments.out / "-".join(named)
        stem.with_suffix(".md").write_text(text)
        stem.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")


def _identity(number: int) -> Identity:
    return Identity(f"Quasimodo^{number}", f"4711-{number}", "19370812", "20240229", "ACC8842917")


def make_studies(folder: Path, arguments: argparse.Namespace) -> None:
    """Write this number of synthetic patients as DICOM."""
    made = 0
    for number in itertools.count():
        patient = render_patient(draw_patient(0, number), 0, arguments.size)
        if len(patient.images) == 4 or not arguments.complete:
            write_study(folder / f"Quasimodo{number:04d}", patient.images, _identity(number))
            made += 1
        if made == arguments.studies:
            return


def words(studies: Path, output: Path, arguments: argparse.Namespace, engine: str) -> list[str]:
    """Arguments of the command."""
    found = ["segment", str(studies), "-o", str(output), "--device", arguments.device]
    found += [word for model in arguments.model for word in ("--model", str(model))]
    found += ["--no-mirroring"] if arguments.no_mirroring else []
    return [*found, "--engine", engine]


def fresh(study: Path, output: Path, arguments: argparse.Namespace) -> float:
    """Seconds of the command on one study: start, imports, loading, everything."""
    program = str(Path(sys.executable).parent / "nnunet_pst")
    begin = time.perf_counter()
    done = subprocess.run(
        [program, *words(study, output, arguments, arguments.engine)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return round(time.perf_counter() - begin, 1)


def agreement(reference: Path, output: Path) -> dict[str, Any]:
    """Dice of every mask that is not empty in both, and of all voxels together."""
    each, both, sums = [], 0, 0
    for file in sorted(reference.glob("study_*/*_mask.nii.gz")):
        one, other = (
            read_voxels(folder / file.relative_to(reference)).array > 0
            for folder in (reference, output)
        )
        both, sums = both + 2 * int((one & other).sum()), sums + int(one.sum() + other.sum())
        if one.any() or other.any():
            each.append(2 * int((one & other).sum()) / int(one.sum() + other.sum()))
    return {"each": each, "all_voxels": both / sums if sums else None}


def measure(
    studies: Path, output: Path, arguments: argparse.Namespace, engine: str
) -> dict[str, Any]:
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

    begin = time.perf_counter()
    with (
        mock.patch.object(batch, "_segment_one", timed),
        mock.patch.object(prediction, "read_checkpoint", counted),
    ):
        code = command_line.main(words(studies, output, arguments, engine))
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
        "engine": engine,
        "precision": precision(reports),
        "mirroring": not arguments.no_mirroring,
        "masks": sum(len(json.loads(r.read_text())["results"]) for r in reports),
        "seconds": [round(one, 2) for one in seconds],
        "total_s": round(total, 1),
        # Kilobytes on Linux.
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "checkpoints_read": len(loaded),
    }


def precision(reports: list[Path]) -> str:
    """As the reports say."""
    (found,) = {
        model["precision"] for file in reports for model in json.loads(file.read_text())["models"]
    }
    return str(found)


def planted(output: Path) -> Iterator[str]:
    """Files with an identifier, except the DICOM objects, which must carry it."""
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
            f"threads, {'with' if found['mirroring'] else 'without'} mirroring, engine "
            f"{found['engine']} ({found['precision']}).",
            "",
            "| studies | masks | fresh process, one study, s | median s a study | slowest | "
            "in all, s | peak memory, MB | checkpoints read |",
            "|--:|--:|--:|--:|--:|--:|--:|--:|",
            f"| {found['studies']} | {found['masks']} | {found['fresh_s']} | "
            f"{np.median(seconds):.1f} | {seconds.max():.1f} | {found['total_s']:.1f} | "
            f"{found['peak_mb']} | {found['checkpoints_read']} |",
            "",
            "In all: with start, imports, loading, and finding the series. No planted identifier "
            "was found outside of SEG and RTSTRUCT.",
            "",
            *compared(found),
        ]
    )


def compared(found: dict[str, Any]) -> list[str]:
    """Agreement of the masks with torch's."""
    if "dice_with_torch" not in found:
        return []
    dice = found["dice_with_torch"]
    return [
        f"With the engine torch: {np.median(found['torch_seconds']):.1f} s a study in the median. "
        f"Dice of the masks with torch's, which are nnUNetv2_predict's: {dice['all_voxels']:.5f} "
        f"for all voxels together; of {len(dice['each'])} masks, lowest {min(dice['each']):.4f}, "
        f"median {np.median(dice['each']):.5f}.",
        "",
    ]


if __name__ == "__main__":
    main()
