"""Measures of a mask: volume, diameters, slices, parts, and contact with the image's border."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_pst.evaluation.metrics.diameters import measure_diameters
from nnunet_pst.io.geometry import Grid
from nnunet_pst.io.volumes import lesion_count

#: A lesion on fewer slices is mostly partial volume: its volume and height mean little.
FEW_SLICES = 3
#: Resolution of volumes in texts, in ml; further digits would be noise.
SMALLEST_ML = 0.1


@dataclass(frozen=True)
class TumorMeasures:
    """Measures of one mask; lengths between the outer edges of voxels.

    Attributes
    ----------
    volume_ml
        Voxels times their volume.
    longest_mm, perpendicular_mm
        See `evaluation.metrics.diameters`.
    height_mm
        From the lowest to the highest slice, both counted whole.
    slices
        Number of slices with tumor.
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
        """The measures, rounded to three decimals."""
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
    diameters = measure_diameters(mask, grid.spacing_zyx_mm[1:])
    first, last = int(occupied[0]), int(occupied[-1])
    return TumorMeasures(
        volume_ml=int(np.count_nonzero(mask)) * grid.voxel_volume_ml,
        longest_mm=diameters.longest_mm,
        perpendicular_mm=diameters.perpendicular_mm,
        height_mm=(last - first + 1) * grid.spacing_zyx_mm[0],
        slices=len(occupied),
        first_slice=first,
        last_slice=last,
        longest_slice=diameters.slice_index,
        parts=lesion_count(mask),
    )


def volume_text(volume_ml: float) -> str:
    """Write the volume of a mask that is not empty: to a tenth of a milliliter, never as 0."""
    return f"{volume_ml:.1f} ml" if volume_ml >= SMALLEST_ML / 2 else f"< {SMALLEST_ML} ml"


def mask_warnings(
    mask: npt.NDArray[np.bool_], measures: TumorMeasures, what: str = "tumor"
) -> list[str]:
    """Return warnings for readers of a mask's measures.

    Parameters
    ----------
    mask
        (z, y, x).
    measures
        Of ``mask``.
    what
        What the mask outlines.
    """
    if not measures.slices:
        return [f"empty result: no {what} was found, which does not prove that there is none"]
    warnings = []
    if measures.slices < FEW_SLICES:
        warnings.append(f"few slices: {what} on {measures.slices} of {len(mask)} slices")
    borders = []
    if mask[0].any() or mask[-1].any():
        borders.append("the first or last slice")
    if mask[:, [0, -1]].any() or mask[:, :, [0, -1]].any():
        borders.append("the edge of the field of view")
    if borders:
        warnings.append(
            f"touches the border: {what} on {' and '.join(borders)}, so the measures may be too "
            "small"
        )
    if measures.parts > 1:
        warnings.append(f"{measures.parts} separate parts; look whether each is {what}")
    return warnings
