"""From a volume to bags of slices, and from the network's logits back to a volume."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from nnunet_pst.network.intensity import (
    Content,
    Window,
    apply_window,
    find_content,
    intensity_window,
)

#: The encoder halves the resolution five times, so in-plane sizes must be multiples of this.
STRIDE = 32

#: Mean and standard deviation of ImageNet in [0, 1], averaged over its three colors; what the
#: pretrained encoder expects (torchvision.transforms, ``IMAGENET1K_V1``).
IMAGENET_MEAN, IMAGENET_STD = 0.449, 0.226

Intensity = Literal["unit", "host"]

#: Computes logits ``(b, k, y, x)`` of ready bags ``(b, c*s, y, x)``, batch by batch, in order.
RunBags: TypeAlias = Callable[[Iterable[Tensor]], Iterator[Tensor]]


def bag_members(present: npt.NDArray[np.bool_], slices_per_bag: int) -> npt.NDArray[np.intp]:
    """Return, for each slice, the indices of the slices in its bag.

    Walking outwards from the center, a neighbor that is outside the volume or absent is
    replaced by the last slice that was there; so a border slice repeats itself.

    Parameters
    ----------
    present
        (z,) False for empty slices, such as the predictor's padding.
    slices_per_bag
        Odd number of slices in a bag.

    Returns
    -------
    (z, slices_per_bag) indices in slice order; the center column is the slice itself.
    """
    if slices_per_bag < 1 or slices_per_bag % 2 == 0:
        raise ValueError(f"slices_per_bag must be odd and positive, not {slices_per_bag}")
    count, reach = len(present), slices_per_bag // 2
    index = np.arange(count)
    members = np.empty((count, slices_per_bag), dtype=np.intp)
    members[:, reach] = index
    for side in (-1, 1):
        last = index
        for step in range(1, reach + 1):
            neighbor = index + side * step
            inside = (neighbor >= 0) & (neighbor < count)
            there = inside & present[np.clip(neighbor, 0, count - 1)]
            # A gap ends the walk: slices behind it are not neighbors.
            there &= last == index + side * (step - 1)
            last = np.where(there, neighbor, last)
            members[:, reach + side * step] = last
    return members


def padded_size(size: int, canvas: int) -> int:
    """Smallest multiple of `STRIDE` that holds both ``size`` and ``canvas``."""
    return -(-max(size, canvas) // STRIDE) * STRIDE


@dataclass(frozen=True)
class BagFormat:
    """The form of a network's bags.

    Attributes
    ----------
    slices_per_bag
        Odd number of neighboring slices.
    canvas
        Smallest in-plane size of a bag, in pixels.
    intensity
        As for `nnunet_pst.network.unet25d.Unet25D`.
    num_classes
        Number of maps of logits.
    """

    slices_per_bag: int
    canvas: int
    intensity: Intensity
    num_classes: int

    def window(self, rows: int, columns: int) -> tuple[slice, slice]:
        """Rows and columns of an image of that size on its canvas."""
        top = (padded_size(rows, self.canvas) - rows) // 2
        left = (padded_size(columns, self.canvas) - columns) // 2
        return slice(top, top + rows), slice(left, left + columns)

    def ready(self, images: Float[Tensor, "*b y x"]) -> Float[Tensor, "*b y2 x2"]:
        """Center images on their canvas and map them to the encoder's scale.

        Parameters
        ----------
        images
            Slices; where intensity is ``unit``, air is 0 and bright tissue 1.
        """
        height, width = images.shape[-2:]
        rows, columns = self.window(height, width)
        right = padded_size(width, self.canvas) - columns.stop
        below = padded_size(height, self.canvas) - rows.stop
        images = F.pad(images, (columns.start, right, rows.start, below))
        return (images - IMAGENET_MEAN) / IMAGENET_STD if self.intensity == "unit" else images


def make_bags(
    volume: Float[Tensor, "c z y x"], members: npt.NDArray[np.intp]
) -> Float[Tensor, "b cs y x"]:
    """Gather bags from a volume, sequence-major: all slices of channel 0, then of channel 1, ...

    Parameters
    ----------
    volume
        (c, z, y, x).
    members
        (b, s) slice indices, from `nnunet_pst.network.bags.bag_members`.
    """
    index = torch.from_numpy(members).to(volume.device)
    return volume[:, index].movedim(0, 1).flatten(1, 2)


def volume_logits(
    volume: Float[Tensor, "c z y x"],
    bag_format: BagFormat,
    run: RunBags,
    *,
    mirror_axes: Sequence[int] = (),
    at_once: int,
    windows: Sequence[Window] | None = None,
    share: bool = False,
) -> Float[Tensor, "k z y x"]:
    """Logits of every slice, averaged over all mirrorings; padding gets zeros.

    As nnU-Net averages (``_internal_maybe_mirror_and_predict`` of nnunet-v2
    ``inference/predict_from_raw_data.py``), but steps that all mirrorings share are computed
    once, and the mirrorings follow each other without a pause.

    Parameters
    ----------
    mirror_axes
        Axes of (z, y, x) to mirror along, in all combinations.
    at_once
        Slices in a batch.
    windows
        From `volume_windows` of the whole volume, where this is a tile of it; None: this is all of
        it.
    share
        Add a last map: the share of mirrorings that find any class.

    Returns
    -------
    Tensor
        A new tensor.
    """
    content = find_content(volume)
    logits = volume.new_zeros((bag_format.num_classes + share, *volume.shape[1:]))
    if not content.present.any():
        return logits
    image = _graded(volume, content, bag_format, windows)
    inside = logits[:, :, content.rows, content.columns]
    rows, columns = bag_format.window(*image.shape[-2:])
    plan = _plan(content.present, mirror_axes, at_once)
    parts = run(_bags(image, content.present, plan, bag_format))
    for (axes, chunk), part in zip(plan, parts, strict=True):
        back = part[..., rows, columns].flip([axis + 1 for axis in axes if axis]).transpose(0, 1)
        place = _place(len(content.present) - 1 - chunk if 0 in axes else chunk, inside.device)
        inside[: bag_format.num_classes, place] += back.to(inside.dtype)
        if share:
            inside[-1, place] += (back.argmax(dim=0) > 0).to(inside.dtype)
    return logits.div_(2 ** len(mirror_axes))


def _place(numbers: npt.NDArray[np.intp], device: torch.device) -> slice | Tensor:
    """Index of slices; consecutive slices get a `slice`, which needs no copies."""
    first, count = int(numbers[0]), len(numbers)
    if np.array_equal(numbers, np.arange(first, first + count)):
        return slice(first, first + count)
    return torch.from_numpy(numbers).to(device)


def volume_windows(
    volume: Float[Tensor, "c z y x"], bag_format: BagFormat
) -> tuple[Window, ...] | None:
    """Return the gray values of each channel that become 0 and 1, for all tiles of a volume.

    A tile's own percentiles would give its tissue another brightness than its neighbor's.

    Returns
    -------
    tuple or None
        None where intensities are used as nnU-Net normalized them, and for an empty volume.
    """
    content = find_content(volume)
    if bag_format.intensity != "unit" or not content.present.any():
        return None
    image = _present(volume[:, :, content.rows, content.columns], content)
    return tuple(intensity_window(channel) for channel in image)


def _present(image: Tensor, content: Content) -> Tensor:
    index = torch.from_numpy(np.flatnonzero(content.present)).to(image.device)
    return image[:, index]


def _graded(
    volume: Tensor, content: Content, bag_format: BagFormat, windows: Sequence[Window] | None
) -> Float[Tensor, "c z y x"]:
    """Cut out the image and map it to the network's scale."""
    image = volume[:, :, content.rows, content.columns]
    if bag_format.intensity != "unit":
        return image
    # From the image's own percentiles, so that padding slices change nothing.
    windows = windows or volume_windows(volume, bag_format)
    assert windows is not None
    graded = image.clone()
    index = torch.from_numpy(np.flatnonzero(content.present)).to(image.device)
    for number, window in enumerate(windows):
        graded[number, index] = apply_window(image[number, index], window)
    return graded


def _plan(
    present: npt.NDArray[np.bool_], mirror_axes: Sequence[int], at_once: int
) -> list[tuple[tuple[int, ...], npt.NDArray[np.intp]]]:
    """List the batches: the mirrored axes, and the slices' numbers in the mirrored volume."""
    plan = []
    for count in range(len(mirror_axes) + 1):
        for axes in itertools.combinations(mirror_axes, count):
            slices = np.flatnonzero(present[::-1] if 0 in axes else present)
            chunks = (slices[start : start + at_once] for start in range(0, len(slices), at_once))
            plan += [(axes, chunk) for chunk in chunks]
    return plan


def _bags(
    image: Float[Tensor, "c z y x"],
    present: npt.NDArray[np.bool_],
    plan: Sequence[tuple[tuple[int, ...], npt.NDArray[np.intp]]],
    bag_format: BagFormat,
) -> Iterator[Tensor]:
    for axes, batches in itertools.groupby(plan, key=lambda batch: batch[0]):
        mirrored = bag_format.ready(image.flip([axis + 1 for axis in axes]))
        there = present[::-1] if 0 in axes else present
        members = bag_members(there, bag_format.slices_per_bag)
        for _, chunk in batches:
            yield make_bags(mirrored, members[chunk])
