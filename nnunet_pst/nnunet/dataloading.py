"""Batches of bags from nnU-Net's preprocessed cases, the same bytes for any number of workers."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from nnunet_pst.augmentation import (
    NO_AUGMENTATION,
    AugmentationRanges,
    apply_transforms,
    draw_transform,
)
from nnunet_pst.errors import InputError
from nnunet_pst.intensity import apply_window, intensity_window
from nnunet_pst.labels import BACKGROUND, IGNORE, TUMOR
from nnunet_pst.settings import TrainingSettings
from nnunet_pst.slices import CaseSlices, SliceSampler, bag_members, kinds_of_label

#: GiB of slices kept in memory by each loading process; what doesn't fit is read every time.
CACHE_VARIABLE = "NNUNET_PST_CACHE_GB"
DEFAULT_CACHE_GB = 4.0
#: Cases whose two files stay open; systems allow a process 1024 files or fewer.
OPEN_CASES = 128


class CaseReader:
    """Reads single slices of preprocessed cases, on the unit scale, and remembers them.

    Parameters
    ----------
    dataset
        nnU-Net's dataset: ``load_case`` gives lazily decompressed (c, z, y, x) image and label.
    intensity
        As for `nnunet_pst.network.unet25d.Unet25D`.
    unknown_is_background
        Read unknown voxels as background (the ablation).
    cache_bytes
        How much is remembered.
    """

    def __init__(
        self, dataset: Any, *, intensity: str, unknown_is_background: bool, cache_bytes: int
    ) -> None:
        self.dataset = dataset
        self.intensity = intensity
        self.unknown_is_background = unknown_is_background
        self._free_bytes = cache_bytes
        self._opened: dict[str, tuple[Any, Any]] = {}
        self._slices: dict[tuple[str, int], Tensor] = {}
        self._windows: dict[str, list[tuple[float, float]]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Leave open files behind on the way to a worker process; it opens its own."""
        return {**self.__dict__, "_opened": {}}

    def label(self, case: str) -> npt.NDArray[np.int8]:
        """Return the whole label (z, y, x); -1, nnU-Net's outside, becomes background."""
        return self._cleaned(self._open(case)[1][0])

    def label_slice(self, case: str, index: int) -> npt.NDArray[np.int8]:
        """Return the label (y, x) of one slice."""
        return self._cleaned(self._open(case)[1][0, index])

    def image_slice(self, case: str, index: int) -> Tensor:
        """Return one slice (c, y, x); only its own blocks are decompressed."""
        key = (case, index)
        if key in self._slices:
            return self._slices[key]
        channels = torch.from_numpy(np.asarray(self._open(case)[0][:, index]))
        windows = self._window(case)
        values = torch.stack(
            [apply_window(*channel) for channel in zip(channels, windows, strict=True)]
        )
        if values.nbytes <= self._free_bytes:
            self._free_bytes -= values.nbytes
            self._slices[key] = values
        return values

    def bag(self, case: str, members: Iterable[int]) -> Tensor:
        """Return the bag (c*s, y, x), sequence-major, of the slices ``members``."""
        slices = torch.stack([self.image_slice(case, int(index)) for index in members], dim=1)
        return slices.flatten(0, 1)

    def _open(self, case: str) -> tuple[Any, Any]:
        # load_case also unpickles some hundred kilobytes of properties, so once a case is enough.
        if case not in self._opened:
            if len(self._opened) >= OPEN_CASES:
                self._opened.pop(next(iter(self._opened)))
            image, label, *_ = self.dataset.load_case(case)
            self._opened[case] = image, label
        return self._opened[case]

    def _cleaned(self, label: Any) -> npt.NDArray[np.int8]:
        values = np.asarray(label).astype(np.int8)
        values[values < 0] = BACKGROUND
        if self.unknown_is_background:
            values[values == IGNORE] = BACKGROUND
        return values

    def _window(self, case: str) -> list[tuple[float, float]]:
        if case not in self._windows:
            volume = torch.from_numpy(np.asarray(self._open(case)[0][:]))
            if self.intensity == "unit":
                self._windows[case] = [intensity_window(channel) for channel in volume]
            else:
                self._windows[case] = [(0.0, 1.0)] * len(volume)
        return self._windows[case]


