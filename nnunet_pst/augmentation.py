"""Augmentation of bags: one affine sampling for everything spatial, then grey values.

Crop, shift, flip, scale and rotation are one affine map per bag and one interpolation; the same
map hits every slice and channel of a bag and its label. Labels are sampled by nearest neighbour,
so unknown never turns into tumour or background. Parameters are drawn first, then applied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

#: How far inside the crop the chosen tumour pixel stays, in output pixels.
LESION_MARGIN = 8


@dataclass(frozen=True)
class AugmentationRanges:
    """From where parameters are drawn (uniformly; scale, gamma and gain log-uniformly).

    Attributes
    ----------
    rotation_degrees
        Largest rotation either way.
    scale
        Largest magnification and reduction.
    flip_rows, flip_columns
        Probability of each flip.
    gamma
        Largest exponent (and its inverse) of grey values in the unit range.
    gain
        Largest factor (and its inverse) on grey values.
    channel_dropout
        Probability with which each sequence is zeroed; one always stays.
    """

    rotation_degrees: float = 30.0
    scale: float = 1.25
    flip_rows: float = 0.5
    flip_columns: float = 0.5
    gamma: float = 1.0
    gain: float = 1.0
    channel_dropout: float = 0.0


#: What validation uses: a crop, nothing else.
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
    centre
        (2,) position in the slice, in pixels from the centre of its first, that becomes the
        centre of the crop.
    gamma, gain
        (c,) per sequence: every slice of a sequence gets the same.
    kept
        (c,) False for a sequence that is zeroed as if the patient lacked it.
    """

    matrix: npt.NDArray[np.float64]
    centre: npt.NDArray[np.float64]
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
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = rotation @ np.diag(flips) / scale
    # A slice smaller than the crop is placed anywhere inside it, a larger one is cropped anywhere.
    middle = (np.asarray(size) - 1) / 2
    centre = middle + rng.uniform(-1, 1, 2) * np.abs(np.asarray(size) - crop) / 2
    if lesion_pixel is not None:
        pixel, reach = np.asarray(lesion_pixel, dtype=float), (crop - 1) / 2 - LESION_MARGIN
        place = np.clip(np.linalg.solve(matrix, pixel - centre), -reach, reach)
        centre = pixel - matrix @ place
    gamma = np.array([_log_uniform(ranges.gamma, rng) for _ in range(channels)])
    gain = np.array([_log_uniform(ranges.gain, rng) for _ in range(channels)])
    kept = _draw_kept(channels, ranges.channel_dropout, rng)
    return BagTransform(matrix=matrix, centre=centre, gamma=gamma, gain=gain, kept=kept)


def _draw_kept(channels: int, dropout: float, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Draw which sequences stay; where the draw left none, one of them at random does."""
    if channels == 1 or dropout == 0:
        return np.ones(channels, dtype=bool)
    kept = rng.random(channels) >= dropout
    spared = rng.integers(channels)
    if not kept.any():
        kept[spared] = True
    return kept


def _log_uniform(largest: float, rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(-1, 1) * np.log(largest)))


def apply_transforms(
    bags: Sequence[Float[Tensor, "cs _y _x"]],
    labels: Sequence[Float[Tensor, "1 _y _x"]],
    transforms: Sequence[BagTransform],
    crop: int,
) -> tuple[Float[Tensor, "b cs crop crop"], Float[Tensor, "b 1 crop crop"]]:
    """Sample every bag and its label at its transform; outside a slice is 0, known background.

    Bags may differ in size; they are put on one canvas so that one call samples them all.
    """
    rows = max(bag.shape[-2] for bag in bags)
    columns = max(bag.shape[-1] for bag in bags)
    grid = torch.stack(
        [sampling_grid(transform, crop, (rows, columns)) for transform in transforms]
    )
    images = F.grid_sample(
        _on_canvas(bags, rows, columns), grid, mode="bilinear", align_corners=False
    )
    # grid_sample fills with 0, which is background: beyond the image there is no tumour.
    targets = F.grid_sample(
        _on_canvas(labels, rows, columns), grid, mode="nearest", align_corners=False
    )
    return change_intensity(images, transforms), targets


def _on_canvas(
    parts: Sequence[Float[Tensor, "c _y _x"]], rows: int, columns: int
) -> Float[Tensor, "b c y x"]:
    canvas = parts[0].new_zeros((len(parts), parts[0].shape[0], rows, columns))
    for slot, part in zip(canvas, parts, strict=True):
        slot[:, : part.shape[-2], : part.shape[-1]] = part
    return canvas


def sampling_grid(
    transform: BagTransform, crop: int, canvas: tuple[int, int]
) -> Float[Tensor, "crop crop 2"]:
    """Positions to sample, in the (x, y) order and the [-1, 1] units of `torch` ``grid_sample``.

    ``align_corners=False``: pixel ``i`` of ``n`` has its centre at ``(2 i + 1) / n - 1``.
    """
    offset = torch.arange(crop, dtype=torch.float32) - (crop - 1) / 2
    place = torch.stack(torch.meshgrid(offset, offset, indexing="ij"), dim=-1)
    matrix = torch.from_numpy(transform.matrix).float()
    pixel = place @ matrix.T + torch.from_numpy(transform.centre).float()
    unit = (2 * pixel + 1) / torch.tensor(canvas, dtype=torch.float32) - 1
    return unit.flip(-1)


def change_intensity(
    images: Float[Tensor, "b cs y x"], transforms: Sequence[BagTransform]
) -> Float[Tensor, "b cs y x"]:
    """Apply gamma and gain, and zero what is dropped; 0 (air and padding) stays 0.

    Untouched where nothing changes.
    """
    gamma = torch.from_numpy(np.stack([t.gamma for t in transforms])).float()
    kept = torch.from_numpy(np.stack([t.kept for t in transforms]))
    # A dropped sequence looks like one that the patient lacks, whose channel is zero.
    gain = torch.from_numpy(np.stack([t.gain for t in transforms])).float() * kept
    if bool((gamma == 1).all() and (gain == 1).all()):
        return images
    slices = images.shape[1] // gamma.shape[1]
    gamma = gamma.repeat_interleave(slices, dim=1)[:, :, None, None]
    gain = gain.repeat_interleave(slices, dim=1)[:, :, None, None]
    # Below 0 lies a rim of resampling overshoot; a power of it is no number.
    return (images.clamp(min=0).pow(gamma) + images.clamp(max=0)) * gain
