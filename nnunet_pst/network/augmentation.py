"""Augmentation of bags: one affine sampling for everything spatial, then gray values.

Crop, shift, flip, scale and rotation are one affine map per bag and one interpolation; the same
map is applied to every slice and channel of a bag and to its label. Labels are sampled by nearest
neighbor, so unknown never turns into tumor or background. Parameters are drawn first, then applied:
the process that reads the slices draws them, the network's device samples
(``docs/decisions/0094``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int8, Int16
from torch import Tensor

#: How far inside the crop the chosen tumor pixel stays, in output pixels.
LESION_MARGIN = 8


@dataclass(frozen=True)
class AugmentationRanges:
    """Ranges of the parameters (drawn uniformly; scale, gamma and gain log-uniformly).

    Attributes
    ----------
    rotation_degrees
        Largest rotation either way.
    scale
        Largest magnification and reduction.
    flip_rows, flip_columns
        Probability of each flip.
    gamma
        Largest exponent (and its inverse) of gray values in the unit range.
    gain
        Largest factor (and its inverse) on gray values.
    channel_dropout
        Probability with which each sequence is zeroed; one always stays.
    resampled
        Probability that a bag is rotated and scaled. The others are flipped and shifted by whole
        pixels, which leaves their voxels as sharp as those of prediction.
    """

    rotation_degrees: float = 30.0
    scale: float = 1.25
    flip_rows: float = 0.5
    flip_columns: float = 0.5
    gamma: float = 1.0
    gain: float = 1.0
    channel_dropout: float = 0.0
    resampled: float = 1.0


#: For validation: a crop, nothing else.
NO_AUGMENTATION = AugmentationRanges(
    rotation_degrees=0.0, scale=1.0, flip_rows=0.0, flip_columns=0.0
)


@dataclass(frozen=True)
class BagTransform:
    """The drawn parameters of one bag.

    Attributes
    ----------
    matrix
        (2, 2) from offsets in the crop (row, column; output pixels) to offsets in the slice.
    center
        (2,) position in the slice, in pixels from the center of its first, that becomes the
        center of the crop.
    gamma, gain
        (c,) per sequence: every slice of a sequence gets the same.
    kept
        (c,) False for a sequence that is zeroed, as if the patient had none.
    """

    matrix: npt.NDArray[np.float64]
    center: npt.NDArray[np.float64]
    gamma: npt.NDArray[np.float64]
    gain: npt.NDArray[np.float64]
    kept: npt.NDArray[np.bool_]


def draw_transform(
    size: tuple[int, int],
    crop: int,
    ranges: AugmentationRanges,
    rng: np.random.Generator,
    *,
    channels: int,
    lesion_pixel: tuple[int, int] | None = None,
) -> BagTransform:
    """Draw the transform of one bag.

    Parameters
    ----------
    size
        (rows, columns) of the slice.
    crop
        Side of the square crop, in pixels.
    channels
        Number of sequences.
    lesion_pixel
        (row, column) that must end up inside the crop, or None.
    """
    angle = np.deg2rad(rng.uniform(-ranges.rotation_degrees, ranges.rotation_degrees))
    scale = _log_uniform(ranges.scale, rng)
    flips = np.where(rng.random(2) < (ranges.flip_rows, ranges.flip_columns), -1.0, 1.0)
    resampled = ranges.resampled == 1 or rng.random() < ranges.resampled
    if not resampled:
        angle, scale = 0.0, 1.0
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = rotation @ np.diag(flips) / scale
    # A slice smaller than the crop is placed anywhere inside it, a larger one is cropped anywhere.
    middle = (np.asarray(size) - 1) / 2
    center = middle + rng.uniform(-1, 1, 2) * np.abs(np.asarray(size) - crop) / 2
    if lesion_pixel is not None:
        pixel, reach = np.asarray(lesion_pixel, dtype=float), (crop - 1) / 2 - LESION_MARGIN
        place = np.clip(np.linalg.solve(matrix, pixel - center), -reach, reach)
        center = pixel - matrix @ place
    if not resampled:
        # Pixels of the crop lie half a pixel beside its center where its side is even.
        half = (crop - 1) / 2 % 1
        center = np.round(center - half) + half
    gamma = np.array([_log_uniform(ranges.gamma, rng) for _ in range(channels)])
    gain = np.array([_log_uniform(ranges.gain, rng) for _ in range(channels)])
    kept = _draw_kept(channels, ranges.channel_dropout, rng)
    return BagTransform(matrix=matrix, center=center, gamma=gamma, gain=gain, kept=kept)


def _draw_kept(channels: int, dropout: float, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Draw which sequences stay; where the draw keeps none, a random one stays."""
    if channels == 1 or dropout == 0:
        return np.ones(channels, dtype=bool)
    kept = rng.random(channels) >= dropout
    spared = rng.integers(channels)
    if not kept.any():
        kept[spared] = True
    return kept


def _log_uniform(largest: float, rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(-1, 1) * np.log(largest)))


