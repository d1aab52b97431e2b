"""Pictures people look at: one overlay per case, and a contact sheet of a whole evaluation.

Figures are drawn on Agg canvases of their own, without pyplot: no global state, safe in worker
processes, and the same input gives the same bytes (no dates or versions in the files).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import matplotlib.style
import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke

from nnunet_pst.dataset.annotation import largest_slice
from nnunet_pst.evaluation.metrics.overlap import annotated_window
from nnunet_pst.io.figures import write_png
from nnunet_pst.io.geometry import Grid
from nnunet_pst.labels import IGNORE, TUMOR

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

_Scalar = TypeVar("_Scalar", bound=np.generic)

#: Okabe and Ito's orange and sky blue: told apart with every kind of color blindness and on gray.
REFERENCE_COLOR = "#E69F00"
PREDICTION_COLOR = "#56B4E9"
_WINDOW_COLOR = "#DDDDDD"
#: For PNGs made by the hundred: of slices of MRI, level 3 is no larger than the default, 6, and
#: takes two fifths of the time.
QUICKLY_PACKED = {"compress_level": 3}
_DPI = 110
_SHEET_DPI = 144
#: From this many cases on, half the resolution: a sheet of 1 000 would have 75 million pixels.
_LARGE_SHEET = 250
_THUMBNAIL_PIXELS = 240
_STYLE: list[str | Path | dict[str, Any]] = [
    "default",
    {"font.family": "DejaVu Sans", "font.size": 9.0, "savefig.dpi": _DPI},
]


@dataclass(frozen=True)
class CaseView:
    """What a picture of a case needs; arrays as `for_display` returns them.

    Parameters
    ----------
    name
        Case name (a pseudonym).
    dice
        Its Dice, for the caption.
    image
        (z, y, x) intensities.
    reference
        (z, y, x); 0 background, 1 tumor, 2 unknown.
    prediction
        (z, y, x); 0 background, 1 tumor.
    spacing_zyx_mm
        Distance between voxel centers.
    half_width
        Slices of the annotated window on each side of the largest one.
    """

    name: str
    dice: float
    image: npt.NDArray[Any]
    reference: npt.NDArray[np.integer]
    prediction: npt.NDArray[np.integer]
    spacing_zyx_mm: tuple[float, float, float]
    half_width: int


def for_display(array: npt.NDArray[_Scalar], grid: Grid) -> npt.NDArray[_Scalar]:
    """Orient a (z, y, x) array as a radiologist expects it; a view, and for pictures only.

    Rows run toward posterior or inferior, columns toward the patient's left or posterior,
    whichever the scan's axes are closest to. Many NIfTI files (dcm2niix's, for one) store rows from
    posterior to anterior; shown in that order, patients stand on their heads.
    """
    direction = np.reshape(grid.direction, (3, 3))
    for axis_xyz in (0, 1):
        toward = direction[:, axis_xyz]
        main = int(np.argmax(np.abs(toward)))
        wanted = -1.0 if main == 2 else 1.0
        if toward[main] * wanted < 0:
            array = np.flip(array, 2 - axis_xyz)
    return array


def gray_window(image: npt.NDArray[Any]) -> tuple[float, float]:
    """Gray levels for black and white: percentiles 1 and 99.5 of the voxels that are not air."""
    values = image[np.isfinite(image) & (image != 0)]
    if not values.size:
        return 0.0, 1.0
    low, high = (float(level) for level in np.percentile(values, (1.0, 99.5)))
    return low, max(high, low + 1e-6)


def shown_slices(view: CaseView) -> tuple[int, int, int]:
    """First, largest and last slice of the lesion.

    Without tumor in the reference those of the prediction; without either, the middle slice
    thrice.
    """
    for mask in (view.reference, view.prediction):
        tumor = mask == TUMOR
        occupied = np.flatnonzero(tumor.any(axis=(1, 2)))
        if occupied.size:
            return int(occupied[0]), largest_slice(tumor), int(occupied[-1])
    middle = len(view.reference) // 2
    return middle, middle, middle


def crop_box(view: CaseView) -> tuple[float, float, float, float]:
    """Square (in mm) around the lesion in all slices: left, right, top, bottom in pixel edges.

    Around the reference, so that a stray false positive does not shrink the picture; around the
    prediction if there is no reference; otherwise the whole slice.
    """
    _, rows_mm, columns_mm = view.spacing_zyx_mm
    height, width = view.reference.shape[1:]
    for mask in (view.reference, view.prediction):
        rows, columns = np.nonzero((mask == TUMOR).any(axis=0))
        if not rows.size:
            continue
        extents = np.ptp(rows) * rows_mm, np.ptp(columns) * columns_mm
        half_mm = max(0.7 * max(extents), 25.0)
        row, column = (rows.min() + rows.max()) / 2, (columns.min() + columns.max()) / 2
        half_rows, half_columns = half_mm / rows_mm, half_mm / columns_mm
        return column - half_columns, column + half_columns, row - half_rows, row + half_rows
    return -0.5, width - 0.5, -0.5, height - 0.5


def draw_outline(axes: Axes, mask: npt.NDArray[np.bool_], color: str, line_width: float) -> None:
    """Draw the border of a (y, x) mask; a mask that touches the image's edge is closed there."""
    if not mask.any():
        return
    padded = np.pad(mask, 1).astype(float)
    rows, columns = (np.arange(-1, size - 1) for size in padded.shape)
    lines = axes.contour(
        columns, rows, padded, levels=[0.5], colors=[color], linewidths=[line_width]
    )
    # A thin dark rim keeps the lines visible on fat and on contrast medium.
    lines.set(path_effects=[withStroke(linewidth=line_width + 0.9, foreground="#00000090")])


