"""Time of commands that do almost nothing: the cost of their imports."""

from __future__ import annotations

import os
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from nnunet_pst.nnunet.environment import make_folders, shell_environment

#: Synthetic patients of a small table, with T1, T2, DWI and CET1 each.
PATIENTS = 2


def startup(rounds: int) -> list[dict[str, Any]]:
    """Measure start-ups in turn, ours and stock, each in a fresh process; a row for each.

    The first round is not counted: it reads files that later rounds find in memory.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-startup-") as folder:
        commands = dict(_commands(Path(folder)))
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(rounds + 1):
            for name, words in commands.items():
                seconds[name].append(_seconds(words, Path(folder)))
    return [
        {"name": name, "seconds": {"median": median(found[1:]), "min": min(found[1:]),
                                   "max": max(found[1:]), "values": found[1:]}}
        for name, found in seconds.items()
    ]  # fmt: skip


def _commands(folder: Path) -> Iterator[tuple[str, list[str]]]:
    scripts = Path(sysconfig.get_path("scripts"))
    own, patients = str(scripts / "nnunet_pst"), str(folder / "patients")
    make_folders(shell_environment(folder / "data"))
    _seconds(
        [own, "phantom", patients, "--patients", str(PATIENTS), "--size", "small", "--coarse"],
        folder,
    )
    table = str(folder / "patients" / "cohort.csv")
    yield "nnunet_pst --help", [own, "--help"]
    yield (
        f"nnunet_pst convert, {PATIENTS} patients of 4 sequences",
        [own, "convert", table, "--dataset", "DatasetStart", "--overwrite"],
    )
    yield "stock nnUNetv2_train --help", [str(scripts / "nnUNetv2_train"), "--help"]


def _seconds(words: list[str], folder: Path) -> float:
    environment = {**os.environ, **shell_environment(folder / "data")}
    begin = time.perf_counter()
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begin
    if done.returncode:
        raise SystemExit(f"{Path(words[0]).name} {words[1]} failed:\n{done.stderr}")
    return seconds
