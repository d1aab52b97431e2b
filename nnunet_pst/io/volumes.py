"""Images and masks as files: read with the checks that nnU-Net lacks, written without metadata.

The only contact with SimpleITK's (x, y, z) order: arrays that leave this module are (z, y, x), and
a `Grid` goes with each.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813 - its usual name
from scipy import ndimage

from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.atomic_files import not_whole
from nnunet_pst.io.geometry import Grid, slice_axis_xyz
from nnunet_pst.io.image_paths import is_image_name, wrong_format
from nnunet_pst.io.nifti_checks import (
    check_nifti_magic,
    check_nifti_voxels,
    damaged,
    in_another_file,
    is_nifti,
    not_finite,
    unreadable,
)
from nnunet_pst.io.quiet_libraries import quietly

#: An image of 512 x 512 x 2048: an MRI of a pelvis has fewer, and more would fill the memory.
MAX_VOXELS = 2**29
#: Largest deviation of the axes from unit length and right angles, as cosines.
ORTHONORMAL_TOLERANCE = 1e-3
#: Types that are kept as they are; all others become float32, which is what nnU-Net reads.
KEPT_TYPES = (np.uint8, np.int8, np.uint16, np.int16, np.float32)

# ITK prints its warnings to stderr, in the middle of the progress bar; this module checks what
# matters.
sitk.ProcessObject.SetGlobalWarningDisplay(False)


@dataclass(frozen=True)
class Volume:
    """Voxels and their place in space.

    Parameters
    ----------
    array
        (z, y, x).
    grid
        Same shape.
    """

    array: npt.NDArray[Any]
    grid: Grid


def read_header(path: Path) -> Grid:
    """Read and check the grid of a file, without decoding its voxels.

    Raises
    ------
    InputError
        When the file can't be read, is not one three-dimensional volume, is too large, has a
        slice axis that is not the third, or axes that are not at right angles.
    """
    grid = _read_grid(path)
    check_axes(path, grid)
    return grid


def _read_grid(path: Path) -> Grid:
    """Read a grid, whichever its slice axis."""
    reader = _open(path)
    if reader.GetDimension() != 3 or min(reader.GetSize()) < 1 or reader.GetSize()[2] == 1:
        size = " x ".join(str(n) for n in reader.GetSize())
        raise InputError(
            f"{path.name} has size {size}; expected one volume of several slices (3-D), so split "
            "or stack it",
            Fault.GEOMETRY,
        )
    if reader.GetNumberOfComponents() != 1:
        raise InputError(
            f"{path.name} holds {reader.GetNumberOfComponents()} values per voxel (a color image "
            "or several volumes); expected one",
            Fault.WRONG_TYPE,
        )
    x, y, z = reader.GetSize()
    if x * y * z > MAX_VOXELS:
        raise InputError(
            f"{path.name} claims {x} x {y} x {z} voxels, more than any MRI here; is it damaged?",
            Fault.TOO_LARGE,
        )
    grid = Grid(
        size_xyz=(x, y, z),
        spacing_xyz_mm=tuple(reader.GetSpacing()),
        origin_lps_mm=tuple(reader.GetOrigin()),
        direction=tuple(reader.GetDirection()),
    )
    _check_right_angles(path, grid)
    return grid


def _open(path: Path) -> Any:  # noqa: ANN401 - SimpleITK has no types
    """Return a SimpleITK reader that has read the header."""
    if not is_image_name(path):
        raise InputError(wrong_format(path.name))
    if is_nifti(path):
        check_nifti_magic(path)
    elif _points_elsewhere(path):
        raise in_another_file(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        with quietly():
            reader.ReadImageInformation()
    except RuntimeError as error:
        # ITK raises RuntimeError for everything; only its text tells a sheared grid from damage.
        if "orthonormal" in str(error):
            raise _not_orthonormal(path) from error
        raise unreadable(path) from error
    return reader


def _points_elsewhere(path: Path) -> bool:
    """Whether the header of an MHA or NRRD names another file, which could be any on this disk."""
    name = path.name.casefold()
    with path.open("rb") as file:
        head = file.read(65536)
    if name.endswith(".nrrd"):
        fields = head.partition(b"\n\n")[0].replace(b"\r", b"").lower()
        return b"\ndata file:" in fields or b"\ndatafile:" in fields
    data = re.search(rb"ElementDataFile\s*=\s*(\S+)", head)
    return data is not None and data[1].upper() != b"LOCAL"


def _not_orthonormal(path: Path) -> InputError:
    return InputError(
        f"{path.name} has axes that are not at right angles (a sheared grid); resample it onto a "
        "straight grid first",
        Fault.GEOMETRY,
    )


def check_axes(path: Path, grid: Grid) -> None:
    """Refuse grids with another slice axis than the third, or axes not at right angles.

    Raises
    ------
    InputError
        Naming the file.
    """
    _check_right_angles(path, grid)
    axis = slice_axis_xyz(grid)
    if axis != 2:
        spacing = " x ".join(f"{value:.3g}" for value in grid.spacing_xyz_mm)
        raise InputError(
            f"{path.name} has its slices along axis {'xyz'[axis]} (spacing {spacing} mm); expected "
            "them along the third, z: reorder the axes",
            Fault.GEOMETRY,
        )


def _check_right_angles(path: Path, grid: Grid) -> None:
    direction = np.reshape(grid.direction, (3, 3))
    off = np.abs(direction.T @ direction - np.eye(3)).max()
    if not np.isfinite(grid.affine_lps_mm).all() or off > ORTHONORMAL_TOLERANCE:
        raise _not_orthonormal(path)
    if min(grid.spacing_xyz_mm) <= 0:
        raise InputError(
            f"{path.name} has a spacing of {min(grid.spacing_xyz_mm)} mm; mend it", Fault.GEOMETRY
        )


def read_image(path: Path) -> Volume:
    """Read an image.

    Returns
    -------
    Volume
        Of one of `KEPT_TYPES`.

    Raises
    ------
    InputError
        As `read_header`, and for voxels that are not finite, are all the same, or have two values
        only, as a mask has.
    """
    volume = read_voxels(path)
    array = volume.array
    if array.dtype not in KEPT_TYPES:
        # Overflow becomes an infinity and is reported as such.
        with np.errstate(over="ignore"):
            array = array.astype(np.float32)
    wrong = int(np.count_nonzero(~np.isfinite(array)))
    if wrong:
        raise not_finite(path, wrong)
    low, high = array.min(), array.max()
    if low == high:
        raise InputError(f"{path.name} is {low} everywhere; is it the right file?", Fault.VALUES)
    if ((array == low) | (array == high)).all():
        raise InputError(
            f"{path.name} holds the values {low:g} and {high:g} only, as a mask does; an image is "
            "expected, so is it the right file?",
            Fault.VALUES,
        )
    return Volume(array, volume.grid)


def read_mask(path: Path) -> Volume:
    """Read a mask of background (0) and tumor (1, or 255 as in binary pictures).

    Its slices may lie along any axis, as in a copy that was reoriented, or that is coarser than its
    image within the slices.

    Returns
    -------
    Volume
        Of booleans; it may be empty.

    Raises
    ------
    InputError
        As `read_header`, and for other values.
    """
    volume = _decoded(path, _read_grid(path))
    # Float masks are common (resampled by a tool); they are harmless while values are whole.
    values = np.unique(volume.array)
    if not set(values.tolist()) <= {0, 1} and not set(values.tolist()) <= {0, 255}:
        shown = ", ".join(f"{value:g}" for value in values[:5]) + (
            ", ..." if len(values) > 5 else ""
        )
        raise InputError(
            f"{path.name} holds the values {shown}; expected 0 (background) and 1 (tumor), so "
            "remap or threshold it",
            Fault.VALUES,
        )
    return Volume(volume.array != 0, volume.grid)


def read_voxels(path: Path) -> Volume:
    """Check the header and decode the voxels, without a check of their values.

    Raises
    ------
    InputError
        As `read_header`, and when the file is damaged or ends early.
    """
    return _decoded(path, read_header(path))


def _decoded(path: Path, grid: Grid) -> Volume:
    if is_nifti(path):
        check_nifti_voxels(path, int(np.prod(grid.size_xyz)))
    reader = _open(path)
    try:
        with quietly():
            array = sitk.GetArrayFromImage(reader.Execute())
    except RuntimeError as error:
        raise damaged(path) from error
    return Volume(array, grid)


def as_itk(array: npt.NDArray[Any], grid: Grid) -> sitk.Image:
    """Give a (z, y, x) array its place in space."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(grid.spacing_xyz_mm)
    image.SetOrigin(grid.origin_lps_mm)
    image.SetDirection(grid.direction)
    return image


