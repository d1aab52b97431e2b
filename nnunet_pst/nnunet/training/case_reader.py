"""Slices of nnU-Net's preprocessed cases, on the scale of the network, cached where they fit.

Threads may read together. Memory is bounded by the cache's limit and the slices being read.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.slice_kinds import kinds_of_label
from nnunet_pst.labels import BACKGROUND, IGNORE
from nnunet_pst.network.intensity import apply_window, intensity_window
from nnunet_pst.nnunet.training.slice_sampling import CaseSlices

#: GiB of slices that a training process keeps in memory; the others are read every time.
CACHE_VARIABLE = "NNUNET_PST_CACHE_GB"
DEFAULT_CACHE_GB = 4.0
#: Cases whose two files stay open; systems allow a process 1024 files or fewer.
OPEN_CASES = 128
#: Largest number of half precision (IEEE 754 binary16).
HALF_LIMIT = 65504.0

Image = npt.NDArray[np.floating]
Label = npt.NDArray[np.int8]


class SliceCache:
    """Arrays by name, up to a number of bytes; the readers of one training share one."""

    def __init__(self, limit_bytes: int) -> None:
        self._free_bytes = limit_bytes
        self._arrays: dict[tuple[str, int, str], npt.NDArray[Any]] = {}
        self._lock = threading.Lock()

    def get(self, key: tuple[str, int, str]) -> npt.NDArray[Any] | None:
        """Return the array of (case, slice, part), or None."""
        return self._arrays.get(key)

    def offer(self, key: tuple[str, int, str], array: npt.NDArray[Any]) -> None:
        """Make an array read-only and remember it, if there is room for it."""
        array.setflags(write=False)
        with self._lock:
            if array.nbytes <= self._free_bytes and key not in self._arrays:
                self._free_bytes -= array.nbytes
                self._arrays[key] = array


@dataclass
class OpenCase:
    """The two lazily decompressed arrays (c, z, y, x) of a case, for one thread at a time."""

    image: Any
    label: Any
    lock: threading.Lock = field(default_factory=threading.Lock)


class CaseReader:
    """Reads single slices of preprocessed cases, and remembers them.

    Images on the unit scale are kept in half precision: 11 bits, so rounding changes a value by at
    most a 2048th of itself. The host's own scales may be of any size and stay in single precision.

    Parameters
    ----------
    dataset
        nnU-Net's dataset: ``load_case`` gives lazily decompressed (c, z, y, x) image and label.
    intensity
        As for `nnunet_pst.network.unet25d.Unet25D`.
    unknown_is_background
        Read unknown voxels as background (the ablation).
    cache
        Where slices are remembered.
    ignore_label
        Value of unknown voxels in this dataset; None where all are known.
    """

    def __init__(
        self,
        dataset: Any,
        *,
        intensity: str,
        unknown_is_background: bool,
        cache: SliceCache,
        ignore_label: int | None = IGNORE,
    ) -> None:
        self.dataset = dataset
        self.intensity = intensity
        self.unknown_is_background = unknown_is_background
        self.cache = cache
        self.ignore_label = ignore_label
        self.dtype = torch.float16 if intensity == "unit" else torch.float32
        self._opened: dict[str, OpenCase] = {}
        self._opening = threading.Lock()
        self._windows: dict[str, list[tuple[float, float]]] = {}
        self._shapes: dict[str, tuple[int, int, int]] = {}

    def slice_shape(self, case: str) -> tuple[int, int, int]:
        """Return the shape (c, y, x) of the slices of a case."""
        if case not in self._shapes:
            channels, _, rows, columns = self._open(case).image.shape
            self._shapes[case] = channels, rows, columns
        return self._shapes[case]

    def label(self, case: str) -> Label:
        """Return the whole label (z, y, x); -1, nnU-Net's outside, becomes background."""
        return self._read_label(case, slice(None))

    def label_slice(self, case: str, index: int) -> Label:
        """Return the label (y, x) of one slice, not to be changed."""
        key = case, index, "label"
        label = self.cache.get(key)
        if label is None:
            label = self._read_label(case, index)
            self.cache.offer(key, label)
        return label

    def image_slice(self, case: str, index: int) -> Image:
        """Return one slice (c, y, x), not to be changed; only its own blocks are decompressed."""
        key = case, index, "image"
        image = self.cache.get(key)
        if image is None:
            image = self._read_image(case, index)
            self.cache.offer(key, image)
        return image

    def _open(self, case: str) -> OpenCase:
        with self._opening:
            # load_case also unpickles some hundred kilobytes of properties: once a case is enough.
            if case not in self._opened:
                if len(self._opened) >= OPEN_CASES:
                    self._opened.pop(next(iter(self._opened)))
                image, label, *_ = self.dataset.load_case(case)
                self._opened[case] = OpenCase(image, label)
            return self._opened[case]

    def _read_label(self, case: str, index: int | slice) -> Label:
        opened = self._open(case)
        with opened.lock:
            values = np.asarray(opened.label[0, index]).astype(np.int8)
        values[values < 0] = BACKGROUND
        if self.unknown_is_background and self.ignore_label is not None:
            values[values == self.ignore_label] = BACKGROUND
        return values

    def _read_image(self, case: str, index: int) -> Image:
        opened = self._open(case)
        with opened.lock:
            if case not in self._windows:
                self._windows[case] = self._find_windows(opened)
            channels = torch.from_numpy(np.asarray(opened.image[:, index]))
        values = torch.stack(
            [apply_window(*pair) for pair in zip(channels, self._windows[case], strict=True)]
        )
        if self.dtype == torch.float16:
            # Such values are artifacts, but as infinity they would spoil the training.
            values.clamp_(-HALF_LIMIT, HALF_LIMIT)
        scaled: Image = values.to(self.dtype).numpy()
        return scaled

    def _find_windows(self, opened: OpenCase) -> list[tuple[float, float]]:
        if self.intensity == "unit":
            volume = torch.from_numpy(np.asarray(opened.image[:]))
            return [intensity_window(channel) for channel in volume]
        return [(0.0, 1.0)] * opened.image.shape[0]


def cache_bytes() -> int:
    """Return the limit of the slice cache of a training process, from `CACHE_VARIABLE`."""
    text = os.environ.get(CACHE_VARIABLE, str(DEFAULT_CACHE_GB))
    try:
        limit = float(text)
    except ValueError:
        limit = math.nan
    if not 0 <= limit < math.inf:
        raise InputError(
            f"{CACHE_VARIABLE} is '{text}'; give a number of GiB, 0 for no cache", Fault.MALFORMED
        )
    return int(limit * 2**30)


def case_slices(
    reader: CaseReader, cases: Iterable[str], origin: Mapping[str, tuple[str, str]]
) -> list[CaseSlices]:
    """Read every label once and return the kinds of its slices.

    Parameters
    ----------
    origin
        Patient and sequence of each case; a case that is not listed counts as its own patient.
    """
    result = []
    for case in cases:
        patient, sequence = origin.get(case, (case, ""))
        result.append(
            CaseSlices(
                case, patient, sequence, kinds_of_label(reader.label(case), reader.ignore_label)
            )
        )
    return result
