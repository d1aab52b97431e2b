"""A dataset that the host has planned, with and without results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nnunet_pst.labels import LABEL_VALUES
from nnunet_pst.nnunet import planning
from nnunet_pst.nnunet.planning import PlanningSettings, plan_dataset
from planning_example import (
    DATASET,
    SCANS,
    stock_plans,
    write_cases,
)


@pytest.fixture
def planned_by_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Preprocessed data as the host leaves them, with a cohort of six patients; returns them."""
    for variable in ("nnUNet_raw", "nnUNet_preprocessed"):
        folder = tmp_path / variable / DATASET
        folder.mkdir(parents=True)
        (folder / "dataset.json").write_text(json.dumps({"labels": LABEL_VALUES}))
        monkeypatch.setenv(variable, str(folder.parent))
    write_cases(tmp_path / "nnUNet_raw" / DATASET)
    (folder / "nnUNetPlans.json").write_text(json.dumps(stock_plans()))
    (folder / "dataset_fingerprint.json").write_text(json.dumps(SCANS))
    # There are no images here; what is checked of preprocessed data has tests of its own.
    monkeypatch.setattr(planning, "_check_data", lambda *_: None)
    return folder


@pytest.fixture
def with_results(planned_by_the_host: Path, tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("nnUNet_results", str(tmp_path / "results"))
    plan_dataset(DATASET, PlanningSettings(extend=True))
    return planned_by_the_host
