"""What ITK's NIfTI reader passes over: headers taken for Analyze, and voxels that it replaces."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from nnunet_pst.errors import Fault, InputError

#: Voxels are checked in pieces of this size, a multiple of the size of every voxel type.
_CHUNK_BYTES = 2**24


def is_nifti(path: Path) -> bool:
    """Whether a file is named as a NIfTI."""
    return path.name.casefold().endswith((".nii", ".nii.gz"))


def _opener(path: Path) -> Any:  # noqa: ANN401 - two kinds of file
    return gzip.open if path.name.casefold().endswith(".gz") else open


def check_nifti_magic(path: Path) -> None:
    """Refuse what ITK reads as Analyze, a format without orientation, or from another file.

    A header of NIfTI-1 has its magic at byte 344, one of NIfTI-2 at byte 4. ITK takes a header
    with a broken one for Analyze and invents where the image is.
    """
    try:
        with _opener(path)(path, "rb") as file:
            head = file.read(348)
    except (EOFError, OSError, zlib.error) as error:
        raise unreadable(path) from error
    if len(head) < 348:
        raise unreadable(path)
    magics = head[344:348], head[4:8]
    if b"ni1\0" in magics or b"ni2\0" in magics:
        raise in_another_file(path)
    size = {head[:4], head[3::-1]}
    if (struct.pack("<i", 348) in size and magics[0] == b"n+1\0") or (
        struct.pack("<i", 540) in size and magics[1] == b"n+2\0"
    ):
        return
    raise InputError(
        f"{path.name} is not a NIfTI: its header lacks the format's mark (magic), as in a damaged "
        "or an Analyze file, which would lose where the image is; save it anew",
        Fault.DAMAGED,
    )


def has_orientation(path: Path) -> bool:
    """Whether a sound header says where the image is (qform or sform); else ITK invents it."""
    with _opener(path)(path, "rb") as file:
        head = file.read(352)
    codes = head[344:352] if head[4:8] == b"n+2\0" else head[252:256]
    return any(codes)


def in_another_file(path: Path) -> InputError:
    """Say that a header names another file."""
    return InputError(
        f"{path.name} keeps its voxels in another file; save it as one file", Fault.UNTRUSTED
    )


def unreadable(path: Path) -> InputError:
    """Say that a header makes no sense."""
    return InputError(
        f"{path.name} can't be read as an image; is it damaged or misnamed?", Fault.DAMAGED
    )


def damaged(path: Path) -> InputError:
    """Say that the voxels make no sense."""
    return InputError(f"{path.name} ends early or is damaged; copy it again", Fault.DAMAGED)


def check_nifti_voxels(path: Path, voxels: int) -> None:
    """Refuse what ITK's NIfTI reader replaces without a warning.

    It fills a file that ends early with zeros, and turns NaN and infinities into zeros
    (nifti_read_buffer): both would train a network on voxels that no scanner made.
    """
    try:
        with _opener(path)(path, "rb") as file:
            wrong = _count_not_finite(file, voxels)
    except (EOFError, OSError, struct.error, zlib.error, ValueError) as error:
        raise damaged(path) from error
    if wrong:
        raise not_finite(path, wrong)


def _count_not_finite(file: BinaryIO, voxels: int) -> int:
    """Read the voxels of a NIfTI to their end and count those that are not finite."""
    head = file.read(540)
    second = head[:4] in (b"\x1c\x02\0\0", b"\0\0\x02\x1c")
    order = "<" if head[1:4] in (b"\x01\0\0", b"\x02\0\0") else ">"
    code, bits = struct.unpack_from(f"{order}2h", head, 12 if second else 70)
    (start,) = struct.unpack_from(
        f"{order}q" if second else f"{order}f", head, 168 if second else 108
    )
    file.seek(int(start))
    left, wrong = voxels * bits // 8, 0
    while left:
        data = file.read(min(left, _CHUNK_BYTES))
        if not data:
            raise EOFError
        left -= len(data)
        if code in (16, 64):  # float32, float64
            values = np.frombuffer(data, dtype=f"{order}f{bits // 8}")
            wrong += int(np.count_nonzero(~np.isfinite(values)))
    # Reading past the last voxel makes gzip compare its checksum.
    file.read(1)
    return wrong


def not_finite(path: Path, count: int) -> InputError:
    """Say that voxels are not numbers."""
    return InputError(
        f"{path.name} holds {count} voxels that are NaN or infinite; replace them", Fault.VALUES
    )
