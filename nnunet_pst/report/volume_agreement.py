"""Volumes of prediction and reference, after Bland and Altman, with several cases a patient."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from nnunet_pst.comparison.figure_style import (
    GRAY,
    Look,
    Picture,
    looks,
    panels,
    picture,
    shortened,
)
from nnunet_pst.comparison.results import Comparison
from nnunet_pst.io.wording import MINUS, count, p_value, signed

#: Share of 95 % of a normal distribution, in standard deviations.
_NORMAL_95 = 1.959964
_ALPHA = 0.05
#: Fewer patients give no one-sided p below the level, whatever the ranks.
_FEWEST_RANKED = 5


@dataclass(frozen=True)
class Agreement:
    """Bias and 95 % limits of agreement.

    Parameters
    ----------
    bias
        Mean difference over all cases.
    low, high
        Limits between which 95 % of the differences of new cases are expected; NaN for fewer than
        two patients.
    patients, cases
        Numbers behind it.
    """

    bias: float
    low: float
    high: float
    patients: int
    cases: int


def limits_of_agreement(differences: Mapping[str, Sequence[float]]) -> Agreement:
    """Compute limits of agreement from one or several differences a patient.

    The variance of a difference is the sum of that between patients and that within them, from a
    one-way analysis of variance, where the true value changes from one case of a patient to the
    next (Bland and Altman, Agreement between methods of measurement with multiple observations
    per individual, J Biopharm Stat 2007, section 3, doi 10.1080/10543400701329422). With one case
    a patient it is the usual variance.

    Parameters
    ----------
    differences
        Prediction less reference of every case, by patient; no patient without any.

    Returns
    -------
    Agreement
        In the unit of the differences.
    """
    groups = [np.asarray(values, dtype=float) for values in differences.values()]
    sizes = np.array([len(group) for group in groups])
    every = np.concatenate(groups) if groups else np.empty(0)
    n, cases = len(groups), len(every)
    bias = float(every.mean()) if cases else math.nan
    if n < 2:
        return Agreement(bias, math.nan, math.nan, n, cases)
    between = sum(len(g) * (g.mean() - bias) ** 2 for g in groups) / (n - 1)
    if cases > n:
        within = sum(float(((g - g.mean()) ** 2).sum()) for g in groups) / (cases - n)
        usual_size = (cases**2 - float((sizes**2).sum())) / ((n - 1) * cases)
        variance = max(0.0, (between - within) / usual_size) + within
    else:
        variance = between
    reach = _NORMAL_95 * math.sqrt(variance)
    return Agreement(bias, bias - reach, bias + reach, n, cases)


def volume_pairs(comparison: Comparison, method: str) -> dict[str, list[tuple[float, float]]]:
    """Reference and predicted volume in ml of every case (and repeat), by patient."""
    pairs: dict[str, list[tuple[float, float]]] = {}
    for score in comparison.cases:
        volumes = tuple(score.values.get(f"{name}_ml", math.nan) for name in _VOLUMES)
        if score.method == method and not any(map(math.isnan, volumes)):
            pairs.setdefault(score.patient, []).append((volumes[0], volumes[1]))
    return pairs


_VOLUMES = ("reference", "predicted")


@dataclass(frozen=True)
class Growth:
    """Whether the differences of a method are larger where tumors are larger.

    Parameters
    ----------
    rho, p
        Spearman's correlation of a patient's mean volume and mean absolute difference, and the
        one-sided p-value of none; NaN where there is nothing to rank.
    """

    rho: float
    p: float


def growth(pairs: Mapping[str, Sequence[tuple[float, float]]]) -> Growth:
    """Test over patients whether the differences grow with the volume.

    It is Bland and Altman's question whether limits of agreement are to be in percent (Measuring
    agreement in method comparison studies, 1999, section 3, doi 10.1177/096228029900800204), asked
    of ranks, which a few large tumors do not decide. The bias is left in: the mean is that of large
    tumors, and around it the small ones would seem to differ much.

    Parameters
    ----------
    pairs
        From `volume_pairs`.
    """
    # Rounding in last digits must not make ranks of what is equal.
    sizes = np.round([np.mean([(r + p) / 2 for r, p in own]) for own in pairs.values()], 9)
    spreads = np.round([np.mean([abs(p - r) for r, p in own]) for own in pairs.values()], 9)
    if len(sizes) < _FEWEST_RANKED or not np.ptp(sizes) or not np.ptp(spreads):
        return Growth(math.nan, math.nan)
    found = stats.spearmanr(sizes, spreads, alternative="greater")
    return Growth(float(found.statistic), float(found.pvalue))


def growing(comparison: Comparison) -> tuple[str, Growth] | None:
    """Give the method whose differences grow with the volume most clearly; None if none do.

    The level of 5 % is shared by the methods (Bonferroni), which get the same kind of limits.
    """
    found = {name: growth(volume_pairs(comparison, name)) for name in comparison.methods}
    tested = {name: one for name, one in found.items() if not math.isnan(one.p)}
    if not tested:
        return None
    name = min(tested, key=lambda one: tested[one].p)
    return (name, tested[name]) if tested[name].p < _ALPHA / len(tested) else None


def in_percent(pairs: Mapping[str, Sequence[tuple[float, float]]]) -> dict[str, list[float]]:
    """Difference in percent of the mean of both volumes; a case that is empty twice has none."""
    found = {
        name: [200 * (p - r) / (p + r) for r, p in some if p + r > 0]
        for name, some in pairs.items()
    }
    return {name: values for name, values in found.items() if values}


def draw_bland_altman(comparison: Comparison) -> Picture | None:
    """Draw a panel a method; None where the comparison has no volumes."""
    pairs = {name: volume_pairs(comparison, name) for name in comparison.methods}
    if not all(pairs.values()):
        return None
    means = [(r + p) / 2 for by in pairs.values() for cases in by.values() for r, p in cases]
    positive = [value for value in means if value > 0]
    logarithmic = bool(positive and max(positive) / min(positive) > 20)
    look = looks(comparison.methods)
    grown = growing(comparison)
    unit = "ml" if grown is None else "%"

    def draw(figure: Figure) -> None:
        every = panels(figure, len(comparison.methods), sharex=True, sharey=True)
        for axes, method in zip(every, comparison.methods, strict=True):
            _draw_panel(axes, pairs[method], look[method], unit)
            axes.set_title(shortened(method, 34))
            if logarithmic:
                axes.set_xscale("log")
                axes.xaxis.set_major_formatter("{x:g}")
        figure.supxlabel("mean of prediction and reference (ml)", fontsize=9)
        share = "" if grown is None else " of their mean"
        figure.supylabel(f"prediction {MINUS} reference ({unit}{share})", fontsize=9)

    cases = sum(len(found) for found in pairs[comparison.methods[0]].values())
    return picture(
        "volume_bland_altman",
        draw,
        title="Tumor volume: agreement with the reference",
        caption=f"Bland and Altman's plot of {count(cases, 'case')} of "
        f"{count(len(pairs[comparison.methods[0]]), 'patient')} a method"
        f"{' (all repeats)' if _repeats(comparison) > 1 else ''}. Solid: mean difference (bias); "
        "dashed: 95 % limits of agreement, from the variance between and within patients. They "
        f"describe single cases and are not an interval of the bias. {_why(grown)}"
        + (" A case empty in both masks has no place on the logarithmic axis." * logarithmic),
        height_inches=2.9 * -(-len(comparison.methods) // 3) + 0.3,
    )


def _repeats(comparison: Comparison) -> int:
    return len({score.repeat for score in comparison.cases})


def _why(grown: tuple[str, Growth] | None) -> str:
    """Say which test decided between ml and percent, and what it found."""
    test = "Spearman's correlation over patients, one-sided at 5 % over all methods"
    if grown is None:
        return f"In ml: no differences that grow with the volume were shown ({test})."
    name, found = grown
    p = f"p = {p_value(found.p)}".replace("= <", "<")
    return (
        "In percent of the mean of both volumes, because differences grow with the volume "
        f"({test}: {shortened(name, 40)} {found.rho:.2f}, {p}); a lost tumor is at {MINUS}200 %. "
        "The table has ml too."
    )


def _draw_panel(
    axes: Axes, pairs: Mapping[str, Sequence[tuple[float, float]]], look: Look, unit: str
) -> None:
    shown = {
        name: [(r, p) for r, p in found if unit == "ml" or r + p > 0]
        for name, found in pairs.items()
    }
    differences = (
        {name: [p - r for r, p in some] for name, some in shown.items()}
        if unit == "ml"
        else in_percent(pairs)
    )
    x = [(reference + predicted) / 2 for found in shown.values() for reference, predicted in found]
    y = [value for name in shown for value in differences.get(name, ())]
    axes.scatter(x, y, s=14, color=look.color, marker=look.marker, alpha=0.75, linewidths=0)
    axes.axhline(0, color=GRAY, linewidth=0.7)
    found = limits_of_agreement(differences)
    for level, style in ((found.bias, "-"), (found.low, "--"), (found.high, "--")):
        if not math.isnan(level):
            axes.axhline(level, color="black", linewidth=1.1, linestyle=style)
            axes.annotate(
                signed(level, unit),
                (1, level),
                xycoords=("axes fraction", "data"),
                xytext=(3, 0),
                textcoords="offset points",
                ha="left",
                va="center",
                fontsize=7.5,
            )


def agreement_rows(comparison: Comparison, unit: str = "ml") -> dict[str, Agreement]:
    """Limits of agreement of the volume, in ml or %, of every method that has volumes."""
    rows = {}
    for method in comparison.methods:
        pairs = volume_pairs(comparison, method)
        if pairs:
            absolute = {name: [p - r for r, p in found] for name, found in pairs.items()}
            differences = absolute if unit == "ml" else in_percent(pairs)
            rows[method] = limits_of_agreement(differences)
    return rows
