"""Simulated studies with a known truth, for the simulations of intervals, tests and margins.

Scores are Dice-like: skewed, alike within a patient, who may have several cases; half of the
patients are at risk of a lost tumor (Dice 0). All numbers of the model are in `Study`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

SIZES = (6, 8, 12, 20, 40, 80, 116, 200)
LOST = (0.0, 0.1, 0.3)


@dataclass(frozen=True)
class Study:
    """How patients and methods are drawn.

    Parameters
    ----------
    patients
        Number of patients.
    lost
        Share of the cases that the baseline loses.
    lost_more
        By how much the methods' share is higher.
    factor
        Scores of the methods are multiplied by it (at most 1).
    gained
        Share of what is missing to 1 that the methods gain.
    equal
        Share of the patients whom a method gives the baseline's masks, but for lost tumors.
    most_cases
        Patients have one to so many cases.
    """

    patients: int
    lost: float
    lost_more: float = 0.0
    factor: float = 1.0
    gained: float = 0.0
    equal: float = 0.0
    most_cases: int = 1


@lru_cache(maxsize=1)
def mean_quality() -> float:
    """Mean score of a found tumor, over ten million cases; the methods' is the same."""
    generator = np.random.default_rng(20261128)
    parts = [_quality(generator, (1_000_000, 1, 1)).mean() for _ in range(10)]
    return float(np.mean(parts))


def _quality(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    spread = np.sqrt(1.0**2 + 0.5**2 + 0.35**2 + 0.3**2)
    return expit(generator.normal(1.6, spread, shape))


def expit(x: np.ndarray) -> np.ndarray:
    """Logistic function."""
    return 1 / (1 + np.exp(-x))


def differences(
    study: Study, generator: np.random.Generator, studies: int, methods: int
) -> np.ndarray:
    """(studies, patients, methods) difference to the baseline, a mean over the patient's cases."""
    scores = patient_scores(study, generator, studies, methods + 1)
    return scores[..., 1:] - scores[..., :1]


def patient_scores(
    study: Study, generator: np.random.Generator, studies: int, methods: int
) -> np.ndarray:
    """(studies, patients, methods) Dice, a mean over the patient's cases; the first: baseline."""
    found, lost, weights = _cases(study, generator, studies, methods)
    return ((found * ~lost) * weights).sum(2)


def patient_distances(
    study: Study, generator: np.random.Generator, studies: int, methods: int
) -> np.ndarray:
    """(studies, patients, methods) HD95-like distances in mm: 300 for a lost tumor."""
    found, lost, weights = _cases(study, generator, studies, methods)
    return (np.where(lost, 300.0, _distance(found)) * weights).sum(2)


def found_distances(
    study: Study, generator: np.random.Generator, studies: int, methods: int
) -> np.ndarray:
    """(studies, patients, methods) mean distance of the found cases; NaN where none was found."""
    found, lost, weights = _cases(study, generator, studies, methods)
    weights = weights * ~lost
    total = weights.sum(2)
    means = (_distance(found) * weights).sum(2) / np.where(total > 0, total, 1)
    return np.where(total > 0, means, np.nan)


def _distance(quality: np.ndarray) -> np.ndarray:
    """Distance in mm of a found tumor: skewed, at most 40."""
    return 40.0 * (1 - quality) ** 1.5


def _cases(
    study: Study, generator: np.random.Generator, studies: int, methods: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Quality and loss of every case by method, and the weight of a case within its patient."""
    shape = (studies, study.patients)
    cases = study.most_cases
    patient = generator.normal(1.6, 1.0, (*shape, 1, 1))
    case = generator.normal(0.0, 0.5, (*shape, cases, 1))
    suits = generator.normal(0.0, 0.35, (*shape, 1, methods))
    noise = generator.normal(0.0, 0.3, (*shape, cases, methods))
    quality = expit(patient + case + suits + noise)
    same = generator.random((*shape, 1, 1)) < study.equal
    quality = np.where(same, quality[..., :1], quality)
    # Where half of the patients are equal, the others carry the whole difference.
    changed = np.where(same, quality, 1 - (1 - study.factor * quality) * (1 - study.gained))
    quality = np.concatenate([quality[..., :1], changed[..., 1:]], axis=-1)
    at_risk = generator.random((*shape, 1, 1)) < 0.5
    shares = 2 * np.array([study.lost, *[study.lost + study.lost_more] * (methods - 1)])
    lost = at_risk & (generator.random(quality.shape) < shares)
    number = generator.integers(1, cases + 1, (*shape, 1, 1))
    there = np.arange(cases)[:, None] < number
    return quality, lost, there / number


def at_margin(study: Study, margin: float, gap: str) -> Study:
    """Make the methods worse by exactly ``margin`` in the mean over patients.

    Parameters
    ----------
    gap
        ``quality`` where every found tumor is a little worse; ``losses`` where more are lost.
    """
    fields = vars(study)
    if gap == "losses":
        return Study(**{**fields, "lost_more": margin / mean_quality()})
    unequal = (1 - study.lost) * (1 - study.equal)
    return Study(**{**fields, "factor": 1 - margin / (mean_quality() * unequal)})


def balanced(study: Study, lost_more: float) -> Study:
    """Let the methods lose more tumors and draw the others better, so that the means are equal."""
    quality, fields = mean_quality(), vars(study)
    needed = quality * (1 - study.lost) / (1 - study.lost - lost_more)
    gained = (needed - quality) / ((1 - quality) * (1 - study.equal))
    return Study(**{**fields, "lost_more": lost_more, "gained": gained})
