"""The state of a job: a small file that its worker writes, and a lock that it holds while it runs.

The file of a killed job still says ``running``. If no process holds the lock and the cluster does
not list the job either, it has failed. Windows has no such locks: there nobody is seen to hold a
job.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import IO

from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.atomic_files import write_atomically

if sys.platform != "win32":
    import fcntl


class State(Enum):
    """The state of a job, by the word in its file; in the order of a summary."""

    DONE = "done"
    RUNNING = "running"
    PENDING = "pending"
    FAILED = "failed"


STATUS_FILE, LOCK_FILE = "status.json", "lock"
#: `is_held` takes the lock for an instant, which must not turn a worker away.
_TRIES = 3


@dataclass(frozen=True)
class JobStatus:
    """The state of one job.

    Attributes
    ----------
    step
        The current step, or the one that failed.
    seconds
        Finished steps and what they took.
    exit_code
        Of the step that failed; negative: the signal that killed it. None: not known.
    log
        Name of the log of ``step``, in the job's folder.
    note
        A few words for the table.
    queued
        Whether a cluster has it waiting: from `observed`, never in the file.
    """

    state: State = State.PENDING
    step: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    exit_code: int | None = None
    log: str = ""
    note: str = ""
    queued: bool = False


def read_status(folder: Path) -> JobStatus:
    """Read what the worker wrote last; a job without a file is pending.

    Raises
    ------
    InputError
        The file is not a job's status.
    """
    file = folder / STATUS_FILE
    try:
        content = dict(json.loads(file.read_text(encoding="utf-8")))
        return JobStatus(**{**content, "state": State(content["state"])})
    except FileNotFoundError:
        return JobStatus()
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{file}: is not a job's status; remove it to run the job anew", Fault.DAMAGED
        ) from error


def write_status(folder: Path, status: JobStatus) -> None:
    """Replace the status file."""
    content = {**asdict(status), "state": status.state.value}
    del content["queued"]
    write_atomically(folder / STATUS_FILE, json.dumps(content, indent=2) + "\n")


@contextmanager
def claimed(folder: Path) -> Iterator[IO[str] | None]:
    """Hold the job's lock; None when another process holds it.

    A command that inherits the open file keeps the lock when this process is killed: a training
    that goes on without its worker still counts as running.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK_FILE).open("a", encoding="utf-8") as file:
        locked = any(_locked(file) for _ in range(_TRIES))
        yield file if locked else None


def _locked(file: IO[str]) -> bool:
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        time.sleep(0.1)
        return False
    return True


def is_held(folder: Path) -> bool:
    """Whether a process holds the job's lock."""
    if sys.platform == "win32" or not (folder / LOCK_FILE).exists():
        return False
    with (folder / LOCK_FILE).open(encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def observed(
    recorded: JobStatus, *, held: bool, ticket: str | None, queue: Collection[str] | None
) -> JobStatus:
    """Return the state of a job, from its file, its lock and the cluster's queue.

    Parameters
    ----------
    recorded
        From `read_status`.
    held
        Whether a process holds the job's lock.
    ticket
        The number of the job's last submission to a cluster; None if it was never submitted.
    queue
        Numbers of the cluster's waiting and running jobs; None when it cannot be asked.
    """
    if recorded.state in (State.DONE, State.FAILED):
        return recorded
    listed = ticket is not None and (queue is None or ticket in queue)
    if recorded.state is State.RUNNING:
        if held or listed:
            return recorded
        return replace(recorded, state=State.FAILED, note="broken off")
    if held:
        return replace(recorded, state=State.RUNNING)
    if ticket is None:
        return recorded
    if listed:
        unknown = " (the cluster cannot be asked)" if queue is None else ""
        return replace(recorded, queued=True, note=f"queued as {ticket}{unknown}")
    return replace(recorded, state=State.FAILED, note=f"{ticket} left the queue before it began")
