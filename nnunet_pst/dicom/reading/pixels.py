"""The voxels of a stack, decoded slice by slice, in the units of its header."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileDataset

from nnunet_pst.dicom.reading.datasets import read_dataset, translated
from nnunet_pst.dicom.reading.headers import Slice
from nnunet_pst.dicom.reading.padding import padded_pixels, with_background
from nnunet_pst.dicom.reading.real_values import real_scale
from nnunet_pst.dicom.reading.series import Stack
from nnunet_pst.dicom.reading.stack_geometry import grid_of
from nnunet_pst.dicom.reading.values import integer, item, items, number
from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.volumes import KEPT_TYPES, Volume
from nnunet_pst.io.wording import printable

#: High-throughput JPEG 2000 (PS3.5, A.4.4), and the packages that decode it; we install none.
_HTJ2K = tuple(f"1.2.840.10008.1.2.4.{number}" for number in (201, 202, 203))
_HTJ2K_PACKAGES = "pylibjpeg pylibjpeg-openjpeg"
#: Elements that hold pixels: large, and not needed in a header that is kept.
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


@dataclass(frozen=True)
class StackImage:
    """A stack that has been read.

    Parameters
    ----------
    volume
        Voxels, of one of `nnunet_pst.io.volumes.KEPT_TYPES`, and their grid.
    headers
        One for each slice, in the volume's order; of a multi-frame file only one. Without pixels.
    frames
        Of a multi-frame file: the frame (from 1) of each slice; else empty.
    real
        Factor and offset of each slice from the volume's to real-world values, where they were
        asked for and every slice has them (`nnunet_pst.dicom.reading.real_values`).
    """

    volume: Volume
    headers: tuple[FileDataset, ...]
    frames: tuple[int, ...] = ()
    real: tuple[tuple[float, ...], tuple[float, ...]] | None = None


def read_stack(stack: Stack) -> Volume:
    """Decode a stack.

    Raises
    ------
    InputError
        As `grid_of`, and when pixels can't be decoded, are not finite, or are all the same.
    """
    return read_stack_image(stack).volume


def read_stack_image(stack: Stack, *, real_values: bool = False) -> StackImage:
    """Decode a stack and keep its headers; raises as `read_stack`.

    Pixels that the header calls padding become background
    (`nnunet_pst.dicom.reading.padding`).

    Parameters
    ----------
    real_values
        Whether to look for the scale of real-world values too.
    """
    grid = grid_of(stack)
    planes: list[_Plane | None] = [None] * len(stack.slices)
    headers: list[FileDataset | None] = [None] * len(stack.slices)
    places = sorted(range(len(planes)), key=lambda i: stack.slices[i].origin)
    for origin, group in groupby(places, key=lambda i: stack.slices[i].origin):
        dataset = read_dataset(origin, pixels=True)
        for index in group:
            planes[index] = _plane(dataset, stack.slices[index], real_values=real_values)
            headers[index] = dataset
        for keyword in _PIXELS:
            if keyword in dataset:
                del dataset[keyword]
    decoded = [plane for plane in planes if plane is not None]
    array = _kept(_stacked(decoded), stack)
    kept = tuple(header for header in headers if header is not None)
    frames = tuple(s.frame + 1 for s in stack.slices if s.frame is not None)
    one_file = len({s.origin for s in stack.slices}) == 1
    scales = [plane.real for plane in decoded if plane.real is not None]
    slopes, intercepts = tuple(s for s, _ in scales), tuple(i for _, i in scales)
    real = (slopes, intercepts) if len(scales) == len(planes) else None
    return StackImage(Volume(array, grid), kept[:1] if one_file else kept, frames, real)


def read_slice(stack: Stack, number: int) -> npt.NDArray[Any]:
    """Decode one slice, (rows, columns), as `read_stack` decodes all of them.

    Raises
    ------
    InputError
        When its pixels can't be decoded.
    """
    one = stack.slices[number]
    plane = _plane(read_dataset(one.origin, pixels=True), one, real_values=False)
    return np.asarray(_stacked([plane])[0])


@dataclass(frozen=True)
class _Plane:
    """A decoded image: (rows, columns), its padding or None, its scale of real values or None."""

    array: npt.NDArray[Any]
    padded: npt.NDArray[np.bool_] | None
    real: tuple[float, float] | None


def _stacked(planes: list[_Plane]) -> npt.NDArray[Any]:
    array = np.stack([plane.array for plane in planes])
    if all(plane.padded is None for plane in planes):
        return array
    none = np.zeros(array.shape[1:], dtype=bool)
    padded = np.stack([none if one.padded is None else one.padded for one in planes])
    return with_background(array, padded)


def _plane(dataset: FileDataset, one: Slice, *, real_values: bool) -> _Plane:
    """Decode an image and rescale its stored values."""
    with translated(one.origin):
        _check_size(dataset, one)
        raw = _signed(_decoded(dataset, one), dataset)
        if raw.shape != (one.rows, one.columns):
            raise InputError(
                f"{printable(one.origin.name)}: holds no gray image of its own size", Fault.DAMAGED
            )
        padded = padded_pixels(raw, dataset)
        slope, intercept = _rescale(dataset, one)
        real = real_scale(dataset, _frame(dataset, one), slope, intercept) if real_values else None
        if (slope, intercept) == (1.0, 0.0):
            return _Plane(np.array(raw), padded, real)
        values = (raw.astype(np.float64) * slope + intercept).astype(np.float32)
        return _Plane(values, padded, real)


def _decoded(dataset: FileDataset, one: Slice) -> npt.NDArray[Any]:
    """Decode the stored values of an image."""
    # Imported here: these look for decoders of compressed images, which takes their time.
    from pydicom.pixels.utils import pixel_array

    from nnunet_pst.dicom.reading.newer_frames import NAMES, decode_frame

    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax not in NAMES:
        return pixel_array(dataset, index=one.frame, raw=True)
    try:
        return decode_frame(dataset, one.frame)
    except (ValueError, RuntimeError, TypeError, zlib.error) as error:
        raise InputError(
            f"{printable(one.origin.name)}: its pixels ({NAMES[syntax]}) can't be decoded; ask for "
            "an export as Explicit VR Little Endian",
            Fault.DAMAGED,
        ) from error


def _frame(dataset: Dataset, one: Slice) -> Dataset | None:
    """Return the functional groups of an image; None in a file without."""
    frames = items(dataset, "PerFrameFunctionalGroupsSequence")
    described = one.frame is not None and one.frame < len(frames)
    return frames[one.frame] if described and one.frame is not None else None


def _signed(raw: npt.NDArray[Any], dataset: FileDataset) -> npt.NDArray[Any]:
    """Extend the sign of signed values from their highest stored bit (PS3.5, 8.1.1).

    Decoders leave the bits above it as they are; in JPEG-LS they are 0, and -1 of 12 bits is 4095.
    """
    unused = 8 * raw.dtype.itemsize - (integer(dataset, "BitsStored") or 0)
    if raw.dtype.kind != "i" or not 0 < unused < 8 * raw.dtype.itemsize:
        return raw
    return (raw << unused) >> unused


def _check_size(dataset: FileDataset, one: Slice) -> None:
    """Compare the pixels of a file with what its header claims, before anything is decoded."""
    name = printable(one.origin.name)
    if (integer(dataset, "SamplesPerPixel") or 1) != 1:
        raise InputError(f"{name}: a color image; expected gray values", Fault.WRONG_TYPE)
    if not any(keyword in dataset for keyword in _PIXELS):
        raise InputError(f"{name}: holds no pixels; fetch the file again", Fault.EMPTY)
    if dataset.file_meta.get("TransferSyntaxUID") is None:
        raise InputError(
            f"{name}: doesn't say how its pixels are stored; fetch the file again", Fault.MISSING
        )
    _check_decoder(dataset, name)
    bits = integer(dataset, "BitsAllocated") or 0
    if bits not in (8, 16, 32, 64):
        raise InputError(
            f"{name}: holds pixels of {bits} bits; expected 8, 16, 32 or 64", Fault.UNSUPPORTED
        )
    frames = integer(dataset, "NumberOfFrames") or 1
    present = next(len(dataset[keyword].value or b"") for keyword in _PIXELS if keyword in dataset)
    needed = one.rows * one.columns * frames * bits // 8
    if _is_plain(dataset) and present < needed:
        raise InputError(
            f"{name}: ends early ({present} of {needed} bytes); copy it again", Fault.DAMAGED
        )


def _is_plain(dataset: FileDataset) -> bool:
    """Whether pixels are stored as they are, so that their length is known."""
    from nnunet_pst.dicom.reading.newer_frames import NAMES

    syntax = dataset.file_meta.TransferSyntaxUID
    return syntax not in NAMES and not syntax.is_compressed


def _check_decoder(dataset: FileDataset, name: str) -> None:
    """Refuse pixels that no installed decoder can read, and name the package that can."""
    from pydicom.pixels.decoders.base import get_decoder

    from nnunet_pst.dicom.reading.jpeg_frames import register
    from nnunet_pst.dicom.reading.newer_frames import NAMES

    register()
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax in NAMES:
        return
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise InputError(
            f"{name}: stores its pixels in a way that isn't known ({printable(syntax)[:64]}); "
            "ask for an export as Explicit VR Little Endian",
            Fault.UNSUPPORTED,
        ) from error
    if not decoder.is_available:
        packages = _HTJ2K_PACKAGES if syntax in _HTJ2K else "python-gdcm"
        raise InputError(
            f"{name}: is compressed ({syntax.name}), which nothing installed here decodes: pip "
            f"install {packages}",
            Fault.NOT_INSTALLED,
        )


def _rescale(dataset: Dataset, one: Slice) -> tuple[float, float]:
    """Return slope and intercept (PS3.3 C.11.1); of an enhanced file those of the frame."""
    frame = _frame(dataset, one)
    places = [dataset]
    if frame is not None:
        groups = (frame, item(dataset, "SharedFunctionalGroupsSequence"))
        places = [*(item(g, "PixelValueTransformationSequence") for g in groups), dataset]
    place = next((p for p in places if number(p, "RescaleSlope") is not None), Dataset())
    slope, intercept = number(place, "RescaleSlope"), number(place, "RescaleIntercept")
    return (1.0 if slope is None else slope), (0.0 if intercept is None else intercept)


def _kept(array: npt.NDArray[Any], stack: Stack) -> npt.NDArray[Any]:
    if array.dtype not in KEPT_TYPES:
        with np.errstate(over="ignore"):
            array = array.astype(np.float32)
    wrong = int(np.count_nonzero(~np.isfinite(array)))
    if wrong:
        raise InputError(
            f"{stack.name}: holds {wrong} voxels that are NaN or infinite", Fault.VALUES
        )
    if array.min() == array.max():
        raise InputError(
            f"{stack.name}: is {array.flat[0]} everywhere; is it the right series?", Fault.VALUES
        )
    return array
