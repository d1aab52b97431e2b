"""The jobs of a sweep, on this machine, on a cluster, or printed."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from nnunet_pst.experiments.job_status import JobStatus, read_status, write_status
from nnunet_pst.experiments.sweep_jobs import job_variables, run_job, steps_of_job
from nnunet_pst.experiments.sweep_plan import Job
from nnunet_pst.experiments.sweep_progress import describe, look
from nnunet_pst.experiments.sweep_record import Sweep, job_folder, read_tickets, write_tickets
from nnunet_pst.experiments.sweep_slurm import submit_jobs


def run_here(folder: Path, sweep: Sweep) -> None:
    """Run what is not done, one job after the other; one that fails doesn't stop the others."""
    tickets = read_tickets(folder)
    for number, (job, status) in enumerate(look(folder, sweep).items(), 1):
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
        for job, status in look(folder, sweep).items()
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
    for job, status in look(folder, sweep).items():
        if status.state in ("pending", "failed"):
            steps = steps_of_job(folder.absolute(), sweep, job)
            left = [step for step in steps if step.name not in status.seconds]
            lines += [f"# {job.name}", " && \\\n  ".join(shlex.join(s.words) for s in left)]
    return lines
