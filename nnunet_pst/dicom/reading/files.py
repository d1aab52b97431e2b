"""Which files of a tree, or of a zip, are DICOM: by what they hold, never by their names.

Archives are read where they are. Nothing is unpacked to the disk, so no member can be written
anywhere; one that is named as if it meant to leave the archive is refused all the same, and so is
an archive that would grow beyond all measure.
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

from nnunet_pst.errors import InputError

#: A file larger than this is no image of ours; an enhanced multi-frame study stays far below.
MAX_FILE_BYTES = 2**31
#: Members of one archive.
MAX_MEMBERS = 200_000
#: Archives that unpack to more than this must not shrink by more than `MAX_RATIO`. MR images
#: shrink to a half or a third, blank masks by some hundreds, but those are small.
FREE_ARCHIVE_BYTES = 2**28
MAX_RATIO = 100
#: First elements of DICOM files that lack the preamble: group 8 (or 2), little endian.
_BARE_STARTS = tuple(
    bytes([group, 0, element, 0])
    for group, element in ((8, 0), (8, 1), (8, 5), (8, 8), (8, 0x16), (2, 0), (2, 1), (2, 2))
)
_ZIP_START = b"PK\x03\x04"
_DICOM_NAMES = (".dcm", ".dicom", ".ima")


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
            When it is too large, or the archive is damaged, encrypted, or lies about its sizes.
        """
        if not self.member:
            if self.path.stat().st_size > MAX_FILE_BYTES:
                raise InputError(f"{self.name}: larger than 2 GiB, no image of ours")
            return self.path.open("rb")
        try:
            state = self.path.stat()
            archive = _opened(self.path, state.st_size, state.st_mtime_ns)
            return io.BytesIO(_member_bytes(archive, archive.getinfo(self.member)))
        except _ZIP_ERRORS as error:
            raise InputError(f"{self.name}: {_zip_problem(error)}") from error


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


def _zip_problem(error: Exception) -> str:
    if isinstance(error, RuntimeError) and not isinstance(error, NotImplementedError):
        return "can't be read from the archive (encrypted?); unpack it yourself"
    return "can't be read from the archive (damaged?); copy it again or unpack it yourself"


def _member_bytes(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int = -1) -> bytes:
    """Read a member, never more than its directory entry promises."""
    if info.file_size > MAX_FILE_BYTES:
        raise zipfile.BadZipFile("too large")
    with archive.open(info) as stream:
        return stream.read(info.file_size if limit < 0 else min(limit, info.file_size))


@dataclass
class Walk:
    """What a tree holds.

    Parameters
    ----------
    dicom
        DICOM files in a fixed order.
    others
        All other files.
    problems
        A line for each that can't be looked into.
    """

    dicom: list[Origin] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def walk(root: Path) -> Walk:
    """Find the DICOM files below a folder, in a zip, or the one given.

    Links to folders are not followed (they may lead round in a circle, or out of the tree); hidden
    files are looked at like others.

    Raises
    ------
    InputError
        When ``root`` doesn't exist.
    """
    found = Walk()
    try:
        if root.is_dir():
            for path in _files_below(root, found):
                _look_at(path, root, found)
        elif root.is_file():
            _look_at_only(root, found)
        else:
            raise InputError(f"{root}: no such folder or file")
    except ValueError as error:  # a name that no file can have
        raise InputError(f"{root!s}: no such folder or file") from error
    return found


def _look_at_only(path: Path, found: Walk) -> None:
    """Look at the file that was given: it has to be something."""
    _look_at(path, path.parent, found, archive=is_archive(path))
    if found.others:
        found.problems.append(f"{printable(path.name)}: is no DICOM file and no zip archive")


def _files_below(root: Path, found: Walk) -> Iterator[Path]:
    def refused(error: OSError) -> None:
        place = _shown(Path(error.filename or root), root)
        found.problems.append(f"{place}: can't be listed ({error.strerror})")

    for folder, folders, names in os.walk(root, onerror=refused):
        folders.sort()
        for name in sorted(names):
            yield Path(folder, name)
        for name in folders:
            path = Path(folder, name)
            if path.is_symlink():
                found.problems.append(
                    f"{_shown(path, root)}: a link to a folder, not followed; scan that folder"
                )


