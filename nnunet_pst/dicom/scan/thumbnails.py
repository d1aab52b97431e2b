"""A small picture of one slice, with the outline of its mask, for the page of a scan."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from nnunet_pst.dicom.reading.addresses import read_mask_file
from nnunet_pst.dicom.reading.files import Origin
from nnunet_pst.dicom.reading.pixels import read_slice
from nnunet_pst.dicom.reading.series import Stack
from nnunet_pst.dicom.reading.stack_geometry import grid_of
from nnunet_pst.errors import Fault, InputError, Problem
from nnunet_pst.io.mask_outlines import outline_polygons
from nnunet_pst.io.volumes import read_mask
from nnunet_pst.io.wording import printable

#: Larger sides are made this small: a page of a hundred patients stays below some 10 MB.
_MOST_PIXELS = 192
#: Gray values from black to white, in percent: a few bright vessels don't make the rest dark.
_WINDOW = (1.0, 99.5)
_QUALITY = 80


@dataclass(frozen=True)
class Thumbnail:
    """A slice as a picture.

    Parameters
    ----------
    data
        JPEG, base64.
    width, height
        In millimeters, so that pixels that are not square are shown right.
    slice_number, slices
        Which slice of how many, from 0.
    outlines
        Corners of the mask's outlines as points of an SVG polygon, in millimeters.
    """

    data: str
    width: float
    height: float
    slice_number: int
    slices: int
    outlines: tuple[str, ...] = ()


def thumbnail_of(
    stack: Stack, source: tuple[Origin | Path, str | None] | None
) -> tuple[Thumbnail | None, list[Problem]]:
    """Draw the slice with most mask, or the middle one.

    Parameters
    ----------
    stack
        That is taken.
    source
        File of its mask and name of the structure or segment; None where it has none.

    Returns
    -------
    tuple
        The picture, or None where the slice can't be read; and a line for whatever can't be read,
        or was left out of the mask.
    """
    said: list[Problem] = []
    mask = _mask_or_report(stack, source, said)
    areas = mask.sum(axis=(1, 2)) if mask is not None else np.zeros(1)
    number = int(np.argmax(areas)) if areas.any() else len(stack.slices) // 2
    try:
        pixels = read_slice(stack, number)
    except InputError as error:
        return None, [*said, *error.within(stack.name)]
    between_rows, between_columns = stack.first.pixel_spacing_mm or (1.0, 1.0)
    polygons = outline_polygons(mask[number]) if mask is not None else []
    outlines = tuple(
        " ".join(f"{c * between_columns:.1f},{r * between_rows:.1f}" for r, c in polygon)
        for polygon in polygons
    )
    rows, columns = pixels.shape
    size = (round(columns * between_columns, 1), round(rows * between_rows, 1))
    return Thumbnail(_jpeg(pixels), *size, number, len(stack.slices), outlines), said


def _mask_or_report(
    stack: Stack, source: tuple[Origin | Path, str | None] | None, said: list[Problem]
) -> npt.NDArray[np.bool_] | None:
    """(z, y, x) mask of a DICOM file, or of an image file on the stack's own grid."""
    if source is None:
        return None
    file, name = source
    try:
        if not isinstance(file, Origin):
            return np.asarray(read_mask(file).array != 0)
        placed = read_mask_file(file, grid_of(stack), name)
    except InputError as error:
        said += error.within(stack.name)
        return None
    where = printable(f"{stack.name}: mask {file.name}")
    said += [Problem(remark, Fault.UNEXPECTED).within(where) for remark in placed.remarks]
    return placed.mask


def _jpeg(pixels: npt.NDArray[Any]) -> str:
    """Write (rows, columns) gray values as a small JPEG, base64."""
    low, high = np.percentile(pixels, _WINDOW)
    scaled = (pixels.astype(np.float64) - low) / max(float(high - low), 1e-9)
    picture = Image.fromarray((np.clip(scaled, 0, 1) * 255).astype(np.uint8))
    picture.thumbnail((_MOST_PIXELS, _MOST_PIXELS))
    written = io.BytesIO()
    picture.save(written, format="JPEG", quality=_QUALITY)
    return base64.b64encode(written.getvalue()).decode("ascii")
