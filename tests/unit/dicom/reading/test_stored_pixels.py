"""How pixels are stored: newer syntaxes, missing meta headers, padding, floating point."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate

from nnunet_pst.dicom.reading import datasets
from nnunet_pst.dicom.reading.files import walk
from nnunet_pst.dicom.reading.headers import read_instance
from nnunet_pst.dicom.reading.pixels import read_stack
from nnunet_pst.dicom.reading.series import Stack, gather_series
from nnunet_pst.errors import Fault, InputError

Writer = Callable[..., np.ndarray]
UNCOMPRESSED, DEFLATED_FRAME = "1.2.840.10008.1.2.1.98", "1.2.840.10008.1.2.8.1"
JPEG_XL = "1.2.840.10008.1.2.4.110"


def only(folder: Path) -> Stack:
    (series,) = gather_series(read_instance(origin) for origin in walk(folder).dicom)
    (stack,) = series.stacks
    return stack


def deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def store(folder: Path, syntax: str, encode: Callable[[np.ndarray], bytes]) -> None:
    """Write every file again in a transfer syntax that pydicom doesn't write."""
    for path in folder.iterdir():
        made = pydicom.dcmread(path)
        array = np.frombuffer(made.PixelData, np.uint16).reshape(made.Rows, made.Columns)
        made.file_meta.TransferSyntaxUID = syntax
        made.PixelData = encapsulate([encode(array)])
        made["PixelData"].VR, made["PixelData"].is_undefined_length = "OB", True
        pydicom.dcmwrite(path, made, implicit_vr=False, little_endian=True, force_encoding=True)


@pytest.mark.parametrize(
    ("syntax", "encode"),
    [
        (UNCOMPRESSED, lambda a: a.tobytes()),
        (DEFLATED_FRAME, lambda a: deflate(a.tobytes())),
        (JPEG_XL, lambda a: imagecodecs.jpegxl_encode(a, lossless=True)),
    ],
    ids=["encapsulated", "deflated frames", "JPEG XL"],
)
def test_newer_syntaxes_are_read_exactly(
    tmp_path: Path, write_series: Writer, syntax: str, encode: Callable
):
    array = write_series(tmp_path)
    store(tmp_path, syntax, encode)
    np.testing.assert_array_equal(read_stack(only(tmp_path)).array, array)


@pytest.mark.parametrize("syntax", [UNCOMPRESSED, DEFLATED_FRAME, JPEG_XL])
def test_damaged_frames_are_refused_by_the_name_of_the_syntax(
    tmp_path: Path, write_series: Writer, syntax: str
):
    write_series(tmp_path)
    store(tmp_path, syntax, lambda a: b"\xff\x0a broken")
    with pytest.raises(InputError, match=r"JPEG XL|Deflated|Encapsulated") as caught:
        read_stack(only(tmp_path))
    assert caught.value.fault is Fault.DAMAGED


@pytest.mark.parametrize(
    ("implicit", "little"), [(True, True), (False, True), (False, False)], ids=["il", "el", "eb"]
)
def test_files_without_a_meta_header_are_read(
    tmp_path: Path, write_series: Writer, *, implicit: bool, little: bool
):
    array = write_series(tmp_path)
    for path in tmp_path.iterdir():
        made = pydicom.dcmread(path)
        if not little:
            made.PixelData = np.frombuffer(made.PixelData, "<u2").astype(">u2").tobytes()
        del made.file_meta
        made.preamble = None
        pydicom.dcmwrite(
            path, made, implicit_vr=implicit, little_endian=little, force_encoding=True
        )
    np.testing.assert_array_equal(read_stack(only(tmp_path)).array, array)


def test_a_deflated_file_is_inflated_up_to_a_limit(
    tmp_path: Path, write_series: Writer, monkeypatch: pytest.MonkeyPatch
):
    array = write_series(tmp_path)
    for path in tmp_path.iterdir():
        made = pydicom.dcmread(path)
        made.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
        made.save_as(path)
    np.testing.assert_array_equal(read_stack(only(tmp_path)).array, array)
    monkeypatch.setattr(datasets, "FREE_ARCHIVE_BYTES", 500)
    with pytest.raises(InputError) as caught:
        only(tmp_path)
    assert caught.value.fault is Fault.UNTRUSTED


def with_padding(vr: str, value: int, limit: int | None = None) -> Callable:
    def edit(made: FileDataset, index: int) -> None:
        made.add_new(0x00280120, vr, value)
        if limit is not None:
            made.add_new(0x00280121, vr, limit)

    return edit


@pytest.mark.parametrize(
    ("kind", "stored", "edit"),
    [
        (np.int16, -2000, with_padding("SS", -2000)),
        (np.int16, -2000, with_padding("US", 63536)),  # its sign was lost
        (np.uint16, 65535, with_padding("US", 65535)),
        (np.uint16, 65535, with_padding("SS", -1)),
        (np.uint16, 4094, with_padding("US", 4090, 4095)),
        (np.uint16, 4094, with_padding("US", 4095, 4090)),
    ],
)
def test_padding_becomes_background(
    tmp_path: Path, write_series: Writer, kind: type, stored: int, edit: Callable
):
    array = np.random.default_rng(1).integers(10, 900, (4, 12, 16)).astype(kind)
    array[:, :, :5] = stored
    write_series(tmp_path, array, edit=edit)
    read = read_stack(only(tmp_path)).array
    assert read.dtype == kind
    np.testing.assert_array_equal(read[:, :, 5:], array[:, :, 5:])
    assert not read[:, :, :5].any()


def test_padding_is_found_before_rescaling_and_stays_below_what_is_negative(
    tmp_path: Path, write_series: Writer
):
    array = np.random.default_rng(1).integers(10, 900, (4, 12, 16)).astype(np.uint16)
    array[:, :, :5] = 0
    elements = {"RescaleSlope": 2, "RescaleIntercept": -1000}
    write_series(tmp_path, array, edit=with_padding("US", 0), **elements)
    read = read_stack(only(tmp_path)).array
    assert (read[:, :, :5] == read[:, :, 5:].min()).all()


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_floating_point_pixels_are_read(tmp_path: Path, write_series: Writer, kind: type):
    array = write_series(tmp_path)
    single = kind is np.float32
    name = "FloatPixelData" if single else "DoubleFloatPixelData"

    def floats(made: FileDataset, index: int) -> None:
        values = (array[index] / 600).astype(kind)
        values[0] = -9.0
        del made.PixelData
        made.BitsAllocated = 32 if single else 64
        for keyword in ("BitsStored", "HighBit", "PixelRepresentation"):
            delattr(made, keyword)
        setattr(made, name, values.tobytes())
        setattr(made, f"{name.removesuffix('Data')}PaddingValue", -9.0)

    write_series(tmp_path, array, edit=floats)
    read = read_stack(only(tmp_path)).array
    np.testing.assert_allclose(read[:, 1:], array[:, 1:] / 600, rtol=1e-6)
    assert not read[:, 0].any()
