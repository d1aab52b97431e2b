"""The state of a sweep in words, and its tables from the jobs that are done."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from nnunet_pst.errors import Fault, Problem
from nnunet_pst.experiments.job_status import STATUS_FILE, JobStatus, State
from nnunet_pst.experiments.sweep_plan import OWN_TABLE, Budget, Job
from nnunet_pst.experiments.sweep_record import (
    Sweep,
    case_scores,
    changed_datasets,
    job_folder,
    read_tickets,
    statuses,
)
from nnunet_pst.experiments.sweep_slurm import queued
from nnunet_pst.experiments.sweep_tables import (
    JobScore,
    cases_csv,
    columns_of_table,
    scores_of_job,
    table_csv,
    table_markdown,
    table_rows,
)
from nnunet_pst.io.atomic_files import write_atomically

#: Pairs that a note under a table names.
_SHOWN = 6


def look(folder: Path, sweep: Sweep) -> dict[Job, JobStatus]:
    """Return the state of each job; SLURM is asked if jobs were submitted to it."""
    queue = queued() if read_tickets(folder) else frozenset[str]()
    return statuses(folder, sweep.jobs, queue)


def status_lines(folder: Path, sweep: Sweep) -> list[str]:
    """Lay out a line for each job, then the number of jobs in each state."""
    jobs = look(folder, sweep)
    width = max(len(job.name) for job in jobs)
    counts = [
        f"{number} {state.value}"
        for state in State
        if (number := sum(status.state is state for status in jobs.values()))
    ]
    lines = [f"{job.name.ljust(width)}  {describe(status)}" for job, status in jobs.items()]
    return [*lines, f"{len(jobs)} jobs: {', '.join(counts)}"]


def describe(status: JobStatus) -> str:
    """Put a status into a few words."""
    took = ", ".join(f"{step} {seconds:g} s" for step, seconds in status.seconds.items())
    parts = [status.state.value]
    if status.state in (State.RUNNING, State.FAILED) and status.step:
        parts.append(f"in {status.step}")
    if status.exit_code is not None:
        parts.append(f"exit code {status.exit_code}")
    details = [
        part for part in (status.note, f"log {status.log}" if status.log else "", took) if part
    ]
    return " ".join(parts) + (f" ({'; '.join(details)})" if details else "")


def failures(folder: Path, sweep: Sweep) -> list[Problem]:
    """Name the jobs that failed, each with its log; empty when none failed."""
    return [
        Problem(
            f"{job.name}: {describe(status)}; all of its output: "
            f"{job_folder(folder, job) / (status.log or STATUS_FILE)}",
            Fault.FAILED,
        )
        for job, status in look(folder, sweep).items()
        if status.state is State.FAILED
    ]


def flagged_lines(sweep: Sweep) -> list[str]:
    """Say what the conversions of a sweep's datasets could do only by a fallback."""
    return [
        f"{dataset}: {name}: {reason}"
        for dataset, pairs in sweep.flagged.items()
        for name, reason in pairs.items()
    ]


def gather(folder: Path, sweep: Sweep) -> str:
    """Write the tables of the jobs that are done, and return them as Markdown."""
    changed = changed_datasets(sweep)
    done = [
        job
        for job, status in look(folder, sweep).items()
        if status.state is State.DONE and job.dataset not in changed
    ]
    scores: list[JobScore] = []
    for job in done:
        text = case_scores(folder, job).read_text(encoding="utf-8")
        scores += scores_of_job(job, text)
    write_atomically(folder / "cases.csv", cases_csv(scores))
    texts = []
    for name, methods in sweep.tables.items():
        columns = columns_of_table(name, sweep.settings.sequences)
        rows = table_rows(name, methods, jobs=sweep.jobs, scores=scores, columns=columns)
        text = table_markdown(name, rows, columns, _notes(name, sweep, changed))
        stem = name if name == OWN_TABLE else f"table{name}"
        write_atomically(folder / f"{stem}.csv", table_csv(rows, columns))
        write_atomically(folder / f"{stem}.md", text)
        texts.append(text)
    return "\n".join(texts)


def _notes(table: str, sweep: Sweep, changed: Collection[str]) -> list[str]:
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
    notes.append("in each column only patients whom every method there was tested on")
    datasets = {job.dataset for job in jobs}
    notes += [
        f"{name} was converted from other files or rows since; its trainings are left out"
        for name in sorted(datasets & set(changed))
    ]
    for name, pairs in sweep.flagged.items():
        if name in datasets:
            listed = ", ".join(sorted(pairs)[:_SHOWN]) + (", ..." if len(pairs) > _SHOWN else "")
            notes.append(
                f"of {name} {len(pairs)} pairs or masks are as the scanner left them, because "
                f"registration failed or was rejected: {listed}"
            )
    stock = {job.trainer for job in jobs if not job.seeded}
    if stock:
        notes.append(f"{', '.join(sorted(stock))} can't be seeded: a seed there numbers a repeat")
    if Budget.read(settings.budget).epochs is not None:
        notes.append("an epoch of stock nnU-Net is 250 iterations, of the 2.5D trainer 50 or more")
    return [
        *notes,
        "no intervals, no tests: nnunet_pst compare gives them for methods that predicted the same "
        "cases of one dataset, which all-sequence and fusion methods never do; research use only",
    ]
