"""A trained model, loaded once, that segments cases in this process.

The steps are the stock predictor's own functions in the order of ``nnUNetv2_predict``
(nnunet-v2 ``inference/predict_from_raw_data.py``), without its worker processes, which cost
seconds and a copy of torch each. Loading is ours, because the host reads checkpoints without
restriction; the sliding window of our own networks is ours, because it is faster
(`nnunet_pst.nnunet.models.own_network`). With the engine torch and the same number of threads the
logits are the same bit for bit, where the image fits into the plans' patch; in a larger one the
host's tiles each get a gray scale of their own, and ours share that of the volume.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nnunet_pst.calibration.calibration import CALIBRATION, Calibration, read_calibration
from nnunet_pst.dataset.raw_dataset import OWN_KEY
from nnunet_pst.errors import Fault, HostError, InputError
from nnunet_pst.io.label_values import read_label_values
from nnunet_pst.io.volumes import Volume
from nnunet_pst.io.wording import printable
from nnunet_pst.nnunet.models.building import (
    HostParts,
    Network,
    build_network,
    host_parts,
    quiet_host,
)
from nnunet_pst.nnunet.models.checkpoints import check_plans, read_checkpoint
from nnunet_pst.nnunet.models.files import ModelFiles, open_model
from nnunet_pst.nnunet.models.plan_checks import (
    check_plan_values,
    check_resampled_size,
    resolve_configuration,
)
from nnunet_pst.registration.stored_settings import read_settings
from nnunet_pst.segmentation.model_interface import ModelFacts, Prediction

FINGERPRINT = "dataset_fingerprint.json"
#: Label values are bytes in masks.
MOST_CLASSES = 255


class LoadedModel:
    """A model in memory, ready for any number of cases; see `load_model`."""

    def __init__(self, host: HostParts, network: Network, facts: ModelFacts) -> None:
        self._host, self._network = host, network
        self.facts = facts

    def predict(self, channels: Sequence[Volume], *, probability: bool = False) -> Prediction:
        """Segment one case.

        Parameters
        ----------
        channels
            One volume for each of the model's channels, all on one grid.
        probability
            Give the probability of any class too.

        Raises
        ------
        InputError
            When the number of channels is not the model's.
        HostError
            When the memory (of the device) is too small.
        """
        if len(channels) != len(self.facts.channels):
            raise InputError(
                f"{self.facts.name} needs {len(self.facts.channels)} channels, got {len(channels)}",
                Fault.CONTRADICTION,
            )
        with quiet_host():
            try:
                return self._predict(channels, probability)
            except (RuntimeError, MemoryError) as error:
                # On a CPU, torch raises a plain RuntimeError; only its text tells a full memory.
                full = isinstance(error, (torch.OutOfMemoryError, MemoryError))
                if not full and "can't allocate memory" not in str(error):
                    raise
                raise HostError(
                    "not enough memory to segment an image of "
                    f"{' x '.join(map(str, channels[0].grid.size_xyz))} voxels; free some, or use "
                    "--device cpu",
                    Fault.TOO_LARGE,
                ) from error

    def _predict(self, channels: Sequence[Volume], probability: bool) -> Prediction:
        from nnunetv2.inference.export_prediction import (
            convert_predicted_logits_to_segmentation_with_correct_shape as convert,
        )

        host, grid = self._host, channels[0].grid
        check_resampled_size(
            grid.shape_zyx, grid.spacing_zyx_mm, host.configuration.spacing, self.facts.name
        )
        array = np.stack([np.asarray(volume.array, dtype=np.float32) for volume in channels])
        spacing = [abs(value) for value in channels[0].grid.spacing_zyx_mm]
        preprocessor = host.configuration.preprocessor_class(verbose=False)
        data, _, properties = preprocessor.run_case_npy(
            array,
            None,
            {"spacing": spacing},
            host.plans,
            host.configuration,
            host.dataset,
        )
        tensor = torch.from_numpy(data).to(
            dtype=torch.float32, memory_format=torch.contiguous_format
        )
        answer = self._network.predict(tensor)
        logits = answer.logits
        if not torch.isfinite(logits).all():  # the mask would be empty, as without a tumor
            raise InputError(
                f"{self.facts.name}: its logits are not finite; get it again", Fault.VALUES
            )
        managers = (host.plans, _ResampledOnce(host.configuration), host.labels)
        threads = torch.get_num_threads()
        # From the logits, as the host does where no probabilities are asked for: in half
        # precision probabilities may tie where logits don't.
        labels = np.asarray(convert(logits, *managers, properties, False, threads), dtype=np.uint8)
        if not probability:
            return Prediction(labels, None, answer.signs)
        _, probabilities = convert(logits, *managers, properties, True, threads)
        foreground = np.asarray(probabilities[1:], dtype=np.float32).sum(axis=0)
        return Prediction(labels, foreground, answer.signs)


class _ResampledOnce:
    """The host's configuration, which resamples the same logits once for labels and probability."""

    def __init__(self, configuration: Any) -> None:
        self._configuration = configuration
        self._resampled: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._configuration, name)

    def resampling_fn_probabilities(self, *arguments: Any) -> Any:
        if self._resampled is None:
            self._resampled = self._configuration.resampling_fn_probabilities(*arguments)
        return self._resampled


