"""The whole way on the synthetic cohort, with the commands that a user would type.

Every step is a command of nnU-Net or of this package in its own process. Finished steps are
kept, so a killed demo goes on where it stopped.
"""

from __future__ import annotations

import csv
import json
import os
import platform
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from nnunet_pst import __version__
from nnunet_pst.errors import Fault, HostError, InputError
from nnunet_pst.experiments.commands import Step, last_lines, run_logged
from nnunet_pst.experiments.demo_page import DemoFacts, MethodRow, render_demo_page
from nnunet_pst.io.atomic_files import refusals_in_one_line, write_atomically
from nnunet_pst.io.claims import claimed
from nnunet_pst.io.leftovers import visible
from nnunet_pst.nnunet.environment import (
    SECONDS_VARIABLE,
    host_version,
    make_folders,
    shell_environment,
    usable_cores,
)
from nnunet_pst.phantom.cohort import COARSE_SLICES, TABLE

DATASET = "DatasetPhantom"
TRAINER, STOCK_TRAINER = "nnUNetTrainerPST25DSeconds", "nnUNetTrainerSeconds"
#: The sequences of the training. T1 and CET1 are harder and need more than minutes.
SEQUENCES = ("T2", "DWI")
#: Seconds of training for each method; the demo stays below eight minutes on two cores.
SECONDS = 140
ENCODER_VARIABLE = "NNUNET_PST_ENCODER_WEIGHTS"
#: The finished steps, with the seconds that each took.
RECORD = "steps.json"
PAGE = "demo.html"
#: Lines of a failed command's output that are shown.
SHOWN_LINES = 8


@dataclass(frozen=True)
class Demo:
    """Where and how a demo runs.

    Attributes
    ----------
    folder
        Holds everything that the demo makes.
    device
        As nnU-Net's ``-device``.
    """

    folder: Path
    patients: int
    seed: int
    device: str

    def predictions(self, configuration: str) -> Path:
        """Folder of one configuration's masks of the test patients."""
        return self.folder / f"predictions_{configuration}"

    def steps(self) -> list[Step]:
        """Every command, in order."""
        cohort = str(self.folder / "phantom")
        train, device = ("nnUNetv2_train", DATASET), ("-device", self.device)
        count, seed = str(self.patients), str(self.seed)
        return [
            Step(
                "phantom",
                ("nnunet_pst", "phantom", cohort, "--patients", count, "--seed", seed, "--coarse"),
            ),
            Step(
                "convert",
                (
                    *("nnunet_pst", "convert", f"{cohort}/{TABLE}", "--dataset", DATASET),
                    *("--sequences", *SEQUENCES),
                ),
            ),
            Step("plan", ("nnunet_pst", "plan", DATASET)),
            Step("train_2d_5", (*train, "2d_5", "0", "-tr", TRAINER, *device)),
            Step("train_2d", (*train, "2d", "0", "-tr", STOCK_TRAINER, *device)),
            *(step for name in ("2d_5", "2d") for step in self._test(name)),
        ]

    def _test(self, configuration: str) -> list[Step]:
        trainer = TRAINER if configuration == "2d_5" else STOCK_TRAINER
        images = str(self.folder / "nnunet_data" / "nnUNet_raw" / DATASET / "imagesTs")
        masks = str(self.predictions(configuration))
        model = ("-d", DATASET, "-c", configuration, "-tr", trainer, "-f", "0")
        paths = ("-i", images, "-o", masks, "-device", self.device, "--disable_tta")
        return [
            Step(f"predict_{configuration}", ("nnUNetv2_predict", *model, *paths)),
            Step(
                f"evaluate_{configuration}",
                ("nnunet_pst", "evaluate", masks, "--dataset", DATASET, "--overwrite"),
            ),
        ]


def run_demo(demo: Demo) -> Path:
    """Run the steps that are not finished, print each command, and return the page.

    Raises
    ------
    InputError
        The folder holds something else, or another demo.
    HostError
        A command failed; its last lines and the place of its log are in the message.
    """
    _check_folder(demo.folder)
    place = demo.folder
    with refusals_in_one_line(place), claimed(place, "demo", below=[place / "logs"]):
        return _run_steps(demo, _begin(demo))


def _run_steps(demo: Demo, seconds: dict[str, float]) -> Path:
    steps = demo.steps()
    (demo.folder / "logs").mkdir(exist_ok=True)
    for number, step in enumerate(steps, 1):
        if step.name in seconds:
            print(f"[{number}/{len(steps)}] {step.name}: finished before, kept", flush=True)
            continue
        print(f"[{number}/{len(steps)}] {shlex.join(step.words)}", flush=True)
        seconds[step.name] = _run(demo, step, _variables(demo))
        _write_json(demo.folder / RECORD, {"demo": _settings(demo), "seconds": seconds})
    page = demo.folder / PAGE
    write_atomically(page, render_demo_page(_facts(demo, seconds)))
    return page


