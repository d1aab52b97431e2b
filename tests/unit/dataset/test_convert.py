"""The verb ``convert``: what it writes, and what it says about it."""

from __future__ import annotations

import csv
import json
import stat
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from nnunet_pst.cli.main import main
from nnunet_pst.dataset import conversion
from nnunet_pst.dataset.annotation import LabelRules
from nnunet_pst.dataset.conversion import convert_cohort
from nnunet_pst.dataset.conversion_settings import ConversionSettings
from nnunet_pst.io.digests import voxel_digest
from nnunet_pst.io.volumes import read_image


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def with_rules(**rules: object) -> ConversionSettings:
    return ConversionSettings(rules=LabelRules(**rules))


def label_values(path: Path) -> list[list[int]]:
    array = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    return [np.unique(image).tolist() for image in array]


def test_what_is_written(small_cohort, raw: Path, capsys: pytest.CaptureFixture[str]):
    for row in small_cohort.rows:
        row |= {"age": 40, "label_kind": "fine"}
    words = ["convert", str(small_cohort.table), "--dataset", "DatasetPST", "--workers", "1"]
    assert main([*words, "--simulate-coarse", "1"]) == 0
    assert list(files(raw)) == [
        "DatasetPST/cases.csv",
        "DatasetPST/dataset.json",
        *(f"DatasetPST/imagesTr/PST_000{i}_T{t}_0000.nii.gz" for i in (1, 2) for t in (1, 2)),
        *(f"DatasetPST/imagesTs/PST_0003_T{t}_0000.nii.gz" for t in (1, 2)),
        *(f"DatasetPST/labelsTr/PST_000{i}_T{t}.nii.gz" for i in (1, 2) for t in (1, 2)),
        *(f"DatasetPST/labelsTs/PST_0003_T{t}.nii.gz" for t in (1, 2)),
        "DatasetPST_conversion.jsonl",
        "DatasetPST_patients.csv",
    ]
    description = json.loads((raw / "DatasetPST" / "dataset.json").read_text())
    assert description["numTraining"] == 4
    assert description["labels"] == {"background": 0, "tumor": 1, "ignore": 2}
    assert description["nnunet_pst"]["simulate_coarse"] == 1
    assert description["nnunet_pst"]["sequences"] == ["T1", "T2"]
    assert description["nnunet_pst"]["planes"] == ["axial"]
    cases = rows(raw / "DatasetPST" / "cases.csv")
    assert cases[1] == {
        "case": "PST_0001_T2",
        "patient": "PST_0001",
        "sequence": "T2",
        "split": "train",
        "label_kind": "coarse",
        "annotated": "7-9",
        "first": "",
        "last": "",
        "image_digest": voxel_digest(
            read_image(raw / "DatasetPST" / "imagesTr" / "PST_0001_T2_0000.nii.gz").array
        ),
        "age": "40",
    }
    assert cases[-1]["label_kind"] == "fine"
    assert cases[-1]["annotated"] == ""
    assert [row["patient"] for row in rows(raw / "DatasetPST_patients.csv")] == [
        "anna",
        "bert",
        "cora",
    ]
    printed = capsys.readouterr().out
    assert "4 train of 2, 2 test of 1" in printed
    assert "44 known" in printed
    assert "52 unknown" in printed
    assert printed.splitlines()[-1] == "next: nnunet_pst plan DatasetPST"


def test_images_keep_voxels_and_geometry(small_cohort, raw: Path):
    convert_cohort(small_cohort.table, "DatasetPST")
    source = read_image(small_cohort.folder / "anna_T1.nii.gz")
    written = read_image(raw / "DatasetPST" / "imagesTr" / "PST_0001_T1_0000.nii.gz")
    assert (source.array == written.array).all()
    assert source.grid == written.grid


def test_private_files_are_for_their_owner_only(small_cohort, raw: Path):
    convert_cohort(small_cohort.table, "DatasetPST")
    for name in ("DatasetPST_patients.csv", "DatasetPST_conversion.jsonl"):
        assert stat.S_IMODE((raw / name).stat().st_mode) == 0o600


