"""A sweep: datasets from one cohort, trainings on this machine or a cluster, the paper's tables."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from nnunet_pst.errors import InputError
from nnunet_pst.job_status import JobStatus, read_status, write_status
from nnunet_pst.network.encoder_weights import VARIABLE as WEIGHTS_VARIABLE
from nnunet_pst.nnunet.environment import process_count
from nnunet_pst.nnunet.planning import CONFIGURATIONS
from nnunet_pst.nnunet.sweep_datasets import (
    Source,
    cohort_sequences,
    prepare_datasets,
)
from nnunet_pst.nnunet.sweep_jobs import job_variables, run_job, steps_of_job
from nnunet_pst.nnunet.sweep_slurm import queued, submit_jobs
from nnunet_pst.registration.policy import Engine, RegistrationSettings
from nnunet_pst.settings import TrainingSettings
from nnunet_pst.sweep_plan import (
    OWN_TABLE,
    PAPER_CONFIGURATION,
    Budget,
    Job,
    Method,
    methods_of_table,
    parse_strategy,
)
from nnunet_pst.sweep_record import (
    SWEEP_FILE,
    Sweep,
    SweepSettings,
    case_scores,
    job_folder,
    read_sweep,
    read_tickets,
    statuses,
    write_sweep,
    write_tickets,
)
from nnunet_pst.sweep_tables import (
    CaseScore,
    cases_csv,
    columns_of_table,
    scores_of_job,
    table_csv,
    table_markdown,
    table_rows,
)
from nnunet_pst.whole_files import refusals_in_one_line, write_atomically


@dataclass(frozen=True)
class SweepRequest:
    """What was asked for.

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
    """Make the datasets and note the jobs, so that they can be run here or elsewhere.

    A folder that holds a sweep of the same settings gets the new jobs beside its own.

    Raises
    ------
    InputError, HostError, PartlyDoneError
        Bad input, with every problem; nothing is trained then.
    """
    with refusals_in_one_line(folder):
        wanted = _declared(request)
        if (folder / SWEEP_FILE).is_file():
            wanted = read_sweep(folder).joined(wanted, folder)
        elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"{folder}: is no empty folder and no sweep; choose another --out")
        source = Source(
            request.table,
            request.dataset,
            RegistrationSettings(engine=request.registration),
            process_count(os.environ),
        )
        sources = prepare_datasets(source, wanted.jobs, folder / "logs")
        _refuse_changed(folder, wanted, sources)
        sweep = replace(wanted, sources=sources)
        folder.mkdir(parents=True, exist_ok=True)
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
    """Refuse to put trainings on other data into one table."""
    begun = {job.dataset for job in sweep.jobs if read_status(job_folder(folder, job)).seconds}
    changed = [
        f"{name}: was converted anew from other files or rows since its first training; choose "
        f"another --out (beside {folder})"
        for name in sorted(begun)
        if sweep.sources.get(name) != sources[name]
    ]
    if changed:
        raise InputError(changed)


def run_here(folder: Path, sweep: Sweep) -> None:
    """Run what is not done, one job after the other; one that fails doesn't stop the others."""
    tickets = read_tickets(folder)
    for number, (job, status) in enumerate(_look(folder, sweep).items(), 1):
        head = f"[{number}/{len(sweep.jobs)}] {job.name}"
        if status.state in ("done", "running") or "queued" in status.note:
            print(f"{head}: {describe(status)}, left alone", flush=True)
            continue
        print(f"{head} ...", flush=True)
        if tickets.pop(job.name, None):
            write_tickets(folder, tickets)
        print(f"{head}: {describe(run_job(folder, job.name))}", flush=True)


def submit(folder: Path, sweep: Sweep, options: Mapping[str, str]) -> list[Job]:
    """Give what is not done to SLURM as one array job, and return it."""
    left = [
        job
        for job, status in _look(folder, sweep).items()
        if status.state == "failed" or (status.state == "pending" and not status.note)
    ]
    if left:
        for job in left:
            place = job_folder(folder, job)
            place.mkdir(parents=True, exist_ok=True)
            # Else the failure of an earlier attempt would be taken for this one's.
            write_status(place, JobStatus(seconds=read_status(place).seconds))
        tickets = submit_jobs(folder, [job.name for job in left], options)
        write_tickets(folder, {**read_tickets(folder), **tickets})
    return left