class RawBags(NamedTuple):
    """Bags before sampling, with their transforms; every field is a tensor.

    Attributes
    ----------
    images
        (b, c*s, y, x) slices in the upper left corner of one canvas, 0 beyond; half precision does.
    labels
        (b, 1, y, x) of the center slices, int8, on the same canvas.
    affine
        (b, 2, 3) from the crop to the canvas, see `crop_to_canvas`.
    gamma, gain
        (b, c) per sequence; ``gain`` is 0 for a sequence that is dropped.
    """

    images: Float[Tensor, "b cs y x"]
    labels: Int8[Tensor, "b 1 y x"]
    affine: Float[Tensor, "b 2 3"]
    gamma: Float[Tensor, "b c"]
    gain: Float[Tensor, "b c"]

    def to(self, device: torch.device) -> RawBags:
        """Copy all tensors to ``device``; from pinned memory without waiting for it."""
        return RawBags(*(part.to(device, non_blocking=True) for part in self))

    def pinned(self) -> RawBags:
        """Move all tensors into pinned memory, from which a GPU copies them by itself."""
        return RawBags(*(part.pin_memory() for part in self))


def raw_bags(
    images: Float[Tensor, "b cs y x"],
    labels: Int8[Tensor, "b 1 y x"],
    transforms: Sequence[BagTransform],
    crop: int,
) -> RawBags:
    """Join slices on a canvas with their drawn transforms."""
    gain = np.stack([drawn.gain for drawn in transforms])
    # The channel of a missing sequence is zero, so that of a dropped one is zero too.
    gain = gain * np.stack([drawn.kept for drawn in transforms])
    return RawBags(
        images=images,
        labels=labels,
        affine=_single(crop_to_canvas(transforms, crop, (images.shape[-2], images.shape[-1]))),
        gamma=_single(np.stack([drawn.gamma for drawn in transforms])),
        gain=_single(gain),
    )


def _single(values: npt.NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))


def crop_to_canvas(
    transforms: Sequence[BagTransform], crop: int, canvas: tuple[int, int]
) -> npt.NDArray[np.float64]:
    """Return the transforms (b, 2, 3) in the units of `torch` ``grid_sample``.

    From (x, y, 1) in the crop to (x, y) on a canvas of (rows, columns), both in [-1, 1] with
    ``align_corners=False``: pixel ``i`` of ``n`` has its center at ``(2 i + 1) / n - 1``.
    """
    matrix = np.stack([drawn.matrix for drawn in transforms]) * (crop / 2)
    center = np.stack([drawn.center for drawn in transforms])
    size = np.asarray(canvas, dtype=float)
    unit = np.concatenate(
        [2 * matrix / size[:, None], ((2 * center + 1) / size - 1)[..., None]], axis=2
    )
    # From rows first to x first, in the input and in the output.
    swapped: npt.NDArray[np.float64] = unit[:, ::-1][..., [1, 0, 2]]
    return swapped


def sample_bags(
    raw: RawBags, crop: int
) -> tuple[Float[Tensor, "b cs crop crop"], Int16[Tensor, "b 1 crop crop"]]:
    """Sample every bag and its label at its transform, on their device; outside a slice is 0.

    0 is background: beyond the image there is no tumor.
    """
    if raw.images.device.type != "cpu":
        return _sampled_together(raw, crop)
    # The intermediate results of a few bags stay in the processor's cache.
    at_once = max(2, torch.get_num_threads())
    sampled = [
        _sampled_together(RawBags(*(field[start : start + at_once] for field in raw)), crop)
        for start in range(0, len(raw.images), at_once)
    ]
    images, labels = zip(*sampled, strict=True)
    return torch.cat(images), torch.cat(labels)


def _sampled_together(raw: RawBags, crop: int) -> tuple[Tensor, Tensor]:
    grid = sampling_grid(raw.affine, crop)
    images = F.grid_sample(raw.images.float(), grid, mode="bilinear", align_corners=False)
    labels = F.grid_sample(raw.labels.float(), grid, mode="nearest", align_corners=False)
    return change_intensity(images, raw.gamma, raw.gain), labels.to(torch.int16)


def sampling_grid(affine: Float[Tensor, "b 2 3"], crop: int) -> Float[Tensor, "b crop crop 2"]:
    """Positions to sample, as in `torch` ``affine_grid``, in a hundredth of its time."""
    place = (2 * torch.arange(crop, device=affine.device) + 1) / crop - 1
    along_rows = affine[:, :, 0, None] * place
    along_columns = affine[:, :, 1, None] * place + affine[:, :, 2, None]
    return (along_rows[:, :, None, :] + along_columns[:, :, :, None]).permute(0, 2, 3, 1)


def change_intensity(
    images: Float[Tensor, "b cs y x"], gamma: Float[Tensor, "b c"], gain: Float[Tensor, "b c"]
) -> Float[Tensor, "b cs y x"]:
    """Apply gamma and gain; 0 (air and padding) stays 0.

    On a CPU, images are returned as they are if no gray value changes; on a GPU that test would
    cost more than it saves.
    """
    if gamma.device.type == "cpu" and bool((gamma == 1).all() and (gain == 1).all()):
        return images
    slices = images.shape[1] // gamma.shape[1]
    gamma = gamma.repeat_interleave(slices, dim=1)[:, :, None, None]
    gain = gain.repeat_interleave(slices, dim=1)[:, :, None, None]
    # Resampling overshoot makes values below 0, whose powers are not defined.
    powers = images.clamp(min=0).pow_(gamma)
    return powers.add_(images.clamp(max=0)).mul_(gain)
