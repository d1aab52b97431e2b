"""How often the 95 % intervals hold the truth: simulated methods with a known difference.

    python benchmarks/coverage.py --studies 2000 --out benchmarks/results --figure docs/coverage.png

Two methods score the same patients. Scores are Dice-like: skewed, with some lost tumors (0), alike
within a patient, who has one to four sequences; a method suits some patients better than others.
The truth is the mean over 2 million patients. The interval that the package prints is compared with
the Student, studentized, BCa and percentile intervals of the same patient means, and with the
percentile interval of cases resampled as if they were patients, as in a comparison that ignores
patients.
"""

from __future__ import annotations

import argparse
import json
import math
from datetime import date
from pathlib import Path

import matplotlib
import numpy as np
from scipy import stats

from nnunet_pst.comparison.statistics import mean_interval

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SIZES = (8, 20, 50, 116)
KINDS = (
    "expanded percentile (printed)",
    "Student",
    "studentised bootstrap",
    "BCa",
    "percentile",
    "cases as patients",
)
QUANTITIES = ("difference", "mean")
COLORS = ("#000000", "#0072B2", "#009E73", "#E69F00", "#56B4E9", "#D55E00")


def draw_study(generator: np.random.Generator, patients: int) -> tuple[np.ndarray, np.ndarray]:
    """(patients, 4 sequences, 2 methods) scores, and (patients, 4) whether a sequence exists."""
    patient = generator.normal(1.6, 1.0, (patients, 1, 1))
    sequence = generator.normal(0.0, 0.5, (patients, 4, 1))
    suits = generator.normal(0.0, 0.35, (patients, 1, 2))
    noise = generator.normal(0.0, 0.3, (patients, 4, 2))
    scores = 1 / (1 + np.exp(-(patient + sequence + suits + noise + np.array([0.0, 0.15]))))
    # A tumor that is hard to see is missed on every sequence, by either method.
    hard = generator.random((patients, 1, 1)) < 0.1
    scores[hard & (generator.random(scores.shape) < 0.4)] = 0.0
    there = np.arange(4) < generator.integers(1, 5, (patients, 1))
    return scores, there


def quantity(scores: np.ndarray, name: str) -> np.ndarray:
    """(patients, 4) value of each case."""
    return scores[..., 1] - scores[..., 0] if name == "difference" else scores[..., 1]


def patient_means(values: np.ndarray, there: np.ndarray) -> np.ndarray:
    """(patients,) mean over the sequences that a patient has."""
    return (values * there).sum(1) / there.sum(1)


def truth(name: str, seed: int) -> tuple[float, float]:
    """Mean over 2 million patients and its standard error."""
    generator = np.random.default_rng(seed)
    means = np.concatenate(
        [
            patient_means(quantity(scores, name), there)
            for scores, there in (draw_study(generator, 100_000) for _ in range(20))
        ]
    )
    return float(means.mean()), float(means.std() / math.sqrt(len(means)))


def resampled_means(values: np.ndarray, generator: np.random.Generator, number: int) -> np.ndarray:
    """Means of resamples of a (n,) sample."""
    return values[generator.integers(0, len(values), (number, len(values)))].mean(1)


def intervals(
    values: np.ndarray, there: np.ndarray, generator: np.random.Generator, resamples: int
) -> list[tuple[float, float]]:
    """Intervals of one study, in the order of `KINDS`."""
    means = patient_means(values, there)
    ours = mean_interval(means, resamples=resamples)
    error = means.std(ddof=1) / math.sqrt(len(means))
    half = float(stats.t.ppf(0.975, len(means) - 1)) * error
    drawn = means[generator.integers(0, len(means), (resamples, len(means)))]
    draws = drawn.mean(1)
    errors = drawn.std(1) / math.sqrt(len(means))
    own = means.std() / math.sqrt(len(means))
    ratios = (draws - means.mean()) / np.maximum(errors, own * 1e-6)
    bias = stats.norm.ppf(np.clip((draws < means.mean()).mean(), 1 / resamples, 1 - 1 / resamples))
    # For a mean, the jackknife's acceleration is the skewness over 6 sqrt(n).
    acceleration = float(stats.skew(means)) / (6 * math.sqrt(len(means)))
    moved = bias + stats.norm.ppf([0.025, 0.975])
    bca = np.quantile(draws, stats.norm.cdf(bias + moved / (1 - acceleration * moved)))
    cases = resampled_means(values[there], generator, resamples)
    return [
        (ours.low, ours.high),
        (float(means.mean()) - half, float(means.mean()) + half),
        tuple(float(means.mean() - own * np.quantile(ratios, tail)) for tail in (0.975, 0.025)),
        (float(bca[0]), float(bca[1])),
        (float(np.quantile(draws, 0.025)), float(np.quantile(draws, 0.975))),
        (float(np.quantile(cases, 0.025)), float(np.quantile(cases, 0.975))),
    ]


