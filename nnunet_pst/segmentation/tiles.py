"""What every tile of a picture of slices shares: its close-up, its number, its scale."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from nnunet_pst.evaluation.overlays import draw_scale_bar
from nnunet_pst.io.geometry import Grid

#: Margin around what is shown closely.
MARGIN_MM = 25.0


def show_closely(axes: Axes, where: npt.NDArray[np.bool_], grid: Grid) -> None:
    """Cut a tile to a square around all slices of a mask (z, y, x); an empty one cuts nothing.

    Tiles of one mask have one frame, so that slices can be compared.
    """
    rows, columns = np.nonzero(where.any(axis=0))
    if not len(rows):
        return
    _, rows_mm, columns_mm = grid.spacing_zyx_mm
    half = max(np.ptp(rows) * rows_mm, np.ptp(columns) * columns_mm) / 2 + MARGIN_MM
    row, column = (rows.min() + rows.max()) / 2, (columns.min() + columns.max()) / 2
    axes.set(
        xlim=(column - half / columns_mm, column + half / columns_mm),
        ylim=(row + half / rows_mm, row - half / rows_mm),
    )


def finish_tile(axes: Axes, index: int, grid: Grid) -> None:
    """Number a tile by its slice, draw its scale, and remove its frame."""
    axes.set_facecolor("black")
    axes.set(xticks=[], yticks=[])
    axes.text(
        0.02,
        0.98,
        f"slice {index}",
        transform=axes.transAxes,
        color="white",
        va="top",
        fontsize=7,
        path_effects=[withStroke(linewidth=1.5, foreground="black")],  # fat is as white
    )
    draw_scale_bar(axes, grid.spacing_zyx_mm[2])
    for spine in axes.spines.values():
        spine.set_visible(False)
