"""The 2.5D U-Net: a MobileNetV2 U-Net over bags of neighbouring slices, usable as a 3D network.

Two inputs, one set of weights. Training feeds ready bags ``(b, c*s, y, x)``. Prediction feeds
volumes ``(b, c, z, y, x)``, from which the network makes the bags itself, so that nnU-Net's own
predictor, validation, ensembling and export run unchanged on a three-dimensional patch.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from typing import Literal, TypeGuard, get_args

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from nnunet_pst.errors import InputError
from nnunet_pst.intensity import find_content, to_unit_range
from nnunet_pst.slices import bag_members

#: The encoder halves the resolution five times, so in-plane sizes must be multiples of this.
STRIDE = 32

#: Mean and standard deviation of ImageNet in [0, 1], averaged over its three colours; what the
#: pretrained encoder expects (torchvision.transforms, ``IMAGENET1K_V1``).
IMAGENET_MEAN, IMAGENET_STD = 0.449, 0.226

Intensity = Literal["unit", "host"]

#: Beyond these, a setting is a slip or means harm: sides of an image in pixels, slices of a study.
MOST_CANVAS, MOST_SLICES = 2048, 255


def padded_size(size: int, canvas: int) -> int:
    """Smallest multiple of `STRIDE` that holds ``size`` and is no smaller than ``canvas``."""
    return -(-max(size, canvas) // STRIDE) * STRIDE


class Unet25D(nn.Module):
    """U-Net with an ImageNet-style encoder over bags of slices.

    With one channel and bags of three slices this is the paper's network: 6.63 M parameters
    (doi 10.1186/s40644-025-00850-8, Methods).

    Parameters
    ----------
    in_channels
        Number of image channels (sequences), not counting the slices of a bag.
    num_classes
        Number of output maps; nnU-Net's ignore label has none.
    slices_per_bag
        Odd number of neighbouring slices; 1 is the paper's 2D network.
    encoder
        Name of an encoder of segmentation_models_pytorch.
    canvas
        In-plane size below which nothing is ever predicted: the training crop. Batch norm and
        decoder have learnt with borders as empty as that crop's.
    intensity
        ``unit``: volumes are mapped by `nnunet_pst.intensity.to_unit_range`, bags must have been.
        ``host``: values are used as nnU-Net normalised them.
    slices_at_once
        How many slices of a volume are computed together; ``None``: two on a CPU (fastest there,
        with and without `nnunet_pst env`'s allocator settings), 16 on an accelerator.

    Raises
    ------
    InputError
        When a setting, which may come from plans, can't be.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        slices_per_bag: int = 3,
        encoder: str = "mobilenet_v2",
        canvas: int = 224,
        intensity: Intensity = "unit",
        slices_at_once: int | None = None,
    ) -> None:
        super().__init__()
        # Imported here: it takes two seconds and pulls in timm and a model hub client.
        import segmentation_models_pytorch as smp

        settings = (slices_per_bag, encoder, canvas, intensity, slices_at_once)
        _check_settings(*settings, encoders=smp.encoders.get_encoder_names())
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.slices_per_bag = slices_per_bag
        self.canvas = canvas
        self.intensity = intensity
        self.slices_at_once = slices_at_once
        self.unet = smp.Unet(
            encoder,
            encoder_weights=None,
            in_channels=in_channels * slices_per_bag,
            classes=num_classes,
        )
        self.to(memory_format=torch.channels_last)
        # In a tuple, so that it is no submodule: it must not appear in the state dict.
        self._folded: tuple[nn.Module] | None = None
        # In the state dict, so that a resumed or fine-tuned training goes on as it began.
        self.encoder_norms_frozen: Tensor
        self.register_buffer("encoder_norms_frozen", torch.tensor(False))
        self.register_load_state_dict_pre_hook(  # type: ignore[no-untyped-call]
            _norms_of_older_models
        )
        self.register_load_state_dict_post_hook(_forget_folded)  # type: ignore[no-untyped-call]

    def train(self, mode: bool = True) -> Unet25D:
        """Switch the mode; what was folded from other weights is forgotten."""
        self._folded = None
        super().train(mode)
        if mode and self.encoder_norms_frozen:
            for module in self.unet.encoder.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def freeze_encoder_norms(self) -> None:
        """Keep the mean and variance of the encoder's batch norms as they are, from now on.

        Their scale and shift still learn. What batch norms remember of a few patients does not
        hold for the next one; what they remember of ImageNet does (``docs/decisions/0035``).
        """
        self.encoder_norms_frozen.fill_(True)
        self.train(self.training)

    def _inference_unet(self) -> nn.Module:
        """Return the U-Net with its batch norms folded into its convolutions, made once."""
        if self._folded is None:
            self._folded = (fold_batch_norms(copy.deepcopy(self.unet)),)
        return self._folded[0]

    def forward(self, x: Tensor) -> Tensor:
        """Return logits: ``(b, k, y, x)`` for bags, ``(b, k, z, y, x)`` for volumes."""
        if x.ndim == 4:
            return self.forward_bags(x)
        if x.ndim == 5:
            return torch.stack([self.forward_volume(volume) for volume in x])
        raise ValueError(f"expected bags (b, c*s, y, x) or volumes (b, c, z, y, x), got {x.shape}")

    def forward_bags(self, bags: Float[Tensor, "b cs y x"]) -> Float[Tensor, "b k y x"]:
        """Logits of the centre slices of ready bags of any in-plane size."""
        rows, columns = bags.shape[-2:]
        below = padded_size(rows, self.canvas) - rows
        right = padded_size(columns, self.canvas) - columns
        top, left = below // 2, right // 2
        bags = F.pad(bags, (left, right - left, top, below - top))
        if self.intensity == "unit":
            bags = (bags - IMAGENET_MEAN) / IMAGENET_STD
        plain = self.training or torch.is_grad_enabled()
        unet = self.unet if plain else self._inference_unet()
        logits: Tensor = unet(bags.contiguous(memory_format=torch.channels_last))
        return logits[..., top : top + rows, left : left + columns]

    def forward_volume(self, volume: Float[Tensor, "c z y x"]) -> Float[Tensor, "k z y x"]:
        """Logits of every slice of one volume; what is only padding is not computed and gets zeros.

        The result is a fresh tensor: nnU-Net's predictor adds mirrored outputs to it in place.
        """
        content = find_content(volume)
        logits = volume.new_zeros((self.num_classes, *volume.shape[1:]))
        if not content.present.any():
            return logits
        image = volume[:, :, content.rows, content.columns]
        if self.intensity == "unit":
            # The percentiles of the image itself, so that padding slices change nothing.
            image = image.clone()
            index = torch.from_numpy(np.flatnonzero(content.present)).to(image.device)
            image[:, index] = to_unit_range(image[:, index])
        members = bag_members(content.present, self.slices_per_bag)
        wanted = np.flatnonzero(content.present)
        at_once = self.slices_at_once or (2 if volume.device.type == "cpu" else 16)
        for start in range(0, len(wanted), at_once):
            chunk = wanted[start : start + at_once]
            part = self.forward_bags(make_bags(image, members[chunk])).transpose(0, 1)
            place = torch.from_numpy(chunk).to(logits.device)
            logits[:, place, content.rows, content.columns] = part.to(logits.dtype)
        return logits


