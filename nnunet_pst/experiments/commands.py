"""Commands of nnU-Net and of this package, run as a user types them, each with its own log."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunet_pst.errors import Fault, HostError


@dataclass(frozen=True)
class Step:
    """One command.

    Attributes
    ----------
    name
        Name of the step, its log and its line in a record.
    words
        The command as typed; the first is looked up beside this Python.
    """

    name: str
    words: tuple[str, ...]


def run_logged(
    step: Step, log: Path, variables: Mapping[str, str], *, inherit: Sequence[int] = ()
) -> tuple[int, float]:
    """Run one command with all of its output in a log.

    Parameters
    ----------
    log
        Overwritten.
    variables
        The command's whole environment.
    inherit
        File descriptors that the command and its children keep open; Windows hands on none.

    Returns
    -------
    tuple
        The exit code (of a killed command the negative signal) and the seconds it took.

    Raises
    ------
    HostError
        The command is not installed beside this Python.
    """
    begin = time.monotonic()
    with log.open("wb") as output:
        done = subprocess.run(
            [_program(step.words[0]), *step.words[1:]],
            env=dict(variables),
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=() if sys.platform == "win32" else tuple(inherit),
            check=False,
        )
    return done.returncode, round(time.monotonic() - begin, 1)


def last_lines(log: Path, count: int) -> list[str]:
    """Return the end of a command's output."""
    return log.read_text(encoding="utf-8", errors="replace").splitlines()[-count:]


def _program(name: str) -> str:
    """Find a command of this Python's environment, activated or not."""
    # Found by `which`, because Windows adds an ending.
    program = shutil.which(name, path=sysconfig.get_path("scripts"))
    if program is None:
        raise HostError(
            f"{name} is not installed beside {sys.executable}; install the plug-in",
            Fault.NOT_INSTALLED,
        )
    return program
