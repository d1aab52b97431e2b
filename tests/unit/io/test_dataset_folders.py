"""A dataset is named by its name, its number or its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.dataset_folders import RESULTS, dataset_folder, dataset_name


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "raw"
    for name in ("Dataset501_PST", "Dataset007_Other", "Dataset502_A", "Dataset502_B"):
        (folder / name).mkdir(parents=True)
    (folder / "Dataset503_patients.csv").touch()
    monkeypatch.setenv("nnUNet_raw", str(folder))
    return folder


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("501", "Dataset501_PST"),
        ("7", "Dataset007_Other"),
        ("007", "Dataset007_Other"),
        ("Dataset501_PST", "Dataset501_PST"),
        ("DatasetPST", "DatasetPST"),
        ("Dataset999_New", "Dataset999_New"),
    ],
)
def test_a_number_stands_for_the_only_dataset_that_has_it(raw: Path, given: str, name: str):
    assert dataset_name(given) == name
    assert dataset_folder(given) == raw / name


@pytest.mark.parametrize(
    ("given", "fault", "words"),
    [
        ("503", Fault.MISSING, "Dataset503_"),
        ("502", Fault.CONTRADICTION, "Dataset502_A, Dataset502_B"),
    ],
)
def test_a_number_of_none_or_of_several_is_refused(raw: Path, given: str, fault: Fault, words: str):
    with pytest.raises(InputError, match=words) as caught:
        dataset_name(given)
    assert [problem.fault for problem in caught.value.problems] == [fault]


def test_a_number_needs_the_folder_of_all_datasets(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("nnUNet_results", raising=False)
    with pytest.raises(InputError) as caught:
        dataset_name("501", RESULTS)
    assert [problem.fault for problem in caught.value.problems] == [Fault.NOT_SET]


def test_a_folder_whose_name_is_a_number_is_that_folder(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "501").mkdir()
    (tmp_path / "501" / "dataset.json").touch()
    monkeypatch.chdir(tmp_path)
    assert dataset_folder("501") == Path("501")
