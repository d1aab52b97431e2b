"""A trained model, loaded once, that segments cases in this process.

The steps are the stock predictor's own functions in the order of ``nnUNetv2_predict``
(nnunet-v2 ``inference/predict_from_raw_data.py``), without its worker processes, which cost
seconds and a copy of torch each. Loading is ours, because the host reads checkpoints without
restriction; and the sliding window of our own networks, because ours is faster
(`nnunet_pst.nnunet.own_network`). The masks are the same, voxel for voxel, with the engine torch.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import io
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nnunet_pst.errors import HostError, InputError
from nnunet_pst.labels import IGNORE, TUMOR
from nnunet_pst.network.unet25d import Unet25D
from nnunet_pst.nnunet.checkpoints import check_plans, read_checkpoint
from nnunet_pst.nnunet.environment import TRAINER_VARIABLE, trainer_path
from nnunet_pst.nnunet.model_files import ModelFiles, open_model
from nnunet_pst.nnunet.own_network import OwnNetwork
from nnunet_pst.nnunet.raw_dataset import OWN_KEY
from nnunet_pst.segmentation.models import ModelFacts, Prediction
from nnunet_pst.volumes import Volume

FINGERPRINT = "dataset_fingerprint.json"
#: Readers that keep the order of a file's voxels; the others would turn the image first.
_READERS = ("SimpleITKIO", "NibabelIO")


class LoadedModel:
    """A model in memory, ready for any number of cases; see `load_model`."""

    def __init__(self, predictor: Any, own: OwnNetwork | None, facts: ModelFacts) -> None:
        self._predictor, self._own = predictor, own
        self.facts = facts

    def predict(self, channels: Sequence[Volume], *, probability: bool = False) -> Prediction:
        """Segment one case.

        Parameters
        ----------
        channels
            One volume for each of the model's channels, all on one grid.
        probability
            Give the tumour's probability too.

        Raises
        ------
        InputError
            When the number of channels is not the model's.
        HostError
            When the memory (of the device) doesn't suffice.
        """
        if len(channels) != len(self.facts.channels):
            raise InputError(
                f"{self.facts.name} wants {len(self.facts.channels)} channels, got {len(channels)}"
            )
        with quiet_host():
            try:
                return self._predict(channels, probability)
            except (torch.OutOfMemoryError, MemoryError) as error:
                raise HostError(
                    "not enough memory to segment an image of "
                    f"{' x '.join(map(str, channels[0].grid.size_xyz))} voxels; free some, or use "
                    "--device cpu"
                ) from error

    def _predict(self, channels: Sequence[Volume], probability: bool) -> Prediction:
        from nnunetv2.inference.export_prediction import (
            convert_predicted_logits_to_segmentation_with_correct_shape as convert,
        )

        host = self._predictor
        array = np.stack([np.asarray(one.array, dtype=np.float32) for one in channels])
        spacing = [abs(value) for value in channels[0].grid.spacing_zyx_mm]
        preprocessor = host.configuration_manager.preprocessor_class(verbose=False)
        data, _, properties = preprocessor.run_case_npy(
            array,
            None,
            {"spacing": spacing},
            host.plans_manager,
            host.configuration_manager,
            host.dataset_json,
        )
        tensor = torch.from_numpy(data).to(
            dtype=torch.float32, memory_format=torch.contiguous_format
        )
        if self._own is not None:
            logits = self._own.predict_logits(tensor)
        else:
            logits = host.predict_logits_from_preprocessed_data(tensor).cpu()
        managers = (host.plans_manager, host.configuration_manager, host.label_manager)
        threads = torch.get_num_threads()
        # From the logits, as the host does where no probabilities are asked for: in half
        # precision these may tie where logits don't.
        mask = convert(logits, *managers, properties, False, threads) == TUMOR
        if not probability:
            return Prediction(mask, None)
        _, found = convert(logits, *managers, properties, True, threads)
        return Prediction(mask, np.asarray(found[TUMOR], dtype=np.float32))


def load_model(
    path: Path,
    *,
    device: str | None = None,
    engine: str = "torch",
    mirroring: bool = True,
    trusted: bool = False,
) -> LoadedModel:
    """Load a model: every finished fold, as ``nnUNetv2_predict`` would.

    Parameters
    ----------
    path
        As for `nnunet_pst.nnunet.model_files.open_model`.
    device
        ``cpu`` or ``cuda``; by default what there is, and ``cpu`` for other engines than torch.
    engine
        What computes one of our own networks: ``torch`` or ``openvino``.
    mirroring
        Average over mirrored images, as the host does by default; without, a case takes about a
        quarter of the time.
    trusted
        Load checkpoints that could run code.

    Raises
    ------
    InputError
        When it is no finished model, or one that doesn't segment exactly one tumour, or it is
        refused as unsafe, or the engine doesn't serve its network.
    HostError
        When its trainer or the engine is not installed, or there is no such device.
    """
    served = "cuda" if engine == "torch" and torch.cuda.is_available() else "cpu"
    device = device or served
    if device == "cuda" and not torch.cuda.is_available():
        raise HostError("there is no CUDA device; use --device cpu")
    files = open_model(path)
    plans, dataset = files.read_json("plans.json"), files.read_json("dataset.json")
    _check_labels(dataset, files.name)
    checkpoints = [
        read_checkpoint(files.read(name), f"{files.name}: {name}", trusted=trusted)
        for name in files.checkpoints()
    ]
    configuration = _one_of(checkpoints, files.name)
    if not trusted:
        check_plans(plans, configuration, files.name)
    with quiet_host():
        predictor = _build(files, plans, dataset, checkpoints, device, mirroring)
        own = _own_network(predictor, engine, device, files.name)
    facts = _facts(files, plans, dataset, checkpoints[0])
    precision = own.precision if own else "float32" if device == "cpu" else "float16"
    return LoadedModel(
        predictor, own, replace(facts, mirroring=mirroring, engine=engine, precision=precision)
    )


def _own_network(predictor: Any, engine: str, device: str, where: str) -> OwnNetwork | None:
    """Take our own network out of the host's predictor; None for networks of the host's."""
    if not isinstance(predictor.network, Unet25D):
        if engine != "torch":
            raise InputError(
                f"{where}: --engine {engine} serves this package's own networks only; use "
                "--engine torch"
            )
        return None
    networks = [copy.deepcopy(predictor.network) for _ in predictor.list_of_parameters]
    for network, weights in zip(networks, predictor.list_of_parameters, strict=True):
        network.load_state_dict(weights)
    return OwnNetwork(
        networks,
        patch_size=predictor.configuration_manager.patch_size,
        mirror_axes=(predictor.allowed_mirroring_axes or ()) if predictor.use_mirroring else (),
        device=device,
        engine=engine,
    )


def _one_of(checkpoints: list[dict[str, Any]], where: str) -> str:
    """Return the configuration, which all folds must share, as they must the trainer."""
    kinds = {(str(c["trainer_name"]), str(c["init_args"]["configuration"])) for c in checkpoints}
    if len(kinds) != 1:
        raise InputError(f"{where}: its folds were trained by different trainers; get it again")
    return kinds.pop()[1]


def _check_labels(dataset: dict[str, Any], where: str) -> None:
    """Refuse models that don't tell exactly one thing, of value 1, from background."""
    labels = dataset.get("labels")
    if not isinstance(labels, dict):
        raise InputError(f"{where}: dataset.json names no labels; get the model again")
    kept = {name: value for name, value in labels.items() if name not in ("background", "ignore")}
    if list(kept.values()) != [TUMOR] or labels.get("ignore", IGNORE) != IGNORE:
        raise InputError(
            f"{where}: segments {', '.join(map(str, kept)) or 'nothing'}; expected one label of "
            f"value {TUMOR}"
        )


