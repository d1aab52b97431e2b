"""Locks on files and folders, by which others see that the process that writes them still lives.

The system drops them when a process ends, however it ends. A file system without locks, and
Windows, give none: there the age of a file decides.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

if sys.platform != "win32":
    import fcntl

#: Without locks, what nobody has touched for a day belongs to a process that has ended.
_ABANDONED_AFTER_S = 86_400.0


def try_lock(handle: int) -> bool:
    """Lock an open file or folder; False where another process holds it.

    Where the file system has no locks the answer is True: nobody can be seen to hold it.
    """
    try:
        return _locked(handle)
    except OSError:
        return True


def _locked(handle: int) -> bool:
    """As `try_lock`, with an `OSError` where there are no locks."""
    if sys.platform == "win32":
        raise OSError("no locks")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def names(path: Path, handle: int) -> bool:
    """Whether a path still leads to the file that is open."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except FileNotFoundError:
        return False


@contextmanager
def made_and_held(path: Path, make: Callable[[], None]) -> Iterator[None]:
    """Make a file or folder and hold its lock, so that nobody takes it for a leftover.

    A sweep may have removed it in the instant before it was locked; then it is made again.
    """
    if os.name == "nt":
        make()  # Windows moves no open files
        yield
        return
    while True:
        make()
        try:
            handle = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue
        if try_lock(handle) and names(path, handle):
            break
        os.close(handle)
    try:
        yield
    finally:
        os.close(handle)


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock of what is there, if it can be had."""
    if os.name == "nt":
        yield  # Windows opens no folders
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        try_lock(handle)
        yield
    finally:
        os.close(handle)


@contextmanager
def abandoned(path: Path) -> Iterator[bool]:
    """Say whether the process that wrote a file or folder has ended, and hold it meanwhile."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:  # gone by now, or not ours to open
        yield False
        return
    try:
        try:
            free = _locked(handle)
        except OSError:
            free = time.time() - os.fstat(handle).st_mtime > _ABANDONED_AFTER_S
        yield free and names(path, handle)
    finally:
        os.close(handle)
