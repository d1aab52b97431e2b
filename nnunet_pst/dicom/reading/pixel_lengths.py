"""Whether a file holds all the pixels that its header promises, without reading them.

An interrupted transfer leaves a file with an intact header. The lengths of the pixel element and of
the file show this, so a scan of thousands of files reads headers only.
"""

from __future__ import annotations

import io
import struct
from typing import BinaryIO

from pydicom.dataset import FileDataset

from nnunet_pst.dicom.reading.values import integer
from nnunet_pst.errors import Fault, Problem

#: PixelData, DoubleFloatPixelData, FloatPixelData; their bits where BitsAllocated doesn't count.
_PIXEL_ELEMENTS = {(0x7FE0, 0x0010): None, (0x7FE0, 0x0009): 64, (0x7FE0, 0x0008): 32}
#: Representations whose length has four bytes, after two that are reserved (PS3.5, 7.1.2).
_LONG = (b"OB", b"OW", b"OF", b"OD", b"UN")
_UNDEFINED = 0xFFFFFFFF
_ITEM, _END = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)


def pixel_problem(file: BinaryIO, dataset: FileDataset) -> Problem | None:
    """Say what is missing of the pixels; None where they are complete.

    Parameters
    ----------
    file
        Read up to the pixels, where pydicom leaves it; its position changes.
    dataset
        The header that was read.
    """
    start = file.tell()
    size = file.seek(0, io.SEEK_END)
    file.seek(start)
    order = "<" if dataset.original_encoding[1] is not False else ">"
    head = file.read(12)
    if len(head) < 8 or (tag := struct.unpack(f"{order}HH", head[:4])) not in _PIXEL_ELEMENTS:
        return Problem("holds no pixels", Fault.EMPTY)
    long = head[4:6] in _LONG
    if long and len(head) < 12:
        return Problem("holds no pixels", Fault.EMPTY)
    (length,) = struct.unpack(f"{order}L", head[8:12] if long else head[4:8])
    begin = start + (12 if long else 8)
    if length == _UNDEFINED:
        return _fragments_problem(file, begin, size)
    present = max(min(length, size - begin), 0)
    needed = max(_needed(dataset, _PIXEL_ELEMENTS[tag]), length if length > size - begin else 0)
    if present >= needed:
        return None
    return Problem(f"ends early ({present} of {needed} bytes of pixels)", Fault.DAMAGED)


def _needed(dataset: FileDataset, bits: int | None) -> int:
    """Bytes of all frames, uncompressed (PS3.5, 8.1.1)."""
    names = ("Rows", "Columns", "SamplesPerPixel", "NumberOfFrames")
    rows, columns, samples, frames = (integer(dataset, name) or 1 for name in names)
    bits = bits or integer(dataset, "BitsAllocated") or 0
    return rows * columns * samples * frames * bits // 8


def _fragments_problem(file: BinaryIO, place: int, size: int) -> Problem | None:
    """Follow the lengths of a compressed image's fragments to their end (PS3.5, A.4)."""
    while place + 8 <= size:
        file.seek(place)
        group, element, length = struct.unpack("<HHL", file.read(8))
        if (group, element) == _END:
            return None
        if (group, element) != _ITEM:
            break
        place += 8 + length
    return Problem("ends early (within its compressed pixels)", Fault.DAMAGED)
