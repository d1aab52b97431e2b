"""Scores drawn: per patient and method, against the tumour's size, away from the drawn slices."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from scipy import stats

from nnunet_pst.report.canvas import (
    GREY,
    WIDTH_INCHES,
    Look,
    Picture,
    looks,
    panels,
    picture,
    shortened,
)
from nnunet_pst.report.comparison import Comparison, DistanceScore, Measure, mean
from nnunet_pst.report.words import MINUS, count, measure_name

#: Fewer patients than these make no mean that is worth a line.
_FEWEST_PATIENTS = 3
_MOST_MEASURES = 9
#: More lines and dots than these become pixels inside an SVG, which else has megabytes.
_MOST_OUTLINES = 80
_FIRST_MEASURES = (
    *("hd95_mm", "nsd_2mm", "recall", "precision", "recall_beyond_window"),
    *("volume_error_ml", "false_positive_ml_on_free_slices", "extent_error_slices"),
)
_RHO = "\N{GREEK SMALL LETTER RHO}"


def draw_dice_by_sequence(comparison: Comparison) -> Picture:
    """Draw Dice of every patient by method, for all sequences together and for each."""
    groups: list[str | None] = [None]
    if len(comparison.sequences) > 1:
        groups += comparison.sequences

    def draw(figure: Figure) -> None:
        every = panels(figure, len(groups), sharey=True)
        floors = []
        for axes, sequence in zip(every, groups, strict=True):
            stratum = ("all", "all") if sequence is None else ("sequence", sequence)
            _draw_paired(axes, comparison, "dice", sequence, stratum)
            axes.set_title(f"{sequence or 'all sequences'} ({_patients(comparison, sequence)})")
            floors.append(axes.get_ylim()[0])
        every[0].set_ylim(min(floors), 1.03)
        figure.supylabel("Dice", fontsize=9)

    return picture(
        "dice_by_method",
        draw,
        title="Dice of every patient",
        caption=_paired_caption(comparison, "Dice", len(comparison.patients)),
        height_inches=3.1 * -(-len(groups) // 3) + 0.1,
    )


def draw_other_measures(comparison: Comparison) -> Picture | None:
    """Draw every other measure that has a best value, all sequences together; None without one."""
    shown = _chosen_measures(comparison)
    if not shown:
        return None

    def draw(figure: Figure) -> None:
        for axes, measure in zip(panels(figure, len(shown)), shown, strict=True):
            _draw_paired(axes, comparison, measure.name, None, ("all", "all"))
            name = measure_name(measure.name, measure.unit)
            axes.set_title("\n".join(textwrap.wrap(name, 30)))
            axes.set_ylabel("higher is better" if measure.best else "lower is better", fontsize=7.5)
            if not measure.best:
                top = axes.get_ylim()[1]
                axes.set_ylim(-0.03 * top, top if _any_error(comparison, measure.name) else 1)

    return picture(
        "other_measures",
        draw,
        title="Other measures of every patient",
        caption=_paired_caption(comparison, "The measure", len(comparison.patients))
        + " Values that are not defined for a patient (an empty mask, say) are left out, "
        "so a panel may have fewer patients.",
        height_inches=2.7 * -(-len(shown) // 3) + 0.1,
    )


def _any_error(comparison: Comparison, name: str) -> bool:
    """Whether any patient has more than the best value, 0; else a panel would magnify nothing."""
    return any(any(comparison.patient_means(name, m).values()) for m in comparison.methods)


def _chosen_measures(comparison: Comparison) -> list[Measure]:
    """Choose what a reader looks for first, then the others, as far as there is room."""
    defined = {
        name: measure
        for name, measure in comparison.measures.items()
        if measure.best is not None
        and name != "dice"
        and any(comparison.patient_means(name, method) for method in comparison.methods)
    }
    first = [defined[name] for name in _FIRST_MEASURES if name in defined]
    return [*first, *(m for m in defined.values() if m not in first)][:_MOST_MEASURES]


def _paired_caption(comparison: Comparison, what: str, patients: int) -> str:
    return (
        f"{what} of {count(patients, 'patient')}, each a dot (the mean of the patient's cases); "
        "grey lines join the same patient. Boxes: quartiles and median; whiskers: up to 1.5 "
        "interquartile ranges. Beside them the mean with its "
        f"{interval_kind(comparison)}, patients resampled."
    )


def interval_kind(comparison: Comparison) -> str:
    """Name the kind of the comparison's intervals, such as ``95 % BCa bootstrap interval``."""
    described = comparison.facts.get("interval")
    return str(described) if isinstance(described, str) else "bootstrap interval"


