"""Which files of a tree, or of a zip, are DICOM: by their content, never by their names.

Archives are read in place. Nothing is unpacked to the disk, so no member can be written anywhere.
Archives with a member whose name leaves the archive are refused all the same, and so are archives
that would grow out of proportion.
"""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from nnunet_pst.errors import Fault, InputError, Problem
from nnunet_pst.io.wording import printable

#: A file larger than this is not an image of ours; an enhanced multi-frame study is far smaller.
MAX_FILE_BYTES = 2**31
#: Members of one archive.
MAX_MEMBERS = 200_000
#: Archives that unpack to more than this must not shrink by more than `MAX_RATIO`. MR images
#: shrink to a half or a third, blank masks by some hundreds, but those are small.
FREE_ARCHIVE_BYTES = 2**28
MAX_RATIO = 100
#: First elements of DICOM files that lack the preamble: group 8 (or 2), little or big endian.
_BARE_STARTS = tuple(
    bytes(start)
    for group, element in ((8, 0), (8, 1), (8, 5), (8, 8), (8, 0x16), (2, 0), (2, 1), (2, 2))
    for start in ((group, 0, element, 0), (0, group, 0, element))
)
_ZIP_START = b"PK\x03\x04"
_DICOM_NAMES = (".dcm", ".dicom", ".ima")
_NOT_DICOM = "is named like DICOM but isn't (truncated or damaged?)"


@dataclass(frozen=True, order=True)
class Origin:
    """Where a DICOM file is.

    Parameters
    ----------
    path
        The file, or the archive that holds it.
    member
        Its name in the archive; empty for a file.
    """

    path: Path
    member: str = ""

    @property
    def name(self) -> str:
        """For messages; no folder, because those may hold private names."""
        return f"{self.path.name}/{self.member}" if self.member else self.path.name

    @property
    def folder(self) -> Path:
        """The folder; inside an archive, as if the archive were one."""
        return (self.path / self.member).parent

    def open(self) -> BinaryIO:
        """Open for reading.

        Raises
        ------
        InputError
            When it is too large, or the archive is damaged, encrypted, or gives false sizes.
        """
        if not self.member:
            if self.path.stat().st_size > MAX_FILE_BYTES:
                raise InputError(
                    f"{self.name}: is larger than 2 GiB, so it is not an image of ours",
                    Fault.TOO_LARGE,
                )
            return self.path.open("rb")
        try:
            state = self.path.stat()
            archive = _opened(self.path, state.st_size, state.st_mtime_ns)
            return io.BytesIO(_member_bytes(archive, archive.getinfo(self.member)))
        except _ZIP_ERRORS as error:
            raise InputError([_zip_problem(error).within(self.name)]) from error


@lru_cache(maxsize=2)
def _opened(path: Path, size: int, modified_ns: int) -> zipfile.ZipFile:
    """Keep an archive open: its directory is read once, not once for each of thousands of files."""
    return zipfile.ZipFile(path)


_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    KeyError,
)


def _zip_problem(error: Exception) -> Problem:
    if isinstance(error, RuntimeError) and not isinstance(error, NotImplementedError):
        text = "can't be read from the archive (encrypted?); unpack it yourself"
        return Problem(text, Fault.UNSUPPORTED)
    text = "can't be read from the archive (damaged?); copy it again or unpack it yourself"
    return Problem(text, Fault.DAMAGED)


def _member_bytes(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int = -1) -> bytes:
    """Read a member, never more than its directory entry promises."""
    if info.file_size > MAX_FILE_BYTES:
        raise zipfile.BadZipFile("too large")
    with archive.open(info) as stream:
        return stream.read(info.file_size if limit < 0 else min(limit, info.file_size))


@dataclass
class Walk:
    """The files of a tree.

    Parameters
    ----------
    dicom
        DICOM files in a fixed order.
    others
        All other files.
    problems
        A line for each file, archive or folder that can't be read.
    """

    dicom: list[Origin] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def report(self, place: str, text: str, fault: Fault) -> None:
        """Note why something can't be read."""
        self.problems.append(Problem(text, fault).within(place))


def walk(root: Path) -> Walk:
    """Find the DICOM files below a folder or in a zip, or take the file that is given.

    Links to folders are not followed (they may lead in a circle, or out of the tree); hidden files
    are treated like others.

    Raises
    ------
    InputError
        When ``root`` doesn't exist.
    """
    tree = Walk()
    try:
        if root.is_dir():
            for path in _files_below(root, tree):
                _classify(path, root, tree)
        elif root.is_file():
            _classify_only(root, tree)
        else:
            raise InputError(f"{root}: no such folder or file", Fault.MISSING)
    except ValueError as error:  # a name that no file can have
        raise InputError(f"{root!s}: no such folder or file", Fault.MISSING) from error
    return tree


def _classify_only(path: Path, tree: Walk) -> None:
    """Classify the file that was given: it must be DICOM or an archive."""
    _classify(path, path.parent, tree, archive=is_archive(path))
    if tree.others:
        text = "is neither a DICOM file nor a zip archive"
        tree.report(printable(path.name), text, Fault.WRONG_TYPE)


