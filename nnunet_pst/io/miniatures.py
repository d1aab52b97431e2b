"""Small copies of images that look the same however an image was saved, and how alike two are.

A miniature has the middle, the extents and the gray scale of what is in an image taken out of it.
So it stays what it is under another header, type, spacing or scale, with borders of air padded or
cut, and with a little noise. What is left, such as a few rows of tissue that were cut off, is
fitted by `likeness`, for the pairs that `alike` takes for candidates. Numbers: docs/decisions/0113.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Miniature: TypeAlias = npt.NDArray[np.float32]

#: (z, y, x) of a miniature.
SHAPE = (12, 32, 32)
#: Two images are called alike from this correlation of their fitted miniatures on.
ALIKE = 0.99
#: Thumbnails, with which all are compared with all, are so many times smaller.
_SMALLER = (2, 2, 2)
#: Pairs whose thumbnails correlate less are not fitted.
_CANDIDATE = 0.6
#: Pairs of an image that are fitted at most: the work grows with the images, not their pairs.
_MOST_CANDIDATES = 6
#: From so many images on, what they have in common is known.
_A_COHORT = 10
#: How many standard deviations of the gray mass a miniature reaches to each side.
_REACH = 1.9
#: Part of the gray scale that counts as background, noise among it.
_BACKGROUND = 0.15
#: Images of which less than this part is more than background show too little to be told apart.
_LEAST_SHOWN = 0.05
#: Steps of a fit, and the correlation below which it is given up after the second.
_FITS, _HOPELESS = 8, 0.95
#: Part of the miniatures that both must show.
_LEAST_SHARED = 0.5


def miniature(array: npt.NDArray[Any]) -> Miniature | None:
    """Return the miniature of an image, NaN outside of it; None of a nearly empty image.

    Parameters
    ----------
    array
        (z, y, x).
    """
    coarse = _coarse(_trimmed(np.asarray(array, dtype=np.float32)))
    low, high = np.percentile(coarse, (1, 99))
    if not high > low:
        return None
    gray = (np.clip(coarse, low, high) - low) / (high - low)
    mass = np.clip(gray - _BACKGROUND, 0, None)
    lines, blur = [], []
    for axis, size in enumerate(mass.shape):
        weights = mass.sum(tuple(other for other in range(3) if other != axis), dtype=np.float64)
        place = np.arange(size, dtype=np.float64)
        middle = float(np.average(place, weights=weights))
        spread = max(0.3, float(np.sqrt(np.average((place - middle) ** 2, weights=weights))))
        steps = (np.arange(SHAPE[axis]) + 0.5) / SHAPE[axis] * 2 - 1
        lines.append(middle + steps * _REACH * spread)
        blur.append(0.6 * 2 * _REACH * spread / SHAPE[axis])
    small: Miniature = ndimage.map_coordinates(
        ndimage.gaussian_filter(gray, blur, mode="nearest", truncate=2.5),
        np.meshgrid(*lines, indexing="ij"),
        order=1,
        output=np.float32,
        mode="nearest",
    )
    for axis, (line, size) in enumerate(zip(lines, gray.shape, strict=True)):
        # Half a voxel beyond the outer centers is still in the image.
        outside = (line < -0.5) | (line > size - 0.5)
        np.moveaxis(small, axis, 0)[outside] = np.nan
    if np.mean(small > _BACKGROUND) < _LEAST_SHOWN:
        return None
    return small


def alike(
    miniatures: Sequence[Miniature], owners: Sequence[str]
) -> Iterator[tuple[int, int, float]]:
    """Give the pairs of images of two owners that show the same, with their `likeness`.

    Also if one of them is mirrored or its rows are columns of the other. All are compared with all
    by a matrix product of thumbnails; only the few most alike of each image are fitted.

    Parameters
    ----------
    miniatures, owners
        Of all images: who each is of.
    """
    if len(miniatures) < 2:
        return
    thumbnails = np.stack([_thumbnail(one) for one in miniatures])
    # What all bodies have in common tells nobody from another.
    common = thumbnails.mean(0) if len(thumbnails) >= _A_COHORT else 0 * thumbnails[0]
    best = np.full((len(thumbnails),) * 2, -1.0, np.float32)
    which = np.zeros(best.shape, np.int8)
    own = np.stack([_unit(one - common) for one in thumbnails])
    for number, pose in enumerate(_POSES):
        posed = np.stack([_unit(_posed(one, pose) - common) for one in thumbnails])
        found = own @ posed.T
        which[found > best] = number
        best = np.maximum(best, found)
    names = np.array(owners)
    best[names[:, None] == names] = -1
    best[np.tril_indices(len(best))] = -1
    for first, row in enumerate(best):
        order = np.argsort(-row, kind="stable")[:_MOST_CANDIDATES]
        for second in order[row[order] >= _CANDIDATE]:
            pose = _POSES[which[first, second]]
            value = likeness(miniatures[first], _posed(miniatures[second], pose))
            if value >= ALIKE:
                yield first, int(second), value


def likeness(fixed: Miniature, moving: Miniature) -> float:
    """Correlate two miniatures, where both are, after small shifts and stretches are taken out.

    Each step solves for what the slopes of the moving image explain of the difference
    (Lucas and Kanade 1981): a shift and a stretch along each axis.
    """
    at = np.meshgrid(*(np.arange(size) - (size - 1) / 2 for size in SHAPE), indexing="ij")
    shift: npt.NDArray[np.float64] = np.zeros(3)
    stretch: npt.NDArray[np.float64] = np.ones(3)
    best = -1.0
    for step in range(_FITS):
        current = _moved(moving, shift, stretch)
        seen = ~np.isnan(current) & ~np.isnan(fixed)
        if seen.mean() < _LEAST_SHARED:
            break
        best = max(best, _correlation(fixed[seen], current[seen]))
        if step == 2 and best < _HOPELESS:
            break
        slopes = np.gradient(np.nan_to_num(current))
        columns = [slope[seen] for slope in slopes]
        columns += [(slope * place)[seen] for slope, place in zip(slopes, at, strict=True)]
        columns += [current[seen], np.ones(int(seen.sum()))]
        matrix = np.stack(columns).astype(np.float64)
        solved, *_ = np.linalg.lstsq(matrix @ matrix.T, matrix @ fixed[seen], rcond=None)
        gain = solved[6] if abs(solved[6]) > 0.1 else 1.0
        shift += np.clip(solved[:3] / gain, -2, 2)
        stretch *= 1 + solved[3:6] / gain
        np.clip(stretch, 0.7, 1.4, out=stretch)
    return best


def _moved(
    image: Miniature, shift: npt.NDArray[np.float64], stretch: npt.NDArray[np.float64]
) -> Miniature:
    middle = (np.array(SHAPE) - 1) / 2
    moved = ndimage.affine_transform(
        image,
        np.diag(stretch),
        middle + shift - stretch * middle,
        order=1,
        mode="constant",
        cval=np.nan,
    )
    return moved.astype(np.float32, copy=False)


def _correlation(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    return float(np.vdot(_normalized(one), _normalized(other)))


def _normalized(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return _unit(values - np.float32(values.mean(dtype=np.float64))).reshape(values.shape)


def _thumbnail(one: Miniature) -> npt.NDArray[np.float32]:
    shape = [part for size, by in zip(SHAPE, _SMALLER, strict=True) for part in (size // by, by)]
    return _normalized(np.nan_to_num(one).reshape(shape).mean((1, 3, 5)))


_POSES = tuple(product((1, -1), (1, -1), (1, -1), (False, True)))


def _posed(
    one: npt.NDArray[np.float32], pose: tuple[int, int, int, bool]
) -> npt.NDArray[np.float32]:
    """Mirror along each axis, and turn rows into columns."""
    z, y, x, turned = pose
    mirrored = one[::z, ::y, ::x]
    return mirrored.transpose(0, 2, 1) if turned else mirrored


def _unit(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    flat = values.ravel()
    scaled: npt.NDArray[np.float32] = flat / np.float32(max(np.sqrt(np.vdot(flat, flat)), 1e-12))
    return scaled


def _trimmed(array: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Leave out what was padded: planes of one value at the borders."""
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        shown = np.flatnonzero(array.max(others) > array.min(others))
        if not shown.size:
            return array
        array = array.take(range(shown[0], shown[-1] + 1), axis)
    return array


def _coarse(array: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Average blocks, so that a large image is not sampled at single voxels."""
    by = [max(1, size // (3 * small)) for size, small in zip(array.shape, SHAPE, strict=True)]
    inside = tuple(slice(0, size // b * b) for size, b in zip(array.shape, by, strict=True))
    cut = array[inside]
    shape = [part for size, b in zip(cut.shape, by, strict=True) for part in (size // b, b)]
    means: npt.NDArray[np.float32] = cut.reshape(shape).mean((1, 3, 5), dtype=np.float32)
    return means
