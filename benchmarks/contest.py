"""Measures contenders in turn, each in its own process, and summarizes.

A B A B, not A A B B: other load of the machine then affects all contenders, and ratios are of
measurements that follow each other.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from statistics import median
from typing import Any

from tqdm import tqdm

#: Imported once by the process from which all contenders are forked.
PRELOADED = (
    "nnunet_pst.nnunet.training.base_trainer",
    "nnunetv2.inference.predict_from_raw_data",
    "segmentation_models_pytorch",
)


@dataclass(frozen=True)
class Entry:
    """One contender.

    Attributes
    ----------
    name
        In the tables.
    kind
        Name of a function of `contenders`.
    configuration
        Of the plans.
    stock
        Whether the other contenders are compared with it.
    """

    name: str
    kind: str
    configuration: str
    arguments: dict[str, Any] = field(default_factory=dict)
    stock: bool = False


def hold(entries: Sequence[Entry], *, device: str, rounds: int, title: str) -> list[dict[str, Any]]:
    """Measure every entry ``rounds`` times in turn and return a row for each entry.

    Ratios are of items per second, taken round by round.
    """
    method = "forkserver" if device == "cpu" and os.name == "posix" else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(list(PRELOADED))
    with contextlib.ExitStack() as stack, tqdm(desc=title, total=rounds * len(entries)) as bar:
        running, facts = [], []
        for entry in entries:
            running.append(stack.enter_context(_Running(context, entry, device)))
            # Before the next one starts: what is made once is timed too.
            facts.append(running[-1].receive())
        seconds: list[list[float]] = [[] for _ in entries]
        for _ in range(rounds):
            for contender, values in zip(running, seconds, strict=True):
                values.append(contender.ask("measure"))
                bar.update()
        memory = [contender.ask("memory") for contender in running]
    rows = [_row(*parts) for parts in zip(entries, facts, seconds, memory, strict=True)]
    for row in rows:
        row["times_as_fast_as"] = {
            entry.name: _summary([own / stock for own, stock in _pairs(row, other)])
            for entry, other in zip(entries, rows, strict=True)
            if entry.stock and other is not row
        }
    return rows


def _pairs(row: dict[str, Any], other: dict[str, Any]) -> Iterator[tuple[float, float]]:
    return zip(row["items_per_second"]["values"], other["items_per_second"]["values"], strict=True)


def _row(
    entry: Entry, told: dict[str, Any], seconds: list[float], memory: dict[str, float]
) -> dict[str, Any]:
    scaled = [value * told["scale"] for value in seconds]
    return {
        "name": entry.name,
        "configuration": entry.configuration,
        "extrapolated": told["scale"] != 1,
        "seconds": _summary(scaled),
        "items": told["items"],
        "items_per_second": _summary([told["items"] / value for value in scaled]),
        **told["facts"],
        **memory,
    }


def _summary(values: list[float]) -> dict[str, Any]:
    return {"median": median(values), "min": min(values), "max": max(values), "values": values}


class _Running:
    """A contender's process, seen from the process that gives the turns."""

    def __init__(self, context: Any, entry: Entry, device: str) -> None:
        self.name = entry.name
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, entry, device))
        self._process.start()
        theirs.close()

    def __enter__(self) -> _Running:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._process.join(timeout=10)
        if self._process.is_alive():
            self._process.terminate()

    def ask(self, what: str) -> Any:
        """Ask and wait for the answer."""
        self._connection.send(what)
        return self.receive()

    def receive(self) -> Any:
        """Wait for an answer; an error of the contender ends the run."""
        try:
            good, answer = self._connection.recv()
        except EOFError:
            good, answer = False, "its process died; out of memory?"
        if not good:
            raise SystemExit(f"benchmark '{self.name}' failed:\n{answer}")
        return answer


def _serve(connection: Connection, entry: Entry, device: str) -> None:
    """Make the contender, then answer until the other side closes the connection."""
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (until the process ends)
    try:
        import contenders

        make: Callable[..., Any] = getattr(contenders, entry.kind)
        imported = peak_memory_mb()
        contender = make(device, entry.configuration, **entry.arguments)
        told = {"items": contender.items, "scale": contender.scale, "facts": contender.facts}
        connection.send((True, told))
        while True:
            what = connection.recv()
            if what == "measure":
                connection.send((True, contender.measure()))
            else:
                memory = {"imported_mb": imported, "peak_mb": peak_memory_mb()}
                connection.send((True, {**memory, **_device_memory(device)}))
    except EOFError:  # the other side is done and has hung up
        pass
    except BaseException:  # to be told on the other side, whatever it is
        connection.send((False, traceback.format_exc()))


def peak_memory_mb() -> float:
    """Return the largest resident memory of this process so far."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _device_memory(device: str) -> dict[str, float]:
    if device == "cpu":
        return {}
    import torch

    return {"device_peak_mb": torch.cuda.max_memory_allocated() / 2**20}
