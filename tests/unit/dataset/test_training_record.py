"""Whom a training has learned from, and who asks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nnunet_pst.dataset.training_record import (
    RECORD,
    check_not_learned,
    extend_record,
    learned_warnings,
    read_record,
    records_of,
    write_record,
)
from nnunet_pst.errors import Fault, InputError

TRAINING = "nnUNetTrainerPST25D__nnUNetPlans__2d_5"


@pytest.fixture
def fold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A trained fold of DatasetPST that has learned from A and B."""
    monkeypatch.setenv("nnUNet_results", str(tmp_path))
    folder = tmp_path / "DatasetPST" / TRAINING / "fold_0"
    folder.mkdir(parents=True)
    (folder / "checkpoint_final.pth").touch()
    write_record(folder, {"B", "A"})
    return folder


def test_a_record_is_read_back(fold: Path):
    record = read_record(fold)
    assert record is not None
    assert (record.training, record.fold) == (TRAINING, "0")
    assert record.patients == {"A", "B"}
    assert records_of(fold.parents[1]) == [record]
    assert read_record(fold.parent) is None


def test_a_training_that_goes_on_keeps_what_it_has_learned(fold: Path):
    write_record(fold, {"A", "B"}, {"A"})
    extend_record(fold, {"C"}, anew=False)
    record = read_record(fold)
    assert record is not None
    assert (record.patients, record.accepted) == ({"A", "B", "C"}, {"A"})
    extend_record(fold, {"C"}, anew=True)
    record = read_record(fold)
    assert record is not None
    assert (record.patients, record.accepted) == ({"C"}, set())


def test_a_validation_on_known_patients_is_refused(fold: Path):
    check_not_learned(fold, {"C"})
    with pytest.raises(InputError) as caught:
        check_not_learned(fold, {"C", "B"})
    assert caught.value.fault is Fault.LEAK
    assert "learned from B," in str(caught.value)


def test_test_patients_whom_a_training_knows_are_said(fold: Path):
    (warning,) = learned_warnings("DatasetPST", {"B", "C"}, {})
    assert f"{TRAINING}, fold 0 has learned from B" in warning
    assert learned_warnings("DatasetPST", {"C"}, {}) == []
    assert learned_warnings("DatasetOther", {"B"}, {}) == []


def test_an_image_is_known_under_another_name(fold: Path):
    extend_record(fold, {"A"}, {"1f": "A", "2f": "A"}, anew=True)
    record = read_record(fold)
    assert record is not None
    assert record.images == {"1f", "2f"}
    assert record.knows({"C", "D"}, {"2f": "C", "3f": "D"}) == {"C"}
    (warning,) = learned_warnings("DatasetPST", {"C", "D"}, {"2f": "C", "3f": "D"})
    assert "has learned from C" in warning
    with pytest.raises(InputError):
        check_not_learned(fold, {"C"}, {"2f": "C"})
    check_not_learned(fold, {"D"}, {"2f": "C", "3f": "D"})


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({"patients": 3, "accepted": []})])
def test_a_damaged_record_is_refused(fold: Path, text: str):
    (fold / RECORD).write_text(text)
    with pytest.raises(InputError) as caught:
        read_record(fold)
    assert caught.value.fault is Fault.DAMAGED
