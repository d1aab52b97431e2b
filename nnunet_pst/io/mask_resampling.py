"""Masks on another grid than their image: resampled where that is safe, refused where it is not.

Files carry no frame of reference, so "the same space" is inferred. A mask is in the image's space
when its axes are the image's (in any order and sense, so that a reoriented copy is accepted) and
its box overlaps the image's. It is refused

- when its axes are oblique to the image's: it was drawn on other planes;
- when it has the image's matrix but not its box: it was drawn on this image, and its header is lost
  or belongs to another frame;
- when the boxes hardly overlap, or tumor would be outside the image.
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813 - its usual name

from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.geometry import Grid, corner_distance_voxels, same_grid
from nnunet_pst.io.volumes import Volume, as_itk, set_output_grid

#: Axes closer than one degree count as the same.
PARALLEL_COSINE = float(np.cos(np.deg2rad(1.0)))
#: A mask's box must share this much with the image's (of the smaller of the two).
LEAST_OVERLAP = 0.5
#: A mask with the image's matrix must have the image's box, up to this much (of their union).
SAME_BOX = 0.9
#: Share of the tumor that may be lost at the border of the image.
MOST_TUMOR_OUTSIDE = 0.01


def place_mask(mask: Volume, image: Grid) -> tuple[npt.NDArray[np.bool_], str | None]:
    """Bring a mask onto its image's grid.

    Parameters
    ----------
    mask
        Booleans and their grid.
    image
        Grid of the image.

    Returns
    -------
    tuple
        The mask on the image's grid, (z, y, x), and how it was resampled, or None when it was not.

    Raises
    ------
    InputError
        When the mask isn't in the image's space. The message doesn't name the mask.
    """
    if same_grid(image, mask.grid):
        return np.asarray(mask.array, dtype=bool), None
    _check_same_space(image, mask.grid)
    _check_tumor_inside(image, mask)
    placed = _resample_nearest(mask, image)
    before = np.count_nonzero(mask.array) * mask.grid.voxel_volume_ml
    after = np.count_nonzero(placed) * image.voxel_volume_ml
    if before and not after:
        raise InputError(
            "the tumor falls between the voxels of the image; redraw it there", Fault.VALUES
        )
    return placed, (
        f"mask resampled from {_size(mask.grid)} to the image's {_size(image)} voxels (tumor "
        f"{before:.2f} ml before, {after:.2f} ml after)"
    )


def _size(grid: Grid) -> str:
    return " x ".join(str(n) for n in grid.size_xyz)


def _boxes(image: Grid, mask: Grid) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return both boxes, (2, 3) of lowest and highest voxel edges, in the image's voxel index."""
    inverse = np.linalg.inv(image.affine_lps_mm)
    half = 0.5 * (np.array(mask.affine_lps_mm[:3, :3]))
    corners = mask.corners_lps_mm
    edges = np.concatenate(
        [corners + half @ np.array(sign) for sign in itertools.product((-1, 1), repeat=3)]
    )
    index = edges @ inverse[:3, :3].T + inverse[:3, 3]
    image_box = np.stack([np.full(3, -0.5), np.asarray(image.size_xyz) - 0.5])
    return image_box, np.stack([index.min(axis=0), index.max(axis=0)])


def slices_across(mask: Grid, image: Grid) -> int:
    """Return how many slices a mask has along the image's slice axis."""
    cosines = np.abs(np.reshape(image.direction, (3, 3)).T @ np.reshape(mask.direction, (3, 3)))
    return mask.size_xyz[int(cosines[2].argmax())]


def covered_slices(mask: Grid, image: Grid) -> tuple[int, int]:
    """Return the first and last slice of the image whose center is in the mask's box."""
    _, box = _boxes(image, mask)
    count = image.shape_zyx[0]
    first, last = np.ceil(box[0, 2] - 1e-3), np.floor(box[1, 2] + 1e-3)
    return max(int(first), 0), min(int(last), count - 1)


def _check_same_space(image: Grid, mask: Grid) -> None:
    """Refuse a mask whose header says that it was not drawn in the image's space."""
    cosines = np.abs(np.reshape(image.direction, (3, 3)).T @ np.reshape(mask.direction, (3, 3)))
    matched = cosines.argmax(axis=0)
    if len(set(matched.tolist())) < 3 or cosines.max(axis=0).min() < PARALLEL_COSINE:
        angle = np.rad2deg(np.arccos(np.clip(cosines.max(axis=0).min(), 0.0, 1.0)))
        raise InputError(
            f"the mask's axes are {angle:.0f} degrees oblique to the image's, so it was drawn in "
            "another orientation; redraw or resample it on this image",
            Fault.GEOMETRY,
        )
    image_box, mask_box = _boxes(image, mask)
    shared = np.prod(
        np.clip(
            np.minimum(image_box[1], mask_box[1]) - np.maximum(image_box[0], mask_box[0]), 0, None
        )
    )
    volumes = [np.prod(box[1] - box[0]) for box in (image_box, mask_box)]
    if shared < LEAST_OVERLAP * min(volumes):
        raise InputError(
            f"the mask shares {100 * shared / min(volumes):.0f} % of its place with the image, so "
            "it is in a different frame; use the mask of this image",
            Fault.GEOMETRY,
        )
    matrix = [mask.size_xyz[int(np.argmax(matched == axis))] for axis in range(3)]
    if tuple(matrix) == image.size_xyz and shared < SAME_BOX * (sum(volumes) - shared):
        raise InputError(
            "the mask has the image's matrix but is elsewhere (corners up to "
            f"{corner_distance_voxels(image, mask):.0f} voxels apart), so its header is lost or of "
            "a different frame; copy the image's geometry to it if it was drawn on this image",
            Fault.GEOMETRY,
        )


def _check_tumor_inside(image: Grid, mask: Volume) -> None:
    """Refuse a mask with tumor where the image has no voxels."""
    index_zyx = np.argwhere(mask.array)
    if not len(index_zyx):
        return
    affine = np.linalg.inv(image.affine_lps_mm) @ mask.grid.affine_lps_mm
    index_xyz = index_zyx[:, ::-1] @ affine[:3, :3].T + affine[:3, 3]
    inside = ((index_xyz >= -0.5) & (index_xyz <= np.asarray(image.size_xyz) - 0.5)).all(axis=1)
    outside = 1.0 - float(inside.mean())
    if outside > MOST_TUMOR_OUTSIDE:
        raise InputError(
            f"{100 * outside:.0f} % of the tumor is outside the image, so mask and image don't "
            "belong together (a different frame)",
            Fault.GEOMETRY,
        )


def _resample_nearest(mask: Volume, image: Grid) -> npt.NDArray[np.bool_]:
    """Look up the nearest mask voxel for every image voxel; outside the mask is background."""
    source = as_itk(mask.array.astype(np.uint8), mask.grid)
    resampler = sitk.ResampleImageFilter()
    set_output_grid(resampler, image)
    resampler.SetInterpolator(sitk.sitkNearestNeighbor)
    return np.asarray(sitk.GetArrayFromImage(resampler.Execute(source)) != 0)