def _shown(path: Path, root: Path) -> str:
    """Name a path within the tree; what a terminal would obey is shown, not sent."""
    relative = path.relative_to(root) if path.is_relative_to(root) else Path(path.name)
    return printable(str(relative) if str(relative) != "." else path.name)


def printable(text: str) -> str:
    """Replace control characters and half characters (names of files may hold any bytes)."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _look_at(path: Path, root: Path, found: Walk, *, archive: bool | None = None) -> None:
    if archive is None:
        archive = path.name.casefold().endswith(".zip")
    try:
        if not path.is_file():  # a socket, a pipe, a link to nothing
            return
        if archive:
            _look_into(path, _shown(path, root), found)
            return
        with path.open("rb") as file:
            head = file.read(132)
    except OSError as error:
        found.problems.append(f"{_shown(path, root)}: can't be read ({error.strerror or error})")
        return
    if looks_like_dicom(head):
        found.dicom.append(Origin(path))
    elif path.name.casefold().endswith(_DICOM_NAMES):
        what = "is empty" if not head else "is named like DICOM but isn't (truncated or damaged?)"
        found.problems.append(f"{_shown(path, root)}: {what}; copy it again")
    else:
        found.others.append(path)


def looks_like_dicom(head: bytes) -> bool:
    """Whether the first 132 bytes of a file are DICOM's, with or without its preamble."""
    return head[128:132] == b"DICM" or head[:4] in _BARE_STARTS


def _look_into(path: Path, shown: str, found: Walk) -> None:
    """Find the DICOM members of an archive, or say in one line why it isn't looked into."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
            problem = _archive_problem(members)
            if problem is not None:
                found.problems.append(f"{shown}: {problem}")
                return
            for info in sorted(members, key=lambda info: info.filename):
                _look_at_member(archive, info, Origin(path, info.filename), found)
    except (*_ZIP_ERRORS, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.strerror:
            found.problems.append(f"{shown}: can't be read ({error.strerror})")
        else:
            found.problems.append(f"{shown}: {archive_fault(path)}")


def _look_at_member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, origin: Origin, found: Walk
) -> None:
    name = printable(origin.name)
    if info.filename.casefold().endswith(".zip"):
        found.problems.append(f"{name}: an archive in an archive; unpack it yourself")
        return
    try:
        head = _member_bytes(archive, info, 132)
    except _ZIP_ERRORS as error:
        found.problems.append(f"{name}: {_zip_problem(error)}")
        return
    if looks_like_dicom(head):
        found.dicom.append(origin)
    elif info.filename.casefold().endswith(_DICOM_NAMES):
        found.problems.append(f"{name}: is named like DICOM but isn't (truncated or damaged?)")


def is_archive(path: Path) -> bool:
    """Whether a file is a zip archive, or was one, or is named like one."""
    # One that is cut off has lost its directory, which `is_zipfile` looks for.
    named = path.suffix.casefold() == ".zip"
    return named or zipfile.is_zipfile(path) or _begins_like_archive(path)


def archive_fault(path: Path) -> str:
    """Say why an archive can't be opened: cut off or damaged, or never one."""
    kind = "a damaged or cut-off" if _begins_like_archive(path) else "no"
    return f"is {kind} zip archive; copy it again"


def _begins_like_archive(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == _ZIP_START
    except OSError:  # said by whoever opens it next
        return False


def leaves_archive(member: str) -> bool:
    """Whether a member would lie outside the folder into which an archive is unpacked."""
    name = PurePosixPath(member.replace("\\", "/"))
    return name.is_absolute() or ".." in name.parts or ":" in "".join(name.parts[:1])


def _archive_problem(members: list[zipfile.ZipInfo]) -> str | None:
    """Say why an archive is not opened: a name that leaves it, or sizes beyond reason."""
    for info in members:
        if leaves_archive(info.filename):
            return (
                f"holds '{printable(info.filename)[:80]}', which would lie outside the archive; "
                "not opened"
            )
    if len(members) > MAX_MEMBERS:
        return f"holds {len(members)} files, more than {MAX_MEMBERS}; unpack and sort it yourself"
    whole = sum(info.file_size for info in members)
    packed = sum(info.compress_size for info in members)
    if whole > FREE_ARCHIVE_BYTES and whole > MAX_RATIO * max(packed, 1):
        return (
            f"would grow from {packed / 2**20:.1f} MB to {whole / 2**20:.0f} MB; no images shrink "
            "so, it is not opened"
        )
    return None