def commands(folder: Path, sweep: Sweep) -> list[str]:
    """Return the shell lines that run what is not done; `gather` finds what they leave."""
    variables = job_variables(folder, sweep, os.environ)
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    for job, status in _look(folder, sweep).items():
        if status.state in ("pending", "failed"):
            steps = steps_of_job(folder.absolute(), sweep, job)
            left = [step for step in steps if step.name not in status.seconds]
            lines += [f"# {job.name}", " && \\\n  ".join(shlex.join(s.words) for s in left)]
    return lines


def gather(folder: Path, sweep: Sweep) -> str:
    """Write the tables of what is done, and return them for readers."""
    done = [job for job, status in _look(folder, sweep).items() if status.state == "done"]
    scores: list[CaseScore] = []
    for job in done:
        text = case_scores(folder, job).read_text(encoding="utf-8")
        scores += scores_of_job(job, text)
    write_atomically(folder / "cases.csv", cases_csv(scores))
    texts = []
    for name, methods in sweep.tables.items():
        columns = columns_of_table(name, sweep.settings.sequences)
        rows = table_rows(name, methods, jobs=sweep.jobs, scores=scores, columns=columns)
        text = table_markdown(name, rows, columns, _notes(name, sweep))
        stem = name if name == OWN_TABLE else f"table{name}"
        write_atomically(folder / f"{stem}.csv", table_csv(rows, columns))
        write_atomically(folder / f"{stem}.md", text)
        texts.append(text)
    return "\n".join(texts)


def _notes(table: str, sweep: Sweep) -> list[str]:
    """Say what a reader of a table has to know."""
    settings = sweep.settings
    jobs = [job for job in sweep.jobs if job.method in sweep.tables[table]]
    mirrored = "with" if settings.mirroring else "without"
    notes = [
        "mean over test patients (their number); runs (folds and seeds) and a patient's cases are "
        "averaged first; empty: not tested",
        f"trainings: {settings.budget}, device {settings.device}, encoder weights "
        f"{settings.weights}; predicted {mirrored} mirroring",
    ]
    if table == "4":
        notes.append("only patients whom every method was tested on")
    stock = {job.trainer for job in jobs if job.method.configuration not in CONFIGURATIONS}
    if stock:
        notes.append(f"{', '.join(sorted(stock))} can't be seeded: a seed there numbers a repeat")
    if settings.budget.endswith("epochs"):
        notes.append("an epoch of stock nnU-Net is 250 iterations, of the 2.5D trainer 50 or more")
    return [*notes, "no intervals, no tests: see nnunet_pst compare; research use only"]


def _look(folder: Path, sweep: Sweep) -> dict[Job, JobStatus]:
    queue = queued() if read_tickets(folder) else frozenset[str]()
    return statuses(folder, sweep.jobs, queue)


def status_lines(folder: Path, sweep: Sweep) -> list[str]:
    """Lay out a line for each job, then the number of jobs in each state."""
    found = _look(folder, sweep)
    width = max(len(job.name) for job in found)
    counts = [
        f"{number} {state}"
        for state in ("done", "running", "pending", "failed")
        if (number := sum(status.state == state for status in found.values()))
    ]
    lines = [f"{job.name.ljust(width)}  {describe(status)}" for job, status in found.items()]
    return [*lines, f"{len(found)} jobs: {', '.join(counts)}"]


def describe(status: JobStatus) -> str:
    """Put a status into a few words."""
    took = ", ".join(f"{step} {seconds:g} s" for step, seconds in status.seconds.items())
    parts: list[str] = [status.state]
    if status.state in ("running", "failed") and status.step:
        parts.append(f"in {status.step}")
    if status.exit_code is not None:
        parts.append(f"exit code {status.exit_code}")
    details = [
        part for part in (status.note, f"log {status.log}" if status.log else "", took) if part
    ]
    return " ".join(parts) + (f" ({'; '.join(details)})" if details else "")


def failures(folder: Path, sweep: Sweep) -> list[str]:
    """Name the jobs that failed, with the place of the log; empty when none did."""
    return [
        f"{job.name}: {describe(status)}; all of its output: "
        f"{job_folder(folder, job) / (status.log or 'status.json')}"
        for job, status in _look(folder, sweep).items()
        if status.state == "failed"
    ]
