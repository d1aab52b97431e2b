"""JPEG frames that pydicom alone can't decode, by imagecodecs: lossless, and lossy of 12 bits.

PACS export MR as lossless JPEG, and none of pydicom's own decoders for it is installed with pydicom
(``docs/decisions/0086``); imagecodecs comes with nnU-Net. pydicom describes its plug-ins in
``pixels/common.py``, ``add_plugin``.
"""

from __future__ import annotations

from functools import lru_cache

import imagecodecs
import numpy as np
from pydicom.pixels.decoders.base import (
    DecodeRunner,
    JPEGExtended12BitDecoder,
    JPEGLosslessDecoder,
    JPEGLosslessSV1Decoder,
)

_END = b"\xff\xd9"
LABEL = "imagecodecs"
_DECODERS = (JPEGExtended12BitDecoder, JPEGLosslessDecoder, JPEGLosslessSV1Decoder)
#: Read by pydicom: the packages that each syntax needs.
DECODER_DEPENDENCIES = {decoder.UID: ("numpy", "imagecodecs") for decoder in _DECODERS}


@lru_cache(maxsize=1)
def register() -> None:
    """Register the decoder with pydicom, which tries its own decoders first."""
    for decoder in _DECODERS:
        decoder.add_plugin(LABEL, (__name__, _decode_frame.__name__))


def is_available(uid: str) -> bool:
    """Whether frames of a transfer syntax can be decoded."""
    return uid in DECODER_DEPENDENCIES


def _decode_frame(source: bytes, runner: DecodeRunner) -> bytearray:
    """Decode a gray frame into memory of the size that the header gives, and no more."""
    # libjpeg fills the missing part of a frame that is cut off with gray, without an error.
    if not source.rstrip(b"\0").endswith(_END):
        raise ValueError("the frame ends early")
    bits = runner.get_option("bits_allocated")
    frame = np.empty((runner.rows, runner.columns), f"u{bits // 8}")
    imagecodecs.jpeg_decode(source, out=frame)
    return bytearray(frame.tobytes())