def _draw_slice(
    axes: Axes, view: CaseView, index: int, *, gray: tuple[float, float], scale: float = 1.0
) -> None:
    """Show one slice with both contours, in the pixels' true proportions."""
    _, rows_mm, columns_mm = view.spacing_zyx_mm
    axes.imshow(
        view.image[index],
        cmap="gray",
        vmin=gray[0],
        vmax=gray[1],
        aspect=rows_mm / columns_mm,
        interpolation="bilinear",
    )
    # The reference is the wider line and lies below: where both agree, both colors are seen.
    draw_outline(axes, view.reference[index] == TUMOR, REFERENCE_COLOR, 2.6 * scale)
    draw_outline(axes, view.prediction[index] == TUMOR, PREDICTION_COLOR, 1.2 * scale)
    axes.set_facecolor("black")
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)


def draw_scale_bar(axes: Axes, columns_mm: float) -> None:
    """Draw a bar of 10, 20, 50 or 100 mm in the lower left corner."""
    left, right = axes.get_xlim()
    width_mm = (right - left) * columns_mm
    length_mm = max((bar for bar in (10, 20, 50, 100) if bar <= 0.4 * width_mm), default=10)
    end = 0.05 + length_mm / width_mm
    style: dict[str, Any] = {"transform": axes.transAxes, "color": "white"}
    rim = [withStroke(linewidth=2.5, foreground="black")]
    axes.plot([0.05, end], [0.045, 0.045], linewidth=2, path_effects=rim, **style)
    axes.text(0.05, 0.065, f"{length_mm} mm", fontsize=7, path_effects=rim, **style)


def _panel_title(view: CaseView, index: int, role: str) -> str:
    unknown = bool((view.reference[index] == IGNORE).all())
    return f"slice {index}, {role}" + (" (unlabeled)" if unknown else "")


def _draw_panels(row: Sequence[Axes], view: CaseView) -> None:
    """Fill four axes: the whole largest slice, then the crop at both ends and at the largest."""
    first, largest, last = shown_slices(view)
    left, right, top, bottom = crop_box(view)
    gray = gray_window(view.image)
    panels = [(largest, "whole"), (first, "first"), (largest, "largest"), (last, "last")]
    for place, (axes, (index, role)) in enumerate(zip(row, panels, strict=True)):
        _draw_slice(axes, view, index, gray=gray, scale=0.7 if place == 0 else 1.0)
        axes.set_title(_panel_title(view, index, role), fontsize=9)
        if place == 0:
            corner, size = (left, top), (right - left, bottom - top)
            axes.add_patch(
                Rectangle(corner, *size, fill=False, edgecolor="white", linewidth=0.7, alpha=0.8)
            )
        else:
            axes.set(xlim=(left, right), ylim=(bottom, top))
        draw_scale_bar(axes, view.spacing_zyx_mm[2])


def _draw_profile(axes: Axes, view: CaseView) -> None:
    """Plot the tumor's area in every slice: shows false positives that no panel shows."""
    _, rows_mm, columns_mm = view.spacing_zyx_mm
    to_cm2 = rows_mm * columns_mm / 100.0
    index = np.arange(len(view.reference))
    unknown = (view.reference == IGNORE).all(axis=(1, 2))
    for mask, color, width in (
        (view.reference, REFERENCE_COLOR, 2.6),
        (view.prediction, PREDICTION_COLOR, 1.4),
    ):
        area = np.count_nonzero(mask == TUMOR, axis=(1, 2)) * to_cm2
        if mask is view.reference:
            area = np.where(unknown, np.nan, area)
        axes.step(index, area, where="mid", color=color, linewidth=width)
    window = np.flatnonzero(annotated_window(view.reference, view.half_width))
    if window.size:
        axes.axvspan(window[0] - 0.5, window[-1] + 0.5, color=_WINDOW_COLOR, linewidth=0)
    for shown in sorted(set(shown_slices(view))):
        axes.axvline(shown, color="#777777", linewidth=0.7, linestyle=":")
    axes.set(xlim=(-0.5, len(index) - 0.5), ylabel="area (cm²)", xlabel="slice")
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)


