"""Cohorts that change while they are worked with: random walks of edits, checked after each.

After every edit the table is converted and planned again, as the README says. No test case may be
in a fold, no training case outside of one, no label against the truth, and every change is said.
``NNUNET_PST_WALKS`` says how many walks are made; ``make walks`` makes thirty.
"""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from nnunet_pst.cli.main import main
from nnunet_pst.dataset.conversion_journal import read_key
from nnunet_pst.dataset.fold_updates import fold_problems
from nnunet_pst.dataset.raw_dataset import locate_dataset
from nnunet_pst.dataset.training_record import records_of
from nnunet_pst.errors import InputError
from nnunet_pst.io.case_table import cases_of_dataset
from nnunet_pst.nnunet.folds import check_fold

pytestmark = pytest.mark.slow

DATASET, TRAINER = "DatasetPST", "nnUNetTrainerPST25D_tiny"
WALKS = int(os.environ.get("NNUNET_PST_WALKS", "1"))
EDITS = 5
SHAPE_ZYX, SPACING_ZYX_MM = (12, 40, 40), (5.0, 1.0, 1.0)


@dataclass
class Patient:
    """A patient of the table; the truth is known, and drawings are consistent with it."""

    split: str
    truth: np.ndarray
    image: np.ndarray
    drawn: tuple[int, int]
    clicks: bool

    @property
    def extent(self) -> tuple[int, int]:
        slices = np.flatnonzero(self.truth.any(axis=(1, 2)))
        return int(slices[0]), int(slices[-1])


@dataclass
class Cohort:
    """A cohort on disk, and how its owner edits it."""

    folder: Path
    rng: np.random.Generator
    patients: dict[str, Patient] = field(default_factory=dict)
    number: int = 0

    def add(self, split: str) -> str:
        self.number += 1
        name = f"patient-{self.number:02d}"
        z, y, x = np.indices(SHAPE_ZYX).astype(float)
        middle, height = self.rng.integers(4, 8), self.rng.integers(2, 4)
        radius = 5 + 4 * self.rng.random()
        truth = (
            ((z - middle) / height) ** 2 + ((y - 20) / radius) ** 2 + ((x - 20) / radius) ** 2
        ) <= 1
        image = self.rng.normal(300, 40, SHAPE_ZYX).clip(50) + 400 * truth
        self.patients[name] = Patient(split, truth, image.astype(np.int16), (0, 0), False)
        self.redraw(name)
        return name

    def redraw(self, name: str) -> None:
        """Draw on other slices than before, around the largest one; click, or not."""
        patient = self.patients[name]
        first, last = patient.extent
        middle, before = (first + last) // 2, (patient.drawn, patient.clicks)
        while (patient.drawn, patient.clicks) == before:
            patient.drawn = (
                int(self.rng.integers(first, middle + 1)),
                int(self.rng.integers(middle, last + 1)),
            )
            patient.clicks = bool(self.rng.integers(2))

    def write(self) -> Path:
        rows = []
        for name, patient in self.patients.items():
            coarse = patient.split == "train"
            mask = patient.truth.copy()
            if coarse:
                mask[: patient.drawn[0]] = mask[patient.drawn[1] + 1 :] = False
            self._image(name, "T2", patient.image)
            self._image(name, "T2_label", mask.astype(np.uint8))
            first, last = patient.extent if coarse and patient.clicks else ("", "")
            rows.append(
                {
                    "patient": name,
                    "T2": f"{name}_T2.nii.gz",
                    "T2_label": f"{name}_T2_label.nii.gz",
                    "T2_first": first,
                    "T2_last": last,
                    "label_kind": "coarse" if coarse else "fine",
                    "split": patient.split,
                }
            )
        table = self.folder / "cohort.csv"
        with table.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return table

    def _image(self, name: str, what: str, array: np.ndarray) -> None:
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(SPACING_ZYX_MM[::-1])
        path = self.folder / f"{name}_{what}.nii.gz"
        if path.is_file() and np.array_equal(
            sitk.GetArrayFromImage(sitk.ReadImage(str(path))), array
        ):
            return  # a file that is written again counts as changed
        sitk.WriteImage(image, str(path))


class _Threads:
    """What the host's spawned pools are here: each would import torch for half a minute."""

    Pool = ThreadPool