def set_output_grid(itk_filter: Any, grid: Grid) -> None:  # noqa: ANN401 - SimpleITK has no types
    """Tell an ITK filter that makes an image on which grid to make it."""
    itk_filter.SetSize(grid.size_xyz)
    itk_filter.SetOutputSpacing(grid.spacing_xyz_mm)
    itk_filter.SetOutputOrigin(grid.origin_lps_mm)
    itk_filter.SetOutputDirection(grid.direction)


def write_volume(path: Path, volume: Volume) -> None:
    """Write voxels and geometry only: no description and no key of the source is kept.

    The same voxels and grid give the same bytes (the gzip header carries neither time nor name).

    Parameters
    ----------
    path
        One of `IMAGE_SUFFIXES`; replaced when it exists.
    volume
        (z, y, x) voxels.
    """
    write_itk_image(path, as_itk(volume.array, volume.grid))


def write_itk_image(path: Path, image: sitk.Image) -> None:
    """Write an image and read it back: ITK returns normally from a full disk or a broken one.

    Raises
    ------
    OSError
        When what is on the disk is not the image; the file is then removed.
    """
    try:
        with quietly():
            sitk.WriteImage(image, str(path), useCompression=True)
        if is_nifti(path):
            values = image.GetNumberOfPixels() * image.GetNumberOfComponentsPerPixel()
            check_nifti_voxels(path, values)
        found = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
        whole = np.array_equal(found, sitk.GetArrayViewFromImage(image), equal_nan=True)
    except (RuntimeError, InputError) as error:
        path.unlink(missing_ok=True)
        raise not_whole(path) from error
    if not whole:
        path.unlink(missing_ok=True)
        raise not_whole(path)


def use_one_thread() -> None:
    """Limit SimpleITK to one thread, where several processes share the cores."""
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def lesion_count(mask: npt.NDArray[np.bool_]) -> int:
    """Count the connected lesions (26 neighbors) of a (z, y, x) mask."""
    components = ndimage.label(mask, structure=np.ones((3, 3, 3), dtype=bool))
    assert isinstance(components, tuple)  # a number alone only where an output array is given
    return int(components[1])
