"""nnU-Net's sliding window over a volume, for anything that gives logits of a tile.

Tiles, padding, weights and half precision are the host's (nnunet-v2
``inference/predict_from_raw_data.py``, ``_internal_predict_sliding_window_return_logits``), so the
sums are the same bit for bit; ``tests/contracts`` compares the two. Only the Gaussian is made in
another way: the host filters a whole volume, which takes a second and more.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from acvl_utils.cropping_and_padding.padding import pad_nd_image
from nnunetv2.inference.sliding_window_prediction import (
    compute_gaussian,
    compute_steps_for_sliding_window,
)
from torch import Tensor

from nnunet_pst.errors import Fault, HostError

#: The host's own (``nnUNetPredictor``): tiles overlap by half, and this is the Gaussian's peak.
TILE_STEP, GAUSSIAN_PEAK = 0.5, 10


def sliding_window_logits(
    volume: Tensor, patch_size: Sequence[int], predict_tile: Callable[[Tensor], Tensor]
) -> Tensor:
    """Logits of a volume, tile by tile.

    Parameters
    ----------
    volume
        (c, z, y, x), on the device that computes.
    patch_size
        Of the plans, (z, y, x).
    predict_tile
        Gives the logits (k, z, y, x) of a tile (c, z, y, x), as a tensor that may be changed.

    Returns
    -------
    Tensor
        (k, z, y, x) in half precision, on the same device.

    Raises
    ------
    HostError
        When logits are too large for half precision.
    """
    padded, inside = pad_nd_image(volume, patch_size, "constant", {"value": 0}, True, None)
    steps = compute_steps_for_sliding_window(padded.shape[1:], patch_size, TILE_STEP)
    weights = gaussian(tuple(patch_size), volume.device)
    logits: Tensor | None = None
    total = torch.zeros(padded.shape[1:], dtype=torch.half, device=volume.device)
    for corner in itertools.product(*steps):
        tile = tuple(slice(at, at + size) for at, size in zip(corner, patch_size, strict=True))
        place = (slice(None), *tile)
        part = predict_tile(padded[place]).mul_(weights)
        if logits is None:
            logits = part.new_zeros((len(part), *total.shape), dtype=torch.half)
        logits[place] += part
        total[tile] += weights
    assert logits is not None
    torch.div(logits, total, out=logits)
    if torch.isinf(logits).any():
        raise HostError("the network's logits are too large for half precision", Fault.VALUES)
    unpadded = (slice(None), *inside[1:])
    return logits[unpadded]


@lru_cache(maxsize=2)
def gaussian(patch_size: tuple[int, ...], device: torch.device) -> Tensor:
    """Weights of a tile's voxels: the host's, as the product of its Gaussians along the axes."""
    weights = torch.tensor(float(GAUSSIAN_PEAK), dtype=torch.float64)
    for size in patch_size:
        along = compute_gaussian((size,), dtype=torch.float64, device=torch.device("cpu"))
        weights = weights[..., None] * along
    weights = weights.to(torch.half)
    # Never zero, because voxels that no other tile covers are divided by it.
    return weights.clamp_(min=weights[weights > 0].min()).to(device)
