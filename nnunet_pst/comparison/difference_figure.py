"""Paired differences in Dice drawn with their intervals: all cases together, then each group."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nnunet_pst.comparison.figure_style import GRAY, Look, Picture, looks, picture, shortened
from nnunet_pst.comparison.results import Comparison, Difference
from nnunet_pst.io.wording import signed, signed_interval

#: More groups would make a figure higher than a page.
_MOST_GROUPS = 24
#: More methods get one panel of all cases, a line a method; their groups are in a table.
_MOST_PANELS = 4


def draw_differences(comparison: Comparison) -> Picture | None:
    """Draw a panel for each method against the baseline; None without differences in Dice."""
    pairs: dict[tuple[str, str], list[Difference]] = {}
    for row in comparison.differences:
        if row.measure == "dice" and not math.isnan(row.difference):
            pairs.setdefault((row.method, row.baseline), []).append(row)
    if not pairs:
        return None
    if len(pairs) > _MOST_PANELS:
        every = [row for rows in pairs.values() for row in rows if row.stratum == "all"]
        return _forest(comparison, every)
    shown = {key: rows[:_MOST_GROUPS] for key, rows in pairs.items()}
    look = looks(comparison.methods)
    margin = comparison.margin

    def draw(figure: Figure) -> None:
        heights = [len(rows) + 1.2 for rows in shown.values()]
        grid = figure.subplots(len(shown), 1, squeeze=False, sharex=True, height_ratios=heights)
        for axes, ((method, baseline), rows) in zip(grid[:, 0], shown.items(), strict=True):
            _draw_panel(axes, rows, look.get(method, Look(GRAY, "o")))
            _draw_margin(axes, margin)
            title = f"{shortened(method, 40)} less {shortened(baseline, 40)}"
            axes.set_title(title, loc="left")
        grid[-1, 0].set_xlabel("difference in Dice (right: higher than the baseline)")

    return picture(
        "dice_differences",
        draw,
        title="Paired differences in Dice",
        caption="Mean over patients of the difference between methods, with its "
        f"{comparison.interval_kind}; n: patients. Groups are not corrected for each other and "
        "small ones have wide intervals: look, don't conclude." + _margin_words(margin),
        height_inches=sum(0.27 * len(rows) + 0.55 for rows in shown.values()) + 0.3,
    )


def _forest(comparison: Comparison, rows: Sequence[Difference]) -> Picture:
    """Draw one panel with a line a method, over all cases, the largest gain on top."""
    ordered = sorted(rows, key=lambda row: -row.difference)
    margin, look = comparison.margin, looks(comparison.methods)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        _draw_rows(axes, ordered, [look.get(row.method, Look(GRAY, "o")) for row in ordered])
        axes.set_yticks(
            range(len(ordered)), [shortened(row.method, 34) for row in ordered], fontsize=8
        )
        _draw_margin(axes, margin)
        axes.set_title(f"less {shortened(comparison.baseline, 40)}", loc="left")
        axes.set_xlabel("difference in Dice (right: higher than the baseline)")

    return picture(
        "dice_differences",
        draw,
        title="Paired differences in Dice",
        caption="Mean over patients of the difference to the baseline, all cases, a line a method, "
        f"the largest on top, with its {comparison.interval_kind}; n: patients. Groups are in the "
        "table of differences." + _margin_words(margin),
        height_inches=0.27 * len(ordered) + 0.9,
    )


def _draw_margin(axes: Axes, margin: float | None) -> None:
    if margin is not None:
        axes.axvline(-margin, color="black", linewidth=0.9, linestyle="--")


def _margin_words(margin: float | None) -> str:
    return "" if margin is None else f" Dashed: the declared margin of {margin:g}."


def _draw_panel(axes: Axes, rows: Sequence[Difference], look: Look) -> None:
    _draw_rows(axes, rows, [look] * len(rows))
    names = [
        "all" if row.stratum == "all" else shortened(f"{row.stratum}, {row.level}", 34)
        for row in rows
    ]
    axes.set_yticks(range(len(rows)), names, fontsize=8)


def _draw_rows(axes: Axes, rows: Sequence[Difference], look_of: Sequence[Look]) -> None:
    # A line with two points, not axvline: zero belongs into the picture.
    axes.plot([0, 0], [-0.6, len(rows) - 0.4], color=GRAY, linewidth=0.9)
    for place, (row, look) in enumerate(zip(rows, look_of, strict=True)):
        if not math.isnan(row.low):
            axes.plot([row.low, row.high], [place, place], color=look.color, linewidth=1.8)
        axes.plot(row.difference, place, look.marker, color=look.color, markersize=5.5)
        reach = signed_interval(row.low, row.high) or "no interval"
        text = f"{signed(row.difference)} ({reach}), n = {row.patients}"
        axes.annotate(
            text,
            (1.01, place),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=8,
            annotation_clip=False,
        )
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
