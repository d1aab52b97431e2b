"""How large a tumor is: volume, craniocaudal extent, and the diameter a radiologist would measure.

- Volume: tumor voxels times their volume, in ml.
- Extent: slices from the first to the last that hold tumor, both included. Slices are those of the
  scan; for axial ones this is the craniocaudal extent, which decides on levels of resection.
- Diameter: the longest one, see `diameters`.

Errors are absolute. The sizes themselves are there too, for whoever wants the sign.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nnunet_pst.evaluation.metrics.diameters import measure_diameters
from nnunet_pst.evaluation.metrics.lesions import Components


@dataclass(frozen=True)
class Size:
    """How large the tumor of a mask is; 0 for an empty one."""

    volume_ml: float
    extent_slices: int
    diameter_mm: float


def measure_size(lesions: Components, spacing_zyx_mm: tuple[float, float, float]) -> Size:
    """Measure the tumor of one mask.

    Parameters
    ----------
    lesions
        The mask, by lesions.
    spacing_zyx_mm
        Distances between voxel centers.
    """
    mask = lesions.labels > 0
    held = np.flatnonzero(mask.any(axis=(1, 2)))
    return Size(
        volume_ml=float(np.count_nonzero(mask) * np.prod(spacing_zyx_mm) / 1000.0),
        extent_slices=int(held[-1] - held[0] + 1) if held.size else 0,
        diameter_mm=measure_diameters(mask, spacing_zyx_mm[1:]).longest_mm,
    )
