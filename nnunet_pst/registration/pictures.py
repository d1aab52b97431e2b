"""Pictures of a registration: the moving image on the reference, before and after.

As in `nnunet_pst.overlays`: Agg canvases of their own, the same input gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread
from scipy import ndimage

from nnunet_pst.registration.preparation import clipped
from nnunet_pst.volumes import Volume
from nnunet_pst.whole_files import written_whole

#: Okabe and Ito's orange, as in the other pictures.
_EDGE_RGB = (230 / 255, 159 / 255, 0.0)
_EDGE_SHARE = 6.0  # per cent of the pixels are drawn as edges
_SQUARES = 8
_TILE_INCHES, _DPI, _SHEET_DPI = 2.4, 100, 60
#: More would make a picture that nothing opens; the rejected pairs come first.
MOST_ON_A_SHEET = 200
_ROWS = ("checkerboard, scanner", "checkerboard, used", "edges, scanner", "edges, used")


def draw_registration(
    path: Path, reference: Volume, before: Volume, after: Volume, *, title: str
) -> None:
    """Write a PNG: three slices as checkerboards of both images and with the moving image's edges.

    Parameters
    ----------
    path
        Replaced when it exists.
    reference, before, after
        All on the reference's grid: the moving image under the scanner's coordinates and under
        the transform that is used.
    title
        Line above the pictures.
    """
    count = len(reference.array)
    slices = [round(share * (count - 1)) for share in (0.25, 0.5, 0.75)]
    fixed, first, last = (_unit(volume.array) for volume in (reference, before, after))
    spacing = reference.grid.spacing_zyx_mm
    figure = Figure(figsize=(4 * _TILE_INCHES, 3 * _TILE_INCHES + 0.5), facecolor="black")
    FigureCanvasAgg(figure)
    figure.text(0.01, 0.99, title, color="white", va="top", fontsize=9, wrap=True)
    for row, index in enumerate(slices):
        pictures = [
            _checkerboard(fixed[index], first[index]),
            _checkerboard(fixed[index], last[index]),
            _edges(fixed[index], first[index]),
            _edges(fixed[index], last[index]),
        ]
        for column, picture in enumerate(pictures):
            height = 3 * _TILE_INCHES / (3 * _TILE_INCHES + 0.5)
            axes = figure.add_axes(
                (column / 4, height * (2 - row) / 3, 1 / 4 - 0.004, height / 3 - 0.006)
            )
            axes.imshow(picture, aspect=spacing[1] / spacing[2], interpolation="bilinear")
            axes.set_axis_off()
            if row == 0:
                axes.text(3, 3, _ROWS[column], color="white", va="top", fontsize=7)
    with written_whole(path) as partial:
        figure.savefig(partial, format="png", dpi=_DPI, metadata={"Software": None})


def draw_registration_sheet(path: Path, pictures: Sequence[Path]) -> None:
    """Write the first `MOST_ON_A_SHEET` pictures on one page, in their order."""
    shown = pictures[:MOST_ON_A_SHEET]
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    width, height = 4 * _TILE_INCHES / 2, (3 * _TILE_INCHES + 0.5) / 2
    figure = Figure(figsize=(columns * width, rows * height), facecolor="black")
    FigureCanvasAgg(figure)
    for place, picture in enumerate(shown):
        row, column = divmod(place, columns)
        axes = figure.add_axes(
            (column / columns, 1 - (row + 1) / rows, 1 / columns - 0.005, 1 / rows - 0.005)
        )
        axes.imshow(imread(picture)[::2, ::2])
        axes.set_axis_off()
    with written_whole(path) as partial:
        figure.savefig(partial, format="png", dpi=_SHEET_DPI * 2, metadata={"Software": None})


def _unit(array: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    values = clipped(array)
    unit: npt.NDArray[np.float32] = (values - values.min()) / max(float(np.ptp(values)), 1e-6)
    return unit


def _checkerboard(
    fixed: npt.NDArray[np.float32], moving: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Squares of both images in turn, (y, x, rgb); the moving one's are tinted."""
    rows, columns = (np.arange(n) * _SQUARES // n for n in fixed.shape)
    other = (rows[:, None] + columns) % 2 == 1
    picture = np.stack([np.where(other, moving, fixed)] * 3, axis=-1)
    picture[other] *= (1.0, 0.85, 0.6)
    return picture


def _edges(
    fixed: npt.NDArray[np.float32], moving: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """The reference, (y, x, rgb), with the strongest edges of the moving image on it."""
    picture = np.stack([fixed] * 3, axis=-1)
    strength = ndimage.gaussian_gradient_magnitude(moving, 1.0)
    drawn = strength > max(float(np.percentile(strength, 100 - _EDGE_SHARE)), 1e-3)
    picture[drawn] = _EDGE_RGB
    return picture
