"""What all figures of a report share: colors, a style, and files with the same bytes every time.

Agg and SVG canvases of their own, without pyplot, as in `nnunet_pst.evaluation.overlays`.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

#: Okabe and Ito's colors, which are told apart with every kind of color blindness
#: (https://jfly.uni-koeln.de/color/); its yellow is too pale for lines on white and left out.
_COLORS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GRAY = "#6b7280"
_DPI = 150
#: Points and text of a page 17 cm wide.
WIDTH_INCHES = 8.6
_STYLE: list[str | Path | dict[str, Any]] = [
    "default",
    {
        "font.family": "DejaVu Sans",
        "font.size": 9.0,
        "axes.titlesize": 9.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": "#4b5563",
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.axisbelow": True,
        "grid.color": "#e5e7eb",
        "legend.frameon": False,
        "savefig.dpi": _DPI,
        # Names of methods come from a command line: no dollar sign may start a formula.
        "text.parse_math": False,
        # Letters as outlines: the same picture on every machine, and no fonts to fetch.
        "svg.fonttype": "path",
        "svg.hashsalt": "nnunet_pst",
    },
]


@dataclass(frozen=True)
class Picture:
    """A figure in both formats.

    Parameters
    ----------
    name
        Of its files, without ending.
    title
        Heading.
    caption
        What is shown, of how many, and what intervals are.
    """

    name: str
    title: str
    caption: str
    svg: bytes
    png: bytes


def picture(
    name: str,
    draw: Callable[[Figure], None],
    *,
    title: str,
    caption: str,
    height_inches: float,
    width_inches: float = WIDTH_INCHES,
) -> Picture:
    """Draw a figure and return it as SVG and as PNG; the same input gives the same bytes."""
    with matplotlib.style.context(_STYLE, after_reset=True), warnings.catch_warnings():
        # A name in a script that the font lacks is boxes in the figure, and whole in the page.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure(figsize=(width_inches, height_inches), layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        png, svg = io.BytesIO(), io.BytesIO()
        figure.savefig(png, format="png", metadata={"Software": None})
        FigureCanvasSVG(figure)
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    return Picture(name, title, caption, svg.getvalue(), png.getvalue())


@dataclass(frozen=True)
class Look:
    """Color and marker of a method, the same in all figures."""

    color: str
    marker: str


def looks(methods: Sequence[str]) -> dict[str, Look]:
    """Give every method its look: colors in order, then the colors again with other markers."""
    colors, markers = len(_COLORS), len(_MARKERS)
    return {
        name: Look(_COLORS[i % colors], _MARKERS[(i + i // colors) % markers])
        for i, name in enumerate(methods)
    }


def panels(
    figure: Figure,
    number: int,
    *,
    most_columns: int = 3,
    sharex: bool = False,
    sharey: bool = False,
) -> list[Axes]:
    """Lay out panels in rows; those that are not needed don't appear."""
    columns = min(number, most_columns)
    rows = -(-number // columns)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=sharex, sharey=sharey)
    every = list(grid.flat)
    for spare in every[number:]:
        spare.remove()
    return every[:number]


def shortened(name: str, most: int = 22) -> str:
    """Cut a long name for an axis; its end often tells more than its middle."""
    if len(name) <= most:
        return name
    head = (most - 1) // 2
    return f"{name[:head]}…{name[head + 1 - most :]}"
