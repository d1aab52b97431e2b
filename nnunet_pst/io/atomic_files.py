"""Files that are whole or absent: written beside their place, then moved there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nnunet_pst.errors import InputError

#: Begins the names of files that are being written: hidden, and never one of nnU-Net's.
PARTIAL = ".partial-"


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a file to write, which becomes ``path`` if nothing goes wrong, and else disappears.

    Its name ends as that of ``path`` does, because many writers choose the format by it, and holds
    the number of this process, so that two that write the same file don't mix.
    """
    partial = path.with_name(f"{PARTIAL}{os.getpid()}-{path.name}")
    partial.unlink(missing_ok=True)
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


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
            file.flush()
            os.fsync(file.fileno())


def copy_atomically(source: Path, target: Path) -> None:
    """Replace a file by a copy of another one in one step."""
    with written_whole(target) as partial:
        shutil.copyfile(source, partial)


def replace_folder(new: Path, place: Path) -> None:
    """Move a finished folder to its place, instead of an earlier one, which then disappears."""
    old = place.with_name(f"{PARTIAL}old-{place.name}")
    shutil.rmtree(old, ignore_errors=True)  # left by a process that was killed here
    if place.exists():
        place.rename(old)
    new.rename(place)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def gone_if_refused(folder: Path) -> Iterator[None]:
    """Remove a folder, with those above that were made for it, when what fills it is refused.

    After anything else, such as Ctrl-C or a full disk, it stays for the next run to go on from.
    """
    above = [parent for parent in folder.parents if not parent.exists()]
    try:
        yield
    except InputError:
        shutil.rmtree(folder, ignore_errors=True)
        for parent in above:
            with suppress(OSError):  # somebody else has put something there
                parent.rmdir()
        raise


@contextmanager
def refusals_in_one_line(folder: Path) -> Iterator[None]:
    """Turn what the file system refuses into one line; what is finished stays for the next run.

    Raises
    ------
    InputError
        Instead of an `OSError`, naming the folder and the reason.
    """
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{folder}: can't be written ({error.strerror or error}); make room or choose another"
        ) from error
