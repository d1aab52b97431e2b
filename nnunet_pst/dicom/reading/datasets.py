"""DICOM files as data sets of pydicom, whose errors become lines about the file."""

from __future__ import annotations

import io
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import BinaryIO

import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset as read_elements
from pydicom.filewriter import write_file_meta_info
from pydicom.tag import BaseTag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from nnunet_pst.dicom.reading.files import (
    FREE_ARCHIVE_BYTES,
    Origin,
    looks_like_dicom,
)
from nnunet_pst.dicom.reading.values import text
from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.wording import printable

#: Meta headers are far shorter; the transfer syntax is among their first elements.
_META_BYTES = 4096
#: Transfer syntaxes of pixels that are not in fragments, by (implicit VR, little endian).
_SYNTAXES: dict[tuple[bool | None, bool | None], UID] = {
    (True, True): ImplicitVRLittleEndian,
    (False, True): ExplicitVRLittleEndian,
    (False, False): ExplicitVRBigEndian,
}


@contextmanager
def library_errors(
    kinds: tuple[type[Exception], ...], as_input_error: Callable[[Exception], InputError]
) -> Iterator[None]:
    """Turn exceptions of the DICOM libraries into an `InputError`, and silence their warnings.

    Parameters
    ----------
    kinds
        Exceptions to turn; an `InputError` passes unchanged.
    as_input_error
        Makes the error from the exception.
    """
    try:
        with warnings.catch_warnings():
            # Deviations from the standard are common and harmless; what matters is checked.
            warnings.simplefilter("ignore")
            yield
    except InputError:
        raise
    except kinds as error:
        raise as_input_error(error) from error


def translated(origin: Origin) -> AbstractContextManager[None]:
    """Turn every exception over the content of a file into one line that names the file.

    Raises
    ------
    InputError
        Instead of any other exception.
    """

    def named(error: Exception) -> InputError:
        name = printable(origin.name)
        if isinstance(error, MemoryError):
            return InputError(f"{name}: not enough memory to read it", Fault.TOO_LARGE)
        return InputError(
            f"{name}: can't be read as DICOM (truncated or damaged?); copy it again", Fault.DAMAGED
        )

    # Depending on the bytes, pydicom raises EOFError, KeyError, struct.error and others.
    return library_errors((Exception,), named)


def read_dataset(origin: Origin, *, pixels: bool) -> FileDataset:
    """Read the elements of a file, with or without its pixels.

    Raises
    ------
    InputError
        When it is not a DICOM file, or damaged.
    """
    with translated(origin), opened(origin) as file:
        return read_open_file(file, origin, pixels=pixels)


def read_open_file(file: BinaryIO, origin: Origin, *, pixels: bool) -> FileDataset:
    """Read the elements of an open file; without pixels, the file is left where they begin.

    Where the meta header is missing, how the elements are encoded says the transfer syntax, unless
    the pixels are in fragments: of those nobody knows the compression.

    Raises
    ------
    InputError
        When it is not a DICOM file; pydicom's exceptions are not translated.
    """
    head = file.read(132)
    if not looks_like_dicom(head):
        raise InputError(f"{printable(origin.name)}: is not a DICOM file", Fault.WRONG_TYPE)
    file.seek(0)
    dataset = pydicom.dcmread(file, stop_before_pixels=not pixels, force=True)
    if dataset.file_meta.get("TransferSyntaxUID") is None:
        in_fragments = "PixelData" in dataset and dataset["PixelData"].is_undefined_length
        syntax = _SYNTAXES.get(dataset.original_encoding)
        if syntax is not None and not in_fragments:
            dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


@contextmanager
def opened(origin: Origin) -> Iterator[BinaryIO]:
    """Open a DICOM file; a deflated one is inflated in memory, up to a limit.

    Raises
    ------
    InputError
        As `Origin.open`, and when a deflated file would grow out of proportion.
    """
    with origin.open() as file:
        meta = _meta_of_deflated(file)
        if meta is None:
            file.seek(0)
            yield file
            return
        with _inflated(file, meta, origin) as plain:
            yield plain


def _meta_of_deflated(file: BinaryIO) -> FileMetaDataset | None:
    """Return the meta header of a deflated file, which is left behind it; None of another file."""
    # The syntax is near the beginning; most files need no second reading.
    start = file.read(_META_BYTES)
    if start[128:132] != b"DICM" or DeflatedExplicitVRLittleEndian.encode() not in start:
        return None
    file.seek(132)

    def past_meta(tag: BaseTag, vr: str | None, length: int) -> bool:
        return tag.group != 2

    meta = read_elements(file, False, True, stop_when=past_meta)
    if text(meta, "TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return None
    return FileMetaDataset(meta)


def _inflated(file: BinaryIO, meta: FileMetaDataset, origin: Origin) -> BinaryIO:
    """Return an open file of the same elements that isn't deflated (PS3.5 A.5)."""
    content = zlib.decompressobj(-15)
    plain = content.decompress(file.read(), FREE_ARCHIVE_BYTES)
    if content.unconsumed_tail:
        raise InputError(
            f"{printable(origin.name)}: is deflated and would grow to more than "
            f"{FREE_ARCHIVE_BYTES >> 20} MiB; inflate it with dcmconv +te",
            Fault.UNTRUSTED,
        )
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    whole = DicomBytesIO()
    whole.is_little_endian, whole.is_implicit_VR = True, False
    whole.write(bytes(128) + b"DICM")
    write_file_meta_info(whole, meta, enforce_standard=False)
    return io.BytesIO(whole.getvalue() + plain)
