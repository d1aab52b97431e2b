"""Standard output that is closed, full, or of few letters: the work is done all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nnunet_pst.cli.standard_output import READER_GONE

#: A verb that prints before, during and after its work, and leaves a sign that it ended.
PROGRAM = """
import importlib, sys, types
from pathlib import Path
from nnunet_pst.cli import main

def run(_):
    for number in range(20000):
        print("line", number, "Müller ≥ 3")
    Path(sys.argv[1]).touch()
    return int(sys.argv[2])

module = types.SimpleNamespace(add_arguments=lambda parser: None, run=run)
importlib.import_module = lambda name: module
sys.exit(main.main(["env"]))
"""


def run(done: Path, code: int = 0, **streams) -> subprocess.CompletedProcess:
    words = [sys.executable, "-c", PROGRAM, str(done), str(code)]
    return subprocess.run(words, check=False, **{"stderr": subprocess.PIPE, **streams})


@pytest.mark.skipif(os.name == "nt", reason="pipes of Unix")
@pytest.mark.parametrize(("code", "ends"), [(0, READER_GONE), (3, 3)])
def test_a_reader_that_goes_away(tmp_path: Path, code: int, ends: int):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        found = run(tmp_path / "done", code, stdout=writing)
    finally:
        os.close(writing)
    assert (found.returncode, found.stderr) == (ends, b"")
    assert (tmp_path / "done").exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_device(tmp_path: Path):
    with open("/dev/full", "wb") as full:
        found = run(tmp_path / "done", stdout=full)
    assert found.returncode == 1
    assert found.stderr == b"error: standard output: No space left on device\n"
    assert (tmp_path / "done").exists()


@pytest.mark.skipif(os.name == "nt", reason="descriptors of Unix")
def test_closed_streams(tmp_path: Path):
    for number in (1, 2):
        sign = tmp_path / f"done{number}"
        found = subprocess.run(
            ["sh", "-c", f'exec "$@" {number}>&-', "sh", sys.executable, "-c", PROGRAM, sign, "0"],
            capture_output=True,
        )
        assert found.returncode == 0, found.stderr
        assert sign.exists()


@pytest.mark.skipif(os.name == "nt", reason="descriptors of Unix")
def test_no_file_takes_the_number_of_a_closed_stream(tmp_path: Path):
    program = """
import os, sys
from pathlib import Path
from nnunet_pst.cli.standard_output import patient_output

with patient_output(), Path(sys.argv[1]).open("wb") as file:
    os.system("echo library >&2")
    file.write(b"data")
"""
    command = [sys.executable, "-c", program, tmp_path / "data"]
    subprocess.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command], check=True)
    assert (tmp_path / "data").read_bytes() == b"data"


def test_what_the_system_refuses_is_a_line(capsys, tmp_path: Path):
    from nnunet_pst.cli.main import main

    (tmp_path / "loop").symlink_to("loop")
    for place in ("n" * 300, str(tmp_path / "loop")):
        assert main(["phantom", place, "--patients", "1"]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")


def test_an_encoding_of_few_letters(tmp_path: Path):
    found = run(
        tmp_path / "done",
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )
    assert found.returncode == 0, found.stderr
    assert b"M\\xfcller \\u2265 3" in found.stdout
