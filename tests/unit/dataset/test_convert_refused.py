"""The verb ``convert``: every refusal, with nothing written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from nnunet_pst.cli.main import main
from nnunet_pst.dataset import conversion
from nnunet_pst.dataset.conversion import convert_cohort
from nnunet_pst.dataset.conversion_settings import ConversionSettings
from nnunet_pst.errors import Fault, HostError, InputError


def spoil_image(array: np.ndarray, **geometry: tuple[float, ...]) -> Callable[..., None]:
    return lambda cohort: cohort.image("anna_T2.nii.gz", array, **geometry)


def spoil_label(array: np.ndarray, **geometry: tuple[float, ...]) -> Callable[..., None]:
    return lambda cohort: cohort.image("anna_T2_label.nii.gz", array, **geometry)


def ones(value: float = 1, dtype: type = np.float32) -> np.ndarray:
    array = np.zeros((16, 18, 20), dtype=dtype)
    array[8, 9, 10] = value
    return array


def cell(**cells: object) -> Callable[..., None]:
    return lambda cohort: cohort.rows[0].update(cells)


SPOILED = {
    "missing image": (cell(T2="none.nii.gz"), "2, column T2", Fault.MISSING),
    "a DICOM file": (
        lambda c: (c.rows[0].update(T2="1.dcm"), (c.folder / "1.dcm").touch()),
        "2, column T2",
        Fault.EMPTY,
    ),
    "image in 4-D": (
        lambda c: sitk.WriteImage(
            sitk.GetImageFromArray(np.ones((2, 3, 4, 5), np.int16), isVector=False),
            str(c.folder / "anna_T2.nii.gz"),
        ),
        "2, column T2",
        Fault.GEOMETRY,
    ),
    "image in 2-D": (
        lambda c: sitk.WriteImage(
            sitk.GetImageFromArray(np.ones((4, 5), np.int16)), str(c.folder / "anna_T2.nii.gz")
        ),
        "2, column T2",
        Fault.GEOMETRY,
    ),
    "NaN": (spoil_image(ones(np.nan)), "2, column T2", Fault.VALUES),
    "infinite": (spoil_image(ones(np.inf)), "2, column T2", Fault.VALUES),
    "slice axis": (
        spoil_image(ones(), spacing=(5.0, 1.5, 1.5)),
        "2, column T2",
        Fault.GEOMETRY,
    ),
    "float label": (spoil_label(ones(0.5)), "2, column T2_label", Fault.VALUES),
    "labels with gaps": (spoil_label(ones(3)), "2, column T2_label", Fault.VALUES),
    "empty label": (spoil_label(ones(0)), "2, column T2_label", Fault.EMPTY),
    "label elsewhere": (
        spoil_label(ones(), origin=(400.0, 0.0, 0.0)),
        "2, column T2_label",
        Fault.GEOMETRY,
    ),
    "annotated outside": (
        cell(T2_annotated="7-40", label_kind="coarse"),
        "2, column T2_label",
        Fault.OUT_OF_RANGE,
    ),
    "last outside": (cell(T2_first=1, T2_last=40), "2, column T2_label", Fault.OUT_OF_RANGE),
    "clicks inside": (cell(T2_first=8, T2_last=8), "2, column T2_label", Fault.CONTRADICTION),
    "two rows": (lambda c: c.rows.append({**c.rows[0]}), "5, column patient", Fault.REPEATED),
    "two splits": (
        lambda c: c.rows.append({**c.rows[0], "split": "test"}),
        "5, column patient",
        Fault.LEAK,
    ),
    "typing error": (
        lambda c: [r.update(T2_lable=1) for r in c.rows],
        "column T2_lable",
        Fault.UNKNOWN_NAME,
    ),
    "no training": (
        lambda c: [r.update(split="test") for r in c.rows],
        "column split",
        Fault.TOO_FEW,
    ),
}


@pytest.mark.parametrize("what", SPOILED)
def test_refused_with_nothing_written(small_cohort, raw: Path, what: str):
    spoil, place, fault = SPOILED[what]
    spoil(small_cohort)
    with pytest.raises(InputError) as caught:
        convert_cohort(small_cohort.table, "DatasetPST")
    (line,) = caught.value.problems
    row = "row " if place[0].isdigit() else ""
    assert line.startswith(f"cohort.csv, {row}{place}: ")
    assert line.fault is fault
    assert not raw.exists()


def test_a_refusal_is_printed_line_by_line(small_cohort, raw: Path, capsys):
    small_cohort.image("anna_T2_label.nii.gz", ones(0))
    small_cohort.rows[1]["T2"] = "none.nii.gz"
    words = ["convert", str(small_cohort.table), "--dataset", "DatasetPST", "--workers", "1"]
    assert main(words) == 1
    printed = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[0] for line in printed] == ["error", "error"]
    assert not raw.exists()


def test_problems_of_table_and_files_come_together(
    small_cohort, raw: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(conversion, "CASES_A_PROCESS", 1)
    small_cohort.image("anna_T1.nii.gz", ones(np.nan))
    small_cohort.image("bert_T2_label.nii.gz", ones(7))
    small_cohort.rows[2]["T2"] = "none.nii.gz"
    with pytest.raises(InputError) as caught:
        convert_cohort(small_cohort.table, "DatasetPST", workers=2)
    assert [line.partition(":")[0] for line in caught.value.problems] == [
        "cohort.csv, row 4, column T2",
        "cohort.csv, row 2, column T1",
        "cohort.csv, row 3, column T2_label",
    ]
    assert not raw.exists()


def test_no_training_patient_left_of_the_chosen_sequences(small_cohort, raw: Path):
    for row in small_cohort.rows[:2]:
        row |= {"T1": "", "T1_label": ""}
    for sequence, fault in (("T1", Fault.TOO_FEW), ("T3", Fault.UNKNOWN_NAME)):
        settings = ConversionSettings(sequences=(sequence,))
        with pytest.raises(InputError) as caught:
            convert_cohort(small_cohort.table, "DatasetPST", settings)
        assert caught.value.fault is fault


@pytest.mark.parametrize(
    "name", ["PST", "Dataset", "Dataset501", "Dataset_PST/x", "../DatasetX", "Dataset5_A", ""]
)
def test_names_that_the_host_refuses(small_cohort, raw: Path, name: str):
    with pytest.raises(InputError) as caught:
        convert_cohort(small_cohort.table, name)
    assert caught.value.fault is Fault.MALFORMED


def test_a_number_that_is_taken(small_cohort, raw: Path):
    (raw / "Dataset501_Other").mkdir(parents=True)
    with pytest.raises(InputError, match=r"Dataset501_Other") as caught:
        convert_cohort(small_cohort.table, "Dataset501_PST")
    assert caught.value.fault is Fault.EXISTS


def test_without_a_raw_folder(small_cohort, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv("nnUNet_raw", raising=False)
    with pytest.raises(HostError) as caught:
        convert_cohort(small_cohort.table, "DatasetPST")
    assert caught.value.fault is Fault.NOT_SET
    monkeypatch.setenv("nnUNet_raw", str(small_cohort.table))
    with pytest.raises(HostError) as caught:
        convert_cohort(small_cohort.table, "DatasetPST")
    assert caught.value.fault is Fault.WRONG_TYPE


@pytest.mark.parametrize(
    "words",
    [["--coarse-slices", "-1"], ["--workers", "0"], ["--layout", "mixed"], ["--unknown", "tumor"]],
)
def test_wrong_usage(small_cohort, raw: Path, words: list[str], capsys):
    with pytest.raises(SystemExit) as stop:
        main(["convert", str(small_cohort.table), "--dataset", "DatasetPST", *words])
    assert stop.value.code == 2
