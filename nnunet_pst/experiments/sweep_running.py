"""The jobs of a sweep, on this machine, on a cluster, or printed."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from nnunet_pst.experiments.job_status import JobStatus, State, read_status, write_status
from nnunet_pst.experiments.sweep_jobs import job_variables, run_job, steps_of_job
from nnunet_pst.experiments.sweep_plan import Job
from nnunet_pst.experiments.sweep_progress import describe, flagged_lines, look
from nnunet_pst.experiments.sweep_record import Sweep, job_folder, read_tickets, write_tickets
from nnunet_pst.experiments.sweep_slurm import submit_jobs
from nnunet_pst.network import ENCODER_WEIGHTS_VARIABLE as WEIGHTS_VARIABLE


def run_here(folder: Path, sweep: Sweep) -> None:
    """Run the jobs that are not done, in order; a job that fails doesn't stop the others."""
    tickets = read_tickets(folder)
    for number, (job, status) in enumerate(look(folder, sweep).items(), 1):
        head = f"[{number}/{len(sweep.jobs)}] {job.name}"
        if status.queued or status.state in (State.DONE, State.RUNNING):
            print(f"{head}: {describe(status)}, left alone", flush=True)
            continue
        print(f"{head} ...", flush=True)
        if tickets.pop(job.name, None):
            write_tickets(folder, tickets)
        print(f"{head}: {describe(run_job(folder, job.name))}", flush=True)


def submit(folder: Path, sweep: Sweep, options: Mapping[str, str]) -> list[Job]:
    """Submit the jobs that are not done to SLURM as one array job, and return them."""
    left = [
        job
        for job, status in look(folder, sweep).items()
        if status.state in (State.PENDING, State.FAILED) and not status.queued
    ]
    if left:
        for job in left:
            place = job_folder(folder, job)
            place.mkdir(parents=True, exist_ok=True)
            # Otherwise the failure of an earlier attempt would be taken for this one's.
            write_status(place, JobStatus(seconds=read_status(place).seconds))
        tickets = submit_jobs(folder, [job.name for job in left], options)
        write_tickets(folder, {**read_tickets(folder), **tickets})
    return left


def commands(folder: Path, sweep: Sweep) -> list[str]:
    """Return the shell lines that run the jobs that are not done; `gather` reads their results."""
    variables = job_variables(folder, sweep, os.environ)
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    if WEIGHTS_VARIABLE not in variables:
        # A shell in which it is set would train with other weights than the tables name.
        lines.append(f"unset {WEIGHTS_VARIABLE}")
    lines += [f"# look at it: {line}" for line in flagged_lines(sweep)]
    for job, status in look(folder, sweep).items():
        if status.state in (State.PENDING, State.FAILED):
            steps = steps_of_job(folder.absolute(), sweep, job)
            left = [step for step in steps if step.name not in status.seconds]
            lines += [f"# {job.name}", " && \\\n  ".join(shlex.join(s.words) for s in left)]
    return lines