@pytest.fixture
def desk(empty_workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    names = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
    workplace = empty_workplace.but(**{name: tmp_path / name for name in names})
    genuine = multiprocessing.get_context
    monkeypatch.setattr(
        multiprocessing, "get_context", lambda kind=None: _Threads if kind else genuine(kind)
    )
    monkeypatch.setenv("TINY_EPOCHS", "1")
    monkeypatch.setenv("TINY_SKIPS_VALIDATION", "1")
    (tmp_path / "cohort").mkdir()
    with workplace.entered():
        yield tmp_path


@pytest.mark.parametrize("seed", range(WALKS))
def test_a_walk(seed: int, desk: Path, trained_in_process, capsys: pytest.CaptureFixture[str]):
    cohort = Cohort(desk / "cohort", np.random.default_rng(seed))
    for number in range(8):
        cohort.add("test" if number >= 6 else "train")
    assert main(["convert", str(cohort.write()), "--dataset", DATASET, "--workers", "1"]) == 0
    assert main(["plan", DATASET, "--workers", "1"]) == 0
    check(cohort, desk)
    for step in range(EDITS):
        if cohort.rng.random() < 0.3:
            # One in each walk is real; that a checkpoint is there is all that planning sees.
            train_fold(desk, trained_in_process if step == 0 else None)
        edit(cohort, desk, capsys)


def edit(cohort: Cohort, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Edit something, convert and plan, and look whether it was said and done."""
    rng = cohort.rng
    training = [name for name, patient in cohort.patients.items() if patient.split == "train"]
    testing = [name for name in cohort.patients if name not in training]
    kinds = ["add", "redraw", "settings"]
    kinds += ["remove", "to test"] if len(training) > 5 else []
    kinds += ["to train"] if len(testing) > 1 else []
    kind = str(rng.choice(kinds))
    old = read_key(locate_dataset(DATASET).key)
    before = read_json(desk / "nnUNet_preprocessed" / DATASET / "splits_final.json")
    name = ""
    if kind == "add":
        name = cohort.add(str(rng.choice(["train", "test"])))
    elif kind == "settings":
        edit_settings(desk, int(rng.integers(13, 99)))
    else:
        name = str(rng.choice(testing if kind == "to train" else training))
        if kind == "redraw":
            cohort.redraw(name)
        elif kind == "remove":
            del cohort.patients[name]
        else:
            cohort.patients[name].split = kind.removeprefix("to ")
    capsys.readouterr()
    words = ["convert", str(cohort.write()), "--dataset", DATASET, "--workers", "1"]
    code = main(words)
    if code == 1 and kind in ("remove", "to test", "to train"):
        # Removing a case, or its label, has to be asked for.
        assert "--overwrite" in capsys.readouterr().err
        code = main([*words, "--overwrite"])
    said = capsys.readouterr()
    assert code == 0, said.err
    pseudonym = {**old, **read_key(locate_dataset(DATASET).key)}.get(name, "")
    check_that_stale_folds_are_refused(kind, pseudonym, before, desk)
    code = main(["plan", DATASET, "--workers", "1"])
    planned = capsys.readouterr()
    if code == 1:
        assert kind == "to test"
        assert pseudonym in planned.err
        assert "--overwrite-folds" in planned.err
        assert main(["plan", DATASET, "--workers", "1", "--overwrite-folds"]) == 0
        planned = capsys.readouterr()
        assert "folds: accepted: " in planned.out
    in_folds = kind in ("remove", "to test", "to train") or (
        kind == "add" and cohort.patients[name].split == "train"
    )
    if in_folds:
        assert pseudonym in planned.out, (kind, planned.out)
    if kind == "redraw":
        assert pseudonym in said.out, said.out
    if kind == "settings":
        assert "edited settings kept: batch_size" in planned.out
    check(cohort, desk)


def edit_settings(desk: Path, batch_size: int) -> None:
    file = desk / "nnUNet_preprocessed" / DATASET / "nnUNetPlans.json"
    plans = read_json(file)
    plans["configurations"]["2d_5"]["batch_size"] = batch_size
    file.write_text(json.dumps(plans))


def check_that_stale_folds_are_refused(kind: str, pseudonym: str, folds: list, desk: Path) -> None:
    """Between ``convert`` and ``plan`` our trainers refuse folds that are no longer right."""
    preprocessed, raw = (desk / name / DATASET for name in ("nnUNet_preprocessed", "nnUNet_raw"))
    if kind not in ("to test", "to train", "remove"):
        return
    with pytest.raises(InputError) as caught:
        check_fold(folds[0], "fold 0", preprocessed, raw)
    assert pseudonym in str(caught.value)


def train_fold(desk: Path, train) -> None:
    """Train fold 0 for an epoch; or leave what a training leaves that planning sees."""
    if train is not None:
        train()
        return
    folder = desk / "nnUNet_results" / DATASET / f"{TRAINER}__nnUNetPlans__2d_5" / "fold_0"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "checkpoint_final.pth").touch()


@pytest.fixture
def trained_in_process(empty_workplace):
    words = ("nnUNetv2_train", DATASET, "2d_5", "0", "-tr", TRAINER, "-device", "cpu")
    return lambda: empty_workplace.but(
        **{n: os.environ[n] for n in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}
    ).call(*words)


def check(cohort: Cohort, desk: Path) -> None:
    """No test case in a fold, no training case outside of one, no label against the truth."""
    raw, preprocessed = (desk / name / DATASET for name in ("nnUNet_raw", "nnUNet_preprocessed"))
    rows = cases_of_dataset(raw)
    folds = read_json(preprocessed / "splits_final.json")
    assert folds
    for fold in folds:
        assert fold_problems(fold, rows) == []
        assert fold["train"]
        assert fold["val"]
    testing = {row["patient"] for row in rows if row["split"] == "test"}
    for record in records_of(desk / "nnUNet_results" / DATASET):
        assert record.patients & testing <= record.accepted
    split_of = {row["case"]: row["split"] for row in rows}
    assert all(split_of[c] == "train" for fold in folds for side in fold.values() for c in side)
    patient_of = {v: k for k, v in read_key(locate_dataset(DATASET).key).items()}
    for row in rows:
        patient = cohort.patients[patient_of[row["patient"]]]
        assert row["split"] == patient.split
        folder = raw / ("labelsTs" if patient.split == "test" else "labelsTr")
        image = sitk.ReadImage(str(folder / f"{row['case']}.nii.gz"))
        label = sitk.GetArrayFromImage(image)
        assert not ((label == 1) & ~patient.truth).any(), row
        assert not ((label == 0) & patient.truth).any(), row
        assert (label == 1).any()
        if patient.split == "test":
            assert ((label == 1) == patient.truth).all()


def read_json(file: Path):
    return json.loads(file.read_text())
