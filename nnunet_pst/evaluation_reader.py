"""Reads one volume with its grid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
import SimpleITK

from nnunet_pst.errors import InputError
from nnunet_pst.geometry import Grid


@dataclass(frozen=True)
class Volume:
    """A (z, y, x) array and its grid."""

    array: npt.NDArray[Any]
    grid: Grid


def read_volume(path: Path) -> Volume:
    """Read a three-dimensional image."""
    try:
        image = SimpleITK.ReadImage(str(path))
    except RuntimeError as error:
        raise InputError(f"{path}: can't be read") from error
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(f"{path}: is not a three-dimensional single-channel image")
    grid = Grid(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())
    return Volume(SimpleITK.GetArrayFromImage(image), grid)
