"""The first layer of a pretrained encoder, spread over the slices of a bag.

The pretrained layer has a filter for each of three colors; a bag has slices, of one or several
sequences. How the colors' filters meet the slices decides what an untrained network sees of the
neighbors; the paper leaves it open (``docs/paper.md``).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from nnunet_pst.network import FirstLayer

#: Share of each neighbor in the sum of a sequence's filters; the center slice has the rest. ``rgb``
#: has no shares: it deals the colors out.
_NEIGHBOR_SHARES = {"center": 0.0, "near": 0.1}


def spread_over_slices(
    weight: Float[Tensor, "out 3 y x"], channels: int, slices: int, kind: FirstLayer
) -> Float[Tensor, "out cs y x"]:
    """Return the weights of a first layer that takes bags, sequence-major.

    An image that is the same in all slices and sequences gets the pretrained layer's answer to a
    gray image; of ``rgb`` only where its colors can be dealt out evenly.

    Parameters
    ----------
    weight
        Of the pretrained layer.
    channels, slices
        Sequences of a bag, and slices of each (odd).
    kind
        ``rgb``: one color's filter for each slice, in turn, as segmentation_models_pytorch adapts
        its encoders (``patch_first_conv``).
        ``center``: the sum of the three filters on the center slice, nothing on its neighbors, so
        that training starts as the network of one slice (the central frame initialization of
        Arnab et al. 2021, ViViT, section 3.4, doi 10.1109/ICCV48922.2021.00676).
        ``near``: as ``center``, with a tenth of the sum on each neighbor.
        ``mean``: the sum in equal shares on all slices.
    """
    if kind == "rgb":
        count = channels * slices
        if count == 1:
            return weight.sum(dim=1, keepdim=True)
        colors = torch.arange(count, device=weight.device) % weight.shape[1]
        return weight[:, colors] * (weight.shape[1] / count)
    neighbor = _NEIGHBOR_SHARES.get(kind, 1 / slices)
    shares = weight.new_full((slices,), neighbor)
    shares[slices // 2] = 1 - neighbor * (slices - 1)
    gray = weight.sum(dim=1, keepdim=True)
    return gray * (shares.repeat(channels) / channels)[None, :, None, None]