def test_the_host_reads_it(small_cohort, raw: Path):
    from nnunetv2.imageio.reader_writer_registry import (
        determine_reader_writer_from_dataset_json,
    )
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
    from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

    convert_cohort(small_cohort.table, "DatasetPST", with_rules(simulate_coarse=1))
    folder = raw / "DatasetPST"
    description = json.loads((folder / "dataset.json").read_text())
    cases = get_filenames_of_train_images_and_targets(str(folder), description)
    assert list(cases) == [f"PST_000{i}_T{t}" for i in (1, 2) for t in (1, 2)]
    reader = determine_reader_writer_from_dataset_json(
        description, cases["PST_0001_T1"]["images"][0], verbose=False
    )()
    image, properties = reader.read_images(cases["PST_0001_T1"]["images"])
    label, _ = reader.read_seg(cases["PST_0001_T1"]["label"])
    assert image.shape == label.shape == (1, 16, 18, 20)
    assert properties["spacing"] == [5.0, 1.5, 1.5]
    manager = PlansManager({"label_manager": "LabelManager"}).get_label_manager(description)
    assert manager.ignore_label == 2
    assert manager.num_segmentation_heads == 2


def test_free_negatives_from_clicks_and_far(cohort_files, raw: Path):
    cohort_files.add("a", label_kind="coarse", T2_first=4, T2_last=12)
    cohort_files.add("b", label_kind="coarse")
    summary = convert_cohort(
        cohort_files.table, "DatasetPST", with_rules(coarse_slices=1, far_negatives=True)
    )
    clicked, far = (
        label_values(raw / "DatasetPST" / "labelsTr" / f"PST_000{i}_T2.nii.gz") for i in (1, 2)
    )
    assert clicked == [[0]] * 4 + [[2]] * 3 + [[0, 1]] * 3 + [[2]] * 3 + [[0]] * 3
    # Diameter 19.6 mm at 5 mm spacing: beyond 0.75 x 3.9 + 2 = 4.9 slices.
    assert far == [[0]] * 4 + [[2]] * 3 + [[0, 1]] * 3 + [[2]] * 3 + [[0]] * 3
    assert summary.free_negative == 14


def test_several_lesions_leave_far_negatives_out(cohort_files, raw: Path):
    cohort_files.add("a")
    two = sitk.GetArrayFromImage(
        sitk.ReadImage(str(cohort_files.folder / cohort_files.rows[0]["T2_label"]))
    )
    two[1, 2, 2] = 1
    cohort_files.image("a_T2_label.nii.gz", two)
    summary = convert_cohort(
        cohort_files.table, "DatasetPST", with_rules(simulate_coarse=1, far_negatives=True)
    )
    assert summary.free_negative == 0
    assert any("2 separate lesions" in note for note in summary.notes)


def test_the_error_of_the_far_rule_is_reported_where_it_is_known(cohort_files, raw: Path):
    cohort_files.add("a")
    column = np.zeros((16, 18, 20), dtype=np.uint8)
    column[1:15, 8:10, 9:11] = 1
    column[8, 8:11, 9:11] = 1
    cohort_files.image("a_T2_label.nii.gz", column)
    summary = convert_cohort(
        cohort_files.table, "DatasetPST", with_rules(simulate_coarse=1, far_negatives=True)
    )
    assert summary.wrongly_free > 0
    assert any("hold tumor in the fine masks" in note for note in summary.notes)


def test_unknown_as_background_is_reported(small_cohort, raw: Path, capsys):
    words = ["convert", str(small_cohort.table), "--dataset", "DatasetPST", "--workers", "1"]
    assert main([*words, "--simulate-coarse", "0", "--unknown", "background"]) == 0
    assert "unknown (written as background)" in capsys.readouterr().out
    values = label_values(raw / "DatasetPST" / "labelsTr" / "PST_0001_T1.nii.gz")
    assert values == [[0]] * 8 + [[0, 1]] + [[0]] * 7


def test_one_case_of_one_patient(cohort_files, raw: Path, capsys):
    cohort_files.add("a")
    words = ["convert", str(cohort_files.table), "--dataset", "DatasetPST", "--workers", "1"]
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("DatasetPST: 1 case of 1 patient (1 train of 1)")


