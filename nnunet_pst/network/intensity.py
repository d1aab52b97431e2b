"""Gray values on one scale for every scanner and any amount of air, in training and prediction.

nnU-Net's z-score counts air, whose amount depends on the field of view and not on the tissue. Here
a channel is mapped so that air is 0 and its bright tissue is 1; outside the image it is 0 too, so
padding looks like air. The map is affine and undoes any earlier affine normalization.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float
from torch import Tensor

#: Percentiles of a channel that become 0 and 1. Robust against single hot voxels and against the
#: rim of overshoot that third-order resampling leaves.
LOW_PERCENTILE, HIGH_PERCENTILE = 0.5, 99.5

#: The values that become 0 and 1.
Window: TypeAlias = tuple[float, float]


def percentile(values: Float[Tensor, " n"], q: float) -> Tensor:
    """Return the ``q``-th percentile (nearest rank), without the size limit of `torch.quantile`."""
    rank = round(q / 100 * (values.numel() - 1))
    if values.device.type == "cpu":
        # NumPy selects in half the time.
        return torch.from_numpy(np.partition(values.numpy(), rank))[rank]
    return values.kthvalue(rank + 1).values


@dataclass(frozen=True)
class Content:
    """The part of a volume that is image; the rest is a predictor's padding.

    Attributes
    ----------
    present
        (z,) False for slices that are zero in every channel.
    rows, columns
        The smallest ranges that hold all other nonzero voxels.
    """

    present: npt.NDArray[np.bool_]
    rows: slice
    columns: slice


def find_content(volume: Float[Tensor, "c z y x"]) -> Content:
    """Find the image within its padding, which is zero in every channel."""
    nonzero = (volume != 0).any(dim=0)
    rows, columns = nonzero.any(2).any(0), nonzero.any(1).any(0)
    return Content(nonzero.any(2).any(1).cpu().numpy(), _extent(rows), _extent(columns))


def _extent(used: Bool[Tensor, " n"]) -> slice:
    index = used.nonzero()
    return slice(int(index[0]), int(index[-1]) + 1) if len(index) else slice(0, 0)


def intensity_window(channel: Float[Tensor, "z y x"]) -> Window:
    """Return the values that become 0 and 1; (0, 1) for an empty channel."""
    values = channel.flatten()
    if values.numel() == 0:
        return 0.0, 1.0
    low = float(percentile(values, LOW_PERCENTILE))
    # Of the tissue, not of all voxels: in a scan that is mostly air, noise would set the scale.
    # Voxels above the mean are a cheap foreground.
    tissue = values[values > values.mean()]
    high = float(percentile(tissue if tissue.numel() else values, HIGH_PERCENTILE))
    return (low, high) if high > low else (0.0, 1.0)


def to_unit_range(volume: Float[Tensor, "c z y x"]) -> Float[Tensor, "c z y x"]:
    """Map every channel of an unpadded volume to air 0 and bright tissue 1, as a new tensor."""
    return torch.stack([apply_window(channel, intensity_window(channel)) for channel in volume])


def apply_window(values: Float[Tensor, "*space"], window: Window) -> Tensor:
    """Map the two ends of ``window`` to 0 and 1; no value is clipped. Returns a new tensor."""
    low, high = window
    return (values - low) / (high - low)
