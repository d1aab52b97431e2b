"""From what a trained model's files say to its network, ready to predict.

Does what the host's ``initialize_from_trained_model_folder`` does (nnunet-v2
``inference/predict_from_raw_data.py``), from contents that were checked. Our own networks go
without the host's trainers and predictor, whose import takes seconds.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import io
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from nnunet_pst.calibration.signs import SignsOfNetworks
from nnunet_pst.errors import Fault, HostError, InputError
from nnunet_pst.network.unet25d import NETWORK_CLASS, Unet25D
from nnunet_pst.nnunet.environment import TRAINER_VARIABLE, trainer_folder, trainer_path
from nnunet_pst.nnunet.models.memory_check import WEIGHABLE, weighed_network
from nnunet_pst.nnunet.models.own_network import Answer, OwnNetwork


class Network(Protocol):
    """The folds of a model on their device."""

    @property
    def precision(self) -> str:
        """Numbers in which products are taken."""

    def predict(self, data: Tensor) -> Answer:
        """Predict a preprocessed case (c, z, y, x), which is on the CPU."""


@dataclass(frozen=True)
class HostParts:
    """The host's objects that describe a model: plans, one configuration of them, labels.

    Attributes
    ----------
    dataset
        Content of ``dataset.json``.
    """

    plans: Any
    configuration: Any
    labels: Any
    dataset: dict[str, Any]

    @property
    def channels(self) -> int:
        """How many channels the network takes."""
        from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels

        return int(determine_num_input_channels(self.plans, self.configuration, self.dataset))


def host_parts(
    plans: dict[str, Any], dataset: dict[str, Any], configuration: str, where: str
) -> HostParts:
    """Let the host read plans and dataset.

    Raises
    ------
    InputError
        When this package does not support the model.
    """
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    manager = PlansManager(plans)
    settings = manager.get_configuration(configuration)
    if settings.previous_stage_name is not None:
        raise InputError(
            f"{where}: is the second stage of a cascade, which is not supported", Fault.UNSUPPORTED
        )
    return HostParts(manager, settings, manager.get_label_manager(dataset), dataset)


def build_network(
    host: HostParts,
    checkpoints: Sequence[dict[str, Any]],
    where: str,
    *,
    device: str,
    engine: str,
    mirroring: bool,
) -> Network:
    """Build a model's network with the weights of every fold.

    Parameters
    ----------
    checkpoints
        Of every fold, of one trainer and configuration.
    where
        The model, for messages.
    device, engine, mirroring
        As for `nnunet_pst.nnunet.models.prediction.load_model`.

    Raises
    ------
    InputError
        When the weights don't fit, or the engine doesn't support the network.
    HostError
        When the trainer or the engine isn't installed.
    """
    name = str(checkpoints[0]["trainer_name"])
    weights = [checkpoint["network_weights"] for checkpoint in checkpoints]
    make, weighable = _maker(host, name, where)
    network = weighed_network(
        make,
        weights,
        where,
        patch=tuple(host.configuration.patch_size) if weighable else None,
        maps=(host.channels, host.labels.num_segmentation_heads),
    )
    axes = checkpoints[0].get("inference_allowed_mirroring_axes")
    if not isinstance(network, Unet25D):
        if engine != "torch":
            raise InputError(
                f"{where}: --engine {engine} computes this package's own networks only; use "
                "--engine torch",
                Fault.UNSUPPORTED,
            )
        return _StockNetwork(host, network, weights, name, axes if mirroring else None, device)
    folds = [copy.deepcopy(network) for _ in weights]
    for fold, state in zip(folds, weights, strict=True):
        fold.load_state_dict(state)
    return OwnNetwork(
        folds,
        patch_size=host.configuration.patch_size,
        mirror_axes=(axes or ()) if mirroring else (),
        device=device,
        engine=engine,
    )


def _is_ours(host: HostParts, trainer: str) -> bool:
    """Whether the model is one of our networks, trained by one of our trainers."""
    known = {file.stem for file in trainer_folder().glob("nnUNetTrainer*.py")}
    return trainer in known and host.configuration.network_arch_class_name == NETWORK_CLASS


def _own(host: HostParts) -> Unet25D:
    return Unet25D(
        host.channels,
        host.labels.num_segmentation_heads,
        **host.configuration.network_arch_init_kwargs,
    )


def _maker(host: HostParts, name: str, where: str) -> tuple[Callable[[], nn.Module], bool]:
    """Return a function that builds the network, and whether it can do so without memory."""
    if _is_ours(host, name):
        return lambda: _own(host), True
    trainer = _find_trainer(name, where)
    if "plans_manager" not in inspect.signature(trainer.build_network_architecture).parameters:
        raise HostError(
            f"{name[:80]} was written for an older nnU-Net; update it", Fault.UNSUPPORTED
        )

    def make() -> nn.Module:
        """Let the trainer build its network, as the host's commands do."""
        network: nn.Module = trainer.build_network_architecture(
            host.plans,
            host.configuration,
            host.channels,
            host.labels.num_segmentation_heads,
            enable_deep_supervision=False,
        )
        return network

    return make, trainer.build_network_architecture.__module__ in WEIGHABLE


def _find_trainer(name: str, where: str) -> Any:
    """Let the host look for a trainer, also in our folder if the shell does not list it."""
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

    listed = os.environ.get(TRAINER_VARIABLE, "")
    os.environ[TRAINER_VARIABLE] = trainer_path(listed)
    try:
        return recursive_find_trainer_class_by_name(name)
    except (RuntimeError, AssertionError) as error:
        raise HostError(
            f"{where}: was trained with {name[:80]}, which is not installed; install its package, "
            f"or add its folder to {TRAINER_VARIABLE}",
            Fault.NOT_INSTALLED,
        ) from error
    finally:
        if listed:
            os.environ[TRAINER_VARIABLE] = listed
        else:
            del os.environ[TRAINER_VARIABLE]


class _StockNetwork:
    """Any network of nnU-Net's, through its predictor."""

    def __init__(
        self,
        host: HostParts,
        network: Any,
        weights: list[Any],
        trainer: str,
        mirror_axes: Any,
        device: str,
    ) -> None:
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

        self._networks = len(weights)
        # Without axes the host mirrors nothing, as without mirroring.
        self._predictor = nnUNetPredictor(device=torch.device(device), allow_tqdm=False)
        self._predictor.manual_initialization(
            network, host.plans, host.configuration, weights, host.dataset, trainer, mirror_axes
        )
        # The host mixes precisions on a GPU alone.
        self.precision = "float32" if device == "cpu" else "float16"

    def predict(self, data: Tensor) -> Answer:
        logits: Tensor = self._predictor.predict_logits_from_preprocessed_data(data).cpu()
        if self._networks > 1:
            # The host keeps the mean alone, which is less sure than the networks that a
            # calibration looks at one by one.
            return Answer(logits, None)
        signs = SignsOfNetworks()
        signs.add(logits.numpy())
        return Answer(logits, signs.all_together())


@contextlib.contextmanager
def quiet_host() -> Iterator[None]:
    """Suppress what the host prints; this package reports what a user has to know."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield
