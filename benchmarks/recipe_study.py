"""The effect of each choice of the recipe: one change at a time, same patients and iterations.

    python benchmarks/recipe_study.py cohort.csv --out study --seeds 1 2 3 --epochs 20

``cohort.csv`` holds fine masks (``nnunet_pst phantom`` without ``--coarse``, or the sarcomas): the
study makes them coarse itself, and only those of training patients. Every variant is its own
dataset, trained on all training patients for a number of epochs of 50 batches, and scored on the
test patients with nnU-Net's own commands. Finished trainings are kept: a second run goes on. Prints
and writes ``study.md`` and ``study.csv``: mean Dice over patients and seeds, and the difference
from the defaults over the seeds that both have, with how many patients are better or worse.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from tqdm import tqdm

from nnunet_pst.io.atomic_files import write_atomically
from nnunet_pst.nnunet.environment import make_folders, shell_environment
from nnunet_pst.nnunet.training.settings import PLANS_KEY

TRAINERS = Path(__file__).parent / "trainers"
TRAINER = "nnUNetTrainerPST25DStudy"
COARSE = ("--simulate-coarse", "5", "--far-negatives")


@dataclass(frozen=True)
class Variant:
    """One change to the recipe.

    Attributes
    ----------
    name
        Part of its dataset's name.
    says
        Its line in the table.
    convert
        Options of ``nnunet_pst convert``.
    settings
        Changes to the plans' key ``pst``.
    network
        Changes to the network's arguments in the plans.
    loss
        ``dice`` or ``dice_ce``.
    precision
        ``float32`` or ``bfloat16``: the type of a training step's convolutions.
    """

    name: str
    says: str
    convert: tuple[str, ...] = COARSE
    settings: dict[str, Any] = field(default_factory=dict, hash=False)
    network: dict[str, Any] = field(default_factory=dict, hash=False)
    loss: str = "dice"
    precision: str = "float32"


DEFAULT = Variant("Default", "defaults: 5 slices each side, unknown ignored, 3 slices a bag, Dice")
VARIANTS = (
    DEFAULT,
    Variant("Background", "unknown taken for background", (*COARSE, "--unknown", "background")),
    Variant("Negative0", "negative_share 0", settings={"negative_share": 0.0}),
    Variant("Negative05", "negative_share 0.05", settings={"negative_share": 0.05}),
    Variant("Negative25", "negative_share 0.25", settings={"negative_share": 0.25}),
    Variant("Coarse1", "1 slice each side drawn", ("--simulate-coarse", "1", "--far-negatives")),
    Variant("Coarse3", "3 slices each side drawn", ("--simulate-coarse", "3", "--far-negatives")),
    Variant("Fine", "every slice drawn", ()),
    Variant("Bag1", "1 slice a bag (2D)", network={"slices_per_bag": 1}),
    Variant("Bag5", "5 slices a bag", network={"slices_per_bag": 5}),
    Variant("DiceCE", "Dice + cross-entropy", loss="dice_ce"),
    Variant("OnePatient", "one patient a batch (12 bags)", settings={"bags_per_patient": 12}),
    Variant("Bfloat16", "trained in bfloat16", precision="bfloat16"),
)


def main() -> None:
    """Run the trainings that are not finished and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder for everything")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--epochs", type=int, default=5, help="of 50 batches (default: 5)")
    parser.add_argument("--sequences", nargs="+", help="default: all")
    names = [variant.name for variant in VARIANTS]
    parser.add_argument("--variants", nargs="+", choices=names, default=names)
    parser.add_argument("-device", default="cpu")
    arguments = parser.parse_args()
    chosen = [variant for variant in VARIANTS if variant.name in arguments.variants]
    jobs = [(variant, seed) for seed in arguments.seeds for variant in chosen]
    for variant, seed in tqdm(jobs, desc="study", unit="training", disable=None):
        run(variant, seed, arguments)
        text = table(chosen, arguments)
        write_atomically(arguments.out / "study.md", text)
    print(text)


