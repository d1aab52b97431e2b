"""The state of a job, from its file, its lock and the cluster's queue."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nnunet_pst.errors import Fault, InputError
from nnunet_pst.experiments.job_status import (
    JobStatus,
    State,
    claimed,
    is_held,
    observed,
    read_status,
    write_status,
)

RUNNING = JobStatus(State.RUNNING, step="train")


@pytest.mark.parametrize(
    ("recorded", "held", "ticket", "queue", "state", "note"),
    [
        # Here, without a cluster.
        (JobStatus(), False, None, frozenset(), State.PENDING, ""),
        (JobStatus(), True, None, frozenset(), State.RUNNING, ""),
        (RUNNING, True, None, frozenset(), State.RUNNING, ""),
        (RUNNING, False, None, frozenset(), State.FAILED, "broken off"),
        # On a cluster, whose nodes may hold locks that are not visible here.
        (JobStatus(), False, "7_1", {"7_1"}, State.PENDING, "queued as 7_1"),
        (JobStatus(), False, "7_1", {"7_2"}, State.FAILED, "7_1 left the queue before it began"),
        (
            JobStatus(),
            False,
            "7_1",
            None,
            State.PENDING,
            "queued as 7_1 (the cluster cannot be asked)",
        ),
        (RUNNING, False, "7_1", {"7_1"}, State.RUNNING, ""),
        (RUNNING, False, "7_1", {"7_2"}, State.FAILED, "broken off"),
        (RUNNING, False, "7_1", None, State.RUNNING, ""),
        # A job that has ended keeps its state.
        (JobStatus(State.DONE), True, "7_1", {"7_1"}, State.DONE, ""),
        (JobStatus(State.FAILED, exit_code=1), False, None, None, State.FAILED, ""),
    ],
)
def test_transitions(recorded, held, ticket, queue, state, note):
    status = observed(recorded, held=held, ticket=ticket, queue=queue)
    assert (status.state, status.note) == (state, note)
    assert status.queued == (ticket is not None and state is State.PENDING)
    assert status.step == recorded.step


def test_a_status_survives_the_disk(tmp_path: Path):
    assert read_status(tmp_path) == JobStatus()
    status = JobStatus(State.FAILED, "predict", {"train": 2.5}, -9, "predict.txt", "killed")
    write_status(tmp_path, status)
    assert read_status(tmp_path) == status
    assert json.loads((tmp_path / "status.json").read_text()) == {
        **{"state": "failed", "step": "predict", "seconds": {"train": 2.5}},
        **{"exit_code": -9, "log": "predict.txt", "note": "killed"},
    }


@pytest.mark.parametrize(
    "text", ["", "[]", '{"state": "done", "color": "red"}', '{"state": "asleep"}']
)
def test_a_damaged_status_is_named(tmp_path: Path, text: str):
    (tmp_path / "status.json").write_text(text)
    with pytest.raises(InputError) as caught:
        read_status(tmp_path)
    assert caught.value.fault is Fault.DAMAGED
    assert "status.json" in str(caught.value)


def test_a_lock_has_one_holder_and_ends_with_it(tmp_path: Path):
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