def load_model(
    path: Path,
    *,
    device: str | None = None,
    engine: str = "torch",
    mirroring: bool = True,
    trusted: bool = False,
    folds: Sequence[int] = (),
    calibrated: bool = True,
) -> LoadedModel:
    """Load a model: every finished fold, as ``nnUNetv2_predict`` would.

    Parameters
    ----------
    path
        As for `nnunet_pst.nnunet.models.files.open_model`.
    device
        ``cpu`` or ``cuda``; None: ``cuda`` if there is one and the engine is torch.
    engine
        For one of our own networks: ``torch``, ``openvino`` or ``openvino-bf16``.
    mirroring
        Average over mirrored images, as the host does: four (3D: eight) times the work.
    trusted
        Load checkpoints that could run code.
    folds
        Numbers of the folds; empty for every finished one.
    calibrated
        Read its calibration, where it has one.

    Raises
    ------
    InputError
        It is not a finished model, segments regions, is unsafe, or is not for the engine.
    HostError
        Its trainer or the engine is not installed, or there is no such device.
    """
    device = _checked_device(device, engine)
    files = open_model(path)
    plans, dataset = files.read_json("plans.json"), files.read_json("dataset.json")
    classes = _classes(dataset, files.name)
    checkpoints = [
        read_checkpoint(files.read(name), f"{files.name}: {name}", trusted=trusted)
        for name in files.checkpoints(folds)
    ]
    configuration = _shared_configuration(checkpoints, files.name)
    check_plan_values(
        plans,
        resolve_configuration(plans, configuration, files.name),
        channels=len(_channel_names(dataset, files.name)),
        mirrored=checkpoints[0].get("inference_allowed_mirroring_axes"),
        where=files.name,
    )
    if not trusted:
        check_plans(plans, configuration, files.name)
    with quiet_host():
        host = host_parts(plans, dataset, configuration, files.name)
        network = build_network(
            host, checkpoints, files.name, device=device, engine=engine, mirroring=mirroring
        )
    calibration = _calibration(files, dataset) if calibrated else None
    facts = replace(
        _facts(files, plans, dataset, checkpoints),
        calibration=calibration,
        classes=classes,
        mirroring=mirroring,
        engine=engine,
        precision=network.precision,
    )
    return LoadedModel(host, network, facts)


def _checked_device(device: str | None, engine: str) -> str:
    """Choose the device where none is named; refuse one that is not there."""
    cuda = torch.cuda.is_available()
    if device == "cuda" and not cuda:
        raise HostError("there is no CUDA device; use --device cpu", Fault.MISSING)
    return device or ("cuda" if engine == "torch" and cuda else "cpu")


def _shared_configuration(checkpoints: list[dict[str, Any]], where: str) -> str:
    """Return the configuration; all folds must share it and the trainer."""
    kinds = {(str(c["trainer_name"]), str(c["init_args"]["configuration"])) for c in checkpoints}
    if len(kinds) != 1:
        raise InputError(
            f"{where}: its folds have different trainers or configurations; get it again",
            Fault.CONTRADICTION,
        )
    return kinds.pop()[1]