def _check_settings(
    slices_per_bag: object,
    encoder: object,
    canvas: object,
    intensity: object,
    slices_at_once: object,
    *,
    encoders: Sequence[str],
) -> None:
    """Refuse what no network can be made with, all of it at once."""
    checks = {
        f"slices_per_bag is {slices_per_bag!r}; it must be an odd whole number": (
            _is_count(slices_per_bag, MOST_SLICES) and slices_per_bag % 2 == 1
        ),
        f"encoder is {encoder!r}; segmentation_models_pytorch has none of that name": encoder
        in encoders,
        f"canvas is {canvas!r}; it must be a whole number up to {MOST_CANVAS}": _is_count(
            canvas, MOST_CANVAS
        ),
        f"intensity is {intensity!r}; it must be 'unit' or 'host'": intensity
        in get_args(Intensity),
        f"slices_at_once is {slices_at_once!r}; it must be a whole number, or absent": (
            slices_at_once is None or _is_count(slices_at_once, MOST_SLICES)
        ),
    }
    problems = [problem for problem, fine in checks.items() if not fine]
    if problems:
        raise InputError(problems)


def _is_count(value: object, most: int) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most


def _norms_of_older_models(
    network: Unet25D, state: dict[str, Tensor], prefix: str, *_: object
) -> None:
    """Models from before the flag existed have learnt their norms."""
    state.setdefault(f"{prefix}encoder_norms_frozen", torch.tensor(False))


def _forget_folded(network: Unet25D, _: object) -> None:
    network._folded = None


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """Fold every batch norm that follows a convolution into it, in place, and return the network.

    The network must be in evaluation mode. A batch norm that doesn't stand right behind a
    convolution in a `torch.nn.Sequential` stays as it is.
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


def make_bags(
    volume: Float[Tensor, "c z y x"], members: np.ndarray[tuple[int, int], np.dtype[np.intp]]
) -> Float[Tensor, "b cs y x"]:
    """Gather bags from a volume, sequence-major: all slices of channel 0, then of channel 1, ...

    Parameters
    ----------
    volume
        (c, z, y, x).
    members
        (b, s) slice indices, from `nnunet_pst.slices.bag_members`.
    """
    index = torch.from_numpy(members).to(volume.device)
    return volume[:, index].movedim(0, 1).flatten(1, 2)
