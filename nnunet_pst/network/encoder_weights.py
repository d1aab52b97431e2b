"""ImageNet weights for the encoder: from a file, from the hub, or none, and never silently.

The environment variable ``NNUNET_PST_ENCODER_WEIGHTS`` chooses: a file (safetensors, or a
torchvision state dict), ``none`` for random weights, or unset for the hub of
segmentation_models_pytorch.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nnunet_pst.errors import InputError
from nnunet_pst.network.unet25d import Unet25D

VARIABLE = "NNUNET_PST_ENCODER_WEIGHTS"

#: What to type when there are no weights; part of every message about them.
WAYS_ON = (
    f"set {VARIABLE} to a file with the encoder's weights (safetensors, or a torchvision state "
    f"dict such as mobilenet_v2-b0353104.pth), or to 'none' to train from random weights"
)


def load_encoder_weights(network: Unet25D, encoder: str, *, freeze_norms: bool = False) -> str:
    """Put pretrained weights into the encoder of ``network``, in place.

    Parameters
    ----------
    freeze_norms
        Keep the pretrained mean and variance of the batch norms; random weights have none to keep.

    Returns
    -------
    One line for the log: what was used, with the SHA-256 of a file.

    Raises
    ------
    InputError
        The weights can't be had or don't fit; the message says how to go on.
    """
    choice = os.environ.get(VARIABLE, "")
    if choice.lower() == "none":
        return f"none: random weights, as {VARIABLE} says"
    if choice:
        path = Path(choice)
        pretrained, origin = _encoder_from_file(encoder, path), _fingerprint(path)
    else:
        pretrained, origin = _encoder_from_hub(encoder), f"ImageNet, hub of smp, {encoder}"
    # Adapts the first layer to the channels of a bag the way smp does for its own weights.
    pretrained.set_in_channels(network.in_channels * network.slices_per_bag, pretrained=True)
    network.unet.encoder.load_state_dict(pretrained.state_dict())
    network.to(memory_format=torch.channels_last)
    if freeze_norms:
        network.freeze_encoder_norms()
    return origin


def _fingerprint(path: Path) -> str:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    # The name alone: a path may tell more about a machine or a person than a log should.
    return f"file {path.name}, sha256 {digest}"


def _encoder_from_hub(encoder: str) -> Any:  # noqa: ANN401 (smp has no types)
    from segmentation_models_pytorch.encoders import get_encoder

    try:
        model = get_encoder(encoder, in_channels=3, weights="imagenet")
    except Exception as error:  # any failure of hub, network or cache ends the same way
        raise InputError(
            f"the ImageNet weights of {encoder} can't be had from the hub "
            f"({type(error).__name__}): {WAYS_ON}"
        ) from error
    return model


def _encoder_from_file(encoder: str, path: Path) -> Any:  # noqa: ANN401 (smp has no types)
    from segmentation_models_pytorch.encoders import get_encoder

    state = _read_state(path)
    model = get_encoder(encoder, in_channels=3, weights=None)
    wanted = model.state_dict()
    problems = [
        f"{path.name}: no tensor '{name}' of shape {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        # Counts batches seen, used by nothing here; files from other frameworks lack it.
        if not name.endswith("num_batches_tracked")
        and (name not in state or state[name].shape != tensor.shape)
    ]
    if problems:
        raise InputError(
            f"{problems[0]} and {len(problems) - 1} more: not the weights of {encoder}; {WAYS_ON}"
        )
    wanted.update({name: tensor for name, tensor in state.items() if name in wanted})
    model.load_state_dict(wanted)
    return model


def _read_state(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise InputError(f"{VARIABLE} names '{path}', which is no file: {WAYS_ON}")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        # weights_only: a state dict from a stranger must not be able to run code.
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each format fails in its own way; all mean the same
        raise InputError(f"{path.name} can't be read as weights ({error}): {WAYS_ON}") from error
    return state
