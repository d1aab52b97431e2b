"""Images and masks as files: read with every check that nnU-Net does not make, written bare.

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

from nnunet_pst.cohort import IMAGE_SUFFIXES
from nnunet_pst.errors import InputError
from nnunet_pst.geometry import Grid, slice_axis_xyz

#: An image of 512 x 512 x 2048: more is no MRI of a pelvis, but would fill the memory.
MAX_VOXELS = 2**29
#: Largest deviation of the axes from unit length and right angles, as cosines.
ORTHONORMAL_TOLERANCE = 1e-3
#: Types that are kept as they are; all others become float32, which is what nnU-Net reads.
KEPT_TYPES = (np.uint8, np.int8, np.uint16, np.int16, np.float32)

# ITK prints its own warnings to stderr, in the middle of the progress bar; what matters is checked
# here.
sitk.ProcessObject.SetGlobalWarningDisplay(False)


@dataclass(frozen=True)
class Volume:
    """Voxels and where they lie.

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
    """Read and check where the voxels of a file lie, without decoding them.

    Raises
    ------
    InputError
        When the file can't be read, is not one three-dimensional volume, is too large, has a
        slice axis that is not the third, or axes that are not at right angles.
    """
    reader = _open(path)
    if reader.GetDimension() != 3 or min(reader.GetSize()) < 1 or reader.GetSize()[2] == 1:
        size = " x ".join(str(n) for n in reader.GetSize())
        raise InputError(
            f"{path.name} has size {size}; expected one volume of several slices (3-D), so split "
            "or stack it"
        )
    if reader.GetNumberOfComponents() != 1:
        raise InputError(
            f"{path.name} holds {reader.GetNumberOfComponents()} values per voxel (a colour image "
            "or several volumes); expected one"
        )
    x, y, z = reader.GetSize()
    if x * y * z > MAX_VOXELS:
        raise InputError(
            f"{path.name} claims {x} x {y} x {z} voxels, more than any MRI here; is it damaged?"
        )
    grid = Grid(
        size_xyz=(x, y, z),
        spacing_xyz_mm=tuple(reader.GetSpacing()),
        origin_lps_mm=tuple(reader.GetOrigin()),
        direction=tuple(reader.GetDirection()),
    )
    _check_axes(path, grid)
    return grid


def _open(path: Path) -> Any:  # noqa: ANN401 - SimpleITK has no types
    """Return a SimpleITK reader that has read the header."""
    if not path.name.casefold().endswith(IMAGE_SUFFIXES):
        raise InputError(f"{path.name} is not one of {', '.join(IMAGE_SUFFIXES)}; convert it")
    if _points_elsewhere(path):
        raise InputError(f"{path.name} keeps its voxels in another file; save it as one file")
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        if "orthonormal" in str(error):
            raise InputError(_not_orthonormal(path)) from error
        raise InputError(
            f"{path.name} can't be read as an image; is it damaged or misnamed?"
        ) from error
    return reader


def _points_elsewhere(path: Path) -> bool:
    """Whether the header of an MHA or NRRD names another file, which could be any on this disk."""
    name = path.name.casefold()
    if name.endswith((".nii", ".nii.gz")):
        return False
    with path.open("rb") as file:
        head = file.read(65536)
    if name.endswith(".nrrd"):
        fields = head.partition(b"\n\n")[0].replace(b"\r", b"").lower()
        return b"\ndata file:" in fields or b"\ndatafile:" in fields
    data = re.search(rb"ElementDataFile\s*=\s*(\S+)", head)
    return data is not None and data[1].upper() != b"LOCAL"


def _not_orthonormal(path: Path) -> str:
    return (
        f"{path.name} has axes that are not at right angles (a sheared grid); resample it onto a "
        "straight grid first"
    )


def _check_axes(path: Path, grid: Grid) -> None:
    """Refuse grids on which "slice" or "distance" would mean something else than assumed."""
    direction = np.reshape(grid.direction, (3, 3))
    off = np.abs(direction.T @ direction - np.eye(3)).max()
    if not np.isfinite(grid.affine_lps_mm).all() or off > ORTHONORMAL_TOLERANCE:
        raise InputError(_not_orthonormal(path))
    if min(grid.spacing_xyz_mm) <= 0:
        raise InputError(f"{path.name} has a spacing of {min(grid.spacing_xyz_mm)} mm; mend it")
    axis = slice_axis_xyz(grid)
    if axis != 2:
        spacing = " x ".join(f"{value:.3g}" for value in grid.spacing_xyz_mm)
        raise InputError(
            f"{path.name} has its slices along axis {'xyz'[axis]} (spacing {spacing} mm); expected "
            "them along the third, z: reorder the axes"
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
        As `read_header`, and for voxels that are no finite numbers or are all the same.
    """
    volume = _read(path)
    array = volume.array
    if array.dtype not in KEPT_TYPES:
        # Overflow becomes an infinity and is reported as such.
        with np.errstate(over="ignore"):
            array = array.astype(np.float32)
    wrong = int(np.count_nonzero(~np.isfinite(array)))
    if wrong:
        raise InputError(f"{path.name} holds {wrong} voxels that are NaN or infinite; replace them")
    if array.min() == array.max():
        raise InputError(f"{path.name} is {array.flat[0]} everywhere; is it the right file?")
    return Volume(array, volume.grid)


def read_mask(path: Path) -> Volume:
    """Read a mask of background (0) and tumor (1, or 255 as in binary pictures).

    Returns
    -------
    Volume
        Of booleans; it may be empty.

    Raises
    ------
    InputError
        As `read_header`, and for other values than those.
    """
    volume = _read(path)
    # Float masks are common (resampled by some tool); they are harmless while values are whole.
    values = np.unique(volume.array)
    if not set(values.tolist()) <= {0, 1} and not set(values.tolist()) <= {0, 255}:
        shown = ", ".join(f"{value:g}" for value in values[:5]) + (
            ", ..." if len(values) > 5 else ""
        )
        raise InputError(
            f"{path.name} holds the values {shown}; expected 0 (background) and 1 (tumor), so "
            "remap or threshold it"
        )
    return Volume(volume.array != 0, volume.grid)


def _read(path: Path) -> Volume:
    """Decode a file whose header has passed."""
    grid = read_header(path)
    reader = _open(path)
    try:
        array = sitk.GetArrayFromImage(reader.Execute())
    except RuntimeError as error:
        raise InputError(f"{path.name} ends early or is damaged; copy it again") from error
    return Volume(array, grid)


def write_volume(path: Path, volume: Volume) -> None:
    """Write voxels and geometry, and nothing else: no description, no key of the source survives.

    The same voxels and grid give the same bytes (the gzip header carries neither time nor name).

    Parameters
    ----------
    path
        One of `IMAGE_SUFFIXES`; replaced when it exists.
    volume
        (z, y, x) voxels.
    """
    image = sitk.GetImageFromArray(volume.array)
    image.SetSpacing(volume.grid.spacing_xyz_mm)
    image.SetOrigin(volume.grid.origin_lps_mm)
    image.SetDirection(volume.grid.direction)
    try:
        sitk.WriteImage(image, str(path), useCompression=True)
    except RuntimeError as error:
        raise OSError(f"{path.name} could not be written; is the disk full?") from error


def use_one_thread() -> None:
    """Keep SimpleITK to one thread, where several processes share the cores."""
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def lesion_count(mask: npt.NDArray[np.bool_]) -> int:
    """Count the connected lesions (26 neighbours) of a (z, y, x) mask."""
    return int(ndimage.label(mask, structure=np.ones((3, 3, 3), dtype=bool))[1])