def _patients(comparison: Comparison, sequence: str | None) -> str:
    names = {
        patient
        for method in comparison.methods
        for patient in comparison.patient_means("dice", method, sequence)
    }
    return f"n = {len(names)}"


def _draw_paired(
    axes: Axes,
    comparison: Comparison,
    measure: str,
    sequence: str | None,
    stratum: tuple[str, str],
) -> None:
    """Fill one panel: a column a method, a line a patient, a box, and the mean's interval."""
    methods = comparison.methods
    values = [comparison.patient_means(measure, name, sequence) for name in methods]
    look = looks(methods)
    patients = sorted(set().union(*values))
    lines = [
        [(x, column[name]) for x, column in enumerate(values) if name in column]
        for name in patients
    ]
    style: dict[str, Any] = {"colors": GREY, "linewidths": 0.6, "alpha": _alpha(len(patients))}
    dense = len(patients) > _MOST_OUTLINES
    axes.add_collection(LineCollection(lines, rasterized=dense, **style))
    for place, (name, column) in enumerate(zip(methods, values, strict=True)):
        _draw_column(axes, place, list(column.values()), look[name])
    for place, name in enumerate(methods):
        _draw_interval(axes, place, comparison, (measure, *stratum, name), look[name])
    turned = len(methods) > 4 or max(map(len, methods)) > 12
    axes.set_xticks(
        range(len(methods)),
        [shortened(name) for name in methods],
        rotation=30 if turned else 0,
        ha="right" if turned else "center",
        fontsize=8,
    )
    axes.set_xlim(-0.5, len(methods) - 0.5 + 0.1)
    unit = comparison.measures[measure].unit if measure in comparison.measures else "1"
    if unit == "1":
        axes.set_ylim(_floor(values), 1.03)


def _floor(values: Sequence[Mapping[str, float]]) -> float:
    """Lower end of an axis of ratios: 0, or more where all values lie well above it."""
    lowest = min((value for column in values for value in column.values()), default=0.0)
    return -0.03 if lowest < 0.4 else math.floor(10 * lowest - 1) / 10


def _alpha(patients: int) -> float:
    """Thinner lines where there are many."""
    return float(min(0.8, max(0.08, 16 / max(patients, 1))))


def _draw_column(axes: Axes, place: int, values: Sequence[float], look: Look) -> None:
    if not values:
        return
    axes.scatter(
        [place] * len(values),
        values,
        rasterized=len(values) > _MOST_OUTLINES,
        s=13,
        color=look.colour,
        marker=look.marker,
        alpha=min(0.9, max(0.25, 40 / len(values))),
        linewidths=0,
        zorder=3,
    )
    axes.boxplot(
        [values],
        positions=[place],
        widths=0.34,
        showfliers=False,
        manage_ticks=False,
        boxprops={"color": look.colour, "linewidth": 1.1},
        whiskerprops={"color": look.colour, "linewidth": 1.1},
        capprops={"color": look.colour, "linewidth": 1.1},
        medianprops={"color": look.colour, "linewidth": 2.0},
        zorder=4,
    )


