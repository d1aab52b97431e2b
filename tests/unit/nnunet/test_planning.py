import csv
import json
from pathlib import Path

import pytest

from nnunet_pst.dataset.training_record import check_not_learned
from nnunet_pst.errors import Fault, HostError, InputError
from nnunet_pst.io.case_table import cases_of_dataset
from nnunet_pst.labels import LABEL_VALUES
from nnunet_pst.nnunet import planning
from nnunet_pst.nnunet.folds import plan_folds
from nnunet_pst.nnunet.own_configurations import (
    CONFIGURATIONS,
    SPARE_SLICES,
    fitting_crop,
    our_configurations,
    patch_size,
)
from nnunet_pst.nnunet.planning import PlanningSettings, copy_references, plan_dataset
from nnunet_pst.nnunet.training.settings import TrainingSettings

DATASET = "DatasetUnit"


def stock_plans(**changes) -> dict:
    """The parts of the host's plans from which ours are made."""
    base = {
        "spacing": [0.8, 0.8],
        "median_image_size_in_voxels": [300.0, 280.0],
        "use_mask_for_norm": [False],
    }
    plans = {
        "plans_name": "nnUNetPlans",
        "transpose_forward": [0, 1, 2],
        "configurations": {"2d": base},
    }
    for name, value in changes.items():
        (base if name in base else plans)[name] = value
    return plans


def fingerprint(*cases: tuple[tuple[int, int, int], tuple[float, float, float]]) -> dict:
    return {
        "shapes_after_crop": [shape for shape, _ in cases],
        "spacings": [spacing for _, spacing in cases],
    }


