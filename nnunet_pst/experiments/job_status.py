"""How far a job is: a small file that its worker writes, and a lock that it holds while it lives.

A job that was killed can't say so. Its file still says ``running``, but nobody holds the lock any
more, nor does the cluster know of it: then it has failed.
"""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Literal

from nnunet_pst.errors import InputError
from nnunet_pst.io.atomic_files import write_atomically

State = Literal["pending", "running", "done", "failed"]
STATUS_FILE, LOCK_FILE = "status.json", "lock"
#: A look at the lock takes it for an instant, which must not turn a worker away.
_TRIES = 3


@dataclass(frozen=True)
class JobStatus:
    """The state of one job.

    Attributes
    ----------
    step
        The step in hand, or the one that failed.
    seconds
        Finished steps and what they took.
    exit_code
        Of the step that failed; negative: the signal that killed it. None: not known.
    log
        Name of the log of ``step``, in the job's folder.
    note
        A few words for the table.
    """

    state: State = "pending"
    step: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    exit_code: int | None = None
    log: str = ""
    note: str = ""


def read_status(folder: Path) -> JobStatus:
    """Read what the worker wrote last; a job without a file is pending.

    Raises
    ------
    InputError
        The file is none of ours.
    """
    file = folder / STATUS_FILE
    try:
        return JobStatus(**json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return JobStatus()
    except (ValueError, TypeError) as error:
        raise InputError(f"{file}: is no status of a job; remove it to run the job anew") from error


def write_status(folder: Path, status: JobStatus) -> None:
    """Replace the status file."""
    write_atomically(folder / STATUS_FILE, json.dumps(asdict(status), indent=2) + "\n")


@contextmanager
def claimed(folder: Path) -> Iterator[IO[str] | None]:
    """Hold the job's lock; None when another process holds it.

    A command that inherits the open file keeps the lock when this process is killed: what still
    trains is running, whoever started it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK_FILE).open("a") as file:
        held = any(_locked(file) for _ in range(_TRIES))
        yield file if held else None


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        time.sleep(0.1)
        return False
    return True


def is_held(folder: Path) -> bool:
    """Whether somebody holds the job's lock."""
    if not (folder / LOCK_FILE).exists():
        return False
    with (folder / LOCK_FILE).open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def observed(
    recorded: JobStatus, *, held: bool, ticket: str | None, queue: Collection[str] | None
) -> JobStatus:
    """Say what is true of a job, from what was recorded and from who still knows of it.

    Parameters
    ----------
    recorded
        From `read_status`.
    held
        Whether somebody holds the job's lock.
    ticket
        The number under which the job was last given to a cluster; None if it never was.
    queue
        Numbers that the cluster has waiting or running; None when it can't be asked.
    """
    if recorded.state in ("done", "failed"):
        return recorded
    waits = ticket is not None and (queue is None or ticket in queue)
    if recorded.state == "running":
        if held or waits:
            return recorded
        return replace(recorded, state="failed", note="broken off")
    if held:
        return replace(recorded, state="running")
    if ticket is None:
        return recorded
    if waits:
        unknown = " (the cluster can't be asked)" if queue is None else ""
        return replace(recorded, note=f"queued as {ticket}{unknown}")
    return replace(recorded, state="failed", note=f"{ticket} left the queue before it began")
