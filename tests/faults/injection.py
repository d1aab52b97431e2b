"""Faults inside a process: what it does to files below a folder is counted, and one of it fails.

Python tells of every opening, renaming and removing (`sys.addaudithook`); writes and syncs are
counted by replacing what `open` gives. Writers in C++ are one operation each: what they leave is
cut in half, as a full disk does, of which ITK says nothing.
"""

from __future__ import annotations

import errno
import io
import mmap
import os
import signal
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Faults of a write; ``short``: half of it is lost and nobody is told.
ERRORS = {"ENOSPC": errno.ENOSPC, "EDQUOT": errno.EDQUOT, "EIO": errno.EIO, "short": 0}
#: A full disk stays full for the rest of a process; a bad sector is one.
_LASTING = ("ENOSPC", "EDQUOT")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
#: Operations by audit event, with the places of their paths and of the folder of the path.
_EVENTS = {
    "os.rename": ((0, 2), (1, 3)),
    "os.remove": ((0, 1),),
    "os.rmdir": ((0, 1),),
    "os.mkdir": ((0, 2),),
    "os.link": ((0, 2), (1, 3)),
    "os.symlink": ((1, 2),),
    "os.truncate": ((0, None),),
}


@dataclass(frozen=True)
class Fault:
    """What goes wrong.

    Attributes
    ----------
    kind
        ``none``, ``kill``, ``stop`` (SIGSTOP) or one of `ERRORS`.
    at
        At which operation, or for `ERRORS` which write, counted from 1.
    """

    kind: str = "none"
    at: int = 0


class Counts:
    """Two counters that forked processes share: operations, and writes among them."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 16)

    def step(self, place: int) -> int:
        """Add one and return the new number."""
        number = self.read()[place] + 1
        struct.pack_into("<q", self._memory, 8 * place, number)
        return number

    def read(self) -> tuple[int, int]:
        """Return both numbers."""
        return struct.unpack_from("<qq", self._memory)


class Injector:
    """Counts operations below ``root`` and lets one of them fail."""

    def __init__(self, fault: Fault, root: str, counts: Counts) -> None:
        self.fault, self.root, self.counts = fault, os.path.realpath(root), counts
        self.inside = False

    def concerns(self, path: object, folder: object = None) -> bool:
        """Whether a path, or a name in an open folder, is below the root."""
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}")
        text = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""
        if isinstance(folder, int) and folder >= 0 and not os.path.isabs(text):
            text = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), text)
        return os.path.abspath(text).startswith(self.root + os.sep)

    def operation(self) -> None:
        """Count an operation; killed or stopped before it when its turn has come."""
        number = self.counts.step(0)
        if number == self.fault.at and self.fault.kind == "kill":
            os.killpg(0, signal.SIGKILL)
            signal.pause()
        if number == self.fault.at and self.fault.kind == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)

    def write_fails(self) -> str:
        """Count a write; return its fault, or nothing."""
        self.operation()
        number, kind = self.counts.step(1), self.fault.kind
        if kind not in ERRORS:
            return ""
        return (
            kind if number == self.fault.at or (kind in _LASTING and number > self.fault.at) else ""
        )

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Take part in what Python does."""
        if self.inside or (event != "open" and event not in _EVENTS):
            return
        self.inside = True
        try:
            if event == "open":
                path, _, flags = arguments
                if isinstance(flags, int) and flags & _WRITING and self.concerns(path):
                    self._making(path)
            elif any(
                self.concerns(arguments[at], None if folder is None else arguments[folder])
                for at, folder in _EVENTS[event]
            ):
                self._making(arguments[0]) if event == "os.mkdir" else self.operation()
        finally:
            self.inside = False

    def _making(self, path: object) -> None:
        kind = self.write_fails()
        if kind and kind != "short":
            raise OSError(ERRORS[kind], os.strerror(ERRORS[kind]), path)


def inject(fault: Fault, root: str, counts: Counts) -> None:
    """Install a fault in this process and those that it forks."""
    injector = Injector(fault, root, counts)
    sys.addaudithook(injector.audit)
    _replace_open(injector)
    _replace_fsync(injector)
    _replace_writer(injector)


def _replace_open(injector: Injector) -> None:
    genuine = io.open

    class File(io.FileIO):
        def write(self, data: Any) -> int:
            kind = injector.write_fails()
            if kind == "short":
                super().write(memoryview(data)[: len(data) // 2])
                return len(data)
            if kind:
                super().write(memoryview(data).cast("B")[: len(data) // 2])
                raise OSError(ERRORS[kind], os.strerror(ERRORS[kind]), self.name)
            return super().write(data)

    def opened(file: Any, mode: str = "r", buffering: int = -1, *rest: Any, **more: Any) -> Any:
        if not set(mode) & set("wax+") or not injector.concerns(file) or "+" in mode:
            return genuine(file, mode, buffering, *rest, **more)
        closefd, opener = more.pop("closefd", True), more.pop("opener", None)
        raw = File(file, mode.replace("b", "").replace("t", ""), closefd, opener)
        if buffering == 0:
            return raw
        buffered = io.BufferedWriter(raw)
        if "b" in mode:
            return buffered
        text = io.TextIOWrapper(buffered, *rest, **more)
        text.mode = mode
        return text

    import builtins

    io.open = builtins.open = opened  # type: ignore[assignment]


def _replace_fsync(injector: Injector) -> None:
    genuine = os.fsync

    def synced(handle: int) -> None:
        if injector.concerns(handle):
            kind = injector.write_fails()
            if kind and kind != "short":
                raise OSError(ERRORS[kind], os.strerror(ERRORS[kind]))
        genuine(handle)

    os.fsync = synced


def _replace_writer(injector: Injector) -> None:
    """Cut in half what the writers in C++ leave."""
    import SimpleITK as sitk  # noqa: N813
    import torch

    def cutting(genuine: Callable[..., Any], place: int) -> Callable[..., Any]:
        def write(*arguments: Any, **more: Any) -> Any:
            path = arguments[place]
            if not isinstance(path, (str, os.PathLike)) or not injector.concerns(path):
                return genuine(*arguments, **more)
            kind = injector.write_fails()
            injector.inside = True
            try:
                answer = genuine(*arguments, **more)
            finally:
                injector.inside = False
            if kind:
                os.truncate(path, Path(path).stat().st_size // 2)
            return answer

        return write

    sitk.WriteImage = cutting(sitk.WriteImage, 1)
    torch.save = cutting(torch.save, 1)
