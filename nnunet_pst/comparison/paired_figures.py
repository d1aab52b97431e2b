"""Scores drawn: a column a method, a line a patient, a box, and the mean with its interval."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from nnunet_pst.comparison.figure_style import (
    GRAY,
    Look,
    Picture,
    looks,
    panels,
    picture,
    shortened,
)
from nnunet_pst.comparison.results import ComparedMeasure, Comparison
from nnunet_pst.io.wording import count, measure_name

_MOST_MEASURES = 9
#: More lines and dots than these become pixels inside an SVG, which else has megabytes.
_MOST_OUTLINES = 80
_FIRST_MEASURES = (
    *(
        "dice_found",
        "hd95_found_mm",
        "hd95_mm",
        "nsd_2mm",
        "recall",
        "precision",
        "recall_beyond_window",
    ),
    *("volume_error_ml", "false_positive_ml_on_free_slices", "extent_error_slices"),
)


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
        every[0].set_ylim(min(floors), max(axes.get_ylim()[1] for axes in every))
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
                bottom, top = axes.get_ylim()
                axes.set_ylim(
                    min(bottom, -0.03 * top), top if _any_error(comparison, measure.name) else 1
                )

    return picture(
        "other_measures",
        draw,
        title="Other measures of every patient",
        caption=_paired_caption(comparison, "The measure", len(comparison.patients))
        + " Values that are not defined for a patient (an empty mask, say) are left out, so a "
        "panel may have fewer patients.",
        height_inches=2.7 * -(-len(shown) // 3) + 0.1,
    )


def _any_error(comparison: Comparison, name: str) -> bool:
    """Whether any patient has more than the best value, 0; else a panel would magnify nothing."""
    return any(any(comparison.patient_means(name, m).values()) for m in comparison.methods)


def _chosen_measures(comparison: Comparison) -> list[ComparedMeasure]:
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
    lines = "; gray lines join the same patient" if len(comparison.methods) > 1 else ""
    return (
        f"{what} of {count(patients, 'patient')}, each a dot (the mean of the patient's cases)"
        f"{lines}. Boxes: quartiles and median; whiskers: up to 1.5 interquartile ranges. "
        f"Diamonds: the mean, with a line for its {comparison.interval_kind}; "
        "without a line there are too few patients for one."
    )


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
    style: dict[str, Any] = {"colors": GRAY, "linewidths": 0.6, "alpha": _alpha(len(patients))}
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
        axes.set_ylim(min(_floor(values), axes.get_ylim()[0]), max(1.03, axes.get_ylim()[1]))


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
        color=look.color,
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
        boxprops={"color": look.color, "linewidth": 1.1},
        whiskerprops={"color": look.color, "linewidth": 1.1},
        capprops={"color": look.color, "linewidth": 1.1},
        medianprops={"color": look.color, "linewidth": 2.0},
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
            [x], [row.mean], s=22, marker="D", color=look.color, edgecolors="black", zorder=6
        )
