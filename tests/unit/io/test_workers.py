"""Ctrl-C while workers work: no word of theirs, and an end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import pytest

from nnunet_pst.io.workers import Runner

#: Two workers that say when they have begun; a pool of the host's kind on request.
PROGRAM = """
import multiprocessing, signal, sys, time
from pathlib import Path
from nnunet_pst.io.workers import Runner, deaf_to_interrupts

def slow(number):
    Path(sys.argv[1], str(number)).touch()
    time.sleep(2.0)
    return number

if __name__ == "__main__":
    # A shell starts what runs in the background with this signal ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        if sys.argv[2] == "ours":
            with Runner(2).running() as runner:
                list(runner.run(slow, list(range(6)), "slow"))
        else:
            with deaf_to_interrupts(), multiprocessing.get_context("spawn").Pool(2) as pool:
                pool.map(slow, range(6))
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
@pytest.mark.parametrize("kind", ["ours", "host"])
def test_ctrl_c_is_answered_by_one_process(tmp_path: Path, kind: str):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    begun = tmp_path / "begun"
    begun.mkdir()
    command = [sys.executable, str(program), str(begun), kind]
    with subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE) as process:
        limit = time.monotonic() + 120
        while len(list(begun.iterdir())) < 2 and time.monotonic() < limit:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in said, said.decode()
    assert len(list(begun.iterdir())) < 6


def test_a_log_gets_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = count(0, 25)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    assert len(list(Runner(1).run(str, range(8), "evaluate"))) == 8
    assert capsys.readouterr().err.splitlines() == [
        "evaluate: 3 of 8 cases",
        "evaluate: 6 of 8 cases",
    ]
