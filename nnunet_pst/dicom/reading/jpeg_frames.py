"""JPEG frames that pydicom alone can't decode, by imagecodecs: lossless, and lossy of 12 bits.

PACS export MR as lossless JPEG, and nothing that pydicom would ask is installed with it
(``docs/decisions/0086``); imagecodecs comes with nnU-Net. What pydicom wants of a plug-in stands in
its ``pixels/common.py``, ``add_plugin``.
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
#: Asked for by pydicom: what each syntax needs.
DECODER_DEPENDENCIES = {decoder.UID: ("numpy", "imagecodecs") for decoder in _DECODERS}


@lru_cache(maxsize=1)
def register() -> None:
    """Offer the decoder to pydicom, which asks its own first."""
    for decoder in _DECODERS:
        decoder.add_plugin(LABEL, (__name__, _decode_frame.__name__))


def is_available(uid: str) -> bool:
    """Whether frames of a transfer syntax can be decoded."""
    return uid in DECODER_DEPENDENCIES


def _decode_frame(source: bytes, runner: DecodeRunner) -> bytearray:
    """Decode a gray frame, of the size that the header says: never more memory than that."""
    # libjpeg fills what is missing of a frame that was cut off with gray, and says nothing.
    if not source.rstrip(b"\0").endswith(_END):
        raise ValueError("the frame ends early")
    bits = runner.get_option("bits_allocated")
    frame = np.empty((runner.rows, runner.columns), f"u{bits // 8}")
    imagecodecs.jpeg_decode(source, out=frame)
    return bytearray(frame.tobytes())
