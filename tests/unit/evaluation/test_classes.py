"""Labels of several classes: together in every table, and by class in one of its own."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from evaluation_example import CASES, HALF, TUMOR, contents, save, score
from nnunet_pst.errors import Fault, InputError
from nnunet_pst.evaluation.case_scoring import score_case


def with_labels(dataset: Path, **labels: object) -> None:
    file = dataset / "dataset.json"
    description = json.loads(file.read_text())
    file.write_text(json.dumps({**description, "labels": {"background": 0, **labels}}))


@pytest.fixture
def several(dataset: Path, predictions: Path) -> Path:
    """The first case has bone and soft tissue, half of it predicted as the other one."""
    with_labels(dataset, bone=1, soft=2, ignore=3)
    label = TUMOR.copy()
    label[3:][label[3:] == 1] = 2
    label[0] = 3
    save(dataset / "labelsTs" / "PST_0001_T1.nii.gz", label)
    prediction = TUMOR.copy()
    prediction[4:][prediction[4:] == 1] = 2
    prediction[0] = 1
    save(predictions / "PST_0001_T1.nii.gz", prediction)
    return dataset


def test_one_class_named_otherwise_gives_the_same_bytes(
    dataset: Path, predictions: Path, tmp_path: Path
):
    score(predictions, dataset, tmp_path / "one")
    with_labels(dataset, lesion=1, ignore=2)
    score(predictions, dataset, tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert not (tmp_path / "one" / "classes.csv").exists()


def test_classes_together_and_each(several: Path, predictions: Path, tmp_path: Path):
    evaluation = score(predictions, several, tmp_path / "scores")
    together = next(row for row in evaluation.cases if row["case"] == "PST_0001_T1")
    assert together["dice"] == 1
    assert together["known_share"] == pytest.approx(6 / 7)
    with (tmp_path / "scores" / "classes.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["case"] == "PST_0001_T1"]
    # Slices 2 | 3, 4 are bone | soft; 2, 3 | 4 are predicted.
    assert {row["class"]: float(row["dice"]) for row in rows} == pytest.approx(
        {"bone": 2 / 3, "soft": 2 / 3}, abs=1e-5
    )
    summary = json.loads((tmp_path / "scores" / "summary.json").read_text())
    assert set(summary["classes"]) == {"bone", "soft"}
    assert list(summary["classes"]["bone"]) == list(summary["overall"])
    assert len(evaluation.long) == len(CASES) * len(evaluation.measures)


def test_what_is_kept_of_an_interruption_has_classes_too(
    several: Path, predictions: Path, tmp_path: Path, monkeypatch
):
    whole = score(predictions, several, tmp_path / "whole")

    def broken(job):
        if job.case.name == "PST_0003_T2":
            raise KeyboardInterrupt
        return score_case(job)

    with monkeypatch.context() as patch:
        patch.setattr("nnunet_pst.evaluation.evaluate.score_case", broken)
        with pytest.raises(KeyboardInterrupt):
            score(predictions, several, tmp_path / "again")
    again = score(predictions, several, tmp_path / "again")
    assert again.kept == 3
    assert len(again.classes) == len(whole.classes) == 8
    assert contents(tmp_path / "whole") == contents(tmp_path / "again")


@pytest.mark.parametrize("value", [2, 3])
def test_values_that_the_dataset_does_not_name_are_refused(
    dataset: Path, predictions: Path, tmp_path: Path, value: int
):
    with_labels(dataset, tumor=1)  # no ignore value
    save(dataset / "labelsTs" / "PST_0001_T1.nii.gz", HALF * np.uint8(value))
    with pytest.raises(InputError) as caught:
        score(predictions, dataset, tmp_path / "scores")
    assert caught.value.fault is Fault.VALUES


def test_regions_are_refused(dataset: Path, predictions: Path, tmp_path: Path):
    with_labels(dataset, whole=[1, 2], core=2)
    with pytest.raises(InputError) as caught:
        score(predictions, dataset, tmp_path / "scores")
    assert caught.value.fault is Fault.UNSUPPORTED
