"""The measured programs: loaders, training steps, predictions; each runs in its own process.

Ours and stock are called alike: the trainer of the plans, its own hooks, the host's predictor.
nnU-Net prints a lot; the calling process has silenced standard output.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.inference.sliding_window_prediction import (
    compute_gaussian,
    compute_steps_for_sliding_window,
)
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from synthetic_cohort import DATASET
from torch import nn

from nnunet_pst.nnunet.models.own_network import OwnNetwork
from nnunet_pst.nnunet.own_configurations import SPARE_SLICES
from nnunet_pst.nnunet.training.base_trainer import LOADING_THREADS, PST25DTrainer
from nnunet_pst.nnunet.training.case_reader import CACHE_VARIABLE
from nnunet_pst.nnunet.training.dataloading import RawBatch
from nnunet_pst.nnunet.training.settings import PLANS_KEY


@dataclass
class Contender:
    """A measurement that can be repeated.

    Attributes
    ----------
    measure
        Measures once and returns seconds.
    items
        Number of bags, slices or volumes of one measurement.
    scale
        Seconds are multiplied by this; other than 1 means extrapolated.
    facts
        Further facts for readers.
    """

    measure: Callable[[], float]
    items: int = 1
    scale: int = 1
    facts: dict[str, Any] = field(default_factory=dict)


def loader(
    device: str,
    configuration: str,
    *,
    batches: int,
    cache_gb: float,
    sampled: bool = True,
    same_crops: bool = False,
) -> Contender:
    """Draw, read and augment batches on one core, in processor time.

    Parameters
    ----------
    cache_gb
        0: every slice is read and decompressed, as for a cohort larger than the memory.
    sampled
        False: only the processor's part, where a GPU samples the bags (ours only).
    same_crops
        Patches of the size of our crops instead of the planned ones.
    """
    torch.set_num_threads(1)
    os.environ[CACHE_VARIABLE] = str(cache_gb)
    trainer, stream = _training(configuration, "cpu", same_crops=same_crops)
    if not sampled:
        stream = map(stream.batches.__getitem__, itertools.count())
    for _ in range(batches):
        next(stream)

    def measure() -> float:
        start = time.process_time()
        for _ in range(batches):
            next(stream)
        return time.process_time() - start

    return Contender(measure, items=batches * trainer.batch_size, facts=_batch_facts(next(stream)))


def training_input(device: str, configuration: str, *, batches: int) -> Contender:
    """Start a training up to its first batch, which is timed once; then draw batches."""
    torch.set_num_threads(1)
    start = time.perf_counter()
    trainer, stream = _training(configuration, "cpu")
    batch = next(stream)
    facts = {"start_s": time.perf_counter() - start, **_batch_facts(batch)}

    def measure() -> float:
        start = time.perf_counter()
        for _ in range(batches):
            next(stream)
        return time.perf_counter() - start

    return Contender(measure, items=batches * trainer.batch_size, facts=facts)


def training_step(
    device: str, configuration: str, *, fresh: bool = False, single: bool = False
) -> Contender:
    """Forward, loss, backward and update of one batch: ready, or, ``fresh``, made meanwhile.

    ``single`` keeps our step in single precision on processors with bfloat16.
    """
    trainer, stream = _training(configuration, device, threads=LOADING_THREADS if fresh else 0)
    if single:
        trainer._step.precision = torch.float32
    trainer.network.train()
    batch = next(stream)
    steps = 1 if device == "cpu" else 50
    # On an accelerator networks are compiled, and kernels chosen, in the first steps.
    for _ in range(1 if device == "cpu" else 10):
        trainer.train_step(batch)

    def measure() -> float:
        start = time.perf_counter()
        for _ in range(steps):
            trainer.train_step(next(stream) if fresh else batch)
        if device != "cpu":
            torch.cuda.synchronize()
        return (time.perf_counter() - start) / steps

    return Contender(
        measure,
        items=trainer.batch_size,
        facts={**_batch_facts(batch), "parameters": _parameters(trainer.network)},
    )


def prediction(
    device: str, configuration: str, *, slices: int, mirroring: bool, one_tile: bool = False
) -> Contender:
    """Logits of one preprocessed volume by the host's predictor.

    ``one_tile`` measures one tile without mirroring, and scales by tiles and mirrorings.
    """
    plans, dataset_json = _plans(), _json("dataset.json")
    config = plans["configurations"][configuration]
    if PLANS_KEY in config:  # as `plan` does for a cohort with this number of slices
        config["patch_size"][0] = slices + SPARE_SLICES
    predictor, axes = _predictor(plans, dataset_json, configuration, device, mirroring)
    volume = _volume(configuration, slices)
    patch = predictor.configuration_manager.patch_size
    facts = _volume_facts(predictor, volume, axes if mirroring else ())
    scale = 1
    if one_tile:
        facts["tiles"] = _tiles(volume.shape[1:], patch, predictor.tile_step_size)
        scale = facts["tiles"] * facts["mirrorings"]
        predictor.use_mirroring = False
        volume = volume[(slice(None), *(slice(0, size) for size in patch))].contiguous()
    start = time.perf_counter()
    compute_gaussian(
        tuple(patch), sigma_scale=1.0 / 8, value_scaling_factor=10, device=torch.device(device)
    )
    facts["once_per_process_s"] = time.perf_counter() - start

    def measure(part: torch.Tensor = volume) -> float:
        start = time.perf_counter()
        predictor.predict_sliding_window_return_logits(part).cpu()
        return time.perf_counter() - start

    # One slice is enough for one-time work; the rest of a volume's patch is padding.
    measure(volume if one_tile else volume[:, :1])
    return Contender(measure, scale=scale, facts=facts)


def own_prediction(
    device: str, configuration: str, *, slices: int, mirroring: bool, engine: str
) -> Contender:
    """Logits of one preprocessed volume as `nnunet_pst segment` computes them."""
    plans, dataset_json = _plans(), _json("dataset.json")
    plans["configurations"][configuration]["patch_size"][0] = slices + SPARE_SLICES
    predictor, axes = _predictor(plans, dataset_json, configuration, device, mirroring)
    volume = _volume(configuration, slices)
    patch = predictor.configuration_manager.patch_size
    facts = _volume_facts(predictor, volume, axes if mirroring else ())
    start = time.perf_counter()
    network = OwnNetwork(
        [predictor.network],
        patch_size=patch,
        mirror_axes=axes if mirroring else (),
        device=device,
        engine=engine,
    )
    network.predict(volume[:, :1])  # makes the Gaussian, compiles
    facts["once_per_process_s"] = time.perf_counter() - start

    def measure() -> float:
        start = time.perf_counter()
        network.predict(volume)
        return time.perf_counter() - start

    return Contender(measure, facts=facts)


def _training(
    configuration: str, device: str, *, same_crops: bool = False, threads: int = 0
) -> tuple[nnUNetTrainer, Any]:
    # 0: the host augments in this process. (Its planning fails with it, so it is set here.)
    os.environ["nnUNet_n_proc_DA"] = str(threads)  # noqa: SIM112 (the host's name)
    plans = _plans()
    if same_crops:
        crop = plans["configurations"]["2d_5"][PLANS_KEY]["crop"]
        plans["configurations"][configuration]["patch_size"] = [crop, crop]
    # nnUNetv2_train puts this in.
    plans["continue_training"] = False
    made = _trainer_class(plans, configuration)(
        plans, configuration, "all", _json("dataset.json"), torch.device(device)
    )
    made.initialize()
    return made, made.get_dataloaders()[0]


def _trainer_class(plans: dict[str, Any], configuration: str) -> type[nnUNetTrainer]:
    ours = PLANS_KEY in plans["configurations"][configuration]
    return PST25DTrainer if ours else nnUNetTrainer


def _predictor(
    plans: dict[str, Any],
    dataset_json: dict[str, Any],
    configuration: str,
    device: str,
    mirroring: bool,
) -> tuple[nnUNetPredictor, tuple[int, ...]]:
    manager = PlansManager(plans)
    config = manager.get_configuration(configuration)
    heads = manager.get_label_manager(dataset_json).num_segmentation_heads
    trainer = _trainer_class(plans, configuration)
    network = trainer.build_network_architecture(
        manager, config, len(dataset_json["channel_names"]), heads, enable_deep_supervision=False
    )
    _settle_batch_norm(network)
    # As the trainers write it into their checkpoints: ours mirrors in-plane.
    axes = (1, 2) if trainer is PST25DTrainer else tuple(range(len(config.patch_size)))
    predictor = nnUNetPredictor(
        use_mirroring=mirroring, device=torch.device(device), allow_tqdm=False
    )
    predictor.manual_initialization(
        network, manager, config, None, dataset_json, trainer.__name__, axes
    )
    return predictor, axes


@torch.no_grad()
def _settle_batch_norm(network: nn.Module) -> None:
    """Let batch norms see values, as after training; else they end in denormal numbers."""
    if any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        network.train()
        for _ in range(5):
            network(torch.rand(2, network.in_channels * network.slices_per_bag, 64, 64))
        network.eval()


def _volume(configuration: str, slices: int) -> torch.Tensor:
    identifier = PlansManager(_plans()).get_configuration("2d").data_identifier
    dataset = nnUNetDatasetBlosc2(str(_preprocessed() / identifier))
    image = np.asarray(dataset.load_case(dataset.identifiers[0])[0][:])
    return torch.from_numpy(np.resize(image[0], (slices, *image.shape[2:]))[None])


def _tiles(shape: tuple[int, ...], patch: list[int], step: float) -> int:
    padded = tuple(max(pair) for pair in zip(shape, patch, strict=True))
    steps = compute_steps_for_sliding_window(padded, tuple(patch), step)
    return int(np.prod([len(axis) for axis in steps]))


def _batch_facts(batch: dict[str, Any] | RawBatch) -> dict[str, Any]:
    images = batch.bags.images if isinstance(batch, RawBatch) else batch["data"]
    shape = list(images.shape)
    return {"batch": shape, "pixels_per_item": int(np.prod(shape[1:]))}


def _volume_facts(
    predictor: nnUNetPredictor, volume: torch.Tensor, mirrored: tuple[int, ...]
) -> dict[str, Any]:
    return {
        "input": list(volume.shape),
        "patch": list(predictor.configuration_manager.patch_size),
        "mirrorings": 2 ** len(mirrored),
        "parameters": _parameters(predictor.network),
    }


def _parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _preprocessed() -> Path:
    return Path(os.environ["nnUNet_preprocessed"]) / DATASET  # noqa: SIM112 (the host's name)


def _json(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((_preprocessed() / name).read_text())
    return content


def _plans() -> dict[str, Any]:
    return _json("nnUNetPlans.json")