def _build(
    files: ModelFiles,
    plans: dict[str, Any],
    dataset: dict[str, Any],
    checkpoints: list[dict[str, Any]],
    device: str,
    mirroring: bool,
) -> Any:
    """Do what the host's ``initialize_from_trained_model_folder`` does, from what was read."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    manager = PlansManager(plans)
    first = checkpoints[0]
    configuration = manager.get_configuration(first["init_args"]["configuration"])
    if configuration.previous_stage_name is not None:
        raise InputError(f"{files.name}: is the second stage of a cascade, which isn't served")
    reader = str(plans.get("image_reader_writer"))
    if reader not in _READERS:
        raise InputError(f"{files.name}: was trained with the reader {reader}, which isn't served")
    trainer = _find_trainer(str(first["trainer_name"]), files.name)
    arguments = (
        manager,
        configuration,
        determine_num_input_channels(manager, configuration, dataset),
        manager.get_label_manager(dataset).num_segmentation_heads,
    )
    if "plans_manager" not in inspect.signature(trainer.build_network_architecture).parameters:
        raise HostError(f"{first['trainer_name']} was written for an older nnU-Net; update it")
    network = trainer.build_network_architecture(*arguments, enable_deep_supervision=False)
    weights = [checkpoint["network_weights"] for checkpoint in checkpoints]
    try:
        for one in reversed(weights):  # all are tried now, and the first one's stay
            network.load_state_dict(one)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise InputError(
            f"{files.name}: the weights don't fit the network of its plans; get it again"
        ) from error
    predictor = nnUNetPredictor(
        use_mirroring=mirroring, device=torch.device(device), allow_tqdm=False
    )
    predictor.manual_initialization(
        network,
        manager,
        configuration,
        weights,
        dataset,
        str(first["trainer_name"]),
        first.get("inference_allowed_mirroring_axes"),
    )
    return predictor


def _find_trainer(name: str, where: str) -> Any:
    """Let the host look for a trainer, in our folder too whatever the shell has set."""
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

    listed = os.environ.get(TRAINER_VARIABLE, "")
    os.environ[TRAINER_VARIABLE] = trainer_path(listed)
    try:
        return recursive_find_trainer_class_by_name(name)
    except (RuntimeError, AssertionError) as error:
        raise HostError(
            f"{where}: was trained with {name[:80]}, which isn't installed; install its package, "
            f"or add its folder to {TRAINER_VARIABLE}"
        ) from error
    finally:
        if listed:
            os.environ[TRAINER_VARIABLE] = listed
        else:
            del os.environ[TRAINER_VARIABLE]


def _facts(
    files: ModelFiles, plans: dict[str, Any], dataset: dict[str, Any], first: dict[str, Any]
) -> ModelFacts:
    channels = dataset.get("channel_names") or dataset.get("modality") or {}
    own = dataset.get(OWN_KEY)
    sequences = own.get("sequences") if isinstance(own, dict) else None
    parts = (plans.get("dataset_name"), first["trainer_name"], first["init_args"]["configuration"])
    return ModelFacts(
        name=" ".join(str(part)[:80] for part in parts),
        channels=tuple(str(channels[key]) for key in sorted(channels, key=int)),
        sequences=tuple(map(str, sequences)) if isinstance(sequences, list) else (),
        spacing_range_zyx_mm=_spacing_range(files),
        sha256=dict(sorted(files.digests.items())),
        folds=len(files.checkpoints()),
    )


def _spacing_range(files: ModelFiles) -> tuple[tuple[float, float], ...] | None:
    """Range of the spacings of the training images; None when the model doesn't carry them."""
    if FINGERPRINT not in files.names:
        return None
    try:
        spacings = np.asarray(files.read_json(FINGERPRINT)["spacings"], dtype=np.float64)
        low, high = spacings.reshape(-1, 3).min(axis=0), spacings.reshape(-1, 3).max(axis=0)
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{files.name}: {FINGERPRINT} is damaged; get the model again") from error
    return tuple((float(a), float(b)) for a, b in zip(low, high, strict=True))


@contextlib.contextmanager
def quiet_host() -> Iterator[None]:
    """Keep the host's chatter off the output: what a user has to know, we say."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield
