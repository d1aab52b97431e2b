"""Settings of our configurations that users have edited in the plans."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nnunet_pst.errors import Fault, InputError
from nnunet_pst.nnunet import planning
from nnunet_pst.nnunet.own_configurations import (
    SPARE_SLICES,
)
from nnunet_pst.nnunet.planning import PlanningSettings, plan_dataset
from planning_example import (
    DATASET,
    fingerprint,
)


def test_edited_settings_are_kept_and_listed(planned_by_the_host: Path):
    plan_dataset(DATASET, PlanningSettings(extend=True))
    file = planned_by_the_host / "nnUNetPlans.json"
    plans = json.loads(file.read_text())
    plans["configurations"]["2d_5"]["batch_size"] = 24
    plans["configurations"]["2d_5"]["pst"]["channel_dropout"] = 0.3
    plans["configurations"]["2d_5"]["note"] = "mine"
    file.write_text(json.dumps(plans))
    result = plan_dataset(DATASET, PlanningSettings(extend=True))
    found = json.loads(file.read_text())["configurations"]
    assert found["2d_5"]["batch_size"] == 24
    assert found["2d_5"]["pst"]["channel_dropout"] == 0.3
    assert found["2d_5"]["note"] == "mine"
    assert found["2d_mobilenetv2"]["batch_size"] == 12
    (line,) = [line for line in result.decisions if "edited settings kept" in line]
    for words in ("batch_size 24 (default 12)", "channel_dropout 0.3 (default 0.0)", "note 'mine'"):
        assert words in line


@pytest.mark.parametrize(
    ("place", "value", "fault"),
    [
        (("spacing",), [3.0, 3.0], Fault.UNSUPPORTED),
        (("inherits_from",), "3d_fullres", Fault.UNSUPPORTED),
        (("resampling_fn_data_kwargs",), {"order": 0}, Fault.UNSUPPORTED),
        (("batch_size",), 0, Fault.OUT_OF_RANGE),
        (("batch_size",), True, Fault.OUT_OF_RANGE),
        (("patch_size",), [30, 100, 100], Fault.OUT_OF_RANGE),
        (("pst", "lesion_shar"), 0.7, Fault.UNKNOWN_NAME),
        (("pst", "lesion_share"), "0.5", Fault.MALFORMED),
        (("pst", "crop"), 90, Fault.OUT_OF_RANGE),
        (("architecture", "arch_kwargs", "slices_per_bag"), 4, Fault.OUT_OF_RANGE),
        (("architecture", "arch_kwargs", "encoder"), "mobilenet", Fault.UNKNOWN_NAME),
        (("architecture", "arch_kwargs", "depth"), 3, Fault.MALFORMED),
    ],
)
def test_edits_that_cannot_work_are_refused_before_the_long_work(
    planned_by_the_host: Path, monkeypatch: pytest.MonkeyPatch, place, value, fault
):
    plan_dataset(DATASET, PlanningSettings(extend=True))
    file = planned_by_the_host / "nnUNetPlans.json"
    plans = json.loads(file.read_text())
    part = plans["configurations"]["2d_5"]
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    file.write_text(json.dumps(plans))
    monkeypatch.setattr(planning, "plan_stock", lambda *_: pytest.fail("the long work"))
    for extend in (True, False):
        with pytest.raises(InputError) as caught:
            plan_dataset(DATASET, PlanningSettings(extend=extend))
        assert caught.value.fault is fault
        assert caught.value.problems[0].startswith("plans, 2d_5: ")
    assert json.loads(file.read_text()) == plans


def test_deleted_settings_are_there_again_and_said(planned_by_the_host: Path):
    plan_dataset(DATASET, PlanningSettings(extend=True))
    file = planned_by_the_host / "nnUNetPlans.json"
    plans = json.loads(file.read_text())
    del plans["configurations"]["2d_5"]["pst"]["gamma"]
    file.write_text(json.dumps(plans))
    result = plan_dataset(DATASET, PlanningSettings(extend=True))
    assert "2d_5: deleted settings are there again: pst.gamma 1.6" in result.decisions


def test_edits_in_plans_of_an_earlier_version_are_kept(planned_by_the_host: Path):
    """Plans that do not say how they were generated: what follows from the cohort is renewed."""
    plan_dataset(DATASET, PlanningSettings(extend=True))
    file = planned_by_the_host / "nnUNetPlans.json"
    plans = json.loads(file.read_text())
    old = plans["configurations"]["2d_5"]
    del old["pst_generated"]
    old["patch_size"], old["batch_size"] = [99, 320, 320], 24
    file.write_text(json.dumps(plans))
    plan_dataset(DATASET, PlanningSettings(extend=True))
    new = json.loads(file.read_text())["configurations"]["2d_5"]
    assert (new["batch_size"], new["patch_size"][0]) == (24, 31 + SPARE_SLICES)


def test_settings_of_the_cohort_follow_the_cohort(planned_by_the_host: Path):
    plan_dataset(DATASET, PlanningSettings(extend=True))
    larger = fingerprint(((40, 320, 300), (5.0, 0.8, 0.8)))
    (planned_by_the_host / "dataset_fingerprint.json").write_text(json.dumps(larger))
    result = plan_dataset(DATASET, PlanningSettings(extend=True))
    plans = json.loads((planned_by_the_host / "nnUNetPlans.json").read_text())
    assert plans["configurations"]["2d_5"]["patch_size"][0] == 40 + SPARE_SLICES
    assert not any("edited" in line for line in result.decisions)


def test_edits_of_other_plans_can_be_taken_over(planned_by_the_host: Path, tmp_path: Path):
    plan_dataset(DATASET, PlanningSettings(extend=True))
    plans = json.loads((planned_by_the_host / "nnUNetPlans.json").read_text())
    plans["configurations"]["2d_5"]["pst"]["gamma"] = 1.0
    (tmp_path / "base.json").write_text(json.dumps(plans))
    plan_dataset(DATASET, PlanningSettings(extend=True, edits_from=tmp_path / "base.json"))
    found = json.loads((planned_by_the_host / "nnUNetPlans.json").read_text())
    assert found["configurations"]["2d_5"]["pst"]["gamma"] == 1.0
