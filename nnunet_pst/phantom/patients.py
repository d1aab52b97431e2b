"""The synthetic patients: covariates in the proportions of the paper's Table 1.

Counts are those of all 616 patients (doi 10.1186/s40644-025-00850-8, Table 1: training, validation
and test together). Age is that of another cohort of the same hospital (doi
10.3389/fonc.2021.709659: 42.1 +- 17.8 years of 795 patients), as a normal distribution within
sensible limits. All covariates are drawn independently, unlike those of real patients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

_Name = TypeVar("_Name", bound=str)

Location = Literal["sacrum", "iliac", "acetabulum", "pubis-ischium", "multi-zone"]

SEX_COUNTS: dict[Literal["M", "F"], int] = {"M": 331, "F": 285}
LOCATION_COUNTS: dict[Location, int] = {
    "iliac": 128,
    "acetabulum": 44,
    "pubis-ischium": 45,
    "sacrum": 314,
    "multi-zone": 85,
}
MALIGNANCY_COUNTS: dict[Literal["malignant", "benign"], int] = {"malignant": 466, "benign": 150}
#: Normal distributions before they are cut off at the limits: mean, standard deviation, limits.
#: Cut off, the largest diameter has the paper's mean of 10.0 and standard deviation of 4.4 cm, and
#: age that of its source.
SIZE_CM = (8.756, 5.457, 2.5, 24.0)
AGE_YEARS = (40.93, 20.15, 5.0, 88.0)
SCANNERS = ("A", "B", "C")
#: Share of patients that are kept for testing (116 of 616).
TEST_SHARE = 116 / 616


@dataclass(frozen=True)
class PatientFacts:
    """One synthetic patient.

    Attributes
    ----------
    name
        Such as ``phantom-0001``.
    number
        Its place in the cohort, from 0.
    size_cm
        Largest diameter of the tumor.
    habitus
        0 is lean, 1 is heavy.
    """

    name: str
    number: int
    age: int
    sex: Literal["M", "F"]
    size_cm: float
    location: Location
    malignancy: Literal["malignant", "benign"]
    scanner: str
    habitus: float


def patient_rng(seed: int, number: int, stream: int) -> np.random.Generator:
    """Random numbers of one patient for one purpose, independent of other patients."""
    return np.random.default_rng((seed, number, stream))


def draw_patient(seed: int, number: int) -> PatientFacts:
    """Draw patient ``number`` of the cohort of a seed; independent of the cohort's size."""
    rng = patient_rng(seed, number, 0)
    return PatientFacts(
        name=f"phantom-{number + 1:04d}",
        number=number,
        age=round(_truncated_normal(rng, *AGE_YEARS)),
        sex=_choose(rng, SEX_COUNTS),
        size_cm=round(_truncated_normal(rng, *SIZE_CM), 1),
        location=_choose(rng, LOCATION_COUNTS),
        malignancy=_choose(rng, MALIGNANCY_COUNTS),
        scanner=SCANNERS[rng.integers(len(SCANNERS))],
        habitus=float(rng.beta(2, 3)),
    )


def _choose(rng: np.random.Generator, counts: dict[_Name, int]) -> _Name:
    odds = np.array(list(counts.values())) / sum(counts.values())
    return list(counts)[int(rng.choice(len(odds), p=odds))]


def _truncated_normal(
    rng: np.random.Generator, mean: float, deviation: float, lowest: float, highest: float
) -> float:
    while not lowest <= (value := rng.normal(mean, deviation)) <= highest:
        pass
    return float(value)
