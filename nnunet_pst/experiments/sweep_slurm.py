"""SLURM, through submitit: one array job for all remaining jobs of a sweep."""

from __future__ import annotations

import importlib
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nnunet_pst.errors import Fault, HostError, InputError
from nnunet_pst.experiments.sweep_jobs import run_job

#: Minutes that a job may take unless the user says otherwise. submitit's own default is 5.
TIME_LIMIT_MIN = 2880


def submit_jobs(folder: Path, names: Sequence[str], options: Mapping[str, str]) -> dict[str, str]:
    """Submit jobs to SLURM as one array and return each job's number, such as ``123_4``.

    Parameters
    ----------
    folder
        Of the sweep; every node must see it, and nnU-Net's folders, under the same path.
    options
        As ``sbatch`` has them, with ``_`` for ``-``: ``partition``, ``time`` (minutes), ``mem``,
        ``gpus_per_node``, ``array_parallelism``, ...

    Raises
    ------
    HostError
        submitit or SLURM is not installed, or SLURM refuses the job.
    InputError
        submitit knows no such option.
    """
    if not shutil.which("sbatch") or not shutil.which("srun"):
        raise HostError(
            "SLURM's sbatch and srun are not on this machine; use --run local or print",
            Fault.NOT_INSTALLED,
        )
    try:
        submitit: Any = importlib.import_module("submitit")
    except ImportError as error:
        raise HostError(
            "submitit is not installed; run: pip install 'nnunet_pst[slurm]'", Fault.NOT_INSTALLED
        ) from error
    executor = submitit.SlurmExecutor(folder=(folder / "logs" / "slurm").absolute())
    try:
        executor.update_parameters(
            **{"job_name": "nnunet_pst", "time": TIME_LIMIT_MIN, **_typed(options)}
        )
    except (NameError, TypeError, ValueError) as error:
        raise InputError(f"--slurm: {' '.join(str(error).split())}", Fault.MALFORMED) from error
    try:
        jobs = executor.map_array(run_job, [folder.absolute()] * len(names), names)
    except submitit.core.utils.FailedJobError as error:
        raise HostError(
            f"SLURM refused the jobs: {' '.join(str(error).split())}", Fault.FAILED
        ) from error
    return {name: str(job.job_id) for name, job in zip(names, jobs, strict=True)}


def _typed(options: Mapping[str, str]) -> dict[str, str | int]:
    return {k: int(value) if value.isdecimal() else value for k, value in options.items()}


def queued() -> frozenset[str] | None:
    """Return the numbers of this user's waiting and running jobs; None when SLURM cannot be asked.

    From ``squeue``, because submitit's ``sacct`` needs an accounting database.
    """
    if not shutil.which("squeue"):
        return None
    words = ["squeue", "--me", "--noheader", "--array", "--format=%i"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        return None
    return frozenset(done.stdout.split())
