"""The place that a path leads to."""

from __future__ import annotations

import os
from pathlib import Path


def real_path(path: Path) -> Path:
    """Follow symbolic links; one that leads back to itself stays as it is.

    ``Path.resolve`` raises a `RuntimeError` for such a link in Python below 3.13.
    """
    return Path(os.path.realpath(path))