def _classes(dataset: dict[str, Any], where: str) -> tuple[str, ...]:
    """Return the names of the label values 1, 2, ..., made fit for messages and files."""
    if not isinstance(dataset.get("labels"), dict):
        raise InputError(
            f"{where}: dataset.json names no labels; get the model again", Fault.MISSING
        )
    regions = [name for name, value in dataset["labels"].items() if isinstance(value, list)]
    if regions:
        raise InputError(
            f"{where}: segments regions of several values "
            f"({printable(', '.join(regions))[:80]}); use nnUNetv2_predict",
            Fault.UNSUPPORTED,
        )
    names = list(read_label_values(dataset, where).classes)
    if len(names) > MOST_CLASSES:
        raise InputError(
            f"{where}: segments {len(names)} classes; at most {MOST_CLASSES} are supported",
            Fault.TOO_LARGE,
        )
    shown = [printable(name).strip()[:80] or "unnamed" for name in names]
    if len(set(shown)) < len(shown):
        raise InputError(
            f"{where}: two classes have one name in dataset.json; rename one", Fault.AMBIGUOUS
        )
    return tuple(shown)


def _channel_names(dataset: dict[str, Any], where: str) -> tuple[str, ...]:
    """Return the names of the input channels, in order."""
    channels = dataset.get("channel_names", dataset.get("modality"))
    if not isinstance(channels, dict) or set(channels) != set(map(str, range(len(channels)))):
        raise InputError(
            f"{where}: dataset.json numbers no channels (channel_names); get the model again",
            Fault.MALFORMED,
        )
    return tuple(printable(str(channels[str(number)]))[:80] for number in range(len(channels)))


def _facts(
    files: ModelFiles,
    plans: dict[str, Any],
    dataset: dict[str, Any],
    checkpoints: Sequence[dict[str, Any]],
) -> ModelFacts:
    first = checkpoints[0]
    stored = dataset.get(OWN_KEY)
    own = stored if isinstance(stored, dict) else {}
    registration = own.get("registration")
    parts = (plans.get("dataset_name"), first["trainer_name"], first["init_args"]["configuration"])
    return ModelFacts(
        name=" ".join(printable(str(part))[:80] for part in parts),
        channels=_channel_names(dataset, files.name),
        sequences=_names(own.get("sequences")),
        spacing_range_zyx_mm=_spacing_range(files),
        sha256=dict(sorted(files.digests.items())),
        folds=len(checkpoints),
        serves_missing=own.get("allow_missing") is True,
        registration=read_settings(registration, files.name)
        if isinstance(registration, dict)
        else None,
        planes=_names(own.get("planes")),
    )


def _calibration(files: ModelFiles, dataset: dict[str, Any]) -> Calibration | None:
    """Read the calibration beside the checkpoints, else its copy in ``dataset.json``."""
    own = dataset.get(OWN_KEY)
    own = own if isinstance(own, dict) else {}
    stored = files.read_json(CALIBRATION) if CALIBRATION in files.names else own.get("calibration")
    return read_calibration(stored, files.name) if isinstance(stored, dict) else None


def _names(stored: object) -> tuple[str, ...]:
    """Return a list of names of ``dataset.json``; anything else counts as missing."""
    if not isinstance(stored, list):
        return ()
    return tuple(printable(str(name))[:80] for name in stored)


def _spacing_range(files: ModelFiles) -> tuple[tuple[float, float], ...] | None:
    """Range of the spacings of the training images; None when the model doesn't carry them."""
    if FINGERPRINT not in files.names:
        return None
    try:
        spacings = np.asarray(files.read_json(FINGERPRINT)["spacings"], dtype=np.float64)
        low, high = spacings.reshape(-1, 3).min(axis=0), spacings.reshape(-1, 3).max(axis=0)
        if not (np.isfinite(spacings) & (spacings > 0)).all():
            raise ValueError("spacings must be positive")
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        raise InputError(
            f"{files.name}: {FINGERPRINT} is damaged; get the model again", Fault.DAMAGED
        ) from error
    return tuple((float(a), float(b)) for a, b in zip(low, high, strict=True))
