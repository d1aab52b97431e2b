"""Scores drawn against the tumor's size, and away from the slices that are drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from scipy import stats

from nnunet_pst.comparison.figure_style import (
    WIDTH_INCHES,
    Look,
    Picture,
    looks,
    panels,
    picture,
    shortened,
)
from nnunet_pst.comparison.results import Comparison, DistanceScore
from nnunet_pst.evaluation.averaging import CaseValue, patients_mean
from nnunet_pst.io.number_columns import terciles, third_of
from nnunet_pst.io.wording import MINUS

#: Fewer patients than these make no mean that is worth a line.
FEWEST_PATIENTS = 3
_RHO = "\N{GREEK SMALL LETTER RHO}"


def draw_dice_by_size(
    comparison: Comparison, sizes: Mapping[str, float], *, what: str
) -> Picture | None:
    """Draw Dice against the size of the tumor, a panel a method.

    Parameters
    ----------
    comparison
        Gives a patient's mean Dice.
    sizes
        By patient.
    what
        The size with its unit, for the axis.
    """
    known = {name: size for name, size in sizes.items() if size > 0 and math.isfinite(size)}
    if len(set(known) & set(comparison.patients)) < FEWEST_PATIENTS:
        return None
    logarithmic = max(known.values()) / min(known.values()) > 8
    look = looks(comparison.methods)
    number = len(set(known) & set(comparison.patients))
    # What `_draw_thirds` leaves out is not described.
    thirds = number >= 3 * FEWEST_PATIENTS
    medians = "Black: median Dice in each third of the patients by size. " if thirds else ""

    def draw(figure: Figure) -> None:
        every = panels(figure, len(comparison.methods), sharex=True, sharey=True)
        for axes, method in zip(every, comparison.methods, strict=True):
            dice = comparison.patient_means("dice", method)
            shared = sorted(set(dice) & set(known))
            x = np.array([known[name] for name in shared])
            y = np.array([dice[name] for name in shared])
            axes.scatter(x, y, s=16, color=look[method].color, marker=look[method].marker)
            _draw_thirds(axes, x, y)
            axes.set_title(f"{shortened(method, 30)}{_rank_correlation(x, y)}")
            axes.set_ylim(-0.03, 1.03)
            if logarithmic:
                axes.set_xscale("log")
                axes.xaxis.set_major_formatter("{x:g}")
        figure.supxlabel(what, fontsize=9)
        figure.supylabel("Dice", fontsize=9)

    return picture(
        "dice_by_size",
        draw,
        title="Dice against the tumor's size",
        caption=f"A dot a patient ({number} with a known size), mean Dice of the patient's cases. "
        f"{medians}{_RHO}: Spearman's rank correlation, without an interval.",
        height_inches=2.7 * -(-len(comparison.methods) // 3) + 0.3,
    )


def _draw_thirds(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """Draw the median of y in each third of x; nothing for fewer than nine values."""
    if len(x) < 3 * FEWEST_PATIENTS:
        return
    cuts = terciles(x)
    places = np.array([third_of(size, cuts) for size in x])
    for third in np.unique(places):
        own = places == third
        ends = [x[own].min(), x[own].max()]
        axes.plot(ends, [np.median(y[own])] * 2, color="black", linewidth=2, zorder=4)


def _rank_correlation(x: np.ndarray, y: np.ndarray) -> str:
    if len(x) < FEWEST_PATIENTS or np.ptp(x) == 0 or np.ptp(y) == 0:
        return ""
    rho = f"{float(stats.spearmanr(x, y).statistic):+.2f}".replace("-", MINUS)
    return f", {_RHO} = {rho}"


def draw_window_distance(comparison: Comparison) -> Picture | None:
    """Draw Dice and recall by distance from the annotated window; None without such scores."""
    by_method = comparison.distances
    every = [score for scores in by_method.values() for score in scores]
    if not every:
        return None
    look = looks(comparison.methods)

    def draw(figure: Figure) -> None:
        left, right, below = figure.subplots(1, 3, width_ratios=(1, 1, 0.75))
        for axes, name in ((left, "dice"), (right, "recall")):
            for method, scores in by_method.items():
                _draw_distance_line(axes, scores, name, look[method])
            axes.set(ylim=(-0.03, 1.03), title="Dice" if name == "dice" else "recall")
            axes.axvspan(-0.4, 0.4, color="#e5e7eb", linewidth=0)
        numbers = patients_by_distance(every)
        below.bar(list(numbers), list(numbers.values()), color="#b6bec8")
        below.set(title="patients")
        for axes in (left, right, below):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            axes.set_xlabel("slices from the window")
        _legend(figure, comparison.methods)

    return picture(
        "window_distance",
        draw,
        title="Away from the annotated window",
        caption="What coarse labels may cost: agreement on slices by their distance from the "
        "window that a coarse annotator would have drawn (0: inside, gray). Means over patients "
        f"with tumor there, all repeats together; distances with fewer than {FEWEST_PATIENTS} "
        "patients are hollow. No intervals are drawn: the patients behind each point (right) "
        "become few and are the ones with long tumors.",
        height_inches=3.1,
        width_inches=WIDTH_INCHES,
    )


def patients_by_distance(scores: Sequence[DistanceScore]) -> dict[int, int]:
    """Count the patients who have a defined recall at each distance."""
    found: dict[int, set[str]] = {}
    for score in scores:
        if not math.isnan(score.recall):
            found.setdefault(score.distance_slices, set()).add(score.patient)
    return {distance: len(names) for distance, names in sorted(found.items())}


def _draw_distance_line(axes: Axes, scores: Sequence[DistanceScore], name: str, look: Look) -> None:
    values: dict[int, list[CaseValue]] = {}
    for score in scores:
        # Dice where the reference has no tumor would mix in slices that are only false positives.
        if not math.isnan(score.recall):
            value = CaseValue(score.patient, score.case, getattr(score, name))
            values.setdefault(score.distance_slices, []).append(value)
    distances = sorted(values)
    means = [patients_mean(values[distance]) for distance in distances]
    axes.plot(distances, [y for y, _ in means], color=look.color, linewidth=1.4)
    for distance, (y, patients) in zip(distances, means, strict=True):
        enough = patients >= FEWEST_PATIENTS
        face = look.color if enough else "white"
        axes.plot(distance, y, look.marker, color=look.color, markerfacecolor=face, markersize=5)


def _legend(figure: Figure, methods: Sequence[str]) -> None:
    handles = [
        Line2D([], [], color=look.color, marker=look.marker, label=shortened(name, 40))
        for name, look in looks(methods).items()
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=min(4, len(handles)), fontsize=8)
