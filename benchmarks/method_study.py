r"""What each choice of the method is worth: equal iterations, patients as the unit, three seeds.

    python benchmarks/method_study.py lgg lgg/cohort.csv --out study --variants 2d rgb center \
        --patients training

Trains on all training patients with coarse masks and scores patients that no training has seen, by
nnU-Net's own commands. ``--patients training`` is for choices: a third of the training patients is
held out in place of the test patients, who stay unseen until everything is chosen; ``--patients
test`` is for the result. Cohorts need fine masks (`benchmarks/lgg_cohort.py`, the sarcomas,
``nnunet_pst phantom`` without ``--coarse``); the study makes those of training patients coarse.

Stock nnU-Net (``stock2d``, ``resencm``, ...) trains for ``--minutes``: those that the others took.

Finished trainings are kept and broken ones go on: a second run with the same words does the rest.
Writes for each training its cases' scores and its cost into ``--results``, which is part of the
repository, and there the table and the figure of `benchmarks/method_tables.py`.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from machine import processor
from method_tables import write_tables
from method_variants import BEDS, COARSE, VARIANTS, Bed, Variant
from tqdm import tqdm

from nnunet_pst.io.atomic_files import write_atomically
from nnunet_pst.nnunet.environment import SECONDS_VARIABLE, make_folders, shell_environment
from nnunet_pst.nnunet.training.settings import PLANS_KEY

TRAINERS = Path(__file__).parent / "trainers"
TRAINER, STOCK_TRAINER = "nnUNetTrainerPST25DStudy", "nnUNetTrainerSeconds"
RESULTS = Path(__file__).parent / "results" / "method"
#: What is kept of a case.
SCORES = ("patient", "case", "sequence", "dice", "hd95_mm", "recall_beyond_window")


@dataclass(frozen=True)
class Study:
    """One bed with its folder; what its trainings share."""

    bed_name: str
    cohort: Path
    out: Path
    results: Path
    patients: str
    threads: int
    minutes: float
    device: str

    @property
    def bed(self) -> Bed:
        """Sizes of the bed."""
        return BEDS[self.bed_name]

    @property
    def home(self) -> Path:
        """Folder of data, models and masks of this bed and these patients."""
        return self.out / f"{self.bed_name}-{self.patients}"

    @property
    def scores(self) -> Path:
        """Folder of what is kept."""
        return self.results / f"{self.bed_name}-{self.patients}"

    def environment(self, study: dict[str, Any] | None = None) -> dict[str, str]:
        """Variables of the commands; the trainer reads ``study``."""
        variables = shell_environment(self.home / "nnunet_data")
        make_folders(variables)
        return {
            **os.environ,
            **variables,
            "nnUNet_extTrainer": f"{variables['nnUNet_extTrainer']}{os.pathsep}{TRAINERS}",
            "STUDY": json.dumps(study or {}),
            SECONDS_VARIABLE: f"{60 * self.minutes:g}",
            "OMP_NUM_THREADS": str(self.threads),
            # Trainings share the processor: waiting threads must not spin.
            "OMP_WAIT_POLICY": "PASSIVE",
        }


@dataclass(frozen=True)
class Job:
    """A training, its prediction and its scores."""

    study: Study
    name: str
    seed: int

    @property
    def variant(self) -> Variant:
        """What is changed."""
        return VARIANTS[self.name]

    @property
    def drawn(self) -> int:
        """Slices drawn on each side; -1: all."""
        drawn = self.variant.drawn
        return self.study.bed.drawn if drawn is None else drawn

    @property
    def dataset(self) -> str:
        """Name of the dataset with these masks; stock plans have their own."""
        stock = f"{self.variant.planner}{self.variant.configuration}" if self.stock else ""
        drawn = "All" if self.drawn < 0 else self.drawn
        return f"Dataset{self.study.bed_name}Drawn{drawn}{stock}".replace("_", "")

    @property
    def stock(self) -> bool:
        """Whether nnU-Net trains its own network."""
        return self.variant.planner is not None

    @property
    def trainer(self) -> str:
        """Class of the trainer."""
        return STOCK_TRAINER if self.stock else TRAINER

    @property
    def length(self) -> str:
        """Iterations of the training, or minutes of a stock one."""
        if self.stock:
            return f"{self.study.minutes:g}min"
        return str(round(self.study.bed.iterations * self.variant.longer))

    @property
    def key(self) -> str:
        """Its name among the files."""
        return f"{self.name}-{self.length}-seed{self.seed}"

    @property
    def scores(self) -> Path:
        """Scores of its cases; there when everything is done."""
        return self.study.scores / f"{self.key}.csv"


def main() -> None:
    """Run the trainings that are not finished and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bed", choices=BEDS)
    parser.add_argument("cohort", type=Path, help="table of the cohort, with fine masks")
    parser.add_argument("--out", type=Path, required=True, help="folder for everything")
    parser.add_argument("--patients", choices=("training", "test"), required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, required=True)
    parser.add_argument("--workers", type=int, default=1, help="trainings at once (default: 1)")
    parser.add_argument("--threads", type=int, default=1, help="of a training (default: 1)")
    parser.add_argument("--minutes", type=float, default=10, help="of stock trainings (10)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="default: %(default)s")
    parser.add_argument("-device", default="cpu")
    arguments = parser.parse_args()
    study = Study(
        arguments.bed,
        arguments.cohort,
        arguments.out.absolute(),
        arguments.results,
        arguments.patients,
        arguments.threads,
        arguments.minutes,
        arguments.device,
    )
    jobs = [Job(study, name, seed) for seed in arguments.seeds for name in arguments.variants]
    todo = [job for job in jobs if not job.scores.is_file()]
    lock = Lock()
    with ThreadPoolExecutor(arguments.workers) as pool:
        done = [pool.submit(run, job, lock) for job in todo]
        for one in tqdm(done, desc=study.home.name, unit="training", disable=None):
            one.result()
    print(write_tables(study.scores, arguments.variants))


def run(job: Job, lock: Lock) -> None:
    """Convert, plan, train, predict and score."""
    study = job.study
    call = Caller(
        study.environment(
            {**job.variant.trainer, **({} if job.stock else {"iterations": int(job.length)})}
        ),
        study.home / "logs" / f"{job.key}.log",
    )
    data = study.home / "nnunet_data"
    with lock:
        if not list((data / "nnUNet_preprocessed" / job.dataset).glob("nnUNet*Plans.json")):
            convert(job, call)
    plans = write_plans(data / "nnUNet_preprocessed" / job.dataset, job)
    masks = study.home / "predictions" / job.key
    model = ("-tr", job.trainer, "-p", plans)
    results = data / "nnUNet_results" / job.dataset
    # A stock training of a given time begins anew.
    unfinished = [] if job.stock else list(results.glob(f"{job.trainer}__{plans}__*/*/*.pth"))
    configuration = job.variant.configuration
    begin = time.monotonic()
    call(
        *("nnUNetv2_train", job.dataset, configuration, "all", *model, "-device", study.device),
        *(("--c",) if unfinished else ()),
    )
    trained = time.monotonic()
    call(
        *("nnUNetv2_predict", "-d", job.dataset, "-c", configuration, *model, "-f", "all"),
        *("-i", data / "nnUNet_raw" / job.dataset / "imagesTs", "-o", masks),
        *("-device", study.device, "--disable_tta", "-npp", "1", "-nps", "1"),
    )
    predicted = time.monotonic()
    call(
        *("nnunet_pst", "evaluate", masks, "--dataset", job.dataset, "--workers", "1"),
        *("--overwrite", "--no-overlays"),
    )
    # After a broken training the clock knows its last part only.
    times = {
        "training_minutes": "" if unfinished else f"{(trained - begin) / 60:.1f}",
        "prediction_minutes": f"{(predicted - trained) / 60:.1f}",
        "threads": study.threads,
        "processor": processor(),
    }
    save_scores(job, masks / "evaluation" / "cases.csv", times)


@dataclass(frozen=True)
class Caller:
    """Runs commands of this Python's environment, with their output in a log."""

    environment: dict[str, str]
    log: Path

    def __call__(self, program: str, *words: str | Path) -> None:
        """Run one command; a failed one ends the study."""
        path = Path(sysconfig.get_path("scripts")) / program
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            done = subprocess.run(
                [path, *words], env=self.environment, stdout=output, stderr=output, check=False
            )
        if done.returncode:
            sys.exit(f"{program} failed (exit code {done.returncode}); see {self.log}")


def convert(job: Job, call: Caller) -> None:
    """Make and plan the dataset of a job, which others share."""
    cohort = job.study.cohort
    if job.study.patients == "training":
        cohort = held_out_cohort(cohort, job.study.home)
    options = [] if job.drawn < 0 else [word.format(job.drawn) for word in COARSE]
    call("nnunet_pst", "convert", cohort, "--dataset", job.dataset, *options)
    planner = ("-pl", job.variant.planner) if job.variant.planner else ()
    stock = ("-c", job.variant.configuration) if job.stock else ()
    call("nnunet_pst", "plan", job.dataset, *stock, *planner)


def held_out_cohort(cohort: Path, home: Path) -> Path:
    """Write a table without the test patients, a third of the others in their place."""
    with cohort.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "train"]
    names = sorted({row["patient"] for row in rows})
    held_out = set(random.Random(1).sample(names, len(names) // 3))
    files = [column for column in rows[0] if rows[0][column].endswith(".nii.gz")]
    for row in rows:
        row["split"] = "test" if row["patient"] in held_out else "train"
        row |= {name: str((cohort.parent / row[name]).absolute()) for name in files if row[name]}
    changed = home / "cohort.csv"
    _write_rows(changed, rows)
    return changed


def write_plans(folder: Path, job: Job) -> str:
    """Write the plans of a job beside those of its dataset, and return their name."""
    (made,) = folder.glob("nnUNet*Plans.json")
    plans = json.loads(made.read_text())
    name = f"{made.stem}_" + job.key.replace("-", "_")
    plans["plans_name"] = name
    if not job.stock:
        configuration = plans["configurations"][job.variant.configuration]
        crop = job.study.bed.crop
        configuration[PLANS_KEY] |= {"crop": crop, "seed": job.seed, **job.variant.settings}
        configuration["architecture"]["arch_kwargs"] |= {"canvas": crop, **job.variant.network}
    write_atomically(folder / f"{name}.json", json.dumps(plans, indent=4))
    return name


def save_scores(job: Job, cases: Path, times: dict[str, Any]) -> None:
    """Keep the scores of a training's cases, and what it cost."""
    with cases.open(newline="") as file:
        rows = list(csv.DictReader(file))
    facts = {"variant": job.name, "length": job.length, "seed": job.seed}
    kept = [{**facts, **{name: row.get(name, "") for name in SCORES}} for row in rows]
    _write_rows(job.scores.with_suffix(".cost.csv"), [{**facts, **times}])
    _write_rows(job.scores, kept)


def _write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    with unfinished.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    unfinished.replace(path)


if __name__ == "__main__":
    main()
