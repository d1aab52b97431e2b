"""The flow of patients from the scan to the comparison, as a diagram (CLAIM 2024, item 35)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nnunet_pst.comparison.figure_style import GRAY, Picture, picture
from nnunet_pst.comparison.results import Comparison
from nnunet_pst.errors import InputError, Problem
from nnunet_pst.io.case_table import SPLITS
from nnunet_pst.io.checked_tables import read_table
from nnunet_pst.io.wording import count
from nnunet_pst.report.dataset_facts import DatasetFacts

#: Of a series that ``nnunet_pst scan`` took.
_TAKEN = "taken"


@dataclass(frozen=True)
class Scanned:
    """Numbers of a scan.

    Parameters
    ----------
    patients, series
        Found in the folders.
    usable
        Patients of whom at least one series was taken.
    """

    patients: int
    series: int
    usable: int


@dataclass(frozen=True)
class Step:
    """A box of the diagram, and who left before it (empty for nobody)."""

    text: str
    left: str = ""


def read_scan(path: Path) -> Scanned:
    """Count what ``series.csv`` of a scan lists.

    Raises
    ------
    InputError
        The table cannot be used.
    """
    problems: list[Problem] = []
    rows = read_table(path, ("patient", "decision"), problems)
    if problems:
        raise InputError(problems)
    taken = {row["patient"] for row in rows if row["decision"] == _TAKEN}
    return Scanned(len({row["patient"] for row in rows}), len(rows), len(taken))


def flow_steps(
    comparison: Comparison, dataset: DatasetFacts, scanned: Scanned | None
) -> tuple[list[Step], list[str], Step]:
    """Return the boxes down to the dataset, its splits, and the box of who was compared."""
    cases = dataset.cases
    everyone = _people(cases)
    down = []
    if scanned is not None:
        unusable, lost = scanned.patients - scanned.usable, scanned.usable - len(everyone)
        down.append(Step(f"scanned\n{count(scanned.patients, 'patient')}, {scanned.series} series"))
        down.append(
            Step(
                f"with a usable series\n{count(scanned.usable, 'patient')}",
                f"no series taken\n{count(unusable, 'patient')}" if unusable else "",
            )
        )
        left = f"not in the table, or not converted\n{count(lost, 'patient')}" if lost > 0 else ""
        down.append(Step(f"in the dataset\n{_numbers(cases)}", left))
    else:
        down.append(Step(f"in the dataset\n{_numbers(cases)}"))
    splits = [
        f"{split}\n{_numbers([row for row in cases if row['split'] == split])}"
        for split in SPLITS
        if any(row["split"] == split for row in cases)
    ]
    scored = {score.case for score in comparison.cases}
    compared = [row for row in cases if row["case"] in scored]
    split = comparison.facts.get("split")
    own = _people([row for row in cases if row["split"] == split])
    missing = own - _people(compared)
    left = (
        f"of the {split} split, not compared\n{count(len(missing), 'patient')}" if missing else ""
    )
    return down, splits, Step(f"compared\n{_numbers(compared)}", left)


def draw_flow(
    comparison: Comparison, dataset: DatasetFacts | None, scanned: Scanned | None
) -> Picture | None:
    """Draw the diagram; None without a case table."""
    if dataset is None or not dataset.cases:
        return None
    down, splits, last = flow_steps(comparison, dataset, scanned)
    rows = len(down) + 2

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.set_axis_off()
        axes.set_xlim(0, 1)
        axes.set_ylim(-rows + 0.5, 0.5)
        for place, step in enumerate(down):
            _box(axes, 0.35, -place, step.text)
            if place:
                _arrow(axes, (0.35, 1 - place - 0.3), (0.35, 0.3 - place))
            _left_out(axes, 0.35, 0.5 - place, step.left)
        level = -len(down)
        middles = [0.35 + 0.26 * (n - (len(splits) - 1) / 2) for n in range(len(splits))]
        for middle, text in zip(middles, splits, strict=True):
            _box(axes, middle, level, text)
            _arrow(axes, (0.35, level + 0.7), (middle, level + 0.3))
        split = comparison.facts.get("split")
        from_where = [m for m, text in zip(middles, splits, strict=True) if _is(text, split)]
        end = from_where[0] if len(from_where) == 1 else 0.35
        for middle in from_where:
            _arrow(axes, (middle, level - 0.3), (end, level - 0.7))
        _box(axes, end, level - 1, last.text)
        _left_out(axes, end, level - 0.5, last.left)

    known = (
        "Of the scan: patients of series.csv, and those of whom a series was taken; its reasons "
        "are in that table. "
        if scanned is not None
        else "Who was left out before the dataset was made is not in it: `report --scan "
        "series.csv` adds what nnunet_pst scan has seen. "
    )
    return picture(
        "patient_flow",
        draw,
        title="Flow of patients",
        caption=f"{known}Side boxes: who left before the next step. Numbers are of patients and of "
        "cases (an image, or the images of one case).",
        height_inches=0.62 * rows,
    )


def _is(text: str, split: object) -> bool:
    name = text.split("\n")[0]
    return name == split or (split == "training" and name != "test")


def _people(rows: Sequence[Mapping[str, str]]) -> set[str]:
    return {row["patient"] for row in rows}


def _numbers(rows: Sequence[Mapping[str, str]]) -> str:
    return f"{count(len(_people(rows)), 'patient')}, {count(len(rows), 'case')}"


def _box(axes: Axes, x: float, y: float, text: str, *, beside: bool = False) -> None:
    edge, side = (GRAY, "left") if beside else ("black", "center")
    style = {"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": edge}
    axes.text(x, y, text, ha=side, va="center", fontsize=8, bbox=style, zorder=3)


def _left_out(axes: Axes, x: float, y: float, text: str) -> None:
    if text:
        _arrow(axes, (x, y), (x + 0.2, y))
        _box(axes, x + 0.21, y, text, beside=True)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    style = {"arrowstyle": "-|>", "color": GRAY, "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, start, arrowprops=style)
