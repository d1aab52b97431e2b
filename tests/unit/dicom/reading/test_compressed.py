"""Compressed images, as archives export them: read exactly, or refused in a line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
)

from nnunet_pst.dicom.reading.files import walk
from nnunet_pst.dicom.reading.headers import read_instance
from nnunet_pst.dicom.reading.pixels import read_stack
from nnunet_pst.dicom.reading.series import Stack, gather_series
from nnunet_pst.errors import Fault, InputError

Writer = Callable[..., np.ndarray]
Encoder = Callable[[np.ndarray], bytes]


def only(folder: Path) -> Stack:
    (series,) = gather_series(read_instance(origin) for origin in walk(folder).dicom)
    (stack,) = series.stacks
    return stack


def set_frame(made: FileDataset, syntax: str, frame: bytes) -> None:
    made.file_meta.TransferSyntaxUID = syntax
    made.PixelData = encapsulate([frame])
    made["PixelData"].VR, made["PixelData"].is_undefined_length = "OB", True


def jpeg_lossless(array: np.ndarray, *, predictor: int) -> bytes:
    return imagecodecs.jpeg_encode(array, lossless=True, predictor=predictor, bitspersample=16)


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    ("syntax", "encode"),
    [
        (JPEG2000Lossless, lambda a: imagecodecs.jpeg2k_encode(a, level=0, codecformat="J2K")),
        (JPEGLosslessSV1, lambda a: jpeg_lossless(a, predictor=1)),
        (JPEGLossless, lambda a: jpeg_lossless(a, predictor=6)),
        (JPEGLSLossless, lambda a: imagecodecs.jpegls_encode(a)),
    ],
    ids=["jpeg2000", "lossless-sv1", "lossless", "jpeg-ls"],
)
def test_compressed_pixels_are_read_exactly(
    tmp_path: Path, write_series: Writer, syntax: str, encode: Encoder, *, bits: int, signed: bool
):
    kind = np.int16 if signed else np.uint16
    low = -(2 ** (bits - 1)) if signed else 0
    array = np.random.default_rng(1).integers(low, low + 2**bits, (4, 12, 16)).astype(kind)

    def compress(made: FileDataset, index: int) -> None:
        made.BitsStored, made.HighBit = bits, bits - 1
        # Above the stored bits archives write nothing, not the sign.
        stored = array[index].view(np.uint16) & (2**bits - 1)
        plane = array[index] if syntax == JPEG2000Lossless else stored
        set_frame(made, syntax, encode(plane))

    write_series(tmp_path, array, edit=compress)
    decoded = read_stack(only(tmp_path)).array
    assert decoded.dtype == kind
    np.testing.assert_array_equal(decoded, array)


@pytest.mark.parametrize("frame", ["large", "cut", "none", "zeros"])
def test_a_damaged_jpeg_is_one_line(tmp_path: Path, write_series: Writer, frame: str):
    large = jpeg_lossless(np.zeros((600, 600), np.uint16), predictor=1)
    small = jpeg_lossless(np.arange(192, dtype=np.uint16).reshape(12, 16), predictor=1)
    data = {"large": large, "cut": small[:90], "none": b"\xff\xd8 no JPEG", "zeros": bytes(8)}[
        frame
    ]

    def compress(made: FileDataset, index: int) -> None:
        set_frame(made, JPEGLossless, data)

    write_series(tmp_path, edit=compress)
    with pytest.raises(InputError) as caught:
        read_stack(only(tmp_path))
    assert [line.fault for line in caught.value.problems] == [Fault.DAMAGED]


def test_jpeg_of_12_bits_is_read(tmp_path: Path, write_series: Writer):
    y, x = np.mgrid[:12, :16]
    array = np.stack([100 * y + 120 * x + z for z in range(4)]).astype(np.uint16)

    def compress(made: FileDataset, index: int) -> None:
        made.BitsStored, made.HighBit = 12, 11
        frame = imagecodecs.jpeg_encode(array[index], level=100, bitspersample=12)
        set_frame(made, JPEGExtended12Bit, frame)

    write_series(tmp_path, array, edit=compress)
    np.testing.assert_allclose(read_stack(only(tmp_path)).array, array, atol=4)