def run(variant: Variant, seed: int, arguments: argparse.Namespace) -> None:
    """Convert, plan, train, predict and score one variant with one seed, unless it is done."""
    home = arguments.out / f"seed{seed}"
    name = f"DatasetStudy{variant.name}"
    masks = home / "predictions" / variant.name
    if (masks / "evaluation" / "patients.csv").is_file():
        return
    variables = shell_environment(home / "nnunet_data")
    make_folders(variables)
    trainers = f"{variables['nnUNet_extTrainer']}{os.pathsep}{TRAINERS}"
    extra = {
        "STUDY_EPOCHS": str(arguments.epochs),
        "STUDY_LOSS": variant.loss,
        "STUDY_PRECISION": variant.precision,
    }
    environment = {**os.environ, **variables, **extra, "nnUNet_extTrainer": trainers}
    raw = Path(variables["nnUNet_raw"]) / name
    model = ("-d", name, "-c", "2d_5", "-tr", TRAINER, "-f", "all")
    log = home / f"{variant.name}.log"
    home.mkdir(parents=True, exist_ok=True)
    sequences = ("--sequences", *arguments.sequences) if arguments.sequences else ()
    call = Caller(environment, log)
    call("nnunet_pst", "convert", arguments.cohort, "--dataset", name, *variant.convert, *sequences)
    call("nnunet_pst", "plan", name)
    change_plans(Path(variables["nnUNet_preprocessed"]) / name / "nnUNetPlans.json", variant, seed)
    unfinished = list(Path(variables["nnUNet_results"]).glob(f"{name}/*/fold_all/*latest.pth"))
    call(
        *("nnUNetv2_train", name, "2d_5", "all", "-tr", TRAINER, "-device", arguments.device),
        *(("--c",) if unfinished else ()),
    )
    call(
        *("nnUNetv2_predict", *model, "-i", raw / "imagesTs", "-o", masks),
        *("-device", arguments.device, "--disable_tta"),
    )
    call("nnunet_pst", "evaluate", masks, "--dataset", name, "--overwrite", "--no-overlays")


@dataclass(frozen=True)
class Caller:
    """Runs commands of this Python's environment, with their output in a log."""

    environment: dict[str, str]
    log: Path

    def __call__(self, program: str, *words: str | Path) -> None:
        """Run one command; a failed one ends the study."""
        path = Path(sysconfig.get_path("scripts")) / program
        with self.log.open("ab") as output:
            done = subprocess.run(
                [path, *words], env=self.environment, stdout=output, stderr=output, check=False
            )
        if done.returncode:
            sys.exit(f"{program} failed (exit code {done.returncode}); see {self.log}")


def change_plans(path: Path, variant: Variant, seed: int) -> None:
    """Write a variant's settings and the seed into the plans."""
    plans = json.loads(path.read_text())
    configuration = plans["configurations"]["2d_5"]
    configuration[PLANS_KEY] |= {**variant.settings, "seed": seed}
    configuration["architecture"]["arch_kwargs"] |= variant.network
    write_atomically(path, json.dumps(plans, indent=4))


def table(variants: list[Variant], arguments: argparse.Namespace) -> str:
    """Lay out the finished trainings, and write them as CSV too."""
    scores = {variant: patient_means(variant, arguments) for variant in variants}
    reference = scores.get(DEFAULT, {})
    lines = [
        "| variant | seeds | Dice | difference | better / worse | recall beyond | FP ml |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    rows = []
    for variant, patients in scores.items():
        if not patients:
            continue
        seeds = len({seed for values in patients.values() for seed in values["seeds"]})
        means = {
            key: fmean(found)
            for key in ("dice", "recall_beyond_window", "false_positive_ml_on_free_slices")
            if (found := [row[key] for row in patients.values() if row[key] is not None])
        }
        differences = [
            fmean(row["seeds"][seed] - reference[name]["seeds"][seed] for seed in common)
            for name, row in patients.items()
            if (common := row["seeds"].keys() & reference.get(name, {"seeds": {}})["seeds"].keys())
        ]
        wins, losses = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
        shown = [f"{means[key]:.3f}" if key in means else "-" for key in list(means)[:1]]
        compared = differences and variant is not DEFAULT
        lines.append(
            f"| {variant.says} | {seeds} | {shown[0]} | "
            f"{f'{fmean(differences):+.3f}' if compared else ''} | "
            f"{f'{wins} / {losses}' if compared else ''} | "
            f"{means.get('recall_beyond_window', float('nan')):.3f} | "
            f"{means.get('false_positive_ml_on_free_slices', float('nan')):.1f} |"
        )
        rows += [
            {"variant": variant.name, "patient": name, "seed": seed, "dice": dice}
            for name, row in patients.items()
            for seed, dice in row["seeds"].items()
        ]
    with (arguments.out / "study.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["variant", "patient", "seed", "dice"])
        writer.writeheader()
        writer.writerows(rows)
    return "\n".join(lines) + "\n"


def patient_means(variant: Variant, arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Mean over seeds of each test patient's scores; undefined ones are None."""
    found: dict[str, list[tuple[int, dict[str, str]]]] = {}
    for seed in arguments.seeds:
        path = arguments.out / f"seed{seed}" / "predictions" / variant.name / "evaluation"
        if (path / "patients.csv").is_file():
            with (path / "patients.csv").open(newline="") as file:
                for row in csv.DictReader(file):
                    found.setdefault(row["patient"], []).append((seed, row))
    keys = ("dice", "recall_beyond_window", "false_positive_ml_on_free_slices")
    result: dict[str, dict[str, Any]] = {}
    for name, rows in found.items():
        numbers = {key: [float(row[key]) for _, row in rows if row[key]] for key in keys}
        result[name] = {key: fmean(found) if found else None for key, found in numbers.items()}
        result[name]["seeds"] = {seed: float(row["dice"]) for seed, row in rows}
    return result


if __name__ == "__main__":
    main()