def simulate(studies: int, resamples: int, seed: int) -> list[dict]:
    """Coverage, misses on each side, and median width, by quantity, size and interval."""
    truths = {name: truth(name, seed) for name in QUANTITIES}
    rows = []
    for size in SIZES:
        generator = np.random.default_rng((seed, size))
        found: dict[str, list] = {name: [] for name in QUANTITIES}
        for _ in range(studies):
            scores, there = draw_study(generator, size)
            for name in QUANTITIES:
                found[name].append(intervals(quantity(scores, name), there, generator, resamples))
        for name in QUANTITIES:
            ends = np.array(found[name])
            true = truths[name][0]
            for place, kind in enumerate(KINDS):
                low, high = ends[:, place].T
                coverage = float(np.mean((low <= true) & (true <= high)))
                error = math.sqrt(coverage * (1 - coverage) / studies)
                rows.append(
                    {
                        "quantity": name,
                        "true": round(true, 5),
                        "true_error": round(truths[name][1], 6),
                        "patients": size,
                        "interval": kind,
                        "coverage": round(coverage, 4),
                        "monte_carlo_error": round(error, 4),
                        "too_high": round(float(np.mean(low > true)), 4),
                        "too_low": round(float(np.mean(high < true)), 4),
                        "median_width": round(float(np.median(high - low)), 4),
                    }
                )
                print(*rows[-1].values(), sep="\t", flush=True)
    return rows


def draw(rows: list[dict], studies: int, path: Path) -> None:
    """Coverage against the number of patients, with Monte Carlo error."""
    figure, panels = plt.subplots(1, 2, figsize=(9.5, 5.0), sharey=True)
    for panel, name in zip(panels, QUANTITIES, strict=True):
        panel.axhline(0.95, color="black", linewidth=0.8, linestyle="--")
        for place, kind in enumerate(KINDS):
            of_kind = [row for row in rows if (row["quantity"], row["interval"]) == (name, kind)]
            panel.errorbar(
                [position + 0.07 * (place - 2.5) for position in range(len(SIZES))],
                [row["coverage"] for row in of_kind],
                [1.96 * row["monte_carlo_error"] for row in of_kind],
                color=COLORS[place],
                marker="osPD^v"[place],
                markersize=5,
                linewidth=1.2,
                label=kind,
            )
        panel.set_xticks(range(len(SIZES)), [str(size) for size in SIZES])
        panel.set_xlabel("patients in the study")
        panel.set_title(
            {"difference": "paired difference of two methods", "mean": "mean of one method"}[name]
        )
        panel.grid(axis="y", color="#DDDDDD", linewidth=0.6)
    panels[0].set_ylabel("share of intervals that hold the truth")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="upper center", ncols=6, fontsize=8)
    caption = (
        f"Simulated Dice-like scores with a known truth, {studies} studies a point; bars: Monte "
        "Carlo error (95 %). The dashed line is what a 95 % interval promises.\n"
        "Patients have 1 to 4 sequences. All intervals but the last resample or average whole "
        "patients; the last takes every case for a patient of its own."
    )
    figure.text(0.01, 0.01, caption, fontsize=7.5, va="bottom", wrap=True)
    figure.tight_layout(rect=(0, 0.08, 1, 0.94))
    figure.savefig(path, dpi=110, metadata={"Software": None})


def main() -> None:
    """Simulate, print, and write the requested files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder for the JSON")
    parser.add_argument("--figure", type=Path, help="PNG to draw")
    arguments = parser.parse_args()
    rows = simulate(arguments.studies, arguments.resamples, arguments.seed)
    if arguments.out:
        settings = {key: getattr(arguments, key) for key in ("studies", "resamples", "seed")}
        path = arguments.out / f"{date.today().isoformat()}-coverage.json"
        path.write_text(json.dumps({**settings, "rows": rows}, indent=1) + "\n")
    if arguments.figure:
        draw(rows, arguments.studies, arguments.figure)


if __name__ == "__main__":
    main()
