"""DICOM files as data sets of pydicom, whose errors become lines about the file."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import BinaryIO

import pydicom
from pydicom.dataset import FileDataset
from pydicom.filereader import read_dataset as read_elements
from pydicom.tag import BaseTag

from nnunet_pst.dicom.reading.files import Origin, looks_like_dicom, printable
from nnunet_pst.dicom.reading.values import text
from nnunet_pst.errors import Fault, InputError

#: Every reader inflates it without a limit, so it could be a bomb; scanners don't send MR that way.
_DEFLATED = "1.2.840.10008.1.2.1.99"


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
    with translated(origin), origin.open() as file:
        return read_open_file(file, origin, pixels=pixels)


def read_open_file(file: BinaryIO, origin: Origin, *, pixels: bool) -> FileDataset:
    """Read the elements of an open file; without pixels, the file is left where they begin.

    Raises
    ------
    InputError
        When it is not a DICOM file or is deflated; pydicom's exceptions are not translated.
    """
    _refuse_deflated(file, origin)
    file.seek(0)
    return pydicom.dcmread(file, stop_before_pixels=not pixels, force=True)


def _refuse_deflated(file: BinaryIO, origin: Origin) -> None:
    head = file.read(132)
    if not looks_like_dicom(head):
        raise InputError(f"{printable(origin.name)}: is not a DICOM file", Fault.WRONG_TYPE)
    if head[128:] != b"DICM":
        return

    def past_meta(tag: BaseTag, vr: str | None, length: int) -> bool:
        return tag.group != 2

    meta = read_elements(file, False, True, stop_when=past_meta)
    if text(meta, "TransferSyntaxUID") == _DEFLATED:
        raise InputError(
            f"{printable(origin.name)}: is deflated, which is not supported; convert it with "
            "dcmconv +te",
            Fault.UNSUPPORTED,
        )
