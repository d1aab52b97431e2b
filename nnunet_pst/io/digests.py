"""Digests of files and of voxels."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_CHUNK_BYTES = 2**22
_ENDS_BYTES = 2**16


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