def _files_below(root: Path, tree: Walk) -> Iterator[Path]:
    def refused(error: OSError) -> None:
        place = _shown(Path(error.filename or root), root)
        tree.report(place, f"can't be listed ({error.strerror})", Fault.UNREADABLE)

    for folder, folders, names in os.walk(root, onerror=refused):
        folders.sort()
        for name in sorted(names):
            yield Path(folder, name)
        for name in folders:
            path = Path(folder, name)
            if path.is_symlink():
                text = "a link to a folder, not followed; scan that folder"
                tree.report(_shown(path, root), text, Fault.UNSUPPORTED)


def _shown(path: Path, root: Path) -> str:
    """Name a path within the tree, without control characters for the terminal."""
    relative = path.relative_to(root) if path.is_relative_to(root) else Path(path.name)
    return printable(str(relative) if str(relative) != "." else path.name)


def _classify(path: Path, root: Path, tree: Walk, *, archive: bool | None = None) -> None:
    """Add a file, or the members of an archive, to a tree."""
    if archive is None:
        archive = path.name.casefold().endswith(".zip")
    place = _shown(path, root)
    try:
        if not path.is_file():  # a socket, a pipe, a link to nothing
            return
        if archive:
            _classify_members(path, place, tree)
            return
        with path.open("rb") as file:
            head = file.read(132)
    except OSError as error:
        tree.report(place, f"can't be read ({error.strerror or error})", Fault.UNREADABLE)
        return
    if looks_like_dicom(head):
        tree.dicom.append(Origin(path))
    elif not path.name.casefold().endswith(_DICOM_NAMES):
        tree.others.append(path)
    elif not head:
        tree.report(place, "is empty; copy it again", Fault.EMPTY)
    else:
        tree.report(place, f"{_NOT_DICOM}; copy it again", Fault.DAMAGED)


def looks_like_dicom(head: bytes) -> bool:
    """Whether the first 132 bytes of a file are DICOM's, with or without its preamble."""
    return head[128:132] == b"DICM" or head[:4] in _BARE_STARTS


def _classify_members(path: Path, place: str, tree: Walk) -> None:
    """Add the DICOM members of an archive to a tree, or say in one line why it isn't opened."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
            problem = _archive_problem(members)
            if problem is not None:
                tree.problems.append(problem.within(place))
                return
            for info in sorted(members, key=lambda info: info.filename):
                _classify_member(archive, info, Origin(path, info.filename), tree)
    except (*_ZIP_ERRORS, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.strerror:
            tree.report(place, f"can't be read ({error.strerror})", Fault.UNREADABLE)
        else:
            tree.problems.append(archive_fault(path).within(place))


def _classify_member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, origin: Origin, tree: Walk
) -> None:
    name = printable(origin.name)
    if info.filename.casefold().endswith(".zip"):
        tree.report(name, "an archive in an archive; unpack it yourself", Fault.UNSUPPORTED)
        return
    try:
        head = _member_bytes(archive, info, 132)
    except _ZIP_ERRORS as error:
        tree.problems.append(_zip_problem(error).within(name))
        return
    if looks_like_dicom(head):
        tree.dicom.append(origin)
    elif info.filename.casefold().endswith(_DICOM_NAMES):
        tree.report(name, _NOT_DICOM, Fault.DAMAGED)


def is_archive(path: Path) -> bool:
    """Whether a file is a zip archive, perhaps cut off, or is named like one."""
    # An archive that is cut off has lost its directory, which `is_zipfile` looks for.
    named = path.suffix.casefold() == ".zip"
    return named or zipfile.is_zipfile(path) or _begins_like_archive(path)


def archive_fault(path: Path) -> Problem:
    """Say why an archive can't be opened: it is cut off or damaged, or not an archive."""
    if _begins_like_archive(path):
        return Problem("is a damaged or cut-off zip archive; copy it again", Fault.DAMAGED)
    return Problem("is not a zip archive; copy it again", Fault.WRONG_TYPE)


def _begins_like_archive(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == _ZIP_START
    except OSError:  # reported by the next function that opens it
        return False


def leaves_archive(member: str) -> bool:
    """Whether a member would be outside the folder into which an archive is unpacked."""
    name = PurePosixPath(member.replace("\\", "/"))
    return name.is_absolute() or ".." in name.parts or ":" in "".join(name.parts[:1])


def _archive_problem(members: list[zipfile.ZipInfo]) -> Problem | None:
    """Say why an archive is not opened: a name that leaves it, or sizes beyond reason."""
    for info in members:
        if leaves_archive(info.filename):
            name = printable(info.filename)[:80]
            text = f"holds '{name}', which would be outside the archive; not opened"
            return Problem(text, Fault.UNTRUSTED)
    if len(members) > MAX_MEMBERS:
        text = f"holds {len(members)} files, more than {MAX_MEMBERS}; unpack and sort it yourself"
        return Problem(text, Fault.TOO_LARGE)
    whole = sum(info.file_size for info in members)
    packed = sum(info.compress_size for info in members)
    if whole > FREE_ARCHIVE_BYTES and whole > MAX_RATIO * max(packed, 1):
        text = (
            f"would grow from {packed / 2**20:.1f} MB to {whole / 2**20:.0f} MB, more than images "
            "do; not opened"
        )
        return Problem(text, Fault.UNTRUSTED)
    return None