def _line_handles(reference: str = "reference", prediction: str = "prediction") -> list[Artist]:
    return [
        Line2D([], [], color=REFERENCE_COLOR, linewidth=2.6, label=reference),
        Line2D([], [], color=PREDICTION_COLOR, linewidth=1.6, label=prediction),
    ]


def _legend(figure: Figure, view: CaseView) -> None:
    """Name the lines, and say so where there is none to be seen."""
    labels = [
        name if (mask == TUMOR).any() else f"{name} (empty)"
        for name, mask in (("reference", view.reference), ("prediction", view.prediction))
    ]
    if (view.reference == IGNORE).any():
        labels[0] += " (gaps: unlabeled)"
    shade = Patch(color=_WINDOW_COLOR, label=f"largest slice ± {view.half_width}")
    handles = [*_line_handles(*labels), shade]
    figure.legend(handles=handles, loc="upper right", ncols=3, frameon=False)


def draw_case(view: CaseView, path: Path) -> None:
    """Write the overlay of one case as a PNG.

    Left the whole slice with the largest reference area, then the lesion's first, largest and last
    slice around the lesion; below, the tumor's area in every slice.
    """
    with matplotlib.style.context(_STYLE, after_reset=True):
        figure = Figure(figsize=(13.0, 5.2), layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.add_gridspec(2, 4, height_ratios=(3.4, 1.0))
        _draw_panels([figure.add_subplot(grid[0, column]) for column in range(4)], view)
        _draw_profile(figure.add_subplot(grid[1, :]), view)
        title = f"{view.name}    Dice {view.dice:.3f}"
        figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
        _legend(figure, view)
        write_png(path, figure, pil_kwargs=QUICKLY_PACKED)


def draw_thumbnail(view: CaseView) -> npt.NDArray[np.uint8]:
    """Render the largest slice around the lesion as a square (row, column, RGB) tile."""
    with matplotlib.style.context(_STYLE, after_reset=True):
        inches = _THUMBNAIL_PIXELS / _DPI
        figure = Figure(figsize=(inches, inches), dpi=_DPI, facecolor="black")
        canvas: Any = FigureCanvasAgg(figure)  # untyped in matplotlib 3.8 to 3.11
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        _draw_slice(axes, view, shown_slices(view)[1], gray=gray_window(view.image), scale=0.8)
        left, right, top, bottom = crop_box(view)
        axes.set(xlim=(left, right), ylim=(bottom, top))
        canvas.draw()
        pixels: npt.NDArray[np.uint8] = np.array(canvas.buffer_rgba(), dtype=np.uint8)
        return pixels[..., :3]


def draw_contact_sheet(
    tiles: Sequence[tuple[str, float, npt.NDArray[np.uint8]]], path: Path, *, title: str
) -> None:
    """Write all cases on one page, the worst Dice first, as a PNG.

    Parameters
    ----------
    tiles
        Case name, Dice and `draw_thumbnail`'s picture of each case.
    path
        The file to write.
    title
        Line above the pictures.
    """
    ordered = sorted(tiles, key=lambda tile: (tile[1], tile[0]))
    columns = max(4, math.ceil(math.sqrt(1.3 * len(ordered))))
    rows = math.ceil(len(ordered) / columns)
    size, caption, header, gap = 1.62, 0.2, 0.42, 0.06  # inches
    width, height = columns * (size + gap) + gap, rows * (size + caption + gap) + header
    with matplotlib.style.context(_STYLE, after_reset=True):
        figure = Figure(figsize=(width, height))
        FigureCanvasAgg(figure)
        # One set of axes in inches, from the top left: a set per case would take half a minute.
        page = figure.add_axes((0, 0, 1, 1))
        page.axis("off")
        page.text(gap, 0.09, title, va="top", fontsize=11, fontweight="bold")
        page.legend(handles=_line_handles(), loc="upper right", ncols=2, frameon=False, fontsize=8)
        for place, (name, score, tile) in enumerate(ordered):
            row, column = divmod(place, columns)
            left = gap + column * (size + gap)
            top = header + row * (size + caption + gap) + caption
            page.text(
                left + size / 2, top - 0.04, f"{name}  {score:.2f}", ha="center", fontsize=7.5
            )
            page.imshow(tile, extent=(left, left + size, top + size, top))
        page.set(xlim=(0, width), ylim=(height, 0))
        dpi = _SHEET_DPI if len(ordered) <= _LARGE_SHEET else _SHEET_DPI / 2
        write_png(path, figure, dpi=dpi)