def _draw_interval(
    axes: Axes, place: int, comparison: Comparison, key: tuple[str, str, str, str], look: Look
) -> None:
    found = [
        row
        for row in comparison.intervals
        if (row.measure, row.stratum, row.level, row.method) == key
    ]
    for row in found[:1]:
        if math.isnan(row.mean):
            continue
        x = place + 0.31
        if not math.isnan(row.low):
            axes.plot([x, x], [row.low, row.high], color="black", linewidth=1.3, zorder=5)
        axes.scatter(
            [x], [row.mean], s=22, marker="D", color=look.colour, edgecolors="black", zorder=6
        )


def draw_dice_by_size(
    comparison: Comparison, sizes: Mapping[str, float], *, what: str
) -> Picture | None:
    """Draw Dice against the size of the tumour, a panel a method.

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
    if len(set(known) & set(comparison.patients)) < _FEWEST_PATIENTS:
        return None
    logarithmic = max(known.values()) / min(known.values()) > 8
    look = looks(comparison.methods)

    def draw(figure: Figure) -> None:
        every = panels(figure, len(comparison.methods), sharex=True, sharey=True)
        for axes, method in zip(every, comparison.methods, strict=True):
            dice = comparison.patient_means("dice", method)
            shared = sorted(set(dice) & set(known))
            x = np.array([known[name] for name in shared])
            y = np.array([dice[name] for name in shared])
            axes.scatter(x, y, s=16, color=look[method].colour, marker=look[method].marker)
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
        title="Dice against the tumour's size",
        caption=f"A dot a patient ({len(set(known) & set(comparison.patients))} with a known "
        "size), mean Dice of the patient's cases. Black: median Dice in each third of the "
        f"patients by size. {_RHO}: Spearman's rank correlation, without an interval.",
        height_inches=2.7 * -(-len(comparison.methods) // 3) + 0.3,
    )


def _draw_thirds(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """Draw the median of y in each third of x; nothing for fewer than nine values."""
    if len(x) < 3 * _FEWEST_PATIENTS:
        return
    order = np.argsort(x, kind="stable")
    for third in np.array_split(order, 3):
        ends = [x[third].min(), x[third].max()]
        axes.plot(ends, [np.median(y[third])] * 2, color="black", linewidth=2, zorder=4)


def _rank_correlation(x: np.ndarray, y: np.ndarray) -> str:
    if len(x) < _FEWEST_PATIENTS or np.ptp(x) == 0 or np.ptp(y) == 0:
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
            axes.set_xlabel("slices from the window")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _legend(figure, comparison.methods)

    return picture(
        "window_distance",
        draw,
        title="Away from the annotated window",
        caption="What coarse labels may cost: agreement on slices by their distance from the "
        "window that a coarse annotator would have drawn (0: inside, grey). Means over patients "
        f"with tumour there, all repeats together; distances with fewer than {_FEWEST_PATIENTS} "
        "patients are hollow. No intervals are drawn: the patients behind each point (right) "
        "become few and are the ones with long tumours.",
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
    values: dict[int, dict[str, list[float]]] = {}
    for score in scores:
        # Dice where the reference has no tumour would mix in slices that are only false positives.
        if not math.isnan(score.recall):
            patients = values.setdefault(score.distance_slices, {})
            patients.setdefault(score.patient, []).append(getattr(score, name))
    distances = sorted(values)
    means = [mean([mean(v) for v in values[d].values()]) for d in distances]
    axes.plot(distances, means, color=look.colour, linewidth=1.4)
    for distance, y in zip(distances, means, strict=True):
        enough = len(values[distance]) >= _FEWEST_PATIENTS
        face = look.colour if enough else "white"
        axes.plot(distance, y, look.marker, color=look.colour, markerfacecolor=face, markersize=5)


def _legend(figure: Figure, methods: Sequence[str]) -> None:
    handles = [
        Line2D([], [], color=look.colour, marker=look.marker, label=shortened(name, 40))
        for name, look in looks(methods).items()
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=min(4, len(handles)), fontsize=8)
