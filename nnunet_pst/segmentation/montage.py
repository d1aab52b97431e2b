"""One picture of a segmented sequence: its slices with the outline of the tumor.

As in `nnunet_pst.report`: Agg canvases of their own, the same input gives the same bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nnunet_pst.dataset.annotation import largest_slice
from nnunet_pst.evaluation.overlays import (
    QUICKLY_PACKED,
    draw_outline,
    for_display,
    gray_window,
)
from nnunet_pst.io.figures import write_png
from nnunet_pst.io.viewer_labels import class_color
from nnunet_pst.io.volumes import Volume
from nnunet_pst.segmentation.tiles import finish_tile, show_closely

_COLUMNS, _MOST_TILES = 4, 12
_TILE_INCHES, _DPI = 2.3, 100
STYLE: list[str | Path | dict[str, Any]] = ["default", {"font.family": "DejaVu Sans"}]


def draw_montage(path: Path, image: Volume, labels: npt.NDArray[np.uint8], *, title: str) -> None:
    """Write a PNG: the whole slice with most tumor, then slices around the tumor.

    Each class has an outline in its color (`nnunet_pst.io.viewer_labels.class_color`).

    Without tumor, slices from the whole image.

    Parameters
    ----------
    path
        Written directly; the caller moves it to its place.
    image
        (z, y, x) intensities.
    labels
        Same shape; 0 for background, else the value of a class.
    title
        Line above the pictures.
    """
    mask = labels > 0
    shown = for_display(image.array, image.grid)
    outlined = for_display(labels, image.grid)
    slices = montage_slices(mask)
    window = gray_window(shown)
    whole = largest_slice(mask) if mask.any() else None
    tiles = [(whole, False)] if whole is not None else []
    tiles += [(index, bool(mask.any())) for index in slices]
    rows = -(-len(tiles) // _COLUMNS)
    width, height = _COLUMNS * _TILE_INCHES, rows * _TILE_INCHES + 0.3
    with matplotlib.style.context(STYLE, after_reset=True):
        figure = Figure(figsize=(width, height), facecolor="black")
        FigureCanvasAgg(figure)
        figure.text(0.01, 1 - 0.08 / height, title, color="white", va="top", fontsize=9)
        for place, (index, closely) in enumerate(tiles):
            row, column = divmod(place, _COLUMNS)
            axes = figure.add_axes(
                (
                    column / _COLUMNS,
                    (rows - 1 - row) * _TILE_INCHES / height,
                    1 / _COLUMNS - 0.004,
                    (_TILE_INCHES - 0.03) / height,
                )
            )
            _draw_tile(
                axes, shown[index], outlined, index, image=image, window=window, closely=closely
            )
        write_png(path, figure, dpi=_DPI, pil_kwargs=QUICKLY_PACKED)


def montage_slices(mask: npt.NDArray[np.bool_]) -> list[int]:
    """Choose slices, evenly from the first to the last with tumor; without any, from all."""
    occupied = np.flatnonzero(mask.any(axis=(1, 2)))
    first, last = (int(occupied[0]), int(occupied[-1])) if occupied.size else (0, len(mask) - 1)
    most = _MOST_TILES - 1 if occupied.size else _MOST_TILES
    return sorted(set(np.linspace(first, last, min(most, last - first + 1)).round().astype(int)))


def _draw_tile(
    axes: Any,  # noqa: ANN401 - matplotlib's axes
    picture: npt.NDArray[Any],
    outlined: npt.NDArray[np.uint8],
    index: int,
    *,
    image: Volume,
    window: tuple[float, float],
    closely: bool,
) -> None:
    _, rows_mm, columns_mm = image.grid.spacing_zyx_mm
    axes.imshow(
        picture,
        cmap="gray",
        vmin=window[0],
        vmax=window[1],
        aspect=rows_mm / columns_mm,
        interpolation="bilinear",
    )
    for value in np.unique(outlined[index][outlined[index] > 0]):
        color = "#{:02X}{:02X}{:02X}".format(*class_color(int(value)))
        draw_outline(axes, outlined[index] == value, color, 1.2)
    if closely:
        show_closely(axes, outlined > 0, image.grid)
    finish_tile(axes, index, image.grid)
