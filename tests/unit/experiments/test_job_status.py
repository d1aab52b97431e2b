"""What is true of a job, from what was written and who still knows of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nnunet_pst.errors import InputError
from nnunet_pst.experiments.job_status import (
    JobStatus,
    claimed,
    is_held,
    observed,
    read_status,
    write_status,
)

RUNNING = JobStatus("running", step="train")


@pytest.mark.parametrize(
    ("recorded", "held", "ticket", "queue", "state", "note"),
    [
        # Here, without a cluster.
        (JobStatus(), False, None, frozenset(), "pending", ""),
        (JobStatus(), True, None, frozenset(), "running", ""),
        (RUNNING, True, None, frozenset(), "running", ""),
        (RUNNING, False, None, frozenset(), "failed", "broken off"),
        # On a cluster, whose nodes may hold locks that can't be seen here.
        (JobStatus(), False, "7_1", {"7_1"}, "pending", "queued as 7_1"),
        (JobStatus(), False, "7_1", {"7_2"}, "failed", "7_1 left the queue before it began"),
        (JobStatus(), False, "7_1", None, "pending", "queued as 7_1 (the cluster can't be asked)"),
        (RUNNING, False, "7_1", {"7_1"}, "running", ""),
        (RUNNING, False, "7_1", {"7_2"}, "failed", "broken off"),
        (RUNNING, False, "7_1", None, "running", ""),
        # What has ended stays so.
        (JobStatus("done"), True, "7_1", {"7_1"}, "done", ""),
        (JobStatus("failed", exit_code=1), False, None, None, "failed", ""),
    ],
)
def test_transitions(recorded, held, ticket, queue, state, note):
    found = observed(recorded, held=held, ticket=ticket, queue=queue)
    assert (found.state, found.note) == (state, note)
    assert found.step == recorded.step


def test_a_status_survives_the_disk(tmp_path: Path):
    assert read_status(tmp_path) == JobStatus()
    status = JobStatus("failed", "predict", {"train": 2.5}, -9, "predict.txt", "killed")
    write_status(tmp_path, status)
    assert read_status(tmp_path) == status


@pytest.mark.parametrize("text", ["", "[]", '{"state": "done", "color": "red"}'])
def test_another_file_is_named(tmp_path: Path, text: str):
    (tmp_path / "status.json").write_text(text)
    with pytest.raises(InputError, match=r"status\.json"):
        read_status(tmp_path)


def test_a_lock_is_held_by_one_and_ends_with_it(tmp_path: Path):
    assert not is_held(tmp_path)
    with claimed(tmp_path) as lock:
        assert lock is not None
        assert is_held(tmp_path)
        with claimed(tmp_path) as second:
            assert second is None
    assert not is_held(tmp_path)


def test_a_command_that_outlives_its_worker_keeps_the_lock(tmp_path: Path):
    words = [sys.executable, "-c", "input()"]
    with claimed(tmp_path) as lock:
        assert lock is not None
        command = subprocess.Popen(words, stdin=subprocess.PIPE, pass_fds=(lock.fileno(),))
    assert is_held(tmp_path)
    command.communicate(b"\n")
    assert not is_held(tmp_path)