def test_a_resampled_mask_is_reported(cohort_files, raw: Path):
    cohort_files.add("a")
    label = sitk.ReadImage(str(cohort_files.folder / "a_T2_label.nii.gz"))
    sitk.WriteImage(label[3:18, 2:17, 5:12], str(cohort_files.folder / "a_T2_label.nii.gz"))
    summary = convert_cohort(cohort_files.table, "DatasetPST")
    assert list(summary.resampled) == ["PST_0001_T2"]
    written = sitk.ReadImage(str(raw / "DatasetPST" / "labelsTr" / "PST_0001_T2.nii.gz"))
    assert (sitk.GetArrayFromImage(written) == sitk.GetArrayFromImage(label)).sum() == 16 * 18 * 20


def test_masks_of_two_sequences_are_reported(small_cohort, raw: Path):
    for row in small_cohort.rows[:2]:
        row["T2_label"] = row["T1_label"]
    summary = convert_cohort(small_cohort.table, "DatasetPST")
    note = "one mask serves T1 and T2 of 2 patients: it is put onto each image's grid"
    assert note in summary.notes
    alone = convert_cohort(
        small_cohort.table, "DatasetAlone", ConversionSettings(sequences=("T2",))
    )
    assert not any("one mask" in note for note in alone.notes)


def test_a_cohort_without_test_patients_is_reported(small_cohort, raw: Path):
    with_test = convert_cohort(small_cohort.table, "DatasetPST")
    assert not any("imagesTs" in note for note in with_test.notes)
    del small_cohort.rows[2]
    without = convert_cohort(small_cohort.table, "DatasetTrain")
    (line,) = (note for note in without.notes if "no imagesTs" in note)
    assert "write 'test' for some patients in column 'split'" in line


def test_chosen_sequences_and_json(small_cohort, raw: Path, capsys):
    words = ["convert", str(small_cohort.table), "--dataset", "Dataset501_PST", "--json"]
    assert main([*words, "--sequences", "T2", "--workers", "1"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["cases"] == {"train": 2, "val": 0, "test": 1}
    names = [path.name for path in (raw / "Dataset501_PST" / "imagesTr").iterdir()]
    assert sorted(names) == ["PST_0001_T2_0000.nii.gz", "PST_0002_T2_0000.nii.gz"]


def test_test_patients_without_labels(small_cohort, raw: Path):
    small_cohort.rows[2] |= {"T1_label": "", "T2_label": ""}
    convert_cohort(small_cohort.table, "DatasetPST")
    assert not (raw / "DatasetPST" / "labelsTs").exists()
    assert len(list((raw / "DatasetPST" / "imagesTs").iterdir())) == 2
    assert rows(raw / "DatasetPST" / "cases.csv")[-1]["label_kind"] == ""


def test_one_and_two_workers_write_the_same_bytes(
    small_cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(conversion, "CASES_A_PROCESS", 1)
    written = []
    for workers in (1, 2):
        monkeypatch.setenv("nnUNet_raw", str(tmp_path / f"raw{workers}"))
        convert_cohort(small_cohort.table, "DatasetPST", workers=workers)
        written.append(files(tmp_path / f"raw{workers}" / "DatasetPST"))
    assert written[0] == written[1]


@pytest.mark.parametrize(("cases", "processes"), [(1, 1), (15, 1), (16, 2), (999, 4)])
def test_a_few_cases_start_no_processes(cases: int, processes: int):
    plan = SimpleNamespace(cases=[SimpleNamespace(registered=[])] * cases)
    assert conversion._processes(plan, 4) == processes


@pytest.mark.slow
def test_the_sarcoma_patients(sarcoma_table: Path, raw: Path):
    summary = convert_cohort(
        sarcoma_table, "DatasetPST", with_rules(simulate_coarse=5, far_negatives=True)
    )
    assert summary.cases == {"train": 16, "val": 0, "test": 8}
    assert (summary.coarse, summary.fine) == (16, 8)
    assert sum("2 separate lesions" in note for note in summary.notes) == 1
    header = rows(raw / "DatasetPST" / "cases.csv")[0]
    assert {"volume_ml", "spacing", "size"} < set(header)
