"""Which model segments what, and what is said of the others, of missing channels and of planes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nnunet_pst.cli.segment import _lines
from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.geometry import Grid, plane_of
from nnunet_pst.registration.policy import RegistrationSettings
from nnunet_pst.registration.stored_settings import read_settings
from nnunet_pst.segmentation.model_interface import choose_models, model_warnings
from nnunet_pst.segmentation.registration_choice import (
    RegistrationWish,
    SettingsOrigin,
    choose_registration,
)
from nnunet_pst.segmentation.study import segment_study
from nnunet_pst.segmentation.study_input import StudySequence
from segmentation_example import GRID, UNREGISTERED, Threshold, image, run, study

CORONAL = replace(GRID, direction=(1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, -1.0, 0.0))
SAGITTAL = replace(GRID, direction=(0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0))


def fusion(**facts: object) -> Threshold:
    model = Threshold("T2", "CET1", digest="b")
    model.facts = replace(model.facts, **facts)
    return model


def test_a_fusion_model_that_lacks_a_channel_is_named_with_the_channel():
    models = choose_models([Threshold("MRI"), fusion()])
    result = segment_study(study("T2", "T1").read(), models, UNREGISTERED)
    assert result.notes == (
        "T2-CET1 was not used, because CET1 is missing; MRI segmented each sequence by itself",
    )
    with pytest.raises(InputError) as caught:
        segment_study(study("T2").read(), choose_models([fusion()]), UNREGISTERED)
    assert "CET1 is missing" in caught.value.problems[0]


def test_a_sequence_without_a_model_is_printed(tmp_path: Path):
    outcome = run([study("T2", "CET1", "DWI")], tmp_path / "out", fusion())
    assert "  not segmented, for want of a model: CET1, DWI" in _lines(outcome, tmp_path / "out")


def test_an_unused_model_is_on_the_page(tmp_path: Path):
    run([study("T2")], tmp_path / "out", Threshold("MRI"), fusion())
    page = (tmp_path / "out" / "study_0001" / "report.html").read_text()
    assert "T2-CET1 was not used, because CET1 is missing" in page
    assert "; not used." in page


def test_a_missing_channel_is_filled_as_in_training_and_said(tmp_path: Path):
    model = fusion(serves_missing=True)
    outcome = run([study("T2")], tmp_path / "out", model)
    ((first, second),) = model.calls
    assert first.array.any()
    assert second.grid == first.grid
    assert second.array.dtype == first.array.dtype
    assert not second.array.any()
    report = outcome.finished["study_0001"]
    (result,) = report["results"]
    assert (result["channels"], result["filled"]) == (["T2"], ["CET1"])
    assert any("CET1 is missing: zeros" in line for line in result["warnings"])
    assert any("CET1 is missing" in line for line in report["notes"])
    assert "zeros for CET1" in (tmp_path / "out" / "study_0001" / "report.html").read_text()


def test_a_missing_first_channel_cannot_be_filled():
    with pytest.raises(InputError) as caught:
        segment_study(
            study("CET1").read(), choose_models([fusion(serves_missing=True)]), UNREGISTERED
        )
    assert caught.value.fault is Fault.MISSING


def test_an_all_sequence_model_without_work_is_named():
    models = choose_models([Threshold("MRI"), fusion(serves_missing=True)])
    result = segment_study(study("T2").read(), models, UNREGISTERED)
    assert [one.model for one in result.results] == ["T2-CET1"]
    assert result.notes[-1] == "MRI was not used: T2-CET1 segmented the only sequence"


@pytest.mark.parametrize(("grid", "plane"), [(CORONAL, "coronal"), (SAGITTAL, "sagittal")])
def test_slices_of_another_plane(grid: Grid, plane: str):
    assert plane_of(GRID) == "axial"
    assert plane_of(grid) == plane
    sequences = [StudySequence("T2", image(0, grid=grid))]
    # Where the model doesn't say its planes: a warning.
    silent = segment_study(sequences, choose_models([Threshold("MRI")]), UNREGISTERED)
    assert any(f"its slices are {plane}" in line for line in silent.results[0].warnings)
    knows = Threshold("MRI")
    knows.facts = replace(knows.facts, planes=("axial",))
    with pytest.raises(InputError) as caught:
        segment_study(sequences, choose_models([knows]), UNREGISTERED)
    assert caught.value.fault is Fault.GEOMETRY
    assert knows.calls == []
    both = replace(knows.facts, planes=("axial", plane))
    assert not any("slices are" in line for line in model_warnings(both, ["T2"], grid))


def test_a_tilted_stack_is_axial():
    angle = np.radians(40)
    cosine, sine = float(np.cos(angle)), float(np.sin(angle))
    tilted = replace(GRID, direction=(1.0, 0.0, 0.0, 0.0, cosine, -sine, 0.0, sine, cosine))
    assert plane_of(tilted) == "axial"


def test_the_registration_of_the_training_data_is_used_unless_told_otherwise():
    training = RegistrationSettings(engine="ants", model="affine", interpolation="bspline")
    models = choose_models([fusion(registration=training)])
    chosen = choose_registration(RegistrationWish(), models)
    assert (chosen.settings, chosen.origin) == (training, SettingsOrigin.TRAINING)
    assert "ants, affine, bspline interpolation" in chosen.note
    chosen = choose_registration(RegistrationWish(engine="simpleitk"), models)
    assert chosen.settings == replace(training, engine="simpleitk")
    assert chosen.origin is SettingsOrigin.PARTLY
    assert "its training data: ants, affine" in chosen.note
    given = RegistrationSettings(engine="none")
    chosen = choose_registration(given, models)
    assert (chosen.settings, chosen.origin) == (given, SettingsOrigin.USER)
    unknown = choose_registration(RegistrationWish(), choose_models([fusion()]))
    assert unknown.settings == RegistrationSettings(engine="simpleitk")
    assert unknown.origin is SettingsOrigin.DEFAULT


def test_channels_are_interpolated_as_in_training_and_the_settings_are_said(
    monkeypatch: pytest.MonkeyPatch,
):
    kinds = []
    from nnunet_pst.segmentation import study_space

    original = study_space.resample_image

    def resampled(image, grid, transform, interpolation="linear"):
        kinds.append(interpolation)
        return original(image, grid, transform, interpolation)

    monkeypatch.setattr(study_space, "resample_image", resampled)
    training = RegistrationSettings(engine="none", interpolation="bspline")
    models = choose_models([fusion(registration=training)])
    settings = replace(UNREGISTERED, registration=RegistrationWish())
    result = segment_study(study("T2", "CET1").read(), models, settings)
    assert kinds == ["bspline"]
    assert "bspline interpolation; as the fusion model's training data" in result.notes[-1]


def test_stored_settings_are_checked():
    assert read_settings({"engine": "ants", "model": "syn"}, "m").model == "syn"
    for wrong in (
        {"engine": "evil"},
        {"max_motion_mm": "40"},
        {"max_motion_mm": -1},
        {"seed": 1.5},
    ):
        with pytest.raises(InputError) as caught:
            read_settings({"engine": "ants", **wrong}, "m")
        assert caught.value.fault is Fault.MALFORMED


def test_the_same_voxels_for_two_sequences_are_refused():
    same = image(0)
    copied = replace(same, array=same.array.astype(np.float32))
    with pytest.raises(InputError) as caught:
        segment_study(
            study("T2", "T1", T2=same, T1=copied).read(),
            choose_models([Threshold("MRI")]),
            UNREGISTERED,
        )
    assert caught.value.fault is Fault.REPEATED


def test_different_frames_of_reference_are_said_and_flagged_without_an_engine():
    first, second = study("T2", "CET1").read()
    sequences = [
        replace(first, frame_of_reference="1.2.3"),
        replace(second, frame_of_reference="1.2.4"),
    ]
    result = segment_study(sequences, choose_models([fusion()]), UNREGISTERED)
    assert any("different frames of reference (T2 | CET1)" in note for note in result.notes)
    assert any("different frames of reference" in line for line in result.results[0].warnings)
    assert not result.registration[0]["one_frame_of_reference"]
    for note in (*result.notes, *result.results[0].warnings):
        assert "1.2.3" not in note, "the UID is private"
    alike = [replace(one, frame_of_reference="1.2.3") for one in (first, second)]
    result = segment_study(alike, choose_models([fusion()]), UNREGISTERED)
    assert not any("frames" in note for note in result.notes)


@pytest.fixture
def apart() -> list[StudySequence]:
    far = replace(GRID, origin_lps_mm=(900.0, 7.0, 30.0))
    return list(study("T2", "CET1", CET1=image(1, grid=far)).read())


def test_images_that_share_nothing_are_no_channels(apart: list[StudySequence]):
    with pytest.raises(InputError) as caught:
        segment_study(apart, choose_models([fusion()]), UNREGISTERED)
    assert caught.value.fault is Fault.GEOMETRY


def test_where_images_share_nothing_the_all_sequence_model_serves(apart: list[StudySequence]):
    models = choose_models([Threshold("MRI"), fusion()])
    result = segment_study(apart, models, UNREGISTERED)
    assert [(one.name, one.model) for one in result.results] == [("T2", "MRI"), ("CET1", "MRI")]
    assert any("share 0 % of the reference" in note for note in result.notes)


def test_where_images_share_nothing_zeros_serve_a_model_that_knows_them(
    apart: list[StudySequence],
):
    model = fusion(serves_missing=True)
    result = segment_study(apart, choose_models([model]), UNREGISTERED)
    (one,) = result.results
    assert (one.channels, one.filled) == (("T2",), ("CET1",))
    assert any("share 0 % of the reference" in line for line in one.warnings)
    assert not model.calls[0][1].array.any()


def test_trainings_of_one_name_are_told_apart_in_the_table(tmp_path: Path):
    output = tmp_path / "out"
    run([study("T2", identity="a")], output, Threshold("MRI"))
    outcome = run([study("T2", identity="b")], output, Threshold("MRI", digest="c"))
    assert outcome.notes == [
        "measures.csv: 2 trainings have the name MRI; column weights tells them apart"
    ]
    header, *rows = (output / "measures.csv").read_text().splitlines()
    weights, names = (header.split(",").index(column) for column in ("weights", "model"))
    assert {row.split(",")[names] for row in rows} == {"MRI"}
    assert len({row.split(",")[weights] for row in rows}) == 2
