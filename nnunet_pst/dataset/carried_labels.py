"""One sequence's label carried to another sequence's grid, and whether it arrived complete."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nnunet_pst.io.geometry import Grid
from nnunet_pst.io.volumes import Volume, lesion_count
from nnunet_pst.labels import IGNORE, TUMOR
from nnunet_pst.registration.resampling import carry_label
from nnunet_pst.registration.transforms import SpatialTransform

#: A label whose volume changes by more than this share, and by more than this volume, has not
#: arrived complete. Two stacks of thick slices cut a lesion differently, so small changes mean
#: nothing.
MOST_VOLUME_CHANGE, MOST_VOLUME_CHANGE_ML = 0.1, 1.0


@dataclass(frozen=True)
class CarriedLabel:
    """A label on another grid, and how it changed on the way.

    Attributes
    ----------
    label
        (z, y, x) three-state label on the new grid.
    summary
        Volumes and lesions before and after.
    problems
        What is wrong with it; empty when it arrived complete.
    """

    label: npt.NDArray[np.uint8]
    summary: str
    problems: tuple[str, ...]


def carry(label: Volume, target: Grid, transform: SpatialTransform) -> CarriedLabel:
    """Carry a three-state label to another grid; unknown voxels and those outside are unknown.

    Parameters
    ----------
    label
        uint8, (z, y, x), on the grid of the annotated sequence.
    target
        The other sequence's grid.
    transform
        From points of ``target`` to the label's space.
    """
    carried = carry_label(label, target, transform)
    before = _volume_and_lesions(label.array, label.grid)
    after = _volume_and_lesions(carried, target)
    summary = " to ".join(f"{ml:.1f} ml in {lesions}" for ml, lesions in (before, after))
    change = abs(after[0] - before[0])
    problems = []
    if before[0] and not after[0]:
        problems.append("no tumor arrived; do the two images show the same place?")
    elif change > max(MOST_VOLUME_CHANGE * before[0], MOST_VOLUME_CHANGE_ML):
        problems.append("the volume changed; part of the lesion may lie outside the image")
    if after[0] and after[1] != before[1]:
        problems.append("the number of lesions changed")
    if (carried == IGNORE).all():
        problems.append("nothing is known of it")
    return CarriedLabel(carried, summary, tuple(problems))


def _volume_and_lesions(label: npt.NDArray[np.uint8], grid: Grid) -> tuple[float, int]:
    tumor = label == TUMOR
    return np.count_nonzero(tumor) * grid.voxel_volume_ml, lesion_count(tumor)
