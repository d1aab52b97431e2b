"""Two pictures of a comparison: differences with their intervals, and every patient's values.

Drawn without pyplot, as all our figures: no global state, and the same input gives the same bytes.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nnunet_pst.comparison import Compared, Settings, Tables
from nnunet_pst.comparison_strata import ALL
from nnunet_pst.scores import Row

_STYLE: list[str | Path | dict[str, Any]] = [
    "default",
    {"font.family": "DejaVu Sans", "font.size": 9.0, "savefig.dpi": 110},
]
#: Okabe and Ito: told apart with every kind of colour blindness.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
#: More rows than this no longer fit a page; the tables have them all.
_MOST_ROWS = 60


def draw_differences(tables: Tables, settings: Settings, path: Path) -> None:
    """Draw the first measure's differences to the baseline: all patients, then every stratum."""
    measure = settings.measures[0]
    rows = [row for row in tables.differences if row["measure"] == measure.name][:_MOST_ROWS]
    methods = list(dict.fromkeys(str(row["method"]) for row in rows))
    with matplotlib.style.context(_STYLE):
        figure = Figure(figsize=(8.0, 1.9 + 0.3 * len(rows)), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        for place, row in enumerate(rows):
            colour = _COLOURS[methods.index(str(row["method"])) % len(_COLOURS)]
            middle, low, high = (float(row[key]) for key in ("difference", "low", "high"))
            if not math.isnan(low):
                axes.plot([low, high], [place, place], color=colour, linewidth=2)
            axes.plot([middle], [place], "o", color=colour, markersize=6)
        axes.axvline(0, color="black", linewidth=0.8)
        if settings.margin is not None and measure.unit == "1":
            axes.axvline(-measure.sign * settings.margin, color="grey", linestyle="--")
        axes.set_yticks(range(len(rows)), [_label(row) for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.grid(axis="x", color="#DDDDDD", linewidth=0.6)
        better = "right" if measure.sign > 0 else "left"
        axes.set_xlabel(
            f"difference of {_with_unit(measure)} to {settings.baseline} (better to the {better})"
        )
        margin = "; dashed: the margin" if settings.margin is not None else ""
        axes.set_title(
            f"Paired differences over patients, 95 % intervals{margin}\n"
            "no interval: too few patients, or all differ by the same",
            fontsize=9,
        )
        figure.savefig(path, metadata={"Software": None})


def draw_patients(tables: Tables, settings: Settings, path: Path) -> None:
    """Draw the first measure of every patient by every method; lines join a patient's values."""
    measure = settings.measures[0]
    methods = list(dict.fromkeys(str(row["method"]) for row in tables.patients))
    values = np.array(
        [
            [float(row[measure.name]) for row in tables.patients if row["method"] == method]
            for method in methods
        ]
    )
    with matplotlib.style.context(_STYLE):
        figure = Figure(figsize=(2.4 + 1.5 * len(methods), 4.6), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        places = np.arange(len(methods))
        axes.plot(places, values, color="#BBBBBB", linewidth=0.6, zorder=1)
        defined = [column[~np.isnan(column)] for column in values]
        axes.boxplot(
            defined, positions=places, widths=0.35, showfliers=False, zorder=2,
            medianprops={"color": "black"},
        )  # fmt: skip
        for place, column in enumerate(values):
            colour = _COLOURS[place % len(_COLOURS)]
            here = np.full(len(column), place)
            axes.plot(here, column, "o", color=colour, markersize=4, alpha=0.7)
        axes.set_xticks(places, methods, rotation=20 if len(methods) > 3 else 0)
        axes.set_xlim(-0.6, len(methods) - 0.4)
        axes.set_ylabel(_with_unit(measure))
        axes.set_title(f"{values.shape[1]} patients; a line is a patient", fontsize=9)
        figure.savefig(path, metadata={"Software": None})


def _with_unit(measure: Compared) -> str:
    return measure.name if measure.unit == "1" else f"{measure.name} ({measure.unit})"


def _label(row: Row) -> str:
    stratum = "all patients" if row["stratum"] == ALL else f"{row['stratum']} {row['level']}"
    return f"{stratum}: {row['method']} (n={row['patients']})"