def cache_bytes() -> int:
    """Return the limit of the slice cache of one process, from `CACHE_VARIABLE`."""
    text = os.environ.get(CACHE_VARIABLE, str(DEFAULT_CACHE_GB))
    try:
        limit = float(text)
    except ValueError:
        limit = math.nan
    if not 0 <= limit < math.inf:
        raise InputError(f"{CACHE_VARIABLE} is '{text}'; give a number of GiB, 0 for no cache")
    return int(limit * 2**30)


def case_slices(
    reader: CaseReader, cases: Iterable[str], origin: Mapping[str, tuple[str, str]]
) -> list[CaseSlices]:
    """Read every label once and say what is known of each slice.

    Parameters
    ----------
    origin
        Patient and sequence of each case; a case that isn't listed is a patient of its own.
    """
    result = []
    for case in cases:
        patient, sequence = origin.get(case, (case, ""))
        result.append(CaseSlices(case, patient, sequence, kinds_of_label(reader.label(case))))
    return result


@dataclass(frozen=True)
class BagBatches(Dataset[dict[str, Any]]):
    """Batch ``i`` of a training, made from the seed and ``i`` alone.

    Because a batch depends on nothing that came before it, any worker can make any batch, and a
    resumed training goes on with the batches that it would have seen.

    Attributes
    ----------
    stream
        Distinguishes training, validation and the processes of a distributed training.
    repeat_after
        Batches repeat after so many (validation looks at the same ones every epoch), or None.
    """

    reader: CaseReader
    sampler: SliceSampler
    settings: TrainingSettings
    slices_per_bag: int
    batch_size: int
    augment: bool
    stream: tuple[int, ...]
    repeat_after: int | None = None

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return ``data`` (b, c*s, y, x), ``target`` (b, 1, y, x) and ``keys``."""
        if self.repeat_after:
            index %= self.repeat_after
        rng = np.random.default_rng((self.settings.seed, *self.stream, index))
        ranges = self._ranges()
        images, labels, transforms, keys = [], [], [], []
        kinds = {case.case: case.kinds for case in self.sampler.cases}
        for draw in self.sampler.draw(self.batch_size, rng):
            present = np.ones(len(kinds[draw.case]), dtype=bool)
            members = bag_members(present, self.slices_per_bag)[draw.centre]
            image = self.reader.bag(draw.case, members)
            label = self.reader.label_slice(draw.case, draw.centre)
            transforms.append(
                draw_transform(
                    (label.shape[0], label.shape[1]),
                    self.settings.crop,
                    ranges,
                    rng,
                    channels=image.shape[0] // self.slices_per_bag,
                    lesion_pixel=_lesion_pixel(label, rng),
                )
            )
            images.append(image)
            labels.append(torch.from_numpy(label[None]).float())
            keys.append(draw.case)
        data, target = apply_transforms(images, labels, transforms, self.settings.crop)
        return {"data": data, "target": target.to(torch.int16), "keys": keys}

    def _ranges(self) -> AugmentationRanges:
        if not self.augment:
            return NO_AUGMENTATION
        return AugmentationRanges(
            rotation_degrees=self.settings.rotation_degrees,
            scale=self.settings.scale,
            gamma=self.settings.gamma,
            gain=self.settings.gain,
            channel_dropout=self.settings.channel_dropout,
        )


def _lesion_pixel(label: npt.NDArray[np.int8], rng: np.random.Generator) -> tuple[int, int] | None:
    tumor = np.flatnonzero(label == TUMOR)
    if tumor.size == 0:
        return None
    row, column = np.unravel_index(tumor[rng.integers(tumor.size)], label.shape)
    return int(row), int(column)


def bag_loader(
    batches: BagBatches, indices: range, *, workers: int, pin_memory: bool
) -> DataLoader[dict[str, Any]]:
    """Return batches ``indices`` in their order, made by ``workers`` processes (0: this one)."""
    return DataLoader(
        batches,
        sampler=indices,
        batch_size=None,
        num_workers=workers,
        pin_memory=pin_memory,
        collate_fn=_as_is,  # type: ignore[arg-type] # typed for batched loading only
    )


def _as_is(batch: dict[str, Any]) -> dict[str, Any]:
    return batch