def _settings(demo: Demo) -> dict[str, int | str]:
    """Settings that an unfinished demo must share to go on; a file of weights by its name alone."""
    return {
        "patients": demo.patients,
        "seed": demo.seed,
        "device": demo.device,
        "weights": Path(_weights()).name,
    }


def _weights() -> str:
    """Return the chosen encoder weights; by default none, so that nothing is downloaded."""
    chosen = os.environ.get(ENCODER_VARIABLE) or "none"
    return "none" if chosen.lower() == "none" else chosen


def _check_folder(folder: Path) -> None:
    """Refuse a folder of other files, before anything is written into it."""
    if not (folder / RECORD).is_file() and visible(folder) - {folder / "logs"}:
        raise InputError(f"{folder}: is not an empty folder; choose another one", Fault.EXISTS)


def _begin(demo: Demo) -> dict[str, float]:
    """Make the folder, or read the finished steps of an earlier run of this demo."""
    record = demo.folder / RECORD
    if record.is_file():
        content = json.loads(record.read_text(encoding="utf-8"))
        if content["demo"] != _settings(demo):
            raise InputError(
                f"{demo.folder}: holds a demo with other settings; remove it or choose another "
                "folder",
                Fault.EXISTS,
            )
        return dict(content["seconds"])
    _write_json(record, {"demo": _settings(demo), "seconds": {}})
    return {}


def _variables(demo: Demo) -> dict[str, str]:
    """Return the environment of the commands: as ``nnunet_pst env`` sets it for this folder."""
    variables = shell_environment(demo.folder / "nnunet_data")
    make_folders(variables)
    ours = {ENCODER_VARIABLE: _weights(), SECONDS_VARIABLE: str(SECONDS)}
    return {**os.environ, **variables, **ours}


def _run(demo: Demo, step: Step, variables: Mapping[str, str]) -> float:
    """Run one command with its output in a log, and return the seconds it took."""
    log = demo.folder / "logs" / f"{step.name}.txt"
    code, seconds = run_logged(step, log, variables)
    if code:
        raise HostError(
            [
                f"{step.name} failed (exit code {code}); all of its output: {log}",
                *last_lines(log, SHOWN_LINES),
            ],
            Fault.FAILED,
        )
    return seconds


def _facts(demo: Demo, seconds: Mapping[str, float]) -> DemoFacts:
    with (demo.folder / "phantom" / TABLE).open(encoding="utf-8", newline="") as file:
        splits = [row["split"] for row in csv.DictReader(file)]
    rows = [
        MethodRow(
            method=method,
            training_s=SECONDS,
            prediction_s=seconds[f"predict_{name}"],
            dice=_mean_dice(demo.predictions(name) / "evaluation"),
        )
        for name, method in (("2d_5", "2d_5 (2.5D, this plug-in)"), ("2d", "2d (stock nnU-Net)"))
    ]
    return DemoFacts(
        date=date.today().isoformat(),
        version=__version__,
        host_version=host_version() or "unknown",
        seed=demo.seed,
        machine=f"{usable_cores()} cores, {platform.machine()}, device {demo.device}",
        patients=demo.patients,
        training=splits.count("train"),
        test=splits.count("test"),
        window=COARSE_SLICES,
        weights=Path(_weights()).name,
        sequences=list(SEQUENCES),
        rows=rows,
        pictures=[
            (f"{row.method}: test cases, lowest Dice first", _sheet(demo, name))
            for name, row in zip(("2d_5", "2d"), rows, strict=True)
        ],
        commands=_lines_to_type(demo),
    )


def _mean_dice(folder: Path) -> dict[str, float]:
    with (folder / "sequences.csv").open(encoding="utf-8", newline="") as file:
        return {row["sequence"]: float(row["dice_mean"]) for row in csv.DictReader(file)}


def _sheet(demo: Demo, configuration: str) -> Path:
    return demo.predictions(configuration) / "evaluation" / "contact_sheet.png"


def _lines_to_type(demo: Demo) -> list[str]:
    """Return the commands as a user would type them inside the demo's folder."""
    here = f"{demo.folder}{os.sep}"
    lines = [
        'eval "$(nnunet_pst env ./nnunet_data)"',
        f"export {ENCODER_VARIABLE}={shlex.quote(Path(_weights()).name)}",
        f"export {SECONDS_VARIABLE}={SECONDS}",
    ]
    words = [[word.removeprefix(here) for word in step.words] for step in demo.steps()]
    return lines + [shlex.join(line) for line in words]


def _write_json(path: Path, content: object) -> None:
    write_atomically(path, json.dumps(content, indent=2) + "\n")
