"""Quick stand-ins for what would train a network for minutes; a trial names them."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

_PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)


def put(path: Path, text: bytes | str) -> None:
    """Write a file past the faults of writes: what a stub loses is nobody's fault."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.write(handle, text.encode() if isinstance(text, str) else text)
    os.close(handle)


def demo_of_stubs() -> None:
    """Let the steps of a demo write the files that its page is made of."""
    from nnunet_pst.experiments import demo

    def run(made: Any, step: Any, variables: dict[str, str]) -> float:
        if step.name == "phantom":
            (made.folder / "phantom").mkdir(exist_ok=True)
            put(made.folder / "phantom" / "cohort.csv", "split\ntrain\ntrain\ntest\n")
        put(made.folder / "logs" / f"{step.name}.txt", "done\n")
        if step.name.startswith("evaluate"):
            out = made.predictions(step.name.removeprefix("evaluate_")) / "evaluation"
            out.mkdir(parents=True, exist_ok=True)
            put(out / "contact_sheet.png", _PNG)
            rows = [f"{name},0.5" for name in ("T1", "T2", "DWI", "CET1", "all")]
            put(out / "sequences.csv", "\n".join(["sequence,dice_mean", *rows]))
        return 7.0

    demo._run = run


def sweep_of_stubs() -> None:
    """Let a sweep's training and prediction write the masks of its test patients."""
    from nnunet_pst.experiments import sweep_jobs

    def run(step: Any, log: Path, variables: dict[str, str], **rest: Any) -> tuple[int, float]:
        put(log, "done\n")
        words = list(step.words)
        if step.name == "predict":
            masks = Path(words[words.index("-o") + 1])
            labels = Path(words[words.index("-i") + 1]).with_name("labelsTs")
            masks.mkdir(parents=True, exist_ok=True)
            for label in sorted(labels.iterdir()):
                put(masks / label.name, label.read_bytes())
        if step.name == "evaluate":
            from nnunet_pst.cli.main import main

            return main(words[1:]), 1.0
        return 0, 1.0

    sweep_jobs.run_logged = run


def quick_planner() -> None:
    """Let the host plan without trying its networks."""
    from nnunetv2.experiment_planning.experiment_planners import default_experiment_planner

    planner = default_experiment_planner.ExperimentPlanner
    planner.static_estimate_VRAM_usage = staticmethod(lambda *_, **__: 1.0)
