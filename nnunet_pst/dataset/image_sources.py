"""Images and masks of a cohort table, read in the same way whether they are a file or DICOM."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from nnunet_pst.dataset.annotation import empty_mask
from nnunet_pst.dicom.reading.addresses import (
    read_addressed_grid,
    read_addressed_image,
    read_addressed_mask,
)
from nnunet_pst.errors import InputError
from nnunet_pst.io.geometry import Grid
from nnunet_pst.io.image_paths import is_image_name
from nnunet_pst.io.mask_resampling import place_mask
from nnunet_pst.io.volumes import Volume, check_axes, read_header, read_image, read_mask


def read_source_image(source: Path) -> Volume:
    """Read an image file, or the DICOM images that a cell means.

    Raises
    ------
    InputError
        When it can't be used; see `nnunet_pst.io.volumes` and `nnunet_pst.dicom.reading.addresses`.
    """
    if is_image_name(source):
        return read_image(source)
    volume = read_addressed_image(source)
    check_axes(source, volume.grid)
    return volume


def read_source_grid(source: Path) -> Grid:
    """Return the grid of an image; raises as `read_source_image`."""
    if is_image_name(source):
        return read_header(source)
    grid = read_addressed_grid(source)
    check_axes(source, grid)
    return grid


def check_source_mask(source: Path) -> None:
    """Read a mask whose image can't be read, to report the mask's problems too.

    DICOM masks can't be read without their image and are skipped.

    Raises
    ------
    InputError
        When it can't be used.
    """
    if is_image_name(source):
        read_mask(source)


def read_source_mask(
    source: Path, image: Path, grid: Grid
) -> tuple[npt.NDArray[np.bool_], str | None, tuple[str, ...]]:
    """Read a mask file, or the structure or segment that a cell means, onto its image's grid.

    Returns
    -------
    tuple
        The mask, (z, y, x); how a mask of another grid was resampled, or None; and remarks.

    Raises
    ------
    InputError
        When it can't be used, is empty, or isn't in the image's space.
    """
    if not is_image_name(source):
        placed = read_addressed_mask(source, image, grid)
        return placed.mask, None, placed.remarks
    mask = read_mask(source)
    if not mask.array.any():
        raise InputError([empty_mask(source.name)])
    try:
        return *place_mask(mask, grid), ()
    except InputError as error:
        raise InputError(error.within(source.name)) from error
