"""Expected Dice of a mask from its signs: a fractional logistic regression with a ridge.

Dice is a share, and its mean given the signs is a share too; so its log-odds are taken as linear in
the log-odds of the signs (Papke and Wooldridge 1996, J. Appl. Econometrics 11:619).
Every patient weighs the same. A ridge of one patient keeps slopes and the sequences' own intercepts
small where there are few patients.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from nnunet_pst.calibration.signs import Signs

#: Signs that a regression may use, in the order of its slopes.
SIGNS = ("soft_dice", "passes_dice")
#: Shares are kept this far from 0 and 1, whose log-odds are infinite.
_MARGIN = 0.005
_RIDGE = 1.0
_STEPS = 50


@dataclass(frozen=True)
class ExpectedDice:
    """A fitted regression.

    Attributes
    ----------
    intercept
        Log-odds where all signs are one half, before what the sequence adds.
    slopes
        By sign, of its log-odds.
    sequences
        By sequence, added to the intercept. The only name is empty where nobody knows which
        sequences the cases are.
    """

    intercept: float
    slopes: Mapping[str, float]
    sequences: Mapping[str, float]

    def knows(self, sequence: str) -> bool:
        """Whether masks of this sequence were among the cases."""
        return known_name(sequence, self.sequences) is not None

    def of(self, signs: Signs, sequence: str) -> float | None:
        """Return the expected Dice; None for another sequence, or where a sign is missing."""
        values = {name: getattr(signs, name) for name in self.slopes}
        name = known_name(sequence, self.sequences)
        if name is None or any(value is None for value in values.values()):
            return None
        total = self.intercept + self.sequences[name]
        total += sum(self.slopes[name] * _log_odds(value) for name, value in values.items())
        return float(expit(total))


def known_name(sequence: str, names: Iterable[str]) -> str | None:
    """Return a sequence as it is spelled among names; None where it is not among them.

    Of cases whose sequence nobody knows, all have the empty name, which stands for every sequence.
    """
    known = list(names)
    if known == [""]:
        return ""
    return next((name for name in known if name.casefold() == sequence.casefold()), None)


def fit_expected_dice(
    signs: Sequence[Signs],
    sequences: Sequence[str],
    patients: Sequence[str],
    dice: Sequence[float],
    *,
    without: str = "",
) -> ExpectedDice:
    """Fit the regression to cases whose masks are not empty.

    Parameters
    ----------
    signs, sequences, patients, dice
        Of each case.
    without
        A patient to leave out. Signs and sequences stay those of all cases, so that the regression
        serves this patient too; a sequence that nobody else has adds nothing.
    """
    used = [name for name in SIGNS if all(getattr(one, name) is not None for one in signs)]
    names = sorted(set(sequences))
    columns = [[_log_odds(getattr(one, name)) for one in signs] for name in used]
    columns += [[float(one == name) for one in sequences] for name in names]
    design = np.array([[1.0] * len(signs), *columns]).T
    owners = np.asarray(patients)
    _, inverse, counts = np.unique(owners, return_inverse=True, return_counts=True)
    weights = np.where(owners == without, 0.0, 1 / counts[inverse])
    found = _newton(design, np.asarray(dice, dtype=float), weights)
    slopes = dict(zip(used, map(float, found[1:]), strict=False))
    own = dict(zip(names, map(float, found[1 + len(used) :]), strict=True))
    return ExpectedDice(float(found[0]), slopes, own)


def _newton(
    design: npt.NDArray[np.float64],
    shares: npt.NDArray[np.float64],
    weights: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Maximize the penalized likelihood, which has one maximum; the intercept is free."""
    ridge = _RIDGE * np.eye(design.shape[1])
    ridge[0, 0] = 1e-6
    found = np.zeros(design.shape[1])
    for _ in range(_STEPS):
        expected = 1 / (1 + np.exp(-np.clip(design @ found, -30, 30)))
        slope = design.T @ (weights * (shares - expected)) - ridge @ found
        curve = (design.T * (weights * expected * (1 - expected))) @ design + ridge
        step = np.linalg.solve(curve, slope)
        # Far from the maximum a whole step may overshoot.
        found = found + step * min(1.0, 2 / max(np.abs(step).max(), 1e-12))
        if np.abs(step).max() < 1e-9:
            break
    return found


def _log_odds(share: float) -> float:
    kept = float(np.clip(share, _MARGIN, 1 - _MARGIN))
    return float(np.log(kept / (1 - kept)))
