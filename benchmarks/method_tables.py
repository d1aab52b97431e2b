"""Table and figure of the method study, from the scores of its trainings.

The unit is the patient: a patient's Dice is the mean over its cases, then over seeds; intervals are
of the mean difference between patients (percentile bootstrap, 10,000 samples of patients, seed 1).
Beside each stands the wider one of ``nnunet_pst compare``, which allows for a tumor that one method
loses wholly and that happens not to be among these patients (``docs/decisions/0063``). They know
which patients there might be, not which seeds: the seeds' own means stand beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import pandas as pd
from method_variants import VARIANTS

from nnunet_pst.comparison.statistics import mean_interval

SAMPLES = 10_000
#: A tumor counts as found where a mask overlaps with it at all this well.
FOUND = 0.1


def write_tables(folder: Path, variants: Sequence[str]) -> str:
    """Write ``table.md`` and ``differences.png``.

    Parameters
    ----------
    folder
        Of the scores of a bed; everything that is finished there is used.
    variants
        Rows of the table; the first is what the others are compared with.

    Returns
    -------
    str
        The table.
    """
    files = [file for file in sorted(folder.glob("*-seed*.csv")) if ".cost" not in file.name]
    scores = pd.concat([pd.read_csv(file) for file in files], ignore_index=True)
    text = table(scores, variants)
    (folder / "table.md").write_text(text, encoding="utf-8")
    draw_differences(scores, variants, folder / "differences.png")
    return text


def patient_means(scores: pd.DataFrame, variant: str) -> pd.DataFrame:
    """Dice of a variant: a row a patient, a column a seed."""
    rows = scores[scores["variant"] == variant]
    means: pd.DataFrame = rows.pivot_table(index="patient", columns="seed", values="dice")
    return means


def interval(differences: npt.NDArray[np.float64]) -> tuple[float, float]:
    """95 % percentile interval of the mean over patients (n,)."""
    rng = np.random.default_rng(1)
    picked = rng.integers(len(differences), size=(SAMPLES, len(differences)))
    low, high = np.percentile(differences[picked].mean(axis=1), (2.5, 97.5))
    return float(low), float(high)


def table(scores: pd.DataFrame, variants: Sequence[str]) -> str:
    """Lay out variants; differences are over the seeds that both have."""
    there = [name for name in variants if (scores["variant"] == name).any()]
    sequences = sorted(scores["sequence"].unique())
    lines = [
        f"| variant | length | seeds | Dice | against the first | as `compare` | better | found | "
        f"{' | '.join(sequences)} |",
        "|---|--:|---|--:|---|---|---|---|" + "--:|" * len(sequences),
    ]
    for name in there:
        rows = scores[scores["variant"] == name]
        means = patient_means(scores, name)
        difference = differences(scores, name, there[0])
        compared = wider = better = ""
        if name != there[0] and len(difference):
            low, high = interval(difference)
            compared = f"{difference.mean():+.3f} [{low:+.3f}, {high:+.3f}]"
            safe = mean_interval(difference, bounds=(-1, 1))
            wider = f"[{safe.low:+.3f}, {safe.high:+.3f}]"
            better = f"{(difference > 0).sum()} of {len(difference)}"
        patients = means.mean(axis=1)
        cells = [
            VARIANTS[name].says,
            ", ".join(sorted({str(length) for length in rows["length"]})),
            " ".join(f"{means[seed].mean():.3f}" for seed in means.columns),
            f"{patients.mean():.3f}",
            compared,
            wider,
            better,
            f"{(patients >= FOUND).sum()} of {len(patients)}",
            *(f"{rows.loc[rows['sequence'] == one, 'dice'].mean():.3f}" for one in sequences),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def differences(scores: pd.DataFrame, variant: str, reference: str) -> npt.NDArray[np.float64]:
    """Dice of a variant minus that of another for each patient (n,), over the seeds of both."""
    means, others = patient_means(scores, variant), patient_means(scores, reference)
    common = means.columns.intersection(others.columns)
    found: npt.NDArray[np.float64] = (
        (means[common].mean(axis=1) - others[common].mean(axis=1)).dropna().to_numpy()
    )
    return found


def draw_differences(scores: pd.DataFrame, variants: Sequence[str], path: Path) -> None:
    """Draw a point a patient for each variant, with the mean and its interval."""
    first, *others = [name for name in variants if (scores["variant"] == name).any()]
    figure, axis = plt.subplots(figsize=(7, 1.2 + 0.7 * len(others)), layout="constrained")
    rng = np.random.default_rng(1)
    for place, name in enumerate(others):
        values = differences(scores, name, first)
        if not len(values):
            continue
        axis.scatter(values, place + rng.uniform(-0.25, 0.25, len(values)), s=12, alpha=0.5)
        axis.plot(interval(values), (place, place), color="black", linewidth=2)
        axis.plot(values.mean(), place, "D", color="black")
    axis.axvline(0, color="gray", linewidth=0.8)
    axis.set_yticks(range(len(others)), [_plain(VARIANTS[name].says) for name in others])
    axis.invert_yaxis()
    axis.set_xlabel(
        f"Dice minus that of {_plain(VARIANTS[first].says)}\n"
        "a point: a patient, mean of seeds; the bar: 95 % interval of the mean"
    )
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _plain(words: str) -> str:
    return words.replace("`", "")
