"""A sweep as a user runs it, with nnU-Net's real commands and a training of a second."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def test_a_sweep_trains_predicts_and_gathers(empty_workplace, table: Path, tmp_path: Path):
    out = tmp_path / "sweep"
    words = ("--strategies", "all", "--seeds", "7", "--seconds", "1", "-device", "cpu")
    begin = ("nnunet_pst", "sweep", table, "--dataset", "DatasetLocal", "--out", out)
    printed = empty_workplace.check(*begin, *words, "--disable_tta")
    job = "DatasetLocal__2d_5__fold_0__seed_7"
    assert f"[1/1] {job}: done (train " in printed
    model = out / "nnUNet_results" / "DatasetLocal"
    model = model / "nnUNetTrainerPST25DSeconds__nnUNetPlans_seed7__2d_5"
    log = next((model / "fold_0").glob("training_log_*.txt")).read_text()
    assert "seed=7" in log
    plans = json.loads((model / "plans.json").read_text())
    assert plans["plans_name"] == "nnUNetPlans_seed7"
    with (out / "cases.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["case"] for row in rows] == ["PST_0007_T2", "PST_0008_T2"]
    trained = (model / "fold_0" / "checkpoint_final.pth").stat().st_mtime_ns
    again = empty_workplace.check(*begin, *words, "--disable_tta")
    assert "left alone" in again
    assert (model / "fold_0" / "checkpoint_final.pth").stat().st_mtime_ns == trained
