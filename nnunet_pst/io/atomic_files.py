"""Files that are whole or absent: written beside their place, then moved there."""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nnunet_pst.errors import Fault, InputError

#: Begins the names of files that are being written: hidden, and never one of nnU-Net's.
PARTIAL = ".partial-"


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a file to write, which becomes ``path`` if nothing goes wrong and disappears otherwise.

    Its name ends like that of ``path``, because many writers choose the format by it, and holds the
    number of this process, so that two processes can write the same file.
    """
    partial = _beside(path)
    partial.unlink(missing_ok=True)
    try:
        yield partial
        _sync(partial)
        partial.replace(path)
        _sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def _sync(place: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    if place.is_dir() and os.name == "nt":
        return  # Windows opens no folders, and writes their names at once
    handle = os.open(place, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomically(path: Path, text: str, *, mode: int = 0o666) -> None:
    """Replace a text file in one step; its content is on the disk before it gets its name.

    Parameters
    ----------
    path
        The file.
    text
        Its whole content; line ends stay as they are.
    mode
        Permissions from the first byte on, less what the umask takes, as for any new file.
    """
    with written_whole(path) as partial:
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)


def copy_atomically(source: Path, target: Path) -> None:
    """Replace a file by a copy of another one in one step."""
    with written_whole(target) as partial:
        shutil.copyfile(source, partial)


@contextmanager
def folder_written_whole(place: Path) -> Iterator[Path]:
    """Give a folder to fill, which replaces ``place`` if nothing goes wrong.

    Otherwise it disappears and ``place`` stays as it was. Drafts that a killed process left beside
    ``place`` are removed.
    """
    for draft in place.parent.glob(f"{PARTIAL}*-{glob.escape(place.name)}"):
        shutil.rmtree(draft, ignore_errors=True)
    draft = _beside(place)
    draft.mkdir()
    try:
        yield draft
        replace_folder(draft, place)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _beside(place: Path) -> Path:
    """Name what this process writes before it is moved to its place."""
    return place.with_name(f"{PARTIAL}{os.getpid()}-{place.name}")


def replace_folder(new: Path, place: Path) -> None:
    """Move a finished folder to its place; an earlier folder there is removed."""
    old = place.with_name(f"{PARTIAL}old-{place.name}")
    shutil.rmtree(old, ignore_errors=True)  # left by a process that was killed here
    for path in (new, *new.rglob("*")):
        _sync(path)
    if place.exists():
        place.rename(old)
    new.rename(place)
    _sync(place.parent)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def gone_if_refused(folder: Path) -> Iterator[None]:
    """Remove a folder, and the folders above that were made for it, after an `InputError`.

    After anything else, such as Ctrl-C or a full disk, it stays, and the next run continues in it.
    """
    above = [parent for parent in folder.parents if not parent.exists()]
    try:
        yield
    except InputError:
        shutil.rmtree(folder, ignore_errors=True)
        for parent in above:
            with suppress(OSError):  # it holds something else by now
                parent.rmdir()
        raise


@contextmanager
def refusals_in_one_line(folder: Path) -> Iterator[None]:
    """Turn an error of the file system into one line; finished files stay for the next run.

    Raises
    ------
    InputError
        Instead of an `OSError`, naming the folder and the reason.
    """
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{folder}: can't be written ({error.strerror or error}); make room or choose another",
            Fault.UNWRITABLE,
        ) from error
