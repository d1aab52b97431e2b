"""What the flags and intervals of `nnunet_pst calibrate` are worth on test patients.

The model must have been calibrated with the same folds. Every test case is segmented and judged as
`nnunet_pst segment` does, without agreement between sequences, and compared with its label, which
must be drawn on every slice. Prints failure AUROC, area under the risk-coverage curve, coverage of
the intervals, rates of flags and calibration errors, with intervals over patients (bootstrap, 2000
draws); writes a line a case.

    python benchmarks/trust_study.py DatasetPST -tr TRAINER -p PLANS -f 0 1 2 --out cases.csv
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from nnunet_pst.calibration.calibration import Calibration
from nnunet_pst.calibration.familiar import familiarity, profile
from nnunet_pst.calibration.fitting import FAILED_BELOW, failure_auroc, risk_areas
from nnunet_pst.calibration.judgement import Flag, judge
from nnunet_pst.calibration.reliability import VoxelCounts, count_voxels, reliability
from nnunet_pst.evaluation.metrics.overlap import confusion, dice
from nnunet_pst.evaluation.references import references_of_dataset
from nnunet_pst.io.dataset_folders import RAW, RESULTS, dataset_folder
from nnunet_pst.io.volumes import read_image, read_voxels
from nnunet_pst.labels import IGNORE
from nnunet_pst.nnunet.models.prediction import load_model

DRAWS = 2000


def main() -> None:
    """Predict, judge, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset")
    parser.add_argument("-c", default="2d_5")
    parser.add_argument("-tr", default="nnUNetTrainerPST25D")
    parser.add_argument("-p", default="nnUNetPlans")
    parser.add_argument("-f", type=int, nargs="+", default=[])
    parser.add_argument("--out", type=Path, required=True, help="table, a line a case")
    arguments = parser.parse_args()
    raw = dataset_folder(arguments.dataset, RAW)
    name = f"{arguments.tr}__{arguments.p}__{arguments.c}"
    folder = dataset_folder(raw.name, RESULTS, holds="") / name
    model = load_model(folder, device="cpu", folds=arguments.f)
    known = model.facts.calibration
    assert known is not None, "run nnunet_pst calibrate first"
    rows, voxels = [], {}
    for case in tqdm(references_of_dataset(raw, "test").cases, unit="case"):
        assert case.image is not None
        image, label = read_image(case.image), read_voxels(case.label)
        assert not (label.array == IGNORE).any(), f"{case.name}: not drawn on every slice"
        found = model.predict([image], probability=True)
        mask = found.labels > 0
        volume = mask.sum() * label.grid.voxel_volume_ml
        seen = None
        if known.familiar is not None:
            seen = familiarity(profile(image.array), case.sequence, known.familiar)
        said = judge(found.signs, case.sequence, volume, known, familiar=seen)
        low, high = said.dice_interval or (None, None)
        least, most = said.volume_interval_ml or (None, None)
        rows.append(
            {
                "patient": case.patient,
                "sequence": case.sequence,
                "dice": round(dice(confusion(label.array, mask.astype(np.uint8))), 4),
                "volume_ml": round(float((label.array == 1).sum() * label.grid.voxel_volume_ml), 2),
                "predicted_ml": round(float(volume), 2),
                "soft_dice": _rounded(found.signs.soft_dice),
                "passes_dice": _rounded(found.signs.passes_dice),
                "folds_dice": _rounded(found.signs.folds_dice),
                "expected_dice": _rounded(said.expected_dice),
                "dice_low": _rounded(low),
                "dice_high": _rounded(high),
                "volume_low_ml": _rounded(least),
                "volume_high_ml": _rounded(most),
                "flag": said.flag.value,
            }
        )
        counts = count_voxels(found.probability, label.array)
        voxels.setdefault(case.sequence, []).append(counts)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with arguments.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    print("\n".join([*summary(rows), *probability_lines(voxels, known)]))


def _rounded(value: float | None) -> float | str:
    return "" if value is None else round(float(value), 4)


def summary(rows: list[dict[str, Any]]) -> list[str]:
    """Lines about masks that are not empty, and about empty ones."""
    masks = [row for row in rows if row["expected_dice"] != ""]
    empty = [row for row in rows if not row["predicted_ml"]]
    lines = [
        f"{len(rows)} cases of {len({r['patient'] for r in rows})} patients; "
        f"{sum(r['dice'] < FAILED_BELOW for r in rows)} failed; {len(empty)} empty, of which "
        f"{sum(r['volume_ml'] > 0 for r in empty)} missed a tumor"
    ]
    for sign in ("expected_dice", "soft_dice", "passes_dice", "folds_dice"):
        some = [row for row in masks if row[sign] != ""]
        if some:
            lines.append(f"failure AUROC by {sign}: {_with_interval(some, _auroc(sign))}")
    areas = risk_areas([r["dice"] for r in masks], [r["expected_dice"] for r in masks])
    lines.append(", ".join(f"{name} {value:.3f}" for name, value in areas.items()))
    for what, low, high in (
        ("dice", "dice_low", "dice_high"),
        ("volume_ml", "volume_low_ml", "volume_high_ml"),
    ):
        some = [row for row in masks if row[low] != ""]
        if some:
            held = [{**row, "held": row[low] <= row[what] <= row[high]} for row in some]
            lines.append(f"coverage of {what}: {_with_interval(held, _held)} of {len(some)}")
    good = [row for row in rows if row["dice"] >= FAILED_BELOW]
    bad = [row for row in rows if row["dice"] < FAILED_BELOW]
    for name, some in (("good", good), ("failed", bad)):
        flagged = _with_interval(
            some, lambda x: np.mean([r["flag"] != Flag.USUAL.value for r in x])
        )
        lines.append(f"{name} masks that are flagged: {flagged} of {len(some)}")
    return lines


def _held(rows: list[dict[str, Any]]) -> float:
    return float(np.mean([row["held"] for row in rows]))


def _auroc(sign: str) -> Callable[[list[dict[str, Any]]], float]:
    def measure(rows: list[dict[str, Any]]) -> float:
        found = failure_auroc([r["dice"] for r in rows], [r[sign] for r in rows])
        return np.nan if found is None else found

    return measure


def _with_interval(
    rows: list[dict[str, Any]], measure: Callable[[list[dict[str, Any]]], float]
) -> str:
    """Write a measure with its 95 % interval over patients."""
    if not rows:
        return "none"
    rng = np.random.default_rng(0)
    patients = sorted({row["patient"] for row in rows})
    own = {patient: [row for row in rows if row["patient"] == patient] for patient in patients}
    drawn = [
        measure([row for patient in rng.choice(patients, len(patients)) for row in own[patient]])
        for _ in range(DRAWS)
    ]
    low, high = np.nanpercentile(drawn, (2.5, 97.5))
    return f"{measure(rows):.3f} [{low:.3f}, {high:.3f}]"


def probability_lines(voxels: dict[str, list[VoxelCounts]], known: Calibration) -> list[str]:
    """Calibration errors of test voxels, before and after."""
    lines = []
    for name, counts in sorted(voxels.items()):
        together = reduce(add, counts)
        before = reliability(together)
        after = reliability(together, known.temperatures.get(name, 1.0))
        lines.append(
            f"{name}: ECE {before.ece:.3f} before, {after.ece:.3f} at the temperature; Brier "
            f"{before.brier:.3f}, {after.brier:.3f}"
        )
    return lines


if __name__ == "__main__":
    main()
