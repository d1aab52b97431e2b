"""The 2.5D U-Net: a MobileNetV2 U-Net over bags of neighboring slices, usable as a 3D network.

Two inputs, one set of weights. Training feeds ready bags ``(b, c*s, y, x)``. Prediction feeds
volumes ``(b, c, z, y, x)``, from which the network makes the bags itself, so that nnU-Net's own
predictor, validation, ensembling and export run unchanged on a three-dimensional patch.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeGuard, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nnunet_pst.errors import Fault, InputError, Problem
from nnunet_pst.network.bags import BagFormat, Intensity, volume_logits
from nnunet_pst.network.folding import fold_batch_norms, merge_upsampling
from nnunet_pst.network.intensity import find_content

#: The class below as plans name it; trained plans do, so neither may be renamed or moved.
NETWORK_CLASS = "nnunet_pst.network.unet25d.Unet25D"

_LOG = logging.getLogger(__name__)
#: Larger settings are mistakes or attacks: sides of an image in pixels, slices of a study.
MOST_CANVAS, MOST_SLICES = 2048, 255


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
        Odd number of neighboring slices; 1 is the paper's 2D network.
    encoder
        Name of an encoder of segmentation_models_pytorch.
    canvas
        Smallest in-plane size for prediction, in pixels: the training crop. Batch norm and decoder
        have learned from crops of this size with their empty borders.
    intensity
        ``unit``: volumes are mapped by `nnunet_pst.network.intensity.to_unit_range`, bags must
        have been.
        ``host``: values are used as nnU-Net normalized them.
    slices_at_once
        How many slices of a volume are computed together; ``None``: two on a CPU (fastest there,
        with and without `nnunet_pst env`'s allocator settings), 16 on an accelerator.

    Raises
    ------
    InputError
        When a setting, which may come from plans, is impossible.
    """

    def __new__(cls, *_: object, **keywords: object) -> Unet25D:
        """Explain the likeliest slip: a stock trainer builds networks with keywords of its own."""
        if "input_channels" in keywords:
            raise SystemExit(
                "error: this configuration needs a trainer of nnunet_pst: add -tr "
                "nnUNetTrainerPST25D (or another one that `nnunet_pst info` lists)"
            )
        return super().__new__(cls)

    # Trained plans name these keywords (``arch_kwargs``) and the host calls it with them: they must
    # stay, and cannot become one dataclass.

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
        # In a tuple, because a submodule would appear in the state dict.
        self._folded: tuple[nn.Module] | None = None
        self._warned_of_tiles = False
        # In the state dict, so that a resumed or fine-tuned training goes on as it began.
        self.encoder_norms_frozen: Tensor
        self.register_buffer("encoder_norms_frozen", torch.tensor(False))
        self.register_load_state_dict_pre_hook(  # type: ignore[no-untyped-call]
            _norms_of_older_models
        )
        self.register_load_state_dict_post_hook(_forget_folded)  # type: ignore[no-untyped-call]

    def train(self, mode: bool = True) -> Unet25D:
        """Switch the mode, and discard what was folded from earlier weights."""
        self._folded = None
        super().train(mode)
        if mode and self.encoder_norms_frozen:
            for module in self.unet.encoder.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def freeze_encoder_norms(self) -> None:
        """Keep the mean and variance of the encoder's batch norms as they are, from now on.

        Their scale and shift still learn. Statistics of a few patients do not fit the next one;
        those of ImageNet do (``docs/decisions/0035``).
        """
        self.encoder_norms_frozen.fill_(True)
        self.train(self.training)

    def inference_unet(self) -> nn.Module:
        """Return the U-Net with fewer operations and the same answers, made once.

        It takes bags that are `nnunet_pst.network.bags.BagFormat.ready`.
        """
        if self._folded is None:
            unet = fold_batch_norms(copy.deepcopy(self.unet))
            on_cpu = next(unet.parameters()).device.type == "cpu"
            # Faster on a CPU; not measured on other devices.
            self._folded = (merge_upsampling(unet) if on_cpu else unet,)
        return self._folded[0]

    @property
    def bag_format(self) -> BagFormat:
        """Slices, canvas and intensity of the network's bags."""
        return BagFormat(self.slices_per_bag, self.canvas, self.intensity, self.num_classes)

    @property
    def batch_size(self) -> int:
        """How many slices of a volume are computed together."""
        on_cpu = self.encoder_norms_frozen.device.type == "cpu"
        return self.slices_at_once or (2 if on_cpu else 16)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits: ``(b, k, y, x)`` for bags, ``(b, k, z, y, x)`` for volumes."""
        if x.ndim == 4:
            return self.forward_bags(x)
        if x.ndim == 5:
            return torch.stack([self.forward_volume(volume) for volume in x])
        raise ValueError(f"expected bags (b, c*s, y, x) or volumes (b, c, z, y, x), got {x.shape}")

    def forward_bags(self, bags: Float[Tensor, "b cs y x"]) -> Float[Tensor, "b k y x"]:
        """Logits of the center slices of bags of any in-plane size."""
        bag_format = self.bag_format
        (logits,) = self.run_bags([bag_format.ready(bags)])
        rows, columns = bag_format.window(*bags.shape[-2:])
        return logits[..., rows, columns]

    def forward_volume(self, volume: Float[Tensor, "c z y x"]) -> Float[Tensor, "k z y x"]:
        """Logits of every slice of one volume; padding is not computed and gets zeros.

        The result is a fresh tensor: nnU-Net's predictor adds mirrored outputs to it in place.
        """
        self._warn_of_tiles(volume)
        return volume_logits(volume, self.bag_format, self.run_bags, at_once=self.batch_size)

    def _warn_of_tiles(self, volume: Tensor) -> None:
        """Warn once if this is probably a tile: plans leave slices to spare above every case.

        A tile of an image that is larger within slices only cannot be told from a whole image.
        """
        if self._warned_of_tiles or self.intensity != "unit":
            return
        if find_content(volume).present.all():
            self._warned_of_tiles = True
            # By logging, which a host that silences Python's warnings still shows.
            _LOG.warning(
                "warning: an image fills all %d slices of the plans' patch; if it has more, nnU-Net"
                " cuts it into tiles, each with a gray scale of its own, and its mask may be wrong "
                "(nnunet_pst segment uses one gray scale for the image)",
                volume.shape[1],
            )

    def run_bags(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        """Logits of batches of ready bags, in order (`nnunet_pst.network.bags.RunBags`)."""
        plain = self.training or torch.is_grad_enabled()
        unet = self.unet if plain else self.inference_unet()
        for bags in batches:
            yield unet(bags.contiguous(memory_format=torch.channels_last))


def _check_settings(
    slices_per_bag: object,
    encoder: object,
    canvas: object,
    intensity: object,
    slices_at_once: object,
    *,
    encoders: Sequence[str],
) -> None:
    """Refuse impossible settings, all at once."""
    checks = [
        (
            _is_count(slices_per_bag, MOST_SLICES) and slices_per_bag % 2 == 1,
            f"slices_per_bag is {slices_per_bag!r}; it must be an odd whole number",
            Fault.OUT_OF_RANGE,
        ),
        (
            encoder in encoders,
            f"encoder is {encoder!r}; segmentation_models_pytorch has none of that name",
            Fault.UNKNOWN_NAME,
        ),
        (
            _is_count(canvas, MOST_CANVAS),
            f"canvas is {canvas!r}; it must be a whole number up to {MOST_CANVAS}",
            Fault.OUT_OF_RANGE,
        ),
        (
            intensity in get_args(Intensity),
            f"intensity is {intensity!r}; it must be 'unit' or 'host'",
            Fault.UNKNOWN_NAME,
        ),
        (
            slices_at_once is None or _is_count(slices_at_once, MOST_SLICES),
            f"slices_at_once is {slices_at_once!r}; it must be a whole number, or absent",
            Fault.OUT_OF_RANGE,
        ),
    ]
    problems = [Problem(text, fault) for fine, text, fault in checks if not fine]
    if problems:
        raise InputError(problems)


def _is_count(value: object, most: int) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most


def _norms_of_older_models(
    network: Unet25D, state: dict[str, Tensor], prefix: str, *_: object
) -> None:
    """Models from before the flag existed have learned their norms."""
    state.setdefault(f"{prefix}encoder_norms_frozen", torch.tensor(False))


def _forget_folded(network: Unet25D, _: object) -> None:
    network._folded = None
