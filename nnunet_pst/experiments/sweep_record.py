"""The folder of a sweep: what it trains, with which settings, and where each job's files are.

FOLDER/
  sweep.json                 settings, jobs, tables: what a resumed sweep and its workers read
  tickets.json               numbers of jobs that were submitted to a cluster
  jobs/<job>/status.json     its state; beside it the logs, predictions/ and evaluation/
  nnUNet_results/            the trained models, as nnU-Net keeps them
  logs/                      of planning, and of the cluster
  cases.csv, table*.csv, table*.md
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nnunet_pst.dataset.raw_dataset import RawDataset, locate_dataset
from nnunet_pst.errors import Fault, InputError
from nnunet_pst.experiments.job_status import (
    JobStatus,
    State,
    is_held,
    observed,
    read_status,
)
from nnunet_pst.experiments.sweep_plan import Job, Method, Strategy
from nnunet_pst.io.atomic_files import write_atomically

SWEEP_FILE, TICKETS_FILE = "sweep.json", "tickets.json"
#: Folder of the host's output while the datasets were made.
LOGS = "logs"


@dataclass(frozen=True)
class SweepSettings:
    """The settings that all jobs of a sweep share, so that they can be compared.

    Attributes
    ----------
    dataset
        Of all sequences; the others are named after it.
    sequences
        The cohort's, in table order.
    budget
        Such as ``30 seconds`` or ``5 epochs``; ``full`` for the trainers' own.
    device, mirroring
        As nnU-Net's ``-device``; whether predictions are averaged over mirrored images.
    weights
        Encoder weights of the 2.5D network: a file by its name alone.
    """

    dataset: str
    sequences: tuple[str, ...]
    budget: str
    device: str
    mirroring: bool
    weights: str


@dataclass(frozen=True)
class Sweep:
    """A sweep as in its file.

    Attributes
    ----------
    tables
        Lines of each table by its name.
    sources
        By dataset a digest of what it was converted from.
    flagged
        By dataset, what its conversion could do only by a fallback, and why.
    """

    settings: SweepSettings
    jobs: tuple[Job, ...]
    tables: Mapping[str, tuple[Method, ...]]
    sources: Mapping[str, str] = field(default_factory=dict)
    flagged: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def joined(self, other: Sweep, folder: Path) -> Sweep:
        """Add the jobs and tables of another sweep of the same settings.

        Raises
        ------
        InputError
            The settings differ, so their results must not be in one table.
        """
        ours, theirs = asdict(self.settings), asdict(other.settings)
        changed = [f"{k} {ours[k]} (now {theirs[k]})" for k in ours if ours[k] != theirs[k]]
        if changed:
            raise InputError(
                f"{folder}: holds a sweep with {', '.join(changed)}; choose another --out",
                Fault.EXISTS,
            )
        tables = {
            name: tuple(dict.fromkeys([*self.tables.get(name, ()), *other.tables.get(name, ())]))
            for name in sorted({*self.tables, *other.tables})
        }
        jobs = tuple(dict.fromkeys([*self.jobs, *other.jobs]))
        return Sweep(self.settings, jobs, tables, self.sources, self.flagged)


def read_sweep(folder: Path) -> Sweep:
    """Read ``sweep.json``.

    Raises
    ------
    InputError
        The folder holds no sweep.
    """
    file = folder / SWEEP_FILE
    if not file.is_file():
        if (folder / LOGS).is_dir():
            raise InputError(
                f"{folder}: its datasets are not made yet, or making them was interrupted; the "
                "same command without --status goes on",
                Fault.EMPTY,
            )
        raise InputError(
            f"{folder}: holds no sweep (no {SWEEP_FILE}); begin one without --status",
            Fault.MISSING,
        )
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        settings = content["settings"]
        return Sweep(
            SweepSettings(**{**settings, "sequences": tuple(settings["sequences"])}),
            tuple(Job(**{**job, "method": _method(job["method"])}) for job in content["jobs"]),
            {name: tuple(map(_method, rows)) for name, rows in content["tables"].items()},
            content["sources"],
            content.get("flagged", {}),  # earlier versions did not keep it
        )
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{file}: cannot be read by this version; choose another --out", Fault.DAMAGED
        ) from error


def _method(content: Mapping[str, Any]) -> Method:
    strategy = content["strategy"]
    return Method(
        Strategy(strategy["layout"], tuple(strategy["sequences"])), content["configuration"]
    )


def write_sweep(folder: Path, sweep: Sweep) -> None:
    """Replace ``sweep.json``."""
    write_atomically(folder / SWEEP_FILE, json.dumps(asdict(sweep), indent=2) + "\n")


def dataset_digest(place: RawDataset) -> str:
    """Digest of all files that a dataset was converted from, independent of their order."""
    lines = sorted(place.journal.read_text(encoding="utf-8").splitlines())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def changed_datasets(sweep: Sweep) -> frozenset[str]:
    """Name the datasets that were converted from other files or rows since the sweep made them.

    Where nnUNet_raw is not set, or a dataset is not there, nothing is known to have changed.
    """
    if not os.environ.get("nnUNet_raw"):  # noqa: SIM112 (the host's name)
        return frozenset()
    places = {name: locate_dataset(name) for name in sweep.sources}
    return frozenset(
        name
        for name, place in places.items()
        if place.journal.is_file() and dataset_digest(place) != sweep.sources[name]
    )


def read_tickets(folder: Path) -> dict[str, str]:
    """Read the numbers of jobs that were submitted to a cluster, by job."""
    file = folder / TICKETS_FILE
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}


def write_tickets(folder: Path, tickets: Mapping[str, str]) -> None:
    """Replace ``tickets.json``."""
    write_atomically(folder / TICKETS_FILE, json.dumps(dict(tickets), indent=2) + "\n")


def job_folder(folder: Path, job: Job) -> Path:
    """Folder of a job's status, logs, predictions and evaluation."""
    return folder / "jobs" / job.name


def case_scores(folder: Path, job: Job) -> Path:
    """The file that ``nnunet_pst evaluate`` writes for a job; it is whole or absent."""
    return job_folder(folder, job) / "evaluation" / "cases.csv"


def statuses(
    folder: Path, jobs: Sequence[Job], queue: frozenset[str] | None
) -> dict[Job, JobStatus]:
    """Return the state of every job; ``queue`` as in `job_status.observed`.

    A job that was run by hand, from its printed commands, has scores but no status: it is done.
    """
    tickets = read_tickets(folder)
    states = {}
    for job in jobs:
        place = job_folder(folder, job)
        status = observed(
            read_status(place), held=is_held(place), ticket=tickets.get(job.name), queue=queue
        )
        if status.state is State.PENDING and case_scores(folder, job).is_file():
            status = JobStatus(State.DONE, note="run by hand")
        states[job] = status
    return states
