"""ImageNet weights for the encoder: from a file, from the hub, or none; the log says which.

The environment variable ``NNUNET_PST_ENCODER_WEIGHTS`` chooses: a file (safetensors, or a
torchvision state dict), ``none`` for random weights, or unset for the hub of
segmentation_models_pytorch.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.digests import file_digest
from nnunet_pst.network import ENCODER_WEIGHTS_VARIABLE as VARIABLE
from nnunet_pst.network import FirstLayer
from nnunet_pst.network.first_layer import spread_over_slices
from nnunet_pst.network.unet25d import Unet25D

#: The remedy in every message about missing weights.
WAYS_ON = (
    f"set {VARIABLE} to a file with the encoder's weights (safetensors, or a torchvision state "
    f"dict such as mobilenet_v2-b0353104.pth), or to 'none' to train from random weights"
)

#: Channels of the images that encoders are pretrained on.
COLORS = 3


def load_encoder_weights(
    network: Unet25D, encoder: str, *, first_layer: FirstLayer, freeze_norms: bool = False
) -> str:
    """Put pretrained weights into the encoder of ``network``, in place.

    Parameters
    ----------
    first_layer
        How the filters of the first layer are spread over the slices of a bag.
    freeze_norms
        Keep the pretrained mean and variance of the batch norms; no effect on random weights.

    Returns
    -------
    One line for the log: the origin of the weights, with the SHA-256 of a file.

    Raises
    ------
    InputError
        The weights are missing or don't fit; the message says how to go on.
    """
    choice = os.environ.get(VARIABLE, "")
    if choice.lower() == "none":
        return f"none: random weights, as {VARIABLE} says"
    if choice:
        path = Path(choice)
        pretrained, origin = _encoder_from_file(encoder, path), _fingerprint(path)
    else:
        pretrained, origin = _encoder_from_hub(encoder), f"ImageNet, hub of smp, {encoder}"
    state = pretrained.state_dict()
    first = _first_convolution(pretrained)
    state[first] = spread_over_slices(
        state[first], network.in_channels, network.slices_per_bag, first_layer
    )
    network.unet.encoder.load_state_dict(state)
    network.to(memory_format=torch.channels_last)
    if freeze_norms:
        network.freeze_encoder_norms()
    return origin


def _first_convolution(encoder: nn.Module) -> str:
    """Return the name of the weights that see the image: of the first convolution of colors."""
    return next(
        f"{name}.weight"
        for name, module in encoder.named_modules()
        if isinstance(module, nn.Conv2d) and module.in_channels == COLORS
    )


def _fingerprint(path: Path) -> str:
    # The name alone: paths must not get into logs.
    return f"file {path.name}, sha256 {file_digest(path)}"


def _encoder_from_hub(encoder: str) -> Any:  # noqa: ANN401 (smp has no types)
    from segmentation_models_pytorch.encoders import get_encoder

    try:
        model = get_encoder(encoder, in_channels=3, weights="imagenet")
    except Exception as error:  # hub, network and cache fail with many types
        raise InputError(
            f"the ImageNet weights of {encoder} cannot be downloaded from the hub "
            f"({type(error).__name__}): {WAYS_ON}",
            Fault.MISSING,
        ) from error
    return model


def _encoder_from_file(encoder: str, path: Path) -> Any:  # noqa: ANN401 (smp has no types)
    from segmentation_models_pytorch.encoders import get_encoder

    state = _read_state(path)
    model = get_encoder(encoder, in_channels=3, weights=None)
    tensors = model.state_dict()
    problems = [
        f"{path.name}: no tensor '{name}' of shape {tuple(tensor.shape)}"
        for name, tensor in tensors.items()
        # A counter of batches that nothing here reads; files from other frameworks lack it.
        if not name.endswith("num_batches_tracked")
        and (name not in state or state[name].shape != tensor.shape)
    ]
    if problems:
        raise InputError(
            f"{problems[0]} and {len(problems) - 1} more: not the weights of {encoder}; {WAYS_ON}",
            Fault.CONTRADICTION,
        )
    tensors.update({name: tensor for name, tensor in state.items() if name in tensors})
    model.load_state_dict(tensors)
    return model


def _read_state(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise InputError(
            f"{VARIABLE} names '{path}', which is not a file: {WAYS_ON}", Fault.MISSING
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        # weights_only: a state dict from a stranger must not run code.
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each format fails with its own types
        raise InputError(
            f"{path.name} cannot be read as weights ({error}): {WAYS_ON}", Fault.DAMAGED
        ) from error
    return state
