"""From measured validation cases and training images to a calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_pst.calibration.calibration import Calibration
from nnunet_pst.calibration.familiar import fit_familiar
from nnunet_pst.calibration.fitting import (
    FAILED_BELOW,
    FEWEST_PATIENTS,
    CalibrationCase,
    check_threshold,
    expected_without_own,
    failure_auroc,
    fit_intervals,
    risk_areas,
)
from nnunet_pst.calibration.reliability import (
    VoxelCounts,
    best_threshold,
    fit_temperature,
    reliability,
)
from nnunet_pst.calibration.signs import Signs


@dataclass(frozen=True)
class Measured:
    """What is measured of one mask, whoever's it is.

    Attributes
    ----------
    signs, dice, predicted_ml, reference_ml
        See `CalibrationCase`.
    has_tumor
        Whether the label has tumor.
    voxels
        Known voxels by probability.
    """

    signs: Signs
    dice: float
    predicted_ml: float
    reference_ml: float | None
    has_tumor: bool
    voxels: VoxelCounts

    def as_json(self) -> dict[str, Any]:
        """The measurement as JSON, counts without their zeros."""
        return {
            "signs": asdict(self.signs),
            "dice": self.dice,
            "predicted_ml": self.predicted_ml,
            "reference_ml": self.reference_ml,
            "has_tumor": self.has_tumor,
            "tumor": _sparse(self.voxels.tumor),
            "background": _sparse(self.voxels.background),
            "bins": len(self.voxels.tumor),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Measured:
        """Read what `as_json` returned."""
        bins, whole = int(content["bins"]), content["reference_ml"]
        return cls(
            Signs(**content["signs"]),
            float(content["dice"]),
            float(content["predicted_ml"]),
            None if whole is None else float(whole),
            bool(content["has_tumor"]),
            VoxelCounts(_dense(content["tumor"], bins), _dense(content["background"], bins)),
        )


@dataclass(frozen=True)
class CalibratedCase:
    """A case that its network has not learned from, measured.

    Attributes
    ----------
    case
        Its mask.
    has_tumor
        Whether its label has tumor.
    voxels
        Its known voxels by probability.
    """

    case: CalibrationCase
    has_tumor: bool
    voxels: VoxelCounts


def _sparse(counts: npt.NDArray[np.float64]) -> list[list[int]]:
    return [[int(place), int(counts[place])] for place in np.flatnonzero(counts)]


def _dense(entries: Sequence[Sequence[int]], bins: int) -> npt.NDArray[np.float64]:
    counts = np.zeros(bins)
    for place, number in entries:
        counts[place] = number
    return counts


@dataclass(frozen=True)
class ImageProfile:
    """What a training image looks like, and whose it is."""

    patient: str
    sequence: str
    profile: npt.NDArray[np.float64]


def learn(
    cases: Sequence[CalibratedCase],
    images: Sequence[ImageProfile],
    checkpoints: Sequence[str],
    *,
    mirroring: bool,
) -> Calibration:
    """Fit all that is kept of a model's validation cases.

    Parameters
    ----------
    cases
        Each measured on the mask of a network that has not learned from its patient.
    images
        Of the training, also of patients that a network has learned from: labels don't matter here.
    checkpoints
        SHA-256 of the checkpoint of each fold.
    mirroring
        Whether masks were averages over mirrored images.
    """
    found = [one.case for one in cases if one.case.predicted_ml > 0]
    empty = [one for one in cases if not one.case.predicted_ml]
    patients = {case.patient for case in found}
    enough = len(patients) >= FEWEST_PATIENTS
    expected = expected_without_own(found) if enough else []
    whole = all(one.case.reference_ml is not None for one in cases)
    every = [one.case.patient for one in cases]
    temperatures = {
        name: fit_temperature(reduce(add, voxels)) for name, voxels in _by_sequence(cases).items()
    }
    return Calibration(
        checkpoints=tuple(checkpoints),
        mirroring=mirroring,
        patients=len(set(every)),
        cases=len(cases),
        whole=whole,
        intervals=fit_intervals(found) if enough else None,
        check=check_threshold(found, expected) if enough else None,
        empty=len(empty),
        empty_wrong=sum(one.has_tumor for one in empty),
        temperatures=temperatures,
        # Between drawn slices nobody knows where a lower threshold would add what isn't tumor.
        threshold=best_threshold([one.voxels for one in cases], every) if whole else {},
        measures={
            **_masks(found, expected),
            "failed_below": FAILED_BELOW,
            "probabilities": _probabilities(cases, temperatures),
        },
        familiar=fit_familiar(
            [one.profile for one in images],
            [one.sequence for one in images],
            [one.patient for one in images],
        ),
    )


def _by_sequence(cases: Sequence[CalibratedCase]) -> dict[str, list[VoxelCounts]]:
    found: dict[str, list[VoxelCounts]] = {}
    for one in cases:
        found.setdefault(one.case.sequence, []).append(one.voxels)
    return found


def _masks(found: Sequence[CalibrationCase], expected: Sequence[float]) -> dict[str, Any]:
    """Measure how well the expected Dice, by regressions without the patient, tells failures."""
    if not expected:
        return {}
    scores = [case.dice for case in found]
    return {
        "masks": len(found),
        "failed": sum(score < FAILED_BELOW for score in scores),
        "failure_auroc": failure_auroc(scores, expected),
        **risk_areas(scores, expected),
    }


def _probabilities(
    cases: Sequence[CalibratedCase], temperatures: Mapping[str, float]
) -> dict[str, dict[str, Any]]:
    """Measure probabilities by sequence, as they are and at the temperature."""
    found = {}
    for name, counts in _by_sequence(cases).items():
        voxels = reduce(add, counts)
        before, after = reliability(voxels), reliability(voxels, temperatures[name])
        found[name] = {
            "ece": before.ece,
            "ece_at_temperature": after.ece,
            "brier": before.brier,
            "brier_at_temperature": after.brier,
            "bins": before.bins,
            "bins_at_temperature": after.bins,
        }
    return found
