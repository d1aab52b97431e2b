"""The same task over many items, in one process or several, with the same result."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection, get_context, parent_process
from multiprocessing.process import BaseProcess
from threading import Thread, current_thread, main_thread
from typing import TypeVar

from tqdm import tqdm

from nnunet_pst.errors import Fault, HostError, PSTError
from nnunet_pst.io.volumes import use_one_thread

#: What a shell expects of a program that Ctrl-C ended.
_INTERRUPTED = 128 + signal.SIGINT
_SECONDS_BETWEEN_LINES = 60
Item = TypeVar("Item")
Result = TypeVar("Result")
#: What a user can mend; any other exception is a bug in this package and ends everything.
Failure = PSTError | OSError


class Pace:
    """Lines about the progress of long work, for logs: none for what ends within a minute.

    Parameters
    ----------
    doing
        What the lines begin with.
    """

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self._last = time.monotonic()

    def tell(self, done: int, total: int, unit: str) -> None:
        """Print how much is done, at most once a minute, where stderr is not a terminal."""
        now = time.monotonic()
        if now - self._last < _SECONDS_BETWEEN_LINES or sys.stderr is None or sys.stderr.isatty():
            return
        self._last = now
        print(f"{self._doing}: {done} of {total} {unit}s", file=sys.stderr, flush=True)


class Runner:
    """Runs tasks over items, in this process or in several of its own.

    Parameters
    ----------
    workers
        Number of processes; 1 starts none.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._pool: ProcessPoolExecutor | None = None

    @contextmanager
    def running(self) -> Iterator[Runner]:
        """Keep the processes for the duration of the block."""
        if self.workers > 1:
            # Spawned, because a fork of a process with threads (ITK's) may hang.
            self._pool = ProcessPoolExecutor(
                self.workers, mp_context=get_context("spawn"), initializer=_start_worker
            )
        try:
            yield self
        finally:
            if self._pool is not None:
                self._pool.shutdown(cancel_futures=True)
                self._pool = None

    def run(
        self,
        task: Callable[[Item], Result],
        items: Sequence[Item],
        doing: str,
        unit: str = "case",
    ) -> Iterator[tuple[Item, Result | Failure]]:
        """Run a task over items and yield each outcome (with several workers in any order).

        Raises
        ------
        HostError
            When a worker process was killed.
        """
        # The bar is silent when stderr is not a terminal; then a line comes now and then.
        pace = Pace(doing)
        with tqdm(total=len(items), desc=doing, unit=unit, disable=None) as bar:
            for number, outcome in enumerate(self._outcomes(task, items), 1):
                bar.update()
                pace.tell(number, len(items), unit)
                yield outcome

    def _outcomes(
        self, task: Callable[[Item], Result], items: Sequence[Item]
    ) -> Iterator[tuple[Item, Result | Failure]]:
        if self._pool is None or len(items) < 2:
            for item in items:
                yield item, _attempt(task, item)
            return
        try:
            futures: dict[Future[Result | Failure], Item] = {
                self._pool.submit(_attempt, task, item): item for item in items
            }
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            raise HostError(
                "a worker process was killed, probably because memory ran out; run the same "
                "command again with --workers 1 or nnUNet_def_n_proc=1; it continues where it "
                "stopped",
                Fault.FAILED,
            ) from error


def apart(function: Callable[..., Result], *arguments: object) -> Result:
    """Call a function in a process of its own, whose memory is freed when it returns.

    Raises
    ------
    HostError
        When that process was killed; otherwise what the function raises.
    """
    try:
        context = get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context, initializer=_die_with_parent) as pool:
            return pool.submit(function, *arguments).result()
    except BrokenProcessPool as error:
        raise HostError(
            "a process was killed, probably because memory ran out; run the same command again; "
            "it continues where it stopped",
            Fault.FAILED,
        ) from error


def _attempt(task: Callable[[Item], Result], item: Item) -> Result | Failure:
    """Run a task; return the errors that a user can mend, so that the other items continue."""
    try:
        return task(item)
    except (PSTError, OSError) as error:
        return error
    except SystemExit:
        if parent_process() is not None:
            os._exit(_INTERRUPTED)  # Ctrl-C, see `_end_quietly`: no further item is begun
        raise


@contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """Start processes that leave Ctrl-C to this one, which ends them.

    For pools of the host: each of its workers would print a traceback.
    """
    genuine = BaseProcess.start

    def start(process: BaseProcess) -> None:
        if current_thread() is not main_thread():
            genuine(process)  # signals are the main thread's
            return
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            genuine(process)
        finally:
            signal.signal(signal.SIGINT, before)

    BaseProcess.start = start  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        BaseProcess.start = genuine  # type: ignore[method-assign]


def _start_worker() -> None:
    """Set up a worker process: one thread, and an end when its parent ends."""
    use_one_thread()
    _die_with_parent()


def _end_quietly(*_: object) -> None:
    # The task cleans up after itself; this process then ends without a word.
    raise SystemExit(_INTERRUPTED)


def _die_with_parent() -> None:
    signal.signal(signal.SIGINT, _end_quietly)
    parent = parent_process()
    if parent is not None:
        # A killed parent can't stop its workers; alone they would continue to write while the
        # next run already resumes.
        Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
