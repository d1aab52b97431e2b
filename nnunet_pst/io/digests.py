"""Digests of files and of voxels."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_CHUNK_BYTES = 2**22
_ENDS_BYTES = 2**16
#: Slices with fewer voxels that are not zero may be the same by chance.
_FEWEST_VALUES = 64


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, as hexadecimal digits; only a chunk at a time is in memory."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def voxel_digest(array: npt.NDArray[Any]) -> str:
    """Digest of the shape and the values of an array, as hexadecimal digits.

    The same values of another type, or from a file that is compressed differently, give the same
    digest; types that hold more digits than single precision are rounded to it.
    """
    # Adding zero turns the negative zero into the positive one.
    values = np.ascontiguousarray(array, dtype=np.float32) + np.float32(0)
    digest = hashlib.blake2b(repr(array.shape).encode(), digest_size=16)
    digest.update(values.data)
    return digest.hexdigest()


def slice_digests(array: npt.NDArray[Any]) -> tuple[str, ...]:
    """Digest of the values of each slice, wherever in the slice they are; zeros don't count.

    So it stays what it is when an image is mirrored, turned by right angles or padded, and when
    slices are left out or in another order.

    Parameters
    ----------
    array
        (z, y, x).

    Returns
    -------
    tuple of str
        Of the slices with `_FEWEST_VALUES` voxels that are not zero and not all the same.
    """
    digests = []
    for plane in np.asarray(array, dtype=np.float32):
        values = plane[plane != 0]
        if values.size < _FEWEST_VALUES or values.min() == values.max():
            continue
        # The sum over mixed bits doesn't ask for an order and needs no sorting.
        bits = values.view(np.uint32).astype(np.uint64)
        digests.append(f"{int(_mixed(bits).sum(dtype=np.uint64)):016x}")
    return tuple(digests)


def _mixed(bits: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Mix every value by itself, in place (finalizer of splitmix64: Steele et al., OOPSLA 2014)."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        bits ^= bits >> np.uint64(shift)
        bits *= np.uint64(factor)
    bits ^= bits >> np.uint64(31)
    return bits


def quick_digest(path: Path) -> str:
    """Size and a hash of the beginning and the end of a file; empty where there is no file.

    It tells whether a file that was written once is still that file, whole, in a millisecond. A
    file that was changed in its middle alone, at the same size, goes unnoticed.
    """
    if not path.is_file():
        return ""
    size = path.stat().st_size
    digest = hashlib.sha256()
    with path.open("rb") as file:
        digest.update(file.read(_ENDS_BYTES))
        file.seek(max(_ENDS_BYTES, size - _ENDS_BYTES))
        digest.update(file.read(_ENDS_BYTES))
    return f"{size}-{digest.hexdigest()[:32]}"
