"""Plans: our configurations beside the host's, and what is refused before the long work."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from nnunet_pst.errors import Fault, HostError, InputError
from nnunet_pst.nnunet import planning
from nnunet_pst.nnunet.own_configurations import (
    CONFIGURATIONS,
    SPARE_SLICES,
    fitting_crop,
    our_configurations,
    patch_size,
)
from nnunet_pst.nnunet.planning import PlanningSettings, copy_references, plan_dataset
from nnunet_pst.nnunet.training.settings import TrainingSettings
from planning_example import (
    DATASET,
    SCANS,
    fingerprint,
    stock_plans,
)


def test_the_patch_covers_every_case():
    slices, rows, columns = patch_size(stock_plans(), SCANS, crop=224)
    assert slices == 31 + SPARE_SLICES
    for shape, spacing in zip(SCANS["shapes_after_crop"], SCANS["spacings"], strict=True):
        assert shape[0] <= slices
        assert shape[1] * spacing[1] / 0.8 <= rows
        assert shape[2] * spacing[2] / 0.8 <= columns
    # 128 and 160 pixels of 2.5 mm are 400 and 500 of 0.8 mm; next multiples of 32.
    assert (rows, columns) == (416, 512)


def test_the_patch_is_never_smaller_than_the_crop():
    small = fingerprint(((10, 50, 40), (5.0, 0.8, 0.8)))
    assert patch_size(stock_plans(), small, crop=224)[1:] == (224, 224)


@pytest.mark.parametrize(
    ("median", "crop"),
    [([320, 320], 224), ([225, 100], 224), ([224, 224], 224), ([140, 128], 160), ([56, 64], 64)],
)
def test_the_crop_fits_the_cohort(median, crop):
    assert fitting_crop(stock_plans(median_image_size_in_voxels=median)) == crop


def test_our_configurations_describe_a_training():
    plans = stock_plans(median_image_size_in_voxels=[90, 96])
    settings = TrainingSettings(crop=96)
    added = our_configurations(plans, SCANS).configurations
    assert list(added) == ["2d_5", "2d_mobilenetv2"] == list(CONFIGURATIONS)
    for name, slices_per_bag in (("2d_5", 3), ("2d_mobilenetv2", 1)):
        found = added[name]
        assert found["inherits_from"] == "2d"
        assert found["batch_size"] == 12
        assert found["pst"] == settings.to_plans()
        network = found["architecture"]["arch_kwargs"]
        assert (network["slices_per_bag"], network["canvas"]) == (slices_per_bag, 96)
        assert len(found["patch_size"]) == 3
        assert "data_identifier" not in found
    json.dumps(added)


def test_masked_normalization_gets_data_of_its_own():
    added = our_configurations(stock_plans(use_mask_for_norm=[True]), SCANS)
    for found in added.configurations.values():
        assert found["use_mask_for_norm"] == [False]
        assert found["data_identifier"] == "nnUNetPlans_pst"


def test_extending_adds_configurations_folds_and_the_table(planned_by_the_host: Path):
    result = plan_dataset(DATASET, PlanningSettings(extend=True))
    plans = json.loads((planned_by_the_host / "nnUNetPlans.json").read_text())
    assert list(plans["configurations"]) == ["2d", "2d_5", "2d_mobilenetv2"]
    assert plans["configurations"]["2d"] == stock_plans()["configurations"]["2d"]
    assert len(result.decisions) == 5
    assert result.folds == 5
    assert (planned_by_the_host / "cases.csv").is_file()
    splits = json.loads((planned_by_the_host / "splits_final.json").read_text())
    names = {case for fold in splits for case in fold["val"]}
    assert len(names) == 12
    assert not [name for name in names if name.startswith("PST_0006")], "a test patient"


def test_extending_again_changes_nothing(planned_by_the_host: Path):
    plan_dataset(DATASET, PlanningSettings(extend=True))
    before = {path.name: path.read_bytes() for path in planned_by_the_host.iterdir()}
    plan_dataset(DATASET, PlanningSettings(extend=True))
    assert {path.name: path.read_bytes() for path in planned_by_the_host.iterdir()} == before


def test_another_slice_axis_is_refused_and_nothing_is_written(planned_by_the_host: Path):
    plans = stock_plans(transpose_forward=[1, 0, 2])
    (planned_by_the_host / "nnUNetPlans.json").write_text(json.dumps(plans))
    before = sorted(path.name for path in planned_by_the_host.iterdir())
    with pytest.raises(InputError) as caught:
        plan_dataset(DATASET, PlanningSettings(extend=True))
    assert caught.value.fault is Fault.GEOMETRY
    assert sorted(path.name for path in planned_by_the_host.iterdir()) == before
    assert json.loads((planned_by_the_host / "nnUNetPlans.json").read_text()) == plans


@pytest.mark.parametrize("variable", ["nnUNet_raw", "nnUNet_preprocessed"])
def test_an_unset_variable_is_named(
    planned_by_the_host: Path, monkeypatch: pytest.MonkeyPatch, variable: str
):
    monkeypatch.delenv(variable)
    with pytest.raises(HostError) as caught:
        plan_dataset(DATASET, PlanningSettings(extend=True))
    assert caught.value.fault is Fault.NOT_SET
    assert str(caught.value).startswith(variable)


def test_a_missing_dataset_is_named(planned_by_the_host: Path):
    with pytest.raises(InputError) as caught:
        plan_dataset("DatasetOther", PlanningSettings(extend=True))
    assert caught.value.fault is Fault.MISSING
    assert str(caught.value).startswith("DatasetOther")


def test_without_plans_there_is_nothing_to_extend(planned_by_the_host: Path):
    (planned_by_the_host / "nnUNetPlans.json").unlink()
    with pytest.raises(InputError, match="nnUNetv2_plan_and_preprocess"):
        plan_dataset(DATASET, PlanningSettings(extend=True))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("2e", "'2d'"),
        ("2D", "'2d'"),
        ("3d", "'3d_fullres'"),
        ("3d-fullres", "'3d_fullres'"),
        ("3d_low", "'3d_lowres'"),
        ("2d_4", "'2d_5'"),
        ("mobilenet", None),
    ],
)
def test_an_unknown_configuration_is_named_before_the_long_work(
    planned_by_the_host: Path, monkeypatch: pytest.MonkeyPatch, name: str, meant: str | None
):
    monkeypatch.setattr(planning, "plan_stock", lambda *_: pytest.fail("the long work"))
    with pytest.raises(InputError) as caught:
        plan_dataset(DATASET, PlanningSettings(configurations=["2d", name, "wrong"]))
    assert caught.value.fault is Fault.UNKNOWN_NAME
    first, second = caught.value.problems
    assert first.startswith(f"there is no configuration '{name}'; ")
    assert first.endswith(
        "choose from: 2d, 3d_fullres, 3d_lowres, 3d_cascade_fullres, 2d_5, 2d_mobilenetv2"
    )
    assert (f"did you mean {meant}?" in first) is (meant is not None)
    assert second.startswith("there is no configuration 'wrong'")


def test_a_disk_without_room_for_a_plan_is_left_as_it_was(
    planned_by_the_host: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object) -> str:
        (planned_by_the_host / "nnUNetPlans_2d").mkdir(parents=True)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(planning, "plan_stock", full)
    shutil.rmtree(planned_by_the_host)
    with pytest.raises(InputError, match="No space left"):
        plan_dataset(DATASET)
    assert list(planned_by_the_host.parent.iterdir()) == []


def test_a_configuration_that_the_planner_left_out(
    planned_by_the_host: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(planning, "plan_stock", lambda *_: "nnUNetPlans")
    with pytest.raises(InputError) as caught:
        plan_dataset(DATASET, PlanningSettings(configurations=["3d_lowres"]))
    assert caught.value.fault is Fault.UNSUPPORTED
    assert not (planned_by_the_host / "splits_final.json").exists()


def test_a_configuration_of_the_users_own_is_known(
    planned_by_the_host: Path, monkeypatch: pytest.MonkeyPatch
):
    plans = stock_plans()
    plans["configurations"]["2d_mine"] = {"inherits_from": "2d"}
    (planned_by_the_host / "nnUNetPlans.json").write_text(json.dumps(plans))
    monkeypatch.setattr(planning, "plan_stock", lambda *_: "nnUNetPlans")
    monkeypatch.setattr(planning, "copy_references", lambda *_: None)
    done = []
    monkeypatch.setattr(planning, "preprocess", lambda *words: done.append(words[1]))
    plan_dataset(DATASET, PlanningSettings(configurations=["2d_mine"]))
    assert done == ["2d", "2d_mine"]


@pytest.mark.parametrize("extend", [True, False])
def test_region_based_labels_are_refused_before_the_long_work(
    planned_by_the_host: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extend: bool
):
    monkeypatch.setattr(planning, "plan_stock", lambda *_: pytest.fail("the long work"))
    labels = {"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}
    description = tmp_path / "nnUNet_raw" / DATASET / "dataset.json"
    description.write_text(json.dumps({"labels": labels, "regions_class_order": [1, 2]}))
    with pytest.raises(InputError) as caught:
        plan_dataset(DATASET, PlanningSettings(extend=extend))
    assert caught.value.fault is Fault.UNSUPPORTED
    assert len(caught.value.problems) == 1


def test_references_are_replaced_whole(tmp_path: Path):
    raw, preprocessed = tmp_path / "raw", tmp_path / "preprocessed"
    (raw / "labelsTr").mkdir(parents=True)
    preprocessed.mkdir()
    (raw / "labelsTr" / "a.nii.gz").write_bytes(b"first")
    copy_references(raw, preprocessed)
    (raw / "labelsTr" / "a.nii.gz").write_bytes(b"second")
    copy_references(raw, preprocessed)
    found = list((preprocessed / "gt_segmentations").iterdir())
    assert [(path.name, path.read_bytes()) for path in found] == [("a.nii.gz", b"second")]
