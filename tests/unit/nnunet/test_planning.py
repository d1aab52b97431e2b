import csv
import json
from pathlib import Path

import pytest

from nnunet_pst.errors import Fault, HostError, InputError
from nnunet_pst.io.case_table import cases_of_dataset
from nnunet_pst.nnunet import planning
from nnunet_pst.nnunet.own_configurations import (
    CONFIGURATIONS,
    SPARE_SLICES,
    fitting_crop,
    our_configurations,
    patch_size,
)
from nnunet_pst.nnunet.planning import copy_references, plan_dataset
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
    settings = TrainingSettings(crop=96, seed=5)
    added = our_configurations(stock_plans(), SCANS, settings)
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
    added = our_configurations(stock_plans(use_mask_for_norm=[True]), SCANS, TrainingSettings())
    for found in added.values():
        assert found["use_mask_for_norm"] == [False]
        assert found["data_identifier"] == "nnUNetPlans_pst"


@pytest.fixture
def planned_by_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Preprocessed data as the host leaves them, with a cohort of six patients; returns them."""
    for variable in ("nnUNet_raw", "nnUNet_preprocessed"):
        folder = tmp_path / variable / DATASET
        folder.mkdir(parents=True)
        (folder / "dataset.json").write_text("{}")
        monkeypatch.setenv(variable, str(folder.parent))
    write_cases(tmp_path / "nnUNet_raw" / DATASET)
    (folder / "nnUNetPlans.json").write_text(json.dumps(stock_plans()))
    (folder / "dataset_fingerprint.json").write_text(json.dumps(SCANS))
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
    result = plan_dataset(DATASET, extend=True)
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
    plan_dataset(DATASET, extend=True)
    before = {path.name: path.read_bytes() for path in planned_by_the_host.iterdir()}
    plan_dataset(DATASET, extend=True)
    assert {path.name: path.read_bytes() for path in planned_by_the_host.iterdir()} == before


def test_another_slice_axis_is_refused_and_nothing_is_written(planned_by_the_host: Path):
    plans = stock_plans(transpose_forward=[1, 0, 2])
    (planned_by_the_host / "nnUNetPlans.json").write_text(json.dumps(plans))
    before = sorted(path.name for path in planned_by_the_host.iterdir())
    with pytest.raises(InputError) as caught:
        plan_dataset(DATASET, extend=True)
    assert caught.value.fault is Fault.GEOMETRY
    assert sorted(path.name for path in planned_by_the_host.iterdir()) == before
    assert json.loads((planned_by_the_host / "nnUNetPlans.json").read_text()) == plans


def test_existing_folds_that_separate_a_patients_cases_are_refused(planned_by_the_host: Path):
    splits = [{"train": ["PST_0000_T1"], "val": ["PST_0000_T2", "PST_0001_T1"]}]
    (planned_by_the_host / "splits_final.json").write_text(json.dumps(splits))
    with pytest.raises(InputError) as caught:
        plan_dataset(DATASET, extend=True)
    assert caught.value.fault is Fault.LEAK
    assert "PST_0000;" in str(caught.value)
    plans = json.loads((planned_by_the_host / "nnUNetPlans.json").read_text())
    assert list(plans["configurations"]) == ["2d"]


def test_existing_folds_of_whole_patients_are_kept(planned_by_the_host: Path):
    own = [{"train": ["PST_0000_T1", "PST_0000_T2"], "val": ["PST_0001_T1"]}]
    (planned_by_the_host / "splits_final.json").write_text(json.dumps(own))
    assert plan_dataset(DATASET, extend=True).folds == 1
    assert json.loads((planned_by_the_host / "splits_final.json").read_text()) == own


def test_without_a_table_folds_are_left_to_the_host(planned_by_the_host: Path, tmp_path: Path):
    (tmp_path / "nnUNet_raw" / DATASET / "cases.csv").unlink()
    result = plan_dataset(DATASET, extend=True)
    assert result.folds == 0
    assert "left to nnU-Net" in result.decisions[-1]
    assert not (planned_by_the_host / "splits_final.json").exists()
    assert cases_of_dataset(planned_by_the_host) == []


def test_sizes_are_spread_over_the_folds(planned_by_the_host: Path, tmp_path: Path):
    write_cases(tmp_path / "nnUNet_raw" / DATASET, count=16)
    plan_dataset(DATASET, extend=True)
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
        plan_dataset(DATASET, extend=True)
    assert caught.value.fault is Fault.NOT_SET
    assert str(caught.value).startswith(variable)


def test_a_missing_dataset_is_named(planned_by_the_host: Path):
    with pytest.raises(InputError) as caught:
        plan_dataset("DatasetOther", extend=True)
    assert caught.value.fault is Fault.MISSING
    assert str(caught.value).startswith("DatasetOther")


def test_without_plans_there_is_nothing_to_extend(planned_by_the_host: Path):
    (planned_by_the_host / "nnUNetPlans.json").unlink()
    with pytest.raises(InputError, match="nnUNetv2_plan_and_preprocess"):
        plan_dataset(DATASET, extend=True)


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
    monkeypatch.setattr(planning, "_plan_stock", lambda *_: pytest.fail("the long work"))
    with pytest.raises(InputError) as caught:
        plan_dataset(DATASET, configurations=["2d", name, "wrong"])
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
    monkeypatch.setattr(planning, "_plan_stock", lambda *_: "nnUNetPlans")
    with pytest.raises(InputError) as caught:
        plan_dataset(DATASET, configurations=["3d_lowres"])
    assert caught.value.fault is Fault.UNSUPPORTED
    assert not (planned_by_the_host / "splits_final.json").exists()


def test_a_configuration_of_the_users_own_is_known(
    planned_by_the_host: Path, monkeypatch: pytest.MonkeyPatch
):
    plans = stock_plans()
    plans["configurations"]["2d_mine"] = {"inherits_from": "2d"}
    (planned_by_the_host / "nnUNetPlans.json").write_text(json.dumps(plans))
    monkeypatch.setattr(planning, "_plan_stock", lambda *_: "nnUNetPlans")
    monkeypatch.setattr(planning, "copy_references", lambda *_: None)
    done = []
    monkeypatch.setattr(planning, "_preprocess", lambda *words: done.append(words[1]))
    plan_dataset(DATASET, configurations=["2d_mine"])
    assert done == ["2d", "2d_mine"]


def test_one_patient_is_too_few_for_folds(planned_by_the_host: Path, tmp_path: Path):
    write_cases(tmp_path / "nnUNet_raw" / DATASET, count=1)
    with pytest.raises(InputError) as caught:
        plan_dataset(DATASET, extend=True)
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
