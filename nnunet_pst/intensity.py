"""Grey values on one scale for every scanner and any amount of air, in training and prediction.

nnU-Net's z-score counts air, and how much air a scan holds depends on the field of view, not on
the tissue. Here a channel is mapped so that air is 0 and its bright tissue is 1; what lies outside
the image is 0 too, so padding looks like air. The map is affine and undoes any affine
normalisation that came before it.
"""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

#: Percentiles of a channel that become 0 and 1. Robust against single hot voxels and against the
#: rim of overshoot that third-order resampling leaves.
LOW_PERCENTILE, HIGH_PERCENTILE = 0.5, 99.5


def percentile(values: Float[Tensor, " n"], q: float) -> Tensor:
    """Return the ``q``-th percentile (nearest rank), without the size limit of `torch.quantile`."""
    rank = 1 + round(q / 100 * (values.numel() - 1))
    return values.kthvalue(rank).values


def content_mask(volume: Float[Tensor, "c z y x"]) -> Bool[Tensor, "z y x"]:
    """Mark what is image and not padding.

    Padding is what a predictor adds around a preprocessed image: exact zeros in every channel, in
    whole slices, rows or columns.
    """
    nonzero = (volume != 0).any(dim=0)
    slices, rows, columns = nonzero.any(2).any(1), nonzero.any(2).any(0), nonzero.any(1).any(0)
    return slices[:, None, None] & rows[None, :, None] & columns[None, None, :]


def intensity_window(
    channel: Float[Tensor, "z y x"], content: Bool[Tensor, "z y x"]
) -> tuple[float, float]:
    """Return the values that become 0 and 1; (0, 1) for a channel that holds nothing."""
    values = channel[content]
    if values.numel() == 0:
        return 0.0, 1.0
    low = float(percentile(values, LOW_PERCENTILE))
    # Bright tissue, not bright voxels of everything: a scan that is mostly air would otherwise
    # have its scale set by noise. Above the mean is the usual cheap foreground.
    tissue = values[values > values.mean()]
    high = float(percentile(tissue if tissue.numel() else values, HIGH_PERCENTILE))
    return (low, high) if high > low else (0.0, 1.0)


def to_unit_range(
    volume: Float[Tensor, "c z y x"],
) -> Float[Tensor, "c z y x"]:
    """Map every channel to air 0, bright tissue 1, padding 0. Returns a new tensor."""
    content = content_mask(volume)
    result = volume.new_zeros(volume.shape)
    for channel, mapped in zip(volume, result, strict=True):
        low, high = intensity_window(channel, content)
        mapped.copy_((channel - low) / (high - low)).mul_(content)
    return result
