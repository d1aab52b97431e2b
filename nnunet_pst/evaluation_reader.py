"""Reads a label map with its grid, whatever its values."""

from __future__ import annotations

from pathlib import Path

import SimpleITK

from nnunet_pst.errors import InputError
from nnunet_pst.volumes import Volume, read_header


def read_labels(path: Path) -> Volume:
    """Read a label map; its values, which may be unknown (2), are the caller's to check."""
    grid = read_header(path)
    try:
        array = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    except RuntimeError as error:
        raise InputError(f"{path.name} ends early or is damaged; copy it again") from error
    return Volume(array, grid)