SCANS = fingerprint(
    ((26, 320, 300), (5.0, 0.8, 0.8)),
    ((31, 128, 160), (7.0, 2.5, 2.5)),
    ((20, 512, 400), (4.0, 0.4, 0.4)),
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


def write_cases(folder: Path, count: int = 7) -> None:
    rows = [
        {
            "case": f"PST_{number:04}_{sequence}",
            "patient": f"PST_{number:04}",
            "sequence": sequence,
            "split": "test" if number == 6 else "train",
            "size_cm": str(number),
        }
        for number in range(count)
        for sequence in ("T1", "T2")
    ]
    with (folder / "cases.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


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


def test_existing_folds_that_separate_a_patients_cases_are_refused(planned_by_the_host: Path):
    splits = [{"train": ["PST_0000_T1"], "val": ["PST_0000_T2", "PST_0001_T1"]}]
    (planned_by_the_host / "splits_final.json").write_text(json.dumps(splits))
    with pytest.raises(InputError) as caught:
        plan_dataset(DATASET, PlanningSettings(extend=True))
    assert caught.value.fault is Fault.LEAK
    assert "PST_0000;" in str(caught.value)
    plans = json.loads((planned_by_the_host / "nnUNetPlans.json").read_text())
    assert list(plans["configurations"]) == ["2d"]


def splits_of(folder: Path) -> list[dict[str, list[str]]]:
    return json.loads((folder / "splits_final.json").read_text())


def become_test(folder: Path, patient: str) -> None:
    """Move a patient to the test split of a case table."""
    table = folder / "cases.csv"
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join(x.replace(",train,", ",test,") if patient in x else x for x in lines))


def test_existing_folds_keep_their_sides_and_every_change_is_said(planned_by_the_host: Path):
    own = [{"train": ["PST_0000_T1", "PST_0000_T2"], "val": ["PST_0001_T1"]}]
    (planned_by_the_host / "splits_final.json").write_text(json.dumps(own))
    result = plan_dataset(DATASET, PlanningSettings(extend=True))
    assert result.folds == 1
    (fold,) = splits_of(planned_by_the_host)
    assert fold["val"] == ["PST_0001_T1", "PST_0001_T2"]
    assert fold["train"][:2] == own[0]["train"]
    assert any("new: PST_0002" in line for line in result.decisions)
    assert any("PST_0001_T2" in line for line in result.decisions)


def test_a_patient_who_became_a_test_patient_leaves_the_folds(
    planned_by_the_host: Path, tmp_path: Path
):
    plan_dataset(DATASET, PlanningSettings(extend=True))
    become_test(tmp_path / "nnUNet_raw" / DATASET, "PST_0003")
    result = plan_dataset(DATASET, PlanningSettings(extend=True))
    folds = splits_of(planned_by_the_host)
    assert not [c for f in folds for side in f for c in f[side] if "PST_0003" in c]
    assert any("test patients now" in line and "PST_0003" in line for line in result.decisions)


@pytest.mark.parametrize("fold", ["0", "all"])
def test_a_finished_training_is_not_contradicted_unasked(
    planned_by_the_host: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fold: str
):
    monkeypatch.setenv("nnUNet_results", str(tmp_path / "results"))
    plan_dataset(DATASET, PlanningSettings(extend=True))
    before = splits_of(planned_by_the_host)
    trained = before[0]["train"][0].rpartition("_")[0]
    folder = tmp_path / "results" / DATASET / "T__nnUNetPlans__2d_5" / f"fold_{fold}"
    folder.mkdir(parents=True)
    (folder / "checkpoint_best.pth").touch()
    become_test(tmp_path / "nnUNet_raw" / DATASET, trained)
    with pytest.raises(InputError) as caught:
        plan_dataset(DATASET, PlanningSettings(extend=True))
    assert caught.value.fault is Fault.LEAK
    assert trained in str(caught.value)
    assert splits_of(planned_by_the_host) == before
    result = plan_dataset(DATASET, PlanningSettings(extend=True, overwrite_folds=True))
    assert any(line.startswith("folds: accepted: ") for line in result.decisions)
    assert not [c for f in splits_of(planned_by_the_host) for c in f["train"] if trained in c]


def leave_training(root: Path, fold: str = "0") -> Path:
    """Leave what a training leaves that planning sees."""
    folder = root / "results" / DATASET / "T__nnUNetPlans__2d_5" / f"fold_{fold}"
    folder.mkdir(parents=True)
    (folder / "checkpoint_final.pth").touch()
    return folder


@pytest.fixture
def with_results(planned_by_the_host: Path, tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("nnUNet_results", str(tmp_path / "results"))
    plan_dataset(DATASET, PlanningSettings(extend=True))
    return planned_by_the_host


def test_a_patient_who_comes_back_as_a_test_patient_is_remembered(
    with_results: Path, tmp_path: Path
):
    """What a training has learned from outlives the folds in which the patient was."""
    table = tmp_path / "nnUNet_raw" / DATASET / "cases.csv"
    whole = table.read_text()
    # Of a fold with two validation patients, so that no fold runs empty.
    two = {c for f in splits_of(with_results) if len(f["val"]) == 4 for c in f["val"]}
    number = next(n for n, f in enumerate(splits_of(with_results)) if min(two) in f["train"])
    learned = min(two).rpartition("_")[0]
    leave_training(tmp_path, str(number))
    kept = [line for line in whole.splitlines(keepends=True) if learned not in line]
    table.write_text("".join(kept))
    plan_dataset(DATASET, PlanningSettings(extend=True))
    table.write_text(whole)
    become_test(table.parent, learned)
    with pytest.raises(InputError) as caught:
        plan_dataset(DATASET, PlanningSettings(extend=True))
    assert f"learned from {learned}" in str(caught.value)


def test_a_training_is_not_blamed_for_patients_who_came_later(with_results: Path, tmp_path: Path):
    table = tmp_path / "nnUNet_raw" / DATASET / "cases.csv"
    before = table.read_text()
    leave_training(tmp_path)
    plan_dataset(DATASET, PlanningSettings(extend=True))
    table.write_text(before.replace(",test,", ",train,"))  # PST_0006 is trained on from now on
    plan_dataset(DATASET, PlanningSettings(extend=True))
    table.write_text(before)
    result = plan_dataset(DATASET, PlanningSettings(extend=True))
    assert not any("learned from" in line for line in result.decisions)


def test_what_was_accepted_is_said_each_time_and_refuses_nothing_more(
    with_results: Path, tmp_path: Path
):
    learned = splits_of(with_results)[0]["train"][0].rpartition("_")[0]
    fold = leave_training(tmp_path)
    become_test(tmp_path / "nnUNet_raw" / DATASET, learned)
    plan_dataset(DATASET, PlanningSettings(extend=True, overwrite_folds=True))
    result = plan_dataset(DATASET, PlanningSettings(extend=True))
    assert any(f"accepted: T__nnUNetPlans__2d_5, fold 0: learned from {learned}" in line
               for line in result.decisions)  # fmt: skip
    with pytest.raises(InputError) as caught:
        check_not_learned(fold, {learned})
    assert caught.value.fault is Fault.LEAK


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


def test_without_a_table_folds_are_left_to_the_host(planned_by_the_host: Path, tmp_path: Path):
    (tmp_path / "nnUNet_raw" / DATASET / "cases.csv").unlink()
    result = plan_dataset(DATASET, PlanningSettings(extend=True))
    assert result.folds == 0
    assert "left to nnU-Net" in result.decisions[-1]
    assert not (planned_by_the_host / "splits_final.json").exists()
    assert cases_of_dataset(planned_by_the_host) == []


def test_sizes_are_spread_over_the_folds(planned_by_the_host: Path, tmp_path: Path):
    write_cases(tmp_path / "nnUNet_raw" / DATASET, count=16)
    plan_dataset(DATASET, PlanningSettings(extend=True))
    splits = json.loads((planned_by_the_host / "splits_final.json").read_text())
    for fold in splits:
        sizes = sorted(int(name[4:8]) for name in fold["val"] if name.endswith("T1"))
        # 0 to 14 cm without the test patient's 6: thirds end after 4 and 10.
        assert [size > 4 for size in sizes] == [False, True, True]
        assert [size > 10 for size in sizes] == [False, False, True]


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


def test_one_patient_is_too_few_for_folds(planned_by_the_host: Path, tmp_path: Path):
    write_cases(tmp_path / "nnUNet_raw" / DATASET, count=1)
    with pytest.raises(InputError) as caught:
        plan_dataset(DATASET, PlanningSettings(extend=True))
    assert caught.value.fault is Fault.TOO_FEW
    assert len(caught.value.problems) == 1
    assert not (planned_by_the_host / "splits_final.json").exists()


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


@pytest.mark.parametrize(("count", "folds"), [(2, 2), (4, 4), (5, None), (1, Fault.TOO_FEW)])
def test_few_cases_without_a_table(tmp_path: Path, count: int, folds: int | Fault | None):
    raw = tmp_path / "raw"
    (raw / "labelsTr").mkdir(parents=True)
    (raw / "dataset.json").write_text(json.dumps({"file_ending": ".mha", "labels": LABEL_VALUES}))
    for number in range(count):
        (raw / "labelsTr" / f"c{number}.mha").touch()
    if isinstance(folds, Fault):
        with pytest.raises(InputError) as caught:
            plan_folds(raw, tmp_path / "preprocessed", None, seed=1)
        assert caught.value.fault is folds
        return
    planned = plan_folds(raw, tmp_path / "preprocessed", None, seed=1)
    assert (planned.splits and len(planned.splits)) == folds
    assert len(planned.changes) == (folds is not None)


def test_folds_without_a_table_that_miss_cases_are_told_of(tmp_path: Path):
    raw, preprocessed = tmp_path / "raw", tmp_path / "preprocessed"
    (raw / "labelsTr").mkdir(parents=True)
    preprocessed.mkdir()
    (raw / "dataset.json").write_text(json.dumps({"file_ending": ".mha"}))
    for name in "abd":
        (raw / "labelsTr" / f"{name}.mha").touch()
    splits = [{"train": ["a"], "val": ["b", "c"]}]
    (preprocessed / "splits_final.json").write_text(json.dumps(splits))
    planned = plan_folds(raw, preprocessed, None, seed=1)
    assert planned.splits == splits
    added, gone = planned.changes
    assert "(d)" in added
    assert "(c)" in gone
