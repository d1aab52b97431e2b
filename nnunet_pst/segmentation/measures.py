"""What a mask measures: volume, diameters, slices, parts, and where it meets the image's border."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import ConvexHull, distance

from nnunet_pst.io.geometry import Grid
from nnunet_pst.io.mask_outlines import outline_points_lps_mm, outline_polygons
from nnunet_pst.io.volumes import lesion_count

#: A lesion on fewer slices is mostly partial volume: neither volume nor height mean much.
FEW_SLICES = 3
#: Volumes are written to this; of less, a digit more would be noise.
SMALLEST_ML = 0.1


@dataclass(frozen=True)
class TumorMeasures:
    """Measures of one mask; lengths between the outer edges of voxels.

    Attributes
    ----------
    volume_ml
        Voxels times their volume.
    longest_mm
        Longest diameter of one part within one slice, over all slices.
    perpendicular_mm
        Largest width at right angles to it, in the same slice.
    height_mm
        From the lowest to the highest slice, both counted whole.
    slices
        How many slices hold tumor.
    first_slice, last_slice, longest_slice
        0-based; None when the mask is empty.
    parts
        Separate lesions (26 neighbors).
    """

    volume_ml: float
    longest_mm: float
    perpendicular_mm: float
    height_mm: float
    slices: int
    first_slice: int | None
    last_slice: int | None
    longest_slice: int | None
    parts: int

    def as_json(self) -> dict[str, Any]:
        """Rounded to what a voxel can tell."""
        return {
            name: round(value, 3) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }


def measure_tumor(mask: npt.NDArray[np.bool_], grid: Grid) -> TumorMeasures:
    """Measure a mask.

    Parameters
    ----------
    mask
        (z, y, x); may be empty.
    grid
        Same shape.
    """
    occupied = np.flatnonzero(mask.any(axis=(1, 2)))
    if not occupied.size:
        return TumorMeasures(0.0, 0.0, 0.0, 0.0, 0, None, None, None, 0)
    diameters = {int(index): slice_diameters(mask[index], grid) for index in occupied}
    longest_slice = max(diameters, key=lambda index: diameters[index])
    longest_mm, perpendicular_mm = diameters[longest_slice]
    first, last = int(occupied[0]), int(occupied[-1])
    return TumorMeasures(
        volume_ml=int(np.count_nonzero(mask)) * grid.voxel_volume_ml,
        longest_mm=longest_mm,
        perpendicular_mm=perpendicular_mm,
        height_mm=(last - first + 1) * grid.spacing_zyx_mm[0],
        slices=len(occupied),
        first_slice=first,
        last_slice=last,
        longest_slice=longest_slice,
        parts=lesion_count(mask),
    )


def volume_text(volume_ml: float) -> str:
    """Write the volume of a mask that is not empty: to a tenth of a milliliter, never as 0."""
    return f"{volume_ml:.1f} ml" if volume_ml >= SMALLEST_ML / 2 else f"< {SMALLEST_ML} ml"


def slice_diameters(mask: npt.NDArray[np.bool_], grid: Grid) -> tuple[float, float]:
    """Measure the longest part of a (y, x) slice that is not empty: its length, its width across.

    Parts touch at no corner: the distance between a lesion and a speck far away is no diameter.

    Returns
    -------
    tuple of float
        Millimeters.
    """
    labeled = np.empty(mask.shape, np.int32)
    ndimage.label(mask, structure=np.ones((3, 3)), output=labeled)
    parts = range(1, int(labeled.max()) + 1)
    return max(_part_diameters(labeled == part, grid) for part in parts)


def _part_diameters(mask: npt.NDArray[np.bool_], grid: Grid) -> tuple[float, float]:
    """The two farthest corners of the outline, and the width at right angles to them."""
    corners = np.concatenate(
        [outline_points_lps_mm(polygon, 0, grid) for polygon in outline_polygons(mask)]
    )
    axes = np.reshape(grid.direction, (3, 3))[:, :2]
    plane = (corners - corners[0]) @ axes
    hull = plane[ConvexHull(plane).vertices]
    apart = distance.cdist(hull, hull)
    one, other = np.unravel_index(int(apart.argmax()), apart.shape)
    along = (hull[other] - hull[one]) / apart.max()
    across = hull @ np.array([-along[1], along[0]])
    return float(apart.max()), float(np.ptp(across))


def mask_warnings(mask: npt.NDArray[np.bool_], measures: TumorMeasures) -> list[str]:
    """Say what a reader of the numbers has to know about a mask."""
    if not measures.slices:
        return ["empty result: no tumor was found, which is no proof that there is none"]
    warnings = []
    if measures.slices < FEW_SLICES:
        warnings.append(f"few slices: tumor on {measures.slices} of {len(mask)} slices")
    borders = []
    if mask[0].any() or mask[-1].any():
        borders.append("the first or last slice")
    if mask[:, [0, -1]].any() or mask[:, :, [0, -1]].any():
        borders.append("the edge of the field of view")
    if borders:
        warnings.append(
            f"touches the border: tumor on {' and '.join(borders)}, so the measures may be too "
            "small"
        )
    if measures.parts > 1:
        warnings.append(f"{measures.parts} separate parts; look whether each is tumor")
    return warnings
