"""Pictures of a registration: the moving image on the reference, before and after.

As in `nnunet_pst.evaluation.overlays`: each figure has its own Agg canvas, and the same input gives
the same bytes.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread
from scipy import ndimage

from nnunet_pst.io.figures import write_png
from nnunet_pst.io.volumes import Volume
from nnunet_pst.registration.preparation import clipped

#: Okabe and Ito's orange, as in the other pictures.
_EDGE_RGB = (230 / 255, 159 / 255, 0.0)
_EDGE_SHARE = 6.0  # percent of the pixels are drawn as edges
_SQUARES = 8
_TILE_INCHES, _DPI, _SHEET_DPI = 2.4, 100, 120
#: For a title and the columns' names, in a picture and above it on the sheet.
_HEAD_INCHES, _SHEET_HEAD_INCHES = 0.6, 0.6
_SHEET_COLUMNS = 3
_CAPTION: dict[str, Any] = {"color": "white", "va": "top"}
#: A sheet with more would be too large for viewers; the rejected pairs come first.
MOST_ON_A_SHEET = 200
#: Above the columns; "scanner": under the scanner's coordinates.
_COLUMNS = ("checks, scanner", "checks, used", "edges, scanner", "edges, used")


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
    whole = 3 * _TILE_INCHES + _HEAD_INCHES
    figure = Figure(figsize=(4 * _TILE_INCHES, whole), facecolor="black")
    FigureCanvasAgg(figure)
    lines = textwrap.fill(title, 130, max_lines=2)
    figure.text(0.003, 0.995, lines, fontsize=9, **_CAPTION)
    for column, name in enumerate(_COLUMNS):
        figure.text(column / 4 + 0.003, 1 - 0.38 / whole, name, fontsize=8, **_CAPTION)
    for row, index in enumerate(slices):
        pictures = [
            _checkerboard(fixed[index], first[index]),
            _checkerboard(fixed[index], last[index]),
            _edges(fixed[index], first[index]),
            _edges(fixed[index], last[index]),
        ]
        for column, picture in enumerate(pictures):
            height = 1 - _HEAD_INCHES / whole
            axes = figure.add_axes(
                (column / 4, height * (2 - row) / 3, 1 / 4 - 0.004, height / 3 - 0.006)
            )
            axes.imshow(picture, aspect=spacing[1] / spacing[2], interpolation="bilinear")
            axes.set_axis_off()
    write_png(path, figure, dpi=_DPI)


def draw_registration_sheet(path: Path, pictures: Sequence[Path], titles: Sequence[str]) -> None:
    """Write the first `MOST_ON_A_SHEET` pictures on one page, in their order, with their titles.

    The titles are written again: those in the pictures would shrink with them. Without pictures the
    page is removed.
    """
    shown = list(zip(pictures[:MOST_ON_A_SHEET], titles, strict=False))
    if not shown:
        path.unlink(missing_ok=True)
        return
    columns = min(_SHEET_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    width, height = 2 * _TILE_INCHES, 1.5 * _TILE_INCHES + _SHEET_HEAD_INCHES
    figure = Figure(figsize=(columns * width, rows * height), facecolor="black")
    FigureCanvasAgg(figure)
    head = _SHEET_HEAD_INCHES / height
    for place, (picture, title) in enumerate(shown):
        row, column = divmod(place, columns)
        left, top = column / columns, 1 - row / rows
        lines = textwrap.fill(title, 68, max_lines=2)
        figure.text(left + 0.004, top - 0.06 * head / rows, lines, fontsize=9, **_CAPTION)
        for number, name in enumerate(_COLUMNS):
            figure.text(
                left + (number / 4 + 0.01) / columns,
                top - 0.72 * head / rows,
                name,
                fontsize=7.5,
                **_CAPTION,
            )
        axes = figure.add_axes(
            (left, top - 1 / rows, 1 / columns - 0.004, (1 - head) / rows - 0.002)
        )
        image = imread(picture)
        axes.imshow(image[round(_HEAD_INCHES * _DPI) :], interpolation="antialiased", aspect="auto")
        axes.set_axis_off()
    write_png(path, figure, dpi=_SHEET_DPI)


def _unit(array: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    values = clipped(array)
    unit: npt.NDArray[np.float32] = (values - values.min()) / max(float(np.ptp(values)), 1e-6)
    return unit


def _checkerboard(
    fixed: npt.NDArray[np.float32], moving: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Squares of both images in turn, (y, x, rgb); those of the moving image are tinted."""
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
    edges = strength > max(float(np.percentile(strength, 100 - _EDGE_SHARE)), 1e-3)
    picture[edges] = _EDGE_RGB
    return picture
