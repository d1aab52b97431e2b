"""How often the 95 % intervals hold the truth: simulated methods with a known mean and difference.

    python benchmarks/coverage.py --out benchmarks/results --figure docs/coverage.png

Quantities are the mean Dice of a method, the paired difference of two, and the same of HD95-like
distances in mm, where a lost tumor counts 300 mm or is left out (``found``). Studies are those of
`simulated_studies`: 0, 3, 10 or 30 % of the tumors are lost, as often by both methods or 6 % more
often by one; patients have one case or one to four.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from functools import cache, lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from scipy import stats
from simulated_studies import (
    SIZES,
    Study,
    found_distances,
    mean_quality,
    patient_distances,
    patient_scores,
)

from nnunet_pst.comparison.bounded_means import random_weights

matplotlib.use("Agg")
import matplotlib.pyplot as plt

LOST = (0.0, 0.03, 0.1, 0.3)
#: Those of the simulation that an interval has to hold in; 3 % is a warning beside them.
ASKED = (0.0, 0.1, 0.3)
QUANTITIES = (
    "Dice, mean",
    "Dice, difference",
    "HD95, mean",
    "HD95, difference",
    "HD95 found, mean",
    "HD95 found, difference",
)
KINDS = ("expanded percentile", "Student", "bootstrap-t", "Gaffke")
COLORS = ("#000000", "#0072B2", "#009E73", "#D55E00")
TAIL = 0.025
RESAMPLES = 1000


@cache
def truth(quantity: str, study: Study) -> float:
    """Mean of a quantity over all patients; the number of patients in ``study`` is for speed."""
    shares = study.lost, study.lost + study.lost_more
    if quantity.startswith("HD95 found"):
        # Patients with more losses weigh their found cases as others do: by simulation.
        generator = np.random.default_rng(1)
        return float(np.nanmean(sampled(quantity, study, generator, 1000)))
    if quantity.startswith("Dice"):
        means = [mean_quality() * (1 - share) for share in shares]
    else:
        means = [mean_distance() * (1 - share) + 300 * share for share in shares]
    return means[1] - means[0] if quantity.endswith("difference") else means[1]


@lru_cache(maxsize=1)
def mean_distance() -> float:
    """Mean distance of a found tumor."""
    drawn = patient_distances(Study(1000, 0.0), np.random.default_rng(2), 2000, 1)
    return float(drawn.mean())


def sampled(
    quantity: str, study: Study, generator: np.random.Generator, studies: int
) -> np.ndarray:
    """(patients, studies) value of every patient."""
    drawers = {"Dice": patient_scores, "HD95": patient_distances, "HD95 found": found_distances}
    both = drawers[quantity.split(",")[0]](study, generator, studies, 2)
    values = both[..., 1] - both[..., 0] if quantity.endswith("difference") else both[..., 1]
    return values.T.copy()


def intervals(values: np.ndarray, bounds: tuple[float, float] | None) -> list[np.ndarray]:
    """(2, studies) ends of each kind of interval, of (patients, studies) values without NaN."""
    number = len(values)
    mean, spread = values.mean(0), values.std(0)
    generator = np.random.default_rng(number)
    drawn = generator.multinomial(number, np.full(number, 1 / number), RESAMPLES) / number
    means = drawn @ values
    t = stats.t.ppf(TAIL, number - 1)
    tail = float(stats.norm.cdf(t * math.sqrt(number / (number - 1))))
    half = -t * spread / math.sqrt(number - 1)
    spreads = np.sqrt(np.maximum(drawn @ values**2 - means**2, (1e-3 * spread + 1e-12) ** 2))
    ratios = np.quantile((means - mean) / spreads, [1 - TAIL, TAIL], axis=0)
    found = [
        np.quantile(means, [tail, 1 - tail], axis=0),
        np.array([mean - half, mean + half]),
        mean - ratios * spread,
    ]
    if bounds is not None:
        weights = random_weights(0, number, RESAMPLES)
        inner = weights[:, :-1] @ values
        found.append(
            np.array(
                [
                    np.quantile(inner + weights[:, -1:] * bounds[0], TAIL, axis=0),
                    np.quantile(inner + weights[:, -1:] * bounds[1], 1 - TAIL, axis=0),
                ]
            )
        )
    return found


def simulate(
    studies: int, sizes: list[int], seed: int, quantities: Sequence[str] = QUANTITIES
) -> list[dict]:
    """Coverage by quantity, kind, size, share of lost tumors and number of cases."""
    rows = []
    ways = itertools.product(quantities, sizes, LOST, ((0.0, 1), (0.0, 4), (0.06, 1), (0.06, 4)))
    for quantity, size, lost, (more, cases) in ways:
        if more and quantity.endswith("mean"):
            continue  # the same as a larger share of lost tumors
        generator = np.random.default_rng((seed, size, QUANTITIES.index(quantity)))
        study = Study(size, lost, lost_more=more, most_cases=cases)
        true = truth(quantity, replace(study, patients=500))
        values = sampled(quantity, study, generator, studies)
        bounds = None
        if quantity.startswith("Dice"):
            bounds = (-1.0, 1.0) if quantity.endswith("difference") else (0.0, 1.0)
        for kind, share, width in covered(values, true, bounds):
            rows.append(
                {
                    **{"quantity": quantity, "patients": size, "lost": lost, "lost_more": more},
                    **{"cases": cases, "interval": kind, "true": round(true, 4)},
                    **{"coverage": round(share, 4), "median_width": round(width, 4)},
                }
            )
    return rows


def covered(
    values: np.ndarray, true: float, bounds: tuple[float, float] | None
) -> list[tuple[str, float, float]]:
    """Share of intervals that hold the truth and median width, by kind; studies by their size."""
    numbers = (~np.isnan(values)).sum(0)
    hits: dict[str, list[np.ndarray]] = {}
    for number in sorted(set(numbers[numbers >= 6])):
        own = values[:, numbers == number]
        defined = np.sort(own, axis=0)[:number]
        for kind, (low, high) in zip(KINDS, intervals(defined, bounds), strict=False):
            held = (low <= true) & (true <= high)
            hits.setdefault(kind, []).append(np.array([held, high - low]))
    found = {kind: np.concatenate(parts, axis=1) for kind, parts in hits.items()}
    return [(kind, float(x[0].mean()), float(np.median(x[1]))) for kind, x in found.items()]


def lowest(rows: list[dict], quantity: str, kind: str, size: int, lost: tuple) -> dict | None:
    """Row with the lowest coverage of a kind of interval, over all ways to draw a study."""
    own = [
        row
        for row in rows
        if (row["quantity"], row["interval"], row["patients"]) == (quantity, kind, size)
        and row["lost"] in lost
    ]
    return min(own, key=lambda row: row["coverage"]) if own else None


def print_summary(rows: list[dict]) -> None:
    """Print the lowest coverage by quantity, kind and size; with 3 % lost tumors in brackets."""
    print("lowest coverage in %, in brackets with 3 % lost tumors; median width of the interval")
    for quantity, kind in itertools.product(QUANTITIES, KINDS):
        cells = []
        for size in sorted({row["patients"] for row in rows}):
            asked = lowest(rows, quantity, kind, size, ASKED)
            rare = lowest(rows, quantity, kind, size, (0.03,))
            if asked and rare:
                shares = f"{100 * asked['coverage']:.1f} ({100 * rare['coverage']:.1f})"
                cells.append(f"{size}: {shares} {asked['median_width']:.3g}")
        if cells:
            print(quantity, kind, *cells, sep="\t")


def draw(rows: list[dict], studies: int, path: Path) -> None:
    """Lowest coverage against the number of patients."""
    sizes = sorted({row["patients"] for row in rows})
    figure, panels = plt.subplots(2, 3, figsize=(11.5, 6.6), sharey=True)
    for panel, quantity in zip(panels.T.flat, QUANTITIES, strict=True):
        panel.axhline(95, color="black", linewidth=0.8, linestyle="--")
        panel.axhline(93, color="#999999", linewidth=0.8, linestyle=":")
        for place, kind in enumerate(KINDS):
            found = [lowest(rows, quantity, kind, size, ASKED) for size in sizes]
            if all(found):
                panel.plot(
                    range(len(sizes)),
                    [100 * row["coverage"] for row in found if row],
                    color=COLORS[place],
                    marker="osPv"[place],
                    markersize=5,
                    linewidth=1.2,
                    label=kind,
                )
        panel.set_xticks(range(len(sizes)), [str(size) for size in sizes])
        panel.set_title(quantity)
        panel.grid(axis="y", color="#DDDDDD", linewidth=0.6)
    for panel in panels[-1]:
        panel.set_xlabel("patients in the study")
    panels[0, 0].set_ylabel("lowest coverage (%)")
    panels[1, 0].set_ylabel("lowest coverage (%)")
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="upper center", ncols=4)
    caption = (
        f"Simulated patients, {studies} studies a point; each point is the worst of 0, 10 and 30 % "
        "lost tumors, lost equally or 6 % more often by one method, one or several cases a "
        "patient.\nDashed: what a 95 % interval promises; dotted: 93 %."
    )
    figure.text(0.01, 0.01, caption, fontsize=8, va="bottom")
    figure.tight_layout(rect=(0, 0.06, 1, 0.95))
    figure.savefig(path, dpi=110, metadata={"Software": None})


def main() -> None:
    """Simulate, print, and write the requested files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=400)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quantities", nargs="+", choices=QUANTITIES, default=QUANTITIES)
    parser.add_argument("--out", type=Path, help="folder for the JSON")
    parser.add_argument("--figure", type=Path, help="PNG to draw")
    arguments = parser.parse_args()
    rows = simulate(arguments.studies, arguments.sizes, arguments.seed, arguments.quantities)
    print_summary(rows)
    if arguments.out:
        lines = ",\n".join(json.dumps(row) for row in rows)
        text = (
            f'{{"studies": {arguments.studies}, "seed": {arguments.seed}, "rows": [\n{lines}\n]}}\n'
        )
        (arguments.out / f"{date.today().isoformat()}-coverage.json").write_text(text)
    if arguments.figure:
        draw(rows, arguments.studies, arguments.figure)


if __name__ == "__main__":
    main()
