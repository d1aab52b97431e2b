"""Images and masks of a cohort table, read in the same way whether they are a file or DICOM."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nnunet_pst.dataset.drawing_checks import empty_mask
from nnunet_pst.dicom.reading.addresses import (
    read_addressed_grid,
    read_addressed_image,
    read_addressed_mask,
)
from nnunet_pst.errors import InputError
from nnunet_pst.io.digests import slice_digests, voxel_digest
from nnunet_pst.io.geometry import Grid, same_grid, slice_axis_remarks
from nnunet_pst.io.image_paths import is_image_name
from nnunet_pst.io.mask_resampling import covered_slices, place_mask, slices_across
from nnunet_pst.io.nifti_checks import has_orientation, is_nifti
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


def image_remarks(source: Path, grid: Grid) -> list[str]:
    """Say what an image that can be read leaves to us.

    Parameters
    ----------
    grid
        Of the image.
    """
    remarks = [f"{source.name}: {remark}" for remark in slice_axis_remarks(grid)]
    if is_nifti(source) and not has_orientation(source):
        remarks.append(
            f"{source.name} does not say where the image is (no qform, no sform): its axes are "
            "taken for the patient's"
        )
    return remarks


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


@dataclass(frozen=True)
class SourceDigests:
    """What tells the voxels of an image or a mask from those of others.

    Parameters
    ----------
    column
        Of the cohort table.
    voxels
        See `io.digests.voxel_digest`.
    slices
        Of an image, see `io.digests.slice_digests`.
    """

    column: str
    voxels: str
    slices: tuple[str, ...] = ()


@dataclass(frozen=True)
class SourceMask:
    """A mask on its image's grid, and how it came there.

    Parameters
    ----------
    mask
        (z, y, x).
    digest
        Of its voxels as they were drawn, see `io.digests.voxel_digest`.
    resampled
        How a mask of another grid was resampled, or None.
    own_slices
        Number of slices of a mask of another grid, where the image has another number; or None.
    covered
        First and last slice of the image that a mask of another grid covers, or None.
    remarks
        What to know about how it was placed.
    """

    mask: npt.NDArray[np.bool_]
    digest: str
    resampled: str | None = None
    own_slices: int | None = None
    covered: tuple[int, int] | None = None
    remarks: tuple[str, ...] = ()


def image_digests(column: str, image: Volume) -> SourceDigests:
    """Digest the voxels of an image of this column."""
    return SourceDigests(column, voxel_digest(image.array), slice_digests(image.array))


def read_source_mask(source: Path, image: Path, grid: Grid) -> SourceMask:
    """Read a mask file, or the structure or segment that a cell means, onto its image's grid.

    Raises
    ------
    InputError
        When it can't be used, is empty, or isn't in the image's space.
    """
    if not is_image_name(source):
        placed = read_addressed_mask(source, image, grid)
        return SourceMask(placed.mask, voxel_digest(placed.mask), remarks=placed.remarks)
    mask = read_mask(source)
    if not mask.array.any():
        raise InputError([empty_mask(source.name)])
    try:
        array, resampled = place_mask(mask, grid)
    except InputError as error:
        raise InputError(error.within(source.name)) from error
    digest = voxel_digest(mask.array)
    if same_grid(grid, mask.grid):
        return SourceMask(array, digest)
    count = slices_across(mask.grid, grid)
    return SourceMask(
        array,
        digest,
        resampled,
        own_slices=None if count == len(array) else count,
        covered=covered_slices(mask.grid, grid),
    )
