"""Frames in transfer syntaxes that pydicom has no decoder for: newer ones than its own.

Encapsulated but uncompressed (PS3.5 A.4.11), deflated one by one (PS3.5 A.4.13), and JPEG XL, which
imagecodecs decodes; it comes with nnU-Net.
"""

from __future__ import annotations

import zlib
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from pydicom.dataset import FileDataset
from pydicom.encaps import get_frame

from nnunet_pst.dicom.reading.values import integer

_UNCOMPRESSED = "1.2.840.10008.1.2.1.98"
_DEFLATED_FRAME = "1.2.840.10008.1.2.8.1"
_JPEG_XL = tuple(f"1.2.840.10008.1.2.4.{number}" for number in (110, 111, 112))
#: Names of the syntaxes, because pydicom knows only some.
NAMES = {
    _UNCOMPRESSED: "Encapsulated Uncompressed Explicit VR Little Endian",
    _DEFLATED_FRAME: "Deflated Image Frame Compression",
    _JPEG_XL[0]: "JPEG XL Lossless",
    _JPEG_XL[1]: "JPEG XL JPEG Recompression",
    _JPEG_XL[2]: "JPEG XL",
}


def decode_frame(dataset: FileDataset, index: int | None) -> npt.NDArray[Any]:
    """Decode a frame of one of `NAMES` to (rows, columns) of its stored type.

    Parameters
    ----------
    index
        0-based frame; None in a file of one image.

    Raises
    ------
    ValueError, RuntimeError, zlib.error
        When the frame is damaged, or has another size than the header says.
    """
    rows, columns = integer(dataset, "Rows") or 0, integer(dataset, "Columns") or 0
    frames = integer(dataset, "NumberOfFrames") or 1
    bits = integer(dataset, "BitsAllocated") or 0
    kind = "i" if integer(dataset, "PixelRepresentation") else "u"
    dtype = np.dtype(f"<{kind}{bits // 8}")
    source = get_frame(dataset.PixelData, index or 0, number_of_frames=frames)
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    if syntax in _JPEG_XL:
        decoded = np.asarray(imagecodecs.jpegxl_decode(source))
        if decoded.shape != (rows, columns) or decoded.dtype.itemsize != dtype.itemsize:
            raise ValueError("the frame has another size than the header says")
        return decoded.view(dtype)
    size = rows * columns * dtype.itemsize
    # No more than the header promises: a small frame could inflate without end.
    plain = (
        zlib.decompressobj(-15).decompress(source, size) if syntax == _DEFLATED_FRAME else source
    )
    if len(plain) < size:
        raise ValueError("the frame ends early")
    return np.frombuffer(plain[:size], dtype).reshape(rows, columns)
