"""The same U-Net with fewer operations, for prediction: equal up to rounding.

Batch norms become part of the convolutions before them. The decoder doubles the resolution by
repeating pixels and then convolves; here it convolves first. Several of the nine weights of a 3 x 3
window on repeated pixels meet the same value. So four windows of 2 x 2, one for each copy of a
pixel, give the same sums with 16 multiplications instead of 36 (the "sub-pixel convolution" of doi
10.1109/CVPR.2016.207, with summed instead of learned weights). That saves a third of all
multiplications of the network.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """Fold every batch norm that follows a convolution into it, in place, and return the network.

    The network must be in evaluation mode. A batch norm that doesn't directly follow a convolution
    in a `torch.nn.Sequential` stays as it is.
    """
    for module in network.modules():
        if not isinstance(module, nn.Sequential):
            continue
        names = list(module._modules)
        for name, following in itertools.pairwise(names):
            convolution, norm = module._modules[name], module._modules[following]
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                module._modules[name] = fuse_conv_bn_eval(convolution, norm)
                module._modules[following] = nn.Identity()
    return network.to(memory_format=torch.channels_last)


def merge_upsampling(unet: nn.Module) -> nn.Module:
    """Let every decoder block convolve before it doubles the resolution, in place.

    Parameters
    ----------
    unet
        A ``segmentation_models_pytorch.Unet`` whose batch norms are folded, for images whose sizes
        are multiples of its stride. Blocks that are built otherwise stay as they are.
    """
    parts: Any = unet
    blocks, channels = parts.decoder.blocks, parts.encoder.out_channels[-1]
    for name, block in list(blocks.named_children()):
        if _can_be_merged(block):
            blocks._modules[name] = MergedBlock(block, channels)
        channels = block.conv2[0].out_channels
    return unet.to(memory_format=torch.channels_last)


def _can_be_merged(block: nn.Module) -> bool:
    parts: Any = block
    convolution, norm = parts.conv1[0], parts.conv1[1]
    return (
        parts.interpolation_mode == "nearest"
        and isinstance(convolution, nn.Conv2d)
        and (convolution.kernel_size, convolution.padding) == ((3, 3), (1, 1))
        and (convolution.stride, convolution.dilation, convolution.groups) == ((1, 1), (1, 1), 1)
        and convolution.bias is not None
        and isinstance(norm, nn.Identity)
        and isinstance(parts.attention1.attention, nn.Identity)
    )


class MergedBlock(nn.Module):
    """A decoder block whose first convolution sees the image before its resolution is doubled.

    Parameters
    ----------
    block
        ``UnetDecoderBlock`` of segmentation_models_pytorch, without batch norm behind its first
        convolution.
    channels
        Number of that convolution's inputs that come from the image to be doubled; the others are
        the encoder's features at the doubled resolution.
    """

    def __init__(self, block: nn.Module, channels: int) -> None:
        super().__init__()
        parts: Any = block
        first, outputs = parts.conv1[0], parts.conv1[0].out_channels
        weight, bias = first.weight.detach(), first.bias.detach()
        self.doubling = nn.Conv2d(channels, 4 * outputs, kernel_size=2, padding=1)
        self.doubling.weight = nn.Parameter(_quarters(weight[:, :channels]))
        self.doubling.bias = nn.Parameter(bias.repeat_interleave(4))
        self.skipped: nn.Conv2d | None = None
        if first.in_channels > channels:
            self.skipped = nn.Conv2d(
                first.in_channels - channels, outputs, kernel_size=3, padding=1, bias=False
            )
            self.skipped.weight = nn.Parameter(weight[:, channels:].contiguous())
        self.rest = nn.Sequential(*list(parts.conv1)[2:], parts.conv2, parts.attention2)

    def forward(
        self, feature_map: Tensor, *target: object, skip_connection: Tensor | None = None
    ) -> Tensor:
        """Compute as the block: ``(b, c, y, x)`` to ``(b, k, 2*y, 2*x)``; the target is ignored."""
        # A window of 2 x 2 on the padded image has one more place than the image along each axis.
        # It gives the second half of a pixel and the first half of the next, and so a superfluous
        # row or column on every side.
        image = F.pixel_shuffle(self.doubling(feature_map), 2)[..., 1:-1, 1:-1]
        if self.skipped is not None:
            image = image + self.skipped(skip_connection)
        result: Tensor = self.rest(image)
        return result


#: Which of three weights along an axis meet which of two pixels, for both halves of a pixel: the
#: second half of pixel j - 1 sees j - 1, j - 1, j; the first half of pixel j sees j - 1, j, j.
_HALVES = (((1.0, 1.0, 0.0), (0.0, 0.0, 1.0)), ((1.0, 0.0, 0.0), (0.0, 1.0, 1.0)))


def _quarters(weight: Float[Tensor, "k c 3 3"]) -> Float[Tensor, "k4 c 2 2"]:
    """Add up the weights that meet the same pixel, for each quarter of a pixel.

    The quarters have the order of `torch.nn.functional.pixel_shuffle`.
    """
    halves = weight.new_tensor(_HALVES)
    quarters = torch.einsum("pij,qkl,ocjl->opqcik", halves, halves, weight)
    return quarters.flatten(0, 2).contiguous()
