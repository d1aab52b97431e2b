"""A process that has imported everything and forks for each trial, so a trial takes no seconds.

It reads a trial a line from standard input and answers with a line. Nothing is computed before
the fork: libraries with threads would not survive it.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import multiprocessing
import os
import pkgutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from injection import Counts, Fault, inject


def import_everything() -> None:
    """Import the package and the libraries that its functions import when they are called."""
    import highdicom  # noqa: F401
    import nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor
    import nnunetv2.inference.predict_from_raw_data
    import nnunetv2.preprocessing.preprocessors.default_preprocessor
    import nnunetv2.utilities.find_class_by_name  # noqa: F401

    import nnunet_pst

    for module in pkgutil.walk_packages(nnunet_pst.__path__, "nnunet_pst."):
        if not module.name.endswith("__main__"):
            with contextlib.suppress(ImportError):
                importlib.import_module(module.name)


def fork_instead_of_spawn() -> None:
    """Let workers share what is imported; a spawned one would import torch again."""
    genuine = multiprocessing.get_context
    forking = lambda method=None: genuine("fork")  # noqa: E731
    multiprocessing.get_context = forking
    import nnunet_pst.io.workers as workers

    workers.get_context = forking


def child(trial: dict[str, Any], counts: Counts) -> None:
    """Run a verb and end, with its exit code."""
    os.setpgid(0, 0)
    os.environ.update(trial["environ"])
    os.chdir(trial["cwd"])
    for stream, name in ((1, "stdout"), (2, "stderr")):
        handle = os.open(trial[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    fork_instead_of_spawn()
    for name in trial["patches"]:
        module, _, function = name.partition(":")
        getattr(importlib.import_module(module), function)()
    inject(Fault(**trial["fault"]), trial["root"], counts)
    code = 70
    try:
        if trial["program"] == "nnunet_pst":
            from nnunet_pst.cli.main import main

            code = main(trial["words"])
        else:
            code = program(trial["program"], trial["words"])
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1 if stop.code else 0
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
    except BaseException:
        import traceback

        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code or 0)


def program(name: str, words: list[str]) -> int | None:
    """Run a command of the host."""
    import importlib.metadata

    (script,) = importlib.metadata.entry_points(group="console_scripts", name=name)
    sys.argv = [name, *words]
    return script.load()()


def run(trial: dict[str, Any]) -> dict[str, Any]:
    """Fork, wait, and tell how it ended."""
    counts, begin = Counts(), time.monotonic()
    pid = os.fork()
    if pid == 0:
        child(trial, counts)
    if trial["fault"]["kind"] == "stop":
        _, status = os.waitpid(pid, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            between = [run(other) for other in trial["meanwhile"]]
            os.kill(pid, signal.SIGCONT)
            return {**ended(pid, trial, counts, begin), "pid": pid, "meanwhile": between}
        return {**answer(status, trial, counts, begin), "pid": pid, "meanwhile": []}
    return ended(pid, trial, counts, begin)


def ended(pid: int, trial: dict[str, Any], counts: Counts, begin: float) -> dict[str, Any]:
    """Wait for the end; a process that hangs is killed."""
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return answer(status, trial, counts, begin)
        if time.monotonic() - begin > trial["seconds"]:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return {**answer(0, trial, counts, begin), "code": "hang"}
        time.sleep(0.005)


def answer(status: int, trial: dict[str, Any], counts: Counts, begin: float) -> dict[str, Any]:
    """Describe the end of a trial."""
    operations, writes = counts.read()
    return {
        "code": os.waitstatus_to_exitcode(status),
        "operations": operations,
        "writes": writes,
        "seconds": round(time.monotonic() - begin, 2),
        "stdout": Path(trial["stdout"]).read_text(errors="replace"),
        "stderr": Path(trial["stderr"]).read_text(errors="replace"),
    }


def serve() -> None:
    """Answer trials until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import_everything()
    print(json.dumps("ready"), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    serve()
