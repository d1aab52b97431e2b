"""Calibration of a model that was trained here, and what `segment` then says of its masks."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import SimpleITK as sitk  # noqa: N813

from nnunet_pst.calibration.calibration import CALIBRATION
from nnunet_pst.calibration.learning import Measured
from nnunet_pst.errors import Fault, InputError
from nnunet_pst.evaluation.references import ReferenceCase
from nnunet_pst.nnunet.models.calibrate import DRAFT, CalibrationSettings, calibrate
from nnunet_pst.nnunet.models.calibration_cases import FoldMeasuring
from nnunet_pst.nnunet.models.prediction import LoadedModel, load_model

pytestmark = pytest.mark.slow

DATASET, TINY = "DatasetPST", "nnUNetTrainerPST25D_tiny"
SETTINGS = CalibrationSettings(trainer=TINY, device="cpu")
WORDS = ("-c", "2d_5", "-tr", TINY, "-device", "cpu")


@pytest.fixture
def workplace(trained, tmp_path: Path):
    """A copy of the trained model, beside the same data."""
    own = trained.but(nnUNet_results=tmp_path / "results")
    shutil.copytree(trained.model, own.model)
    return own


def test_segment_says_what_was_learned(workplace, tmp_path: Path):
    said = workplace.check("nnunet_pst", "calibrate", DATASET, *WORDS)
    assert "validation cases of" in said
    assert not (workplace.model / DRAFT).exists()
    content = json.loads((workplace.model / CALIBRATION).read_text())
    assert content["cases"] > 0
    image = next((workplace.raw / DATASET / "imagesTs").iterdir())
    words = ("--model", workplace.model, "-o", tmp_path / "masks", "--device", "cpu")
    printed = workplace.check("nnunet_pst", "segment", f"T2={image}", *words)
    report = json.loads((tmp_path / "masks" / "study_0001" / "report.json").read_text())
    (result,) = report["results"]
    assert result["trust"]["flag"] in printed
    assert result["trust"]["signs"]["soft_dice"] >= 0
    assert CALIBRATION in report["models"][0]["sha256"]


def test_the_export_of_the_host_carries_the_calibration(workplace, tmp_path: Path):
    with workplace.entered():
        made = calibrate(DATASET, SETTINGS).calibration
        archive = tmp_path / "model.zip"
    workplace.call(
        "nnUNetv2_export_model_to_zip", "-d", DATASET, "-o", archive, "-c", "2d_5", "-f", "0",
        "-tr", TINY,
    )  # fmt: skip
    with workplace.entered():
        found = load_model(archive, device="cpu").facts.calibration
    assert found is not None
    assert found.checkpoints == made.checkpoints
    assert found.temperatures == pytest.approx(dict(made.temperatures), rel=1e-4)


def test_a_killed_calibration_goes_on_to_the_same_bytes(workplace, monkeypatch: pytest.MonkeyPatch):
    genuine, calls = LoadedModel.predict, []

    def counted(self: LoadedModel, *arguments: object, **more: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return genuine(self, *arguments, **more)  # type: ignore[arg-type]

    with workplace.entered():
        calibrate(DATASET, SETTINGS)
        whole = (workplace.model / CALIBRATION).read_bytes()
        (workplace.model / CALIBRATION).unlink()
        monkeypatch.setattr(LoadedModel, "predict", counted)
        with pytest.raises(KeyboardInterrupt):
            calibrate(DATASET, SETTINGS)
        assert not (workplace.model / CALIBRATION).exists()
        with (workplace.model / DRAFT).open("a") as draft:
            draft.write('\n{"key": "torn')
        calibrate(DATASET, SETTINGS)
    assert (workplace.model / CALIBRATION).read_bytes() == whole
    cases = json.loads(whole)["cases"]
    assert len(calls) == cases + 1  # the first one was kept


def test_a_manifest_lists_the_calibration(workplace):
    workplace.check("nnunet_pst", "manifest", workplace.model)
    with workplace.entered():
        done = calibrate(DATASET, SETTINGS)
    assert "manifest" in done.notes[0]
    workplace.check("nnunet_pst", "manifest", workplace.model)
    assert CALIBRATION in (workplace.model / "model.sha256").read_text()
    with workplace.entered():
        assert load_model(workplace.model, device="cpu").facts.calibration is not None


def test_patients_whom_the_fold_has_learned_from_are_refused(workplace):
    record = workplace.model / "fold_0" / "pst_learned_from.json"
    content = json.loads(record.read_text())
    every = [f"PST_{number:04d}" for number in range(1, 30)]
    record.write_text(json.dumps({**content, "patients": every}))
    with workplace.entered(), pytest.raises(InputError) as refused:
        calibrate(DATASET, SETTINGS)
    assert refused.value.problems[0].fault is Fault.LEAK
    assert not (workplace.model / CALIBRATION).exists()


@pytest.mark.parametrize("wanted", [(), (3,)])
def test_a_fold_that_is_not_finished_is_refused(workplace, wanted: tuple[int, ...]):
    (workplace.model / "fold_0").rename(workplace.model / "fold_all")
    with workplace.entered(), pytest.raises(InputError) as refused:
        calibrate(DATASET, CalibrationSettings(trainer=TINY, folds=wanted))
    assert refused.value.problems[0].fault is Fault.MISSING


def test_finer_labels_must_be_there_for_every_case(workplace, tmp_path: Path):
    (tmp_path / "fine").mkdir()
    with workplace.entered(), pytest.raises(InputError) as refused:
        calibrate(DATASET, CalibrationSettings(trainer=TINY, references=tmp_path / "fine"))
    assert {problem.fault for problem in refused.value.problems} == {Fault.MISSING}


@pytest.mark.parametrize(("change", "fault"), [("255", Fault.VALUES), ("shifted", Fault.GEOMETRY)])
def test_labels_of_other_values_or_places_are_refused_before_the_work(
    workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, fault: Fault
):
    folder = tmp_path / "fine"
    folder.mkdir()
    for file in (workplace.raw / DATASET / "labelsTr").iterdir():
        label = sitk.ReadImage(str(file))
        fine = sitk.Cast(label == 1, sitk.sitkUInt8)
        if change == "255":
            fine *= 255
        else:
            fine.SetOrigin((400.0, 0.0, 0.0))
        sitk.WriteImage(fine, str(folder / file.name))
    monkeypatch.setattr(LoadedModel, "predict", None)
    with workplace.entered(), pytest.raises(InputError) as refused:
        calibrate(DATASET, replace(SETTINGS, references=folder))
    assert {problem.fault for problem in refused.value.problems} == {fault}


def test_a_fold_that_is_named_twice_counts_once_and_the_draft_names_nobody(
    workplace, monkeypatch: pytest.MonkeyPatch
):
    genuine, drafts = FoldMeasuring.measure, []

    def measured(self: FoldMeasuring, case: ReferenceCase) -> Measured:
        draft = workplace.model / DRAFT
        drafts.append(draft.read_text() if draft.exists() else "")
        return genuine(self, case)

    monkeypatch.setattr(FoldMeasuring, "measure", measured)
    with workplace.entered():
        once = calibrate(DATASET, SETTINGS).calibration
        twice = calibrate(DATASET, replace(SETTINGS, folds=(0, 0))).calibration
    assert once.cases == twice.cases == len(drafts) / 2
    assert any(drafts)
    assert not any("PST_" in draft for draft in drafts)


def test_a_damaged_calibration_is_refused_and_made_anew(workplace):
    with workplace.entered():
        calibrate(DATASET, SETTINGS)
        whole = (workplace.model / CALIBRATION).read_bytes()
        (workplace.model / CALIBRATION).write_bytes(whole[:99])
        with pytest.raises(InputError):
            load_model(workplace.model, device="cpu")
        (workplace.model / CALIBRATION).write_text('{"format": 0}')
        with pytest.raises(InputError) as refused:
            load_model(workplace.model, device="cpu")
        assert refused.value.problems[0].fault is Fault.DAMAGED
        calibrate(DATASET, SETTINGS)
        assert load_model(workplace.model, device="cpu").facts.calibration is not None
    assert (workplace.model / CALIBRATION).read_bytes() == whole
