"""The beginning of a sweep: a request becomes datasets and a list of jobs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from nnunet_pst.errors import Fault, InputError, Problem
from nnunet_pst.experiments.job_status import read_status
from nnunet_pst.experiments.sweep_datasets import (
    Source,
    cohort_sequences,
    prepare_datasets,
)
from nnunet_pst.experiments.sweep_plan import (
    OWN_TABLE,
    PAPER_CONFIGURATION,
    Budget,
    Job,
    Method,
    methods_of_table,
    parse_strategy,
)
from nnunet_pst.experiments.sweep_record import (
    LOGS,
    SWEEP_FILE,
    Sweep,
    SweepSettings,
    case_scores,
    job_folder,
    read_sweep,
    write_sweep,
)
from nnunet_pst.io.atomic_files import refusals_in_one_line
from nnunet_pst.io.claims import claimed
from nnunet_pst.io.leftovers import visible
from nnunet_pst.network import ENCODER_WEIGHTS_VARIABLE as WEIGHTS_VARIABLE
from nnunet_pst.nnunet.environment import process_count
from nnunet_pst.nnunet.own_configurations import CONFIGURATIONS
from nnunet_pst.nnunet.training.settings import TrainingSettings
from nnunet_pst.registration.policy import Engine, RegistrationSettings


@dataclass(frozen=True)
class SweepRequest:
    """What a user asked for.

    Attributes
    ----------
    table
        The cohort.
    dataset
        Of all sequences; those of fewer are named after it.
    tables
        Of the paper, see `sweep_plan.PAPER_TABLES`.
    strategies
        Beside or instead of the tables, see `sweep_plan.parse_strategy`.
    configurations
        Of the plans; None for the tables' own, and ``2d_5`` for ``strategies``.
    seeds
        Of the 2.5D trainings. Stock trainers have none: there a seed only numbers a repeat.
    registration
        Engine for fusion.
    """

    table: Path
    dataset: str
    tables: Sequence[str] = ()
    strategies: Sequence[str] = ()
    configurations: Sequence[str] | None = None
    folds: Sequence[int] = (0,)
    seeds: Sequence[int] = (TrainingSettings().seed,)
    budget: Budget = field(default_factory=Budget)
    device: str = "cuda"
    mirroring: bool = True
    registration: Engine = "ants"


def begin_sweep(request: SweepRequest, folder: Path) -> Sweep:
    """Make the datasets and write the list of jobs, so that they can be run here or elsewhere.

    A folder that holds a sweep of the same settings gets the new jobs beside its own.

    Raises
    ------
    InputError, HostError, PartlyDoneError
        Bad input, with every problem; nothing is trained then.
    """
    known = {folder / LOGS}
    if not (folder / SWEEP_FILE).is_file() and visible(folder) - known:
        raise InputError(
            f"{folder}: is neither empty nor the folder of a sweep; choose another --out",
            Fault.EXISTS,
        )
    with refusals_in_one_line(folder), claimed(folder, "sweep", below=[folder]):
        sweep = _declared(request)
        if (folder / SWEEP_FILE).is_file():
            sweep = read_sweep(folder).joined(sweep, folder)
        source = Source(
            request.table,
            request.dataset,
            RegistrationSettings(engine=request.registration),
            process_count(os.environ),
        )
        prepared = prepare_datasets(source, sweep.jobs, folder / LOGS)
        _refuse_changed(folder, sweep, prepared.sources)
        sweep = replace(sweep, sources=prepared.sources, flagged=prepared.flagged)
        write_sweep(folder, sweep)
    return sweep


def _declared(request: SweepRequest) -> Sweep:
    """Turn a request into jobs and tables."""
    sequences = cohort_sequences(request.table)
    tables = {
        name: tuple(methods_of_table(name, sequences, request.configurations))
        for name in request.tables
    }
    chosen = [parse_strategy(text, sequences) for text in request.strategies]
    if chosen:
        configurations = request.configurations or (PAPER_CONFIGURATION,)
        tables[OWN_TABLE] = tuple(
            dict.fromkeys(Method(one, name) for one in chosen for name in configurations)
        )
    methods = dict.fromkeys(method for rows in tables.values() for method in rows)
    jobs = [
        Job(
            method,
            method.strategy.dataset(request.dataset, sequences),
            request.budget.trainer(ours=method.configuration in CONFIGURATIONS),
            fold,
            seed,
        )
        for method in methods
        for fold in dict.fromkeys(request.folds)
        for seed in dict.fromkeys(request.seeds)
    ]
    settings = SweepSettings(
        dataset=request.dataset,
        sequences=sequences,
        budget=str(request.budget),
        device=request.device,
        mirroring=request.mirroring,
        weights=Path(os.environ.get(WEIGHTS_VARIABLE) or "imagenet").name,
    )
    return Sweep(settings, tuple(jobs), tables)


def _refuse_changed(folder: Path, sweep: Sweep, sources: Mapping[str, str]) -> None:
    """Refuse to put trainings on different data into one table."""
    # Jobs that were run by hand have no status, but scores.
    begun = {
        job.dataset
        for job in sweep.jobs
        if read_status(job_folder(folder, job)).seconds or case_scores(folder, job).is_file()
    }
    changed = [
        Problem(
            f"{name}: was converted anew from other files or rows since its first training; choose "
            f"another --out (beside {folder})",
            Fault.EXISTS,
        )
        for name in sorted(begun)
        if sweep.sources.get(name) != sources[name]
    ]
    if changed:
        raise InputError(changed)
