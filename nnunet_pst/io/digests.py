"""Digests of files."""

from __future__ import annotations

import hashlib
from pathlib import Path

_CHUNK_BYTES = 2**22


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, as hexadecimal digits; only a chunk at a time is in memory."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
