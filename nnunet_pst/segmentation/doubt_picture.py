"""One picture of where a mask is least certain: slices with the probability as color and lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nnunet_pst.evaluation.overlays import (
    QUICKLY_PACKED,
    for_display,
    gray_window,
)
from nnunet_pst.io.figures import write_png
from nnunet_pst.io.geometry import Grid
from nnunet_pst.io.volumes import Volume
from nnunet_pst.segmentation.montage import STYLE
from nnunet_pst.segmentation.tiles import finish_tile, show_closely

#: Probabilities that a line is drawn at; the middle one is the mask's border.
LEVELS = (0.25, 0.5, 0.75)
_LINES = ("dotted", "solid", "dashed")
_SLICES = 4
_TILE_INCHES, _DPI = 2.3, 100
#: Below this, no color: the rest of the image is certain.
_LEAST = 0.05


def draw_doubt(
    path: Path, image: Volume, probability: npt.NDArray[np.float32], *, title: str
) -> None:
    """Write a PNG: the slices whose probabilities are least certain, in the order of the image.

    Parameters
    ----------
    path
        Written directly; the caller moves it to its place.
    image
        (z, y, x) intensities.
    probability
        Same shape, of tumor.
    title
        Line above the pictures.
    """
    shown = for_display(image.array, image.grid)
    heat = for_display(probability, image.grid)
    slices = doubtful_slices(heat)
    width, height = _SLICES * _TILE_INCHES, _TILE_INCHES + 0.3
    window = gray_window(shown)
    with matplotlib.style.context(STYLE, after_reset=True):
        figure = Figure(figsize=(width, height), facecolor="black")
        FigureCanvasAgg(figure)
        figure.text(0.01, 1 - 0.08 / height, title, color="white", va="top", fontsize=9)
        for column, index in enumerate(slices):
            axes = figure.add_axes(
                (column / _SLICES, 0, 1 / _SLICES - 0.004, (_TILE_INCHES - 0.03) / height)
            )
            _draw_slice(axes, shown[index], heat, index, grid=image.grid, window=window)
        write_png(path, figure, dpi=_DPI, pil_kwargs=QUICKLY_PACKED)


def _draw_slice(
    axes: Axes,
    gray: npt.NDArray[Any],
    heat: npt.NDArray[np.float32],
    index: int,
    *,
    grid: Grid,
    window: tuple[float, float],
) -> None:
    _, rows_mm, columns_mm = grid.spacing_zyx_mm
    look: dict[str, Any] = {"aspect": rows_mm / columns_mm, "interpolation": "bilinear"}
    axes.imshow(gray, cmap="gray", vmin=window[0], vmax=window[1], **look)
    seen = np.where(heat[index] < _LEAST, np.nan, heat[index])
    axes.imshow(seen, cmap="inferno", vmin=0, vmax=1, alpha=0.45, **look)
    crossed = [level for level in LEVELS if heat[index].min() < level < heat[index].max()]
    if crossed:
        lines = [_LINES[LEVELS.index(level)] for level in crossed]
        axes.contour(heat[index], levels=crossed, colors="cyan", linestyles=lines, linewidths=0.9)
    show_closely(axes, heat >= _LEAST, grid)
    finish_tile(axes, index, grid)


def doubtful_slices(probability: npt.NDArray[np.float32]) -> list[int]:
    """Choose the slices with the largest sum of entropy, at most four, in their order."""
    p = np.clip(probability, 1e-6, 1 - 1e-6)
    entropy = -(p * np.log(p) + (1 - p) * np.log1p(-p)).sum(axis=(1, 2))
    return sorted(int(index) for index in np.argsort(-entropy, kind="stable")[:_SLICES])
