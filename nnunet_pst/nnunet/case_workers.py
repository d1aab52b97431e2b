"""Cases checked and written by one or several processes, with the same result."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import connection, get_context, parent_process
from threading import Thread

from tqdm import tqdm

from nnunet_pst.annotation import LabelRules
from nnunet_pst.case_building import CaseFacts, build_case
from nnunet_pst.errors import HostError, PSTError
from nnunet_pst.layouts import Case
from nnunet_pst.nnunet.raw_dataset import RawDataset, write_case
from nnunet_pst.volumes import use_one_thread

Task = Callable[[Case], CaseFacts]
#: A finished case: what became of it, or why it failed.
Outcome = tuple[Case, CaseFacts | PSTError | OSError]


def check_task(rules: LabelRules) -> Task:
    """Return a task that builds a case and throws it away: all that could fail before writing."""
    return partial(_check, rules)


def write_task(rules: LabelRules, dataset: RawDataset) -> Task:
    """Return a task that builds a case and writes it."""
    return partial(_write, rules, dataset)


def _check(rules: LabelRules, case: Case) -> CaseFacts:
    return build_case(case, rules).facts


def _write(rules: LabelRules, dataset: RawDataset, case: Case) -> CaseFacts:
    built = build_case(case, rules)
    write_case(dataset, case, built)
    return built.facts


class CaseRunner:
    """Runs tasks over cases, in this process or in several of its own.

    Parameters
    ----------
    workers
        Number of processes; 1 starts none.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._pool: ProcessPoolExecutor | None = None

    @contextmanager
    def running(self) -> Iterator[CaseRunner]:
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

    def run(self, task: Task, cases: Sequence[Case], doing: str) -> Iterator[Outcome]:
        """Run a task over cases, giving each as it finishes (in any order with several workers).

        Raises
        ------
        HostError
            When a worker process was killed.
        """
        # Silent when stderr is no terminal.
        with tqdm(total=len(cases), desc=doing, unit="case", disable=None) as bar:
            for outcome in self._outcomes(task, cases):
                bar.update()
                yield outcome

    def _outcomes(self, task: Task, cases: Sequence[Case]) -> Iterator[Outcome]:
        if self._pool is None or len(cases) < 2:
            for case in cases:
                yield case, _attempt(task, case)
            return
        futures: dict[Future[CaseFacts | PSTError | OSError], Case] = {
            self._pool.submit(_attempt, task, case): case for case in cases
        }
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            raise HostError(
                "a worker process was killed, probably for want of memory; run the same command "
                "again with --workers 1, it goes on where it stopped"
            ) from error


def _attempt(task: Task, case: Case) -> CaseFacts | PSTError | OSError:
    """Run a task; what a user can mend is returned, so that the other cases go on."""
    try:
        return task(case)
    except (PSTError, OSError) as error:
        return error


def _start_worker() -> None:
    """Set up a worker process: one thread, and no life beyond its parent's."""
    use_one_thread()
    parent = parent_process()
    if parent is not None:
        # A killed parent can't stop its workers; left alone they would go on writing while the
        # next run already resumes.
        Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
