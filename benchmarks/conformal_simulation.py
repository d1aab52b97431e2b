"""Coverage of the conformal intervals of Dice, simulated: patients with one to four cases.

Each study draws calibration patients whose Dice is bimodal (a tenth to a third lost), fits the
expected Dice and the quantile as `nnunet_pst calibrate` does, by leaving out a patient at a time,
and asks how often the interval holds the Dice of a case of a new patient.

    python benchmarks/conformal_simulation.py
"""

from __future__ import annotations

import argparse

import numpy as np

from nnunet_pst.calibration.conformal import fewest_patients
from nnunet_pst.calibration.fitting import CalibrationCase, fit_intervals
from nnunet_pst.calibration.signs import Signs

SEQUENCES = ("T1", "T2", "DWI", "CET1")


def main() -> None:
    """Simulate and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--patients", type=int, nargs="+", default=[5, 10, 20, 50])
    arguments = parser.parse_args()
    print("patients  lost  coverage of the 90 % interval [95 % interval]  median width")
    for patients in arguments.patients:
        if patients < fewest_patients(0.9):
            print(f"{patients:8d}        no interval: {fewest_patients(0.9)} patients are needed")
            continue
        for lost in (0.1, 0.3):
            held, widths = study_results(patients, lost, arguments.studies)
            error = 1.96 * held.std() / np.sqrt(len(held))
            print(
                f"{patients:8d}  {lost:4.0%}  {held.mean():.3f} "
                f"[{held.mean() - error:.3f}, {held.mean() + error:.3f}]  {np.median(widths):.2f}"
            )


def study_results(patients: int, lost: float, studies: int) -> tuple[np.ndarray, np.ndarray]:
    """Return each study's share of covered new cases, and each interval's width."""
    held, widths = [], []
    for seed in range(studies):
        rng = np.random.default_rng([patients, round(100 * lost), seed])
        known = [case for number in range(patients) for case in draw_patient(rng, number, lost)]
        fitted = fit_intervals(known)
        hits = []
        for number in range(200):
            # One case of each new patient, as the guarantee has it.
            case = draw_patient(rng, patients + number, lost)[0]
            expected = fitted.expected(case.signs, case.sequence)
            if expected is None:
                continue  # a sequence that was never calibrated has no interval
            low, high = fitted.dice_interval(expected)
            hits.append(low <= case.dice <= high)
            widths.append(high - low)
        held.append(np.mean(hits))
    return np.array(held), np.array(widths)


def draw_patient(rng: np.random.Generator, number: int, lost: float) -> list[CalibrationCase]:
    """Draw the cases of a patient: found or lost together more often than not."""
    bad = rng.random() < lost
    cases = []
    for sequence in rng.permutation(SEQUENCES)[: rng.integers(1, 5)]:
        fails = bad if rng.random() < 0.8 else rng.random() < lost
        dice = rng.beta(1, 6) if fails else rng.beta(12, 2.5)
        noise = rng.normal(0, 0.8, size=2)
        odds = np.log((dice + 0.02) / (1.02 - dice))
        soft, passes = 1 / (1 + np.exp(-(0.6 * odds + 1 + noise)))
        cases.append(
            CalibrationCase(f"P{number}", str(sequence), Signs(soft, passes), dice, 10.0, 10.0)
        )
    return cases


if __name__ == "__main__":
    main()
