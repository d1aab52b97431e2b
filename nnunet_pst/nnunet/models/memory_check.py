"""The network that a model's plans describe, with its weights: built only when the two agree.

Plans from strangers may describe a network of any size. Where the host's code or ours builds it, it
is built on torch's ``meta`` device first, where tensors have shapes and no memory, and its size is
compared with the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from nnunet_pst.errors import Fault, InputError, Problem

#: Trainers whose networks can be built without memory; others may compute while they build.
WEIGHABLE = (
    "nnunet_pst.nnunet.training.base_trainer",
    "nnunetv2.training.nnUNetTrainer.nnUNetTrainer",
)


def weighed_network(
    make: Callable[[], nn.Module],
    weights: Sequence[dict[str, Any]],
    where: str,
    *,
    patch: tuple[int, ...] | None,
    maps: tuple[int, int],
) -> nn.Module:
    """Build a model's network and load the weights of every fold in turn, those of the first last.

    Parameters
    ----------
    make
        Builds the network.
    weights
        A state dict for each fold.
    where
        Name of the model, for messages.
    patch
        Size of a patch of the plans; None when the network cannot be built without memory.
    maps
        Channels in, maps out.

    Raises
    ------
    InputError
        When the plans describe no valid network, or one that the weights don't fit.
    """
    if patch is not None:
        with torch.device("meta"):
            sketch = _built(make, where)
            _try_patch(sketch, patch, maps, where)
        shapes = {name: tensor.shape for name, tensor in sketch.state_dict().items()}
        # Names may differ a little where a model is older; loading decides about those.
        if sum(shape.numel() for shape in shapes.values()) > _numbers_in(weights[0]) + len(shapes):
            raise InputError([_misfit(where)])
    network = _built(make, where)
    try:
        for state in reversed(weights):
            network.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise InputError([_misfit(where)]) from error
    return network


def _numbers_in(weights: dict[str, Any]) -> int:
    return sum(tensor.numel() for tensor in weights.values() if isinstance(tensor, torch.Tensor))


def _misfit(where: str) -> Problem:
    return Problem(
        f"{where}: the weights don't fit the network of its plans; get it again",
        Fault.CONTRADICTION,
    )


def _built(make: Callable[[], nn.Module], where: str) -> nn.Module:
    try:
        return make()
    except InputError as error:
        raise InputError(error.within(f"{where}: plans.json")) from error
    except Exception as error:  # classes answer wrong settings with many types
        raise InputError(
            f"{where}: plans.json describes a network that cannot be built "
            f"({type(error).__name__}); get the model again",
            Fault.MALFORMED,
        ) from error


def _try_patch(
    network: nn.Module, size: tuple[int, ...], maps: tuple[int, int], where: str
) -> None:
    """Refuse a network that does not turn a patch of its plans into maps of the same size."""
    channels, classes = maps
    if len(size) == 3 and hasattr(network, "forward_volume"):
        return  # ours looks for air in the image, and takes any size
    try:
        with torch.inference_mode():
            shape = network.eval()(torch.empty((1, channels, *size))).shape
    except Exception as error:  # torch's layers raise errors of many types
        raise InputError([_wrong_patch(where, size)]) from error
    if tuple(shape) != (1, classes, *size):
        raise InputError([_wrong_patch(where, size)])


def _wrong_patch(where: str, size: tuple[int, ...]) -> Problem:
    return Problem(
        f"{where}: plans.json: its network does not take patches of "
        f"{' x '.join(map(str, size))}; get the model again",
        Fault.CONTRADICTION,
    )
