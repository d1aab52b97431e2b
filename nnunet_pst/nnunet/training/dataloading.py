"""Batches of bags from nnU-Net's preprocessed cases, the same bytes for any number of threads.

Threads read slices and draw transforms; the network's device samples the bags
(``docs/decisions/0094``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nnunet_pst.io.label_values import is_foreground
from nnunet_pst.network.augmentation import (
    NO_AUGMENTATION,
    AugmentationRanges,
    RawBags,
    draw_transform,
    raw_bags,
    sample_bags,
)
from nnunet_pst.network.bags import bag_members
from nnunet_pst.nnunet.training.case_reader import CaseReader
from nnunet_pst.nnunet.training.settings import TrainingSettings
from nnunet_pst.nnunet.training.slice_sampling import Draw, SliceSampler


class RawBatch(NamedTuple):
    """Bags before sampling, and the case of each."""

    bags: RawBags
    keys: list[str]


@dataclass(frozen=True)
class BagBatches:
    """Batch ``i`` of a training, made from the seed and ``i`` alone.

    A batch doesn't depend on earlier ones: any thread can make any batch, and a resumed training
    goes on with the batches that it would have seen.

    Attributes
    ----------
    stream
        Distinguishes training, validation and the processes of a distributed training.
    repeat_after
        Number of batches after which they repeat (validation uses the same in every epoch), or
        None.
    pinned
        Put slices into pinned memory, from which a GPU copies them by itself.
    """

    reader: CaseReader
    sampler: SliceSampler
    settings: TrainingSettings
    slices_per_bag: int
    batch_size: int
    augment: bool
    stream: tuple[int, ...]
    repeat_after: int | None = None
    pinned: bool = False

    def __getitem__(self, index: int) -> RawBatch:
        """Return the bags of a batch with their drawn transforms."""
        if self.repeat_after:
            index %= self.repeat_after
        rng = np.random.default_rng((self.settings.seed, *self.stream, index))
        draws = self.sampler.draw(self.batch_size, rng)
        images, labels = self._canvas(draws)
        transforms = []
        for draw, image, canvas in zip(draws, images.numpy(), labels.numpy(), strict=True):
            label = self.reader.label_slice(draw.case, draw.center)
            size = label.shape[0], label.shape[1]
            self._copy_bag(draw, image[:, :, : size[0], : size[1]])
            canvas[0, : size[0], : size[1]] = label
            transforms.append(
                draw_transform(
                    size,
                    self.settings.crop,
                    self._ranges,
                    rng,
                    channels=image.shape[0],
                    lesion_pixel=_lesion_pixel(is_foreground(label, self.reader.ignore_label), rng),
                )
            )
        bags = raw_bags(images.flatten(1, 2), labels, transforms, self.settings.crop)
        return RawBatch(bags.pinned() if self.pinned else bags, [draw.case for draw in draws])

    def _canvas(self, draws: Sequence[Draw]) -> tuple[Tensor, Tensor]:
        """Return room for images (b, c, s, y, x) and labels (b, 1, y, x) of the largest slice."""
        shapes = np.array([self.reader.slice_shape(draw.case) for draw in draws])
        channels, rows, columns = (int(size) for size in shapes.max(axis=0))
        # Where the slices cover the whole canvas it need not be zeroed.
        room = torch.empty if (shapes == shapes[0]).all() else torch.zeros
        bags = len(draws), channels, self.slices_per_bag, rows, columns
        images = room(bags, dtype=self.reader.dtype, pin_memory=self.pinned)
        labels = room((len(draws), 1, rows, columns), dtype=torch.int8, pin_memory=self.pinned)
        return images, labels

    def _copy_bag(self, draw: Draw, place: npt.NDArray[np.floating]) -> None:
        """Write the slices of a bag into ``place`` (c, s, y, x)."""
        for slot, member in enumerate(self._members[draw.case][draw.center]):
            place[:, slot] = self.reader.image_slice(draw.case, int(member))

    @cached_property
    def _members(self) -> dict[str, npt.NDArray[np.intp]]:
        """Indices (z, s) of the slices of every bag of every case."""
        return {
            case.case: bag_members(np.ones(len(case.kinds), dtype=bool), self.slices_per_bag)
            for case in self.sampler.cases
        }

    @cached_property
    def _ranges(self) -> AugmentationRanges:
        if not self.augment:
            return NO_AUGMENTATION
        return AugmentationRanges(
            rotation_degrees=self.settings.rotation_degrees,
            scale=self.settings.scale,
            gamma=self.settings.gamma,
            gain=self.settings.gain,
            channel_dropout=self.settings.channel_dropout,
            resampled=self.settings.resampled_share,
        )


def _lesion_pixel(
    lesion: npt.NDArray[np.bool_], rng: np.random.Generator
) -> tuple[int, int] | None:
    tumor = np.flatnonzero(lesion)
    if tumor.size == 0:
        return None
    row, column = np.unravel_index(tumor[rng.integers(tumor.size)], lesion.shape)
    return int(row), int(column)


class BatchesOnDevice(Iterator[dict[str, Any]]):
    """The batches of a training as the host takes them, sampled where the network is.

    ``data`` (b, c*s, crop, crop), ``target`` (b, 1, crop, crop) and ``keys`` (b,). On a GPU the
    next batch is sent and sampled beside the step that uses this one.

    Parameters
    ----------
    batches
        Makes a batch by its index.
    indices
        Indices of the batches, in order.
    device
        Of the network.
    threads
        Threads that make batches beside the training; 0: each is made when it is needed.
    """

    def __init__(
        self, batches: BagBatches, indices: Iterable[int], *, device: torch.device, threads: int
    ) -> None:
        on_gpu = device.type == "cuda"
        # Other devices take batches that the processor has sampled.
        self.device = device if on_gpu else torch.device("cpu")
        self.batches = replace(batches, pinned=on_gpu)
        raw = in_order(self.batches.__getitem__, indices, threads)
        self._made = self._one_ahead(raw) if on_gpu else map(self._sampled, raw)

    def __next__(self) -> dict[str, Any]:
        """Return the next batch."""
        return next(self._made)

    def _sampled(self, batch: RawBatch) -> dict[str, Any]:
        crop = self.batches.settings.crop
        data, target = sample_bags(batch.bags.to(self.device), crop)
        return {"data": data, "target": target, "keys": batch.keys}

    def _one_ahead(self, raw: Iterator[RawBatch]) -> Iterator[dict[str, Any]]:
        beside = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        waiting: tuple[dict[str, Any], torch.cuda.Event] | None = None
        for batch in raw:
            with torch.cuda.stream(beside):
                following = self._sampled(batch), beside.record_event()
            if waiting is not None:
                yield self._handed_over(*waiting)
            waiting = following
        if waiting is not None:
            yield self._handed_over(*waiting)

    def _handed_over(self, batch: dict[str, Any], made: torch.cuda.Event) -> dict[str, Any]:
        """Make the network's stream wait for a batch, and reserve the batch's memory for it."""
        network = torch.cuda.current_stream(self.device)
        network.wait_event(made)
        batch["data"].record_stream(network)
        batch["target"].record_stream(network)
        return batch


def in_order(
    make: Callable[[int], RawBatch], indices: Iterable[int], threads: int
) -> Iterator[RawBatch]:
    """Make batches ``indices`` with ``threads`` threads and return them in their order.

    Threads suffice: reading, decompressing and copying slices release Python's lock.
    """
    if threads == 0:
        yield from map(make, indices)
        return
    pool = ThreadPoolExecutor(threads, thread_name_prefix="bags")
    under_way: deque[Future[RawBatch]] = deque()
    try:
        for index in indices:
            under_way.append(pool.submit(make, index))
            if len(under_way) > 2 * threads:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
