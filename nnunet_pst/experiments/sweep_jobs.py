"""One job of a sweep: train, predict and score the test patients, with stock command lines.

Finished steps are kept, and an interrupted training is resumed. The same function runs a job on
this machine and on a node of a cluster.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from nnunet_pst.errors import Fault, HostError, InputError, PSTError
from nnunet_pst.experiments.commands import Step, last_lines, run_logged
from nnunet_pst.experiments.job_status import (
    JobStatus,
    State,
    claimed,
    read_status,
    write_status,
)
from nnunet_pst.experiments.sweep_plan import Budget, Job
from nnunet_pst.experiments.sweep_record import Sweep, job_folder, read_sweep
from nnunet_pst.network import ENCODER_WEIGHTS_VARIABLE as WEIGHTS_VARIABLE
from nnunet_pst.nnunet.environment import (
    DATA_FOLDERS,
    PROCESSES_VARIABLE,
    SECONDS_VARIABLE,
    TRAINER_VARIABLE,
    process_count,
    trainer_path,
)

RESULTS = DATA_FOLDERS[2]


def steps_of_job(folder: Path, sweep: Sweep, job: Job) -> list[Step]:
    """Return the commands of a job, as a user would type them with `job_variables`."""
    settings, fold = sweep.settings, str(job.fold)
    model = ("-tr", job.trainer, "-p", job.plans)
    device = ("-device", settings.device)
    masks = str(job_folder(folder, job) / "predictions")
    scores = str(job_folder(folder, job) / "evaluation")
    images = str(Path(os.environ[DATA_FOLDERS[0]]) / job.dataset / "imagesTs")
    train = ("nnUNetv2_train", job.dataset, job.method.configuration, fold, *model, *device)
    # An interrupted training for a given time begins anew; resumed, it would train longer.
    timed = Budget.read(settings.budget).seconds is not None
    resumed = ("--c",) if not timed and _has_checkpoint(folder, job) else ()
    predict = ("nnUNetv2_predict", "-d", job.dataset, "-c", job.method.configuration, *model)
    mirroring = () if settings.mirroring else ("--disable_tta",)
    return [
        Step("train", (*train, *resumed)),
        Step("predict", (*predict, "-f", fold, "-i", images, "-o", masks, *device, *mirroring)),
        Step(
            "evaluate",
            (
                *("nnunet_pst", "evaluate", masks, "--dataset", job.dataset, "-o", scores),
                *("--overwrite", "--no-overlays"),
            ),
        ),
    ]


def _has_checkpoint(folder: Path, job: Job) -> bool:
    model = f"{job.trainer}__{job.plans}__{job.method.configuration}"
    fold = folder.absolute() / RESULTS / job.dataset / model / f"fold_{job.fold}"
    return any((fold / f"checkpoint_{name}.pth").is_file() for name in ("final", "latest", "best"))


def job_variables(folder: Path, sweep: Sweep, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a job's commands need besides those that are set already."""
    variables = {
        RESULTS: str(folder.absolute() / RESULTS),
        TRAINER_VARIABLE: trainer_path(environ.get(TRAINER_VARIABLE, "")),
        PROCESSES_VARIABLE: str(process_count(environ)),
    }
    # Without it another shell would train with other weights than the tables name.
    if weights := environ.get(WEIGHTS_VARIABLE):
        random = weights.lower() == "none"
        variables[WEIGHTS_VARIABLE] = weights if random else str(Path(weights).absolute())
    budget = Budget.read(sweep.settings.budget)
    return variables | ({SECONDS_VARIABLE: f"{budget.seconds:g}"} if budget.seconds else {})


def run_job(folder: Path, name: str) -> JobStatus:
    """Run the steps of a job that are not finished, and write its status.

    A step that fails ends the job, never its caller.

    Parameters
    ----------
    folder
        Of the sweep.
    name
        Of the job.
    """
    folder = folder.absolute()
    sweep = read_sweep(folder)
    job = next((job for job in sweep.jobs if job.name == name), None)
    if job is None:
        raise InputError(f"{folder}: its sweep has no job {name}", Fault.UNKNOWN_NAME)
    _refuse_other_weights(sweep)
    place = job_folder(folder, job)
    with claimed(place) as lock:
        if lock is None:
            return JobStatus(State.RUNNING, note="by another process")
        status = replace(read_status(place), state=State.RUNNING, exit_code=None, note="")
        variables = {**os.environ, **job_variables(folder, sweep, os.environ)}
        for step in steps_of_job(folder, sweep, job):
            if step.name not in status.seconds:
                status = _run_step(place, step, status, variables=variables, lock=lock.fileno())
            if status.state is State.FAILED:
                return status
        status = replace(status, state=State.DONE, step="", log="")
        write_status(place, status)
        return status


def _refuse_other_weights(sweep: Sweep) -> None:
    """Refuse to train with other encoder weights than the tables of the sweep name."""
    here = Path(os.environ.get(WEIGHTS_VARIABLE) or "imagenet").name
    if here != sweep.settings.weights:
        raise HostError(
            f"{WEIGHTS_VARIABLE} says {here}, but the sweep trains with "
            f"{sweep.settings.weights}; set it as it was when the sweep began",
            Fault.CONTRADICTION,
        )


def _run_step(
    place: Path, step: Step, status: JobStatus, *, variables: Mapping[str, str], lock: int
) -> JobStatus:
    """Run one step and return the status that was written after it."""
    log = place / f"{step.name}.txt"
    status = replace(status, step=step.name, log=log.name)
    write_status(place, status)
    try:
        code, seconds = run_logged(step, log, variables, inherit=[lock])
    except PSTError as error:
        status = replace(status, state=State.FAILED, note=error.problems[0])
    else:
        if code:
            status = replace(status, state=State.FAILED, exit_code=code, note=_reason(log, code))
        else:
            status = replace(status, seconds={**status.seconds, step.name: seconds})
    write_status(place, status)
    return status


def _reason(log: Path, code: int) -> str:
    """Say in a few words why a command failed: its last line, or the signal."""
    if code < 0:
        return f"killed by signal {-code}"
    lines = [line.strip() for line in last_lines(log, 5) if line.strip()]
    return lines[-1][:120] if lines else "no output"
