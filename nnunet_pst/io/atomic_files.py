"""Files that are whole or absent: written beside their place, verified, then moved there."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.digests import file_digest
from nnunet_pst.io.file_locks import abandoned, held, made_and_held

#: Begins the names of files that are being written: hidden, and never one of nnU-Net's.
PARTIAL = ".partial-"
#: Begins the name of an earlier folder while a new one takes its place.
OLD = f"{PARTIAL}old-"
#: What file systems allow.
_LONGEST_NAME_BYTES = 255
#: What a disk, not a mistake of ours, says: the next attempt may succeed.
_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}


def hidden_beside(place: Path, prefix: str = PARTIAL) -> Path:
    """Name what is written beside a place; the name is cut where it would be too long.

    Its end is that of the place's name, because many writers choose the format by it.
    """
    name = f"{prefix}{place.name}"
    if len(os.fsencode(name)) > _LONGEST_NAME_BYTES:
        digest = hashlib.sha256(os.fsencode(place.name)).hexdigest()[:16]
        name = f"{prefix}{digest}{''.join(place.suffixes[-2:])[-20:]}"
    return place.with_name(name)


def is_disk_error(error: OSError) -> bool:
    """Whether a disk is full or broken, so that the same work may succeed later."""
    return error.errno in _DISK_ERRORS


def not_whole(path: Path) -> OSError:
    """Return the error of a file that is not on the disk as it was meant."""
    name = re.sub(rf"^{re.escape(PARTIAL)}\d+-", "", path.name)  # a draft's
    return OSError(errno.EIO, f"{name} could not be written whole; is the disk full?")


@contextmanager
def file_draft(place: Path, *, mode: int = 0o666) -> Iterator[Path]:
    """Give an empty file beside ``place`` to write; it is removed at the end if it is still there.

    Its name holds the number of this process, so that two processes can write the same file, and
    its lock is held, so that a sweep knows it from a leftover.

    Parameters
    ----------
    place
        Where it will be moved.
    mode
        Permissions from the first byte on, less what the umask takes, as for any new file.
    """
    draft = _own(place)
    draft.unlink(missing_ok=True)
    with made_and_held(
        draft, lambda: os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode))
    ):
        try:
            yield draft
        finally:
            draft.unlink(missing_ok=True)


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a file to write, which becomes ``path`` if nothing goes wrong and disappears otherwise.

    Whoever writes it verifies it: libraries may return normally from a full disk. Of content that
    is in memory `write_bytes_atomically` and `write_atomically` do.
    """
    with file_draft(path) as draft:
        yield draft
        sync(draft)
        draft.replace(path)
        sync(path.parent)


def sync(place: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    if place.is_dir() and os.name == "nt":
        return  # Windows opens no folders, and writes their names at once
    handle = os.open(place, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fill(file: Path, content: bytes) -> None:
    """Write a file, wait for the disk, and read it back.

    Raises
    ------
    OSError
        When it can't be written, or what is on the disk is not ``content``.
    """
    with file.open("wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())
    if file.read_bytes() != content:
        raise not_whole(file)


def write_bytes_atomically(path: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Replace a file in one step; its content is on the disk, verified, before it gets its name.

    Parameters
    ----------
    path
        The file.
    content
        All of it.
    mode
        As for `file_draft`.

    Raises
    ------
    OSError
        As for `fill`; the file is as before then.
    """
    with file_draft(path, mode=mode) as draft:
        fill(draft, content)
        draft.replace(path)
        sync(path.parent)


def write_atomically(path: Path, text: str, *, mode: int = 0o666) -> None:
    """Replace a text file in one step, as `write_bytes_atomically`; line ends stay as they are."""
    write_bytes_atomically(path, text.encode(), mode=mode)


def copy_atomically(source: Path, target: Path) -> None:
    """Replace a file by a copy of another one in one step."""
    with written_whole(target) as draft:
        shutil.copyfile(source, draft)
        if file_digest(draft) != file_digest(source):
            raise not_whole(target)


@contextmanager
def folder_draft(place: Path) -> Iterator[Path]:
    """Give an empty folder beside ``place`` to fill; what is still there at the end is removed."""
    draft = _own(place)
    for left in place.parent.glob(f"{PARTIAL}[0-9]*-{glob.escape(place.name)}"):
        with abandoned(left) as free:
            if free:
                shutil.rmtree(left, ignore_errors=True)
    shutil.rmtree(draft, ignore_errors=True)
    with made_and_held(draft, lambda: draft.mkdir(exist_ok=True)):
        try:
            yield draft
        finally:
            shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def folder_written_whole(place: Path) -> Iterator[Path]:
    """Give a folder to fill, which replaces ``place`` if nothing goes wrong.

    Otherwise it disappears and ``place`` stays as it was. Drafts of it that killed processes have
    left are removed.
    """
    with folder_draft(place) as draft:
        yield draft
        replace_folder(draft, place)


def _own(place: Path) -> Path:
    """Name what this process writes before it is moved to its place."""
    return hidden_beside(place, f"{PARTIAL}{os.getpid()}-")


def replace_folder(new: Path, place: Path) -> None:
    """Move a finished folder to its place; an earlier folder there is removed.

    An earlier folder that a killed process has moved aside is put back by the next sweep, see
    `leftovers`.
    """
    for path in (new, *new.rglob("*")):
        sync(path)
    if not place.exists():
        new.rename(place)
        sync(place.parent)
        return
    old = hidden_beside(place, OLD)
    shutil.rmtree(old, ignore_errors=True)
    with held(place):
        place.rename(old)
        try:
            new.rename(place)
        except OSError:
            old.rename(place)
            raise
        sync(place.parent)
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def gone_if_refused(folder: Path) -> Iterator[None]:
    """Remove a folder, and the folders above that were made for it, after an `InputError`.

    After anything else, such as Ctrl-C or a full disk (`Fault.UNWRITABLE`), it stays, and the next
    run continues in it.
    """
    above = [parent for parent in folder.parents if not parent.exists()]
    try:
        yield
    except InputError as error:
        if Fault.UNWRITABLE not in error.faults:
            shutil.rmtree(folder, ignore_errors=True)
            for parent in above:
                with suppress(OSError):  # it holds something else by now
                    parent.rmdir()
        raise


@contextmanager
def gone_if_empty(folders: Sequence[Path], notes: Sequence[Path] = ()) -> Iterator[None]:
    """After an error, remove what was made meanwhile and holds nothing.

    Parameters
    ----------
    folders
        Empty folders go, these and those below them; what holds a file stays for the next run.
    notes
        Files about what is in the folders; new ones go when nothing else is.
    """
    known = {path for path in _inside(folders) if path.is_dir()}
    above = [path for folder in folders for path in folder.parents if not path.exists()]
    new = {note for note in notes if not note.exists()}
    try:
        yield
    except BaseException:
        if {path for path in _inside(folders) if not path.is_dir()} <= new:
            for note in new:
                with suppress(OSError):  # a broken disk; the error that is raised says so
                    note.unlink(missing_ok=True)
        made = {path for path in _inside(folders) if path.is_dir()} - known
        for path in [*sorted(made, reverse=True), *above]:
            with suppress(OSError):  # it holds something
                path.rmdir()
        raise


def _inside(folders: Sequence[Path]) -> list[Path]:
    return [path for one in folders if one.exists() for path in (one, *one.rglob("*"))]


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
