"""``nnunet_pst sweep``: the paper's tables 2 to 4, or any list of methods, from one cohort."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_pst.cli.argument_types import count, positive
from nnunet_pst.errors import Fault, PartlyDoneError, Problem
from nnunet_pst.experiments.sweep_plan import DEFAULT_SEED, EPOCHS, PAPER_TABLES, Budget

if TYPE_CHECKING:
    from nnunet_pst.experiments.sweep_record import Sweep


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument("table_file", type=Path, nargs="?", metavar="COHORT.csv")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="of this sweep")
    parser.add_argument(
        "-d",
        "--dataset",
        metavar="NAME",
        help="of all sequences, such as DatasetPST; those of fewer are named after it. One that "
        "exists lends its label rules",
    )
    _add_methods(parser)
    _add_training(parser)
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--run",
        choices=["local", "slurm", "print"],
        default="local",
        help="train here, on a cluster, or print the commands (default: local)",
    )
    how.add_argument(
        "--status", action="store_true", help="print the state of a sweep, and gather its tables"
    )
    parser.add_argument(
        "--slurm",
        nargs="+",
        type=_option,
        default=[],
        metavar="KEY=VALUE",
        help="sbatch's options, such as partition=gpu gpus_per_node=1 time=1440 (minutes)",
    )
    parser.set_defaults(wrong_usage=parser.error)


def _add_methods(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--table", nargs="+", choices=PAPER_TABLES, default=[], help="tables of the paper"
    )
    parser.add_argument(
        "--strategies",
        nargs="+",
        default=[],
        metavar="S",
        help="input of the models: all, T1+T2 (each sequence its own case), fusion:T2+CET1",
    )
    parser.add_argument(
        "-c",
        "--configurations",
        nargs="+",
        metavar="NAME",
        help="of the plans (default: the table's own, else 2d_5)",
    )


def _add_training(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-f", "--folds", nargs="+", type=count, default=[0], help="(default: 0)")
    parser.add_argument(
        "--seeds",
        nargs="+",
        type=count,
        help="of 2.5D trainings (default: the plans'); nnU-Net's own trainers take none, "
        "their seeds number repeats",
    )
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--seconds", type=positive, help="seconds of training for each model")
    budget.add_argument(
        "--epochs", type=int, choices=EPOCHS, help="of each model (default: the trainers' own)"
    )
    parser.add_argument("-device", "--device", default="cuda", choices=["cpu", "cuda", "mps"])
    parser.add_argument(
        "--disable_tta", action="store_true", help="predict all without mirroring, as nnU-Net's"
    )
    parser.add_argument(
        "--registration",
        choices=["ants", "simpleitk", "none"],
        default="ants",
        help="engine for fusion (default: ants)",
    )


def _option(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not value or not re.fullmatch(r"[a-z][a-z_-]*", key):
        raise argparse.ArgumentTypeError(f"'{text}' is not KEY=VALUE")
    return key.replace("-", "_"), value


def run(arguments: argparse.Namespace) -> int:
    """Begin or resume a sweep, or print its state; print its tables."""
    if not arguments.status:
        if arguments.table_file is None or arguments.dataset is None:
            arguments.wrong_usage("give COHORT.csv and --dataset, or --status")
        if not arguments.table and not arguments.strategies:
            arguments.wrong_usage("say what to train: --table or --strategies")
    if arguments.slurm and arguments.run != "slurm":
        arguments.wrong_usage("--slurm goes with --run slurm")
    from nnunet_pst.experiments.sweep_progress import status_lines
    from nnunet_pst.experiments.sweep_record import read_sweep

    folder: Path = arguments.out
    if arguments.status:
        sweep = read_sweep(folder)
        print("\n".join(status_lines(folder, sweep)))
        return _end(folder, sweep)
    return _train(arguments, folder, _begun(arguments))


def _begun(arguments: argparse.Namespace) -> Sweep:
    # Imported here, because planning loads torch, which --status doesn't need.
    from nnunet_pst.experiments.sweep import SweepRequest, begin_sweep
    from nnunet_pst.io.dataset_folders import dataset_name
    from nnunet_pst.io.workers import apart

    request = SweepRequest(
        table=arguments.table_file,
        dataset=dataset_name(arguments.dataset),
        tables=arguments.table,
        strategies=arguments.strategies,
        configurations=arguments.configurations,
        folds=arguments.folds,
        seeds=arguments.seeds or (DEFAULT_SEED,),
        budget=Budget(arguments.seconds, arguments.epochs),
        device=arguments.device,
        mirroring=not arguments.disable_tta,
        registration=arguments.registration,
    )
    print("datasets ...", file=sys.stderr, flush=True)
    # In a process of its own, because registration and planning take gigabytes of memory.
    return apart(begin_sweep, request, arguments.out)


def _train(arguments: argparse.Namespace, folder: Path, sweep: Sweep) -> int:
    from nnunet_pst.experiments.sweep_progress import status_lines
    from nnunet_pst.experiments.sweep_running import commands, run_here, submit

    if arguments.run == "print":
        print("\n".join(commands(folder, sweep)))
        return PartlyDoneError.exit_code if sweep.flagged else 0
    if arguments.run == "slurm":
        jobs = submit(folder, sweep, dict(arguments.slurm))
        print("\n".join(status_lines(folder, sweep)))
        print(f"submitted: {len(jobs)}; next: nnunet_pst sweep --out {folder} --status")
        return PartlyDoneError.exit_code if sweep.flagged else 0
    run_here(folder, sweep)
    return _end(folder, sweep)


def _end(folder: Path, sweep: Sweep) -> int:
    """Print the tables of the jobs that are done, then the jobs that failed."""
    from nnunet_pst.experiments.sweep_progress import failures, flagged_lines, gather

    print(f"\n{gather(folder, sweep)}")
    print(f"tables and the scores of every case: {folder}")
    for line in flagged_lines(sweep):
        print(f"look at it: {line}")
    if failed := failures(folder, sweep):
        remedy = Problem("the same command again goes on with these", Fault.FAILED)
        raise PartlyDoneError([*failed, remedy])
    return PartlyDoneError.exit_code if sweep.flagged else 0
