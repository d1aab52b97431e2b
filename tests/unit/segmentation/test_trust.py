"""Whether a reader is told to believe a mask: in the report, the table, the page, and a line."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nnunet_pst.calibration.calibration import Calibration
from nnunet_pst.calibration.expected_dice import ExpectedDice
from nnunet_pst.calibration.fitting import CheckThreshold, FittedIntervals
from nnunet_pst.calibration.signs import Signs
from nnunet_pst.cli.segment import _lines
from nnunet_pst.io.volumes import Volume
from nnunet_pst.segmentation.measures_table import write_measures
from nnunet_pst.segmentation.model_interface import Prediction
from segmentation_example import Threshold, image, run, study

CALIBRATION = Calibration(
    checkpoints=("a" * 64,),
    mirroring=True,
    patients=20,
    cases=40,
    whole=True,
    intervals=FittedIntervals(
        ExpectedDice(0.0, {"soft_dice": 1.0}, {"T1": 0.0, "T2": 0.0}), 0.5, 0.5
    ),
    check=CheckThreshold(0.7, 12, 11, 0.1, 0.1),
    empty=3,
    empty_wrong=1,
    temperatures={},
    threshold={},
    measures={},
    familiar=None,
)


class Sure(Threshold):
    """A model that tells how sure it is."""

    def __init__(self, calibration: Calibration | None, soft: float = 0.9, **more: bool) -> None:
        super().__init__("MRI")
        self.facts = replace(self.facts, calibration=calibration, **more)
        self.soft = soft

    def predict(self, channels: Sequence[Volume], *, probability: bool = False) -> Prediction:
        found = super().predict(channels, probability=probability)
        empty = not found.labels.any()
        return replace(found, signs=Signs(0.0 if empty else self.soft))


def trust(output: Path) -> dict[str, object]:
    """Of the first mask of the first study."""
    report = json.loads((output / "study_0001" / "report.json").read_text())
    return dict(report["results"][0]["trust"])


@pytest.mark.parametrize(
    ("soft", "flag"), [(0.9, "looks usual"), (0.6, "check"), (0.3, "likely failed")]
)
def test_the_flag_is_in_report_table_page_and_line(tmp_path: Path, soft: float, flag: str):
    outcome = run([study("T2")], tmp_path / "out", Sure(CALIBRATION, soft))
    found = trust(tmp_path / "out")
    assert found["flag"] == flag
    assert found["expected_dice"] == pytest.approx(soft)
    with (tmp_path / "out" / "measures.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["flag"] == flag
    assert float(row["volume_low_ml"]) < float(row["volume_ml"]) < float(row["volume_high_ml"])
    page = (tmp_path / "out" / "study_0001" / "report.html").read_text()
    assert page.index(flag) < page.index("<h2>Measures")
    assert "Where to look" in page
    assert [line for line in _lines(outcome, tmp_path / "out") if f"T2: {flag} (" in line]


def test_a_model_that_was_never_calibrated_segments_and_says_how_to(tmp_path: Path):
    run([study("T2")], tmp_path / "out", Sure(None))
    found = trust(tmp_path / "out")
    assert found["flag"] == "not calibrated"
    page = (tmp_path / "out" / "study_0001" / "report.html").read_text()
    assert "nnunet_pst calibrate" in page
    assert found["expected_dice"] is None


@pytest.mark.parametrize("calibration", [None, CALIBRATION])
def test_an_empty_mask_is_to_be_checked(tmp_path: Path, calibration: Calibration | None):
    models = Sure(calibration)
    run([study("T2", T2=image(1, tumor=False))], tmp_path / "out", models)
    assert trust(tmp_path / "out")["flag"] == "check"


def test_the_calibration_of_other_weights_is_not_used(tmp_path: Path):
    other = replace(CALIBRATION, checkpoints=("b" * 64,))
    run([study("T2")], tmp_path / "out", Sure(other))
    found = trust(tmp_path / "out")
    assert found["flag"] == "not calibrated"
    assert "other weights" in str(found["reasons"])


def test_the_calibration_of_one_fold_holds_for_a_model_of_several(tmp_path: Path):
    model = Sure(CALIBRATION)
    digests = {f"fold_{n}/checkpoint_final.pth": letter * 64 for n, letter in enumerate("ab")}
    model.facts = replace(model.facts, sha256=digests)
    run([study("T2")], tmp_path / "out", model)
    assert trust(tmp_path / "out")["flag"] == "looks usual"


def test_masks_without_mirroring_need_a_calibration_of_their_own(tmp_path: Path):
    run([study("T2")], tmp_path / "out", Sure(CALIBRATION, mirroring=False))
    found = trust(tmp_path / "out")
    assert found["flag"] == "not calibrated"
    assert "--no-mirroring" in str(found["reasons"])


def test_sequences_that_disagree_are_to_be_checked(tmp_path: Path):
    moved = image(3)
    moved = Volume(np.roll(moved.array, 6, axis=2), moved.grid)
    run([study("T1", "T2", T2=moved)], tmp_path / "out", Sure(CALIBRATION))
    report = json.loads((tmp_path / "out" / "study_0001" / "report.json").read_text())
    for one, other in zip(report["results"], ("T2", "T1"), strict=True):
        assert one["trust"]["flag"] == "check"
        assert f"mask of {other}" in one["trust"]["reasons"][0]


def test_a_new_calibration_segments_again(tmp_path: Path):
    run([study("T2")], tmp_path / "out", Sure(None))
    calibrated = Sure(CALIBRATION)
    calibrated.facts = replace(
        calibrated.facts, sha256={**calibrated.facts.sha256, "calibration.json": "c" * 64}
    )
    outcome = run([study("T2")], tmp_path / "out", calibrated, overwrite=True)
    assert outcome.kept == 0
    assert trust(tmp_path / "out")["flag"] == "looks usual"


def test_numbers_of_a_whole_mask_are_not_those_of_its_classes(tmp_path: Path):
    trust = {
        "flag": "check", "reasons": ["because"], "expected_dice": 0.6,
        "dice_interval": [0.4, 0.8], "volume_interval_ml": [30.0, 90.0],
    }  # fmt: skip
    part = {"measures": {"volume_ml": 2.0}, "warnings": []}
    result = {
        "name": "T2", "model": "M", "weights": "w", "trust": trust, **part,
        "classes": [{"name": "a", **part}, {"name": "b", **part}],
    }  # fmt: skip
    write_measures(tmp_path / "measures.csv", [{"study": "study_0001", "results": [result]}])
    with (tmp_path / "measures.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == ["all", "a", "b"]
    assert [row["volume_high_ml"] for row in rows] == ["90.0", "", ""]
    assert [row["expected_dice"] for row in rows] == ["0.6", "", ""]
    assert {row["flag"] for row in rows} == {"check"}
