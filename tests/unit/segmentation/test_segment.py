"""From a study to its folder: what is run on what, written, kept, and said."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from nnunet_pst.cli.main import main
from nnunet_pst.cli.segment import _lines
from nnunet_pst.errors import InputError
from nnunet_pst.io.geometry import Grid
from nnunet_pst.io.volumes import Volume
from nnunet_pst.registration.policy import RegistrationSettings
from nnunet_pst.segmentation import batch
from nnunet_pst.segmentation.batch import key_of, segment_studies
from nnunet_pst.segmentation.measures import volume_text
from nnunet_pst.segmentation.model_interface import (
    ModelChoice,
    ModelFacts,
    Prediction,
    choose_models,
    model_warnings,
)
from nnunet_pst.segmentation.study import SegmentationSettings, segment_study
from nnunet_pst.segmentation.study_input import Study, StudySequence, study_of_files

GRID = Grid((20, 18, 8), (1.5, 1.5, 5.0), (-12.0, 7.0, 30.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
UNREGISTERED = SegmentationSettings(registration=RegistrationSettings(engine="none"))


class Threshold:
    """A model whose tumor is what is bright in its first channel; counts what it is asked."""

    def __init__(self, *channels: str, level: float = 500.0, digest: str = "a") -> None:
        self.facts = ModelFacts(
            name="-".join(channels),
            channels=channels,
            sequences=("T1", "T2", "CET1"),
            spacing_range_zyx_mm=((4.0, 6.0), (1.0, 2.0), (1.0, 2.0)),
            sha256={"fold_0/checkpoint_final.pth": digest * 64},
            folds=1,
        )
        self.level = level
        self.calls: list[list[Volume]] = []

    def predict(self, channels: Sequence[Volume], *, probability: bool = False) -> Prediction:
        self.calls.append(list(channels))
        found = 1 / (1 + np.exp(-(channels[0].array.astype(float) - self.level) / 50))
        return Prediction(found > 0.5, found.astype(np.float32) if probability else None)


def image(seed: int = 0, *, tumor: bool = True, grid: Grid = GRID) -> Volume:
    array = np.random.default_rng(seed).integers(50, 300, grid.shape_zyx).astype(np.int16)
    if tumor:
        array[2:6, 5:11, 6:13] = 900
    return Volume(array, grid)


def study(*names: str, identity: str = "one", **volumes: Volume) -> Study:
    found = [
        StudySequence(name, volumes.get(name, image(number))) for number, name in enumerate(names)
    ]
    return Study(identity, "the study", lambda: found)


def test_a_single_model_takes_every_sequence():
    model = Threshold("MRI")
    found = segment_study(study("T1", "T2").read(), choose_models([model]), UNREGISTERED)
    assert [one.name for one in found.results] == ["T1", "T2"]
    assert [len(channels) for channels in model.calls] == [1, 1]
    assert found.results[0].measures.volume_ml == pytest.approx(4 * 6 * 7 * GRID.voxel_volume_ml)
    assert found.agreement == {
        "space": "T2",
        "pairs": [{"sequences": ["T1", "T2"], "dice": 1.0, "alignment": "scanner"}],
    }


def test_the_fusion_model_takes_its_first_channel_and_the_other_the_rest():
    single, fusion = Threshold("MRI"), Threshold("T2", "CET1", digest="b")
    models = choose_models([fusion, single])
    found = segment_study(study("CET1", "T1", "T2").read(), models, UNREGISTERED)
    used = {one.name: (one.model, one.channels) for one in found.results}
    assert used == {
        "CET1": ("MRI", ("CET1",)),
        "T1": ("MRI", ("T1",)),
        "T2": ("T2-CET1", ("T2", "CET1")),
    }
    (channels,) = fusion.calls
    assert [len(one.array) for one in channels] == [8, 8]


def test_without_a_channel_the_other_model_takes_over():
    single, fusion = Threshold("MRI"), Threshold("T2", "CET1", digest="b")
    found = segment_study(study("T2").read(), choose_models([single, fusion]), UNREGISTERED)
    assert [one.model for one in found.results] == ["MRI"]
    assert fusion.calls == []
    with pytest.raises(InputError, match="wants T2 and CET1"):
        segment_study(study("T2").read(), choose_models([fusion]), UNREGISTERED)


def test_a_fusion_model_alone_says_what_it_left_out():
    models = choose_models([Threshold("T2", "CET1")])
    found = segment_study(study("T2", "CET1", "DWI").read(), models, UNREGISTERED)
    assert [one.name for one in found.results] == ["T2"]
    assert found.missing == ("CET1", "DWI")


def test_channels_of_another_grid_come_onto_the_first_ones():
    larger = Grid((30, 26, 12), (1.5, 1.5, 5.0), (-18.0, 1.0, 20.0), GRID.direction)
    fusion = Threshold("T2", "CET1")
    one = study("T2", "CET1", CET1=image(7, tumor=False, grid=larger))
    segment_study(one.read(), choose_models([fusion]), UNREGISTERED)
    (channels,) = fusion.calls
    assert channels[1].grid == GRID
    assert channels[1].array.dtype == np.int16
    # The larger image's voxels (2, 4, 4) further on, looked up without change.
    assert np.array_equal(
        channels[1].array, image(7, tumor=False, grid=larger).array[2:10, 4:22, 4:24]
    )


def test_the_consensus_is_the_mean_where_there_are_voxels():
    settings = SegmentationSettings(consensus=True, registration=UNREGISTERED.registration)
    dark = image(3, tumor=False)
    # One of three sees nothing: the mean of its probability and the others' is above one half.
    found = segment_study(
        study("T1", "T2", "CET1", T1=dark).read(), choose_models([Threshold("MRI")]), settings
    )
    by_name = {one.name: one for one in found.results}
    assert not by_name["T1"].mask.any()
    assert np.array_equal(by_name["consensus"].mask, by_name["T2"].mask)
    assert by_name["consensus"].channels == ("T1", "T2", "CET1")


def test_a_sequence_elsewhere_has_no_vote_where_it_has_no_voxels():
    settings = SegmentationSettings(consensus=True, registration=UNREGISTERED.registration)
    above = Grid(GRID.size_xyz, GRID.spacing_xyz_mm, (-12.0, 7.0, 55.0), GRID.direction)
    dark = image(3, tumor=False, grid=above)
    found = segment_study(
        study("T2", "T1", "DWI", T1=dark, DWI=dark).read(),
        choose_models([Threshold("MRI")]),
        settings,
    )
    consensus = found.results[-1].mask
    # The others begin at slice 5: below it, T2 alone decides; above, they outvote it.
    assert np.array_equal(consensus[:5], found.results[0].mask[:5])
    assert not consensus[5:].any()


def test_a_sequence_that_nobody_knows_is_refused_before_anything_is_segmented():
    model = Threshold("MRI")
    with pytest.raises(InputError) as caught:
        segment_study(study("T7", "T2", "FLAIR").read(), choose_models([model]), UNREGISTERED)
    known = "known are T1, T2, DWI, CET1"
    assert caught.value.problems == [
        f"{name}: no model knows a sequence of this name; {known}" for name in ("T7", "FLAIR")
    ]
    assert model.calls == []


@pytest.mark.parametrize("learned", [("T1", "Stir"), ()])
def test_a_sequence_of_the_models_own_is_taken(learned: tuple[str, ...]):
    model = Threshold("MRI")
    model.facts = replace(model.facts, sequences=learned)
    found = segment_study(study("STIR", "DWI").read(), choose_models([model]), UNREGISTERED)
    assert [one.name for one in found.results] == ["STIR", "DWI"]


def test_a_consensus_of_one_is_none_and_says_so(tmp_path: Path):
    settings = SegmentationSettings(consensus=True, registration=UNREGISTERED.registration)
    chosen = choose_models([Threshold("MRI")])
    outcome = segment_studies([study("T2")], chosen, tmp_path / "out", settings)
    note = "no consensus: T2 alone was segmented, nothing to fuse"
    assert outcome.finished["study_0001"]["notes"] == [note]
    page = (tmp_path / "out" / "study_0001" / "report.html").read_text()
    assert f"N{note[1:]}." in page
    assert f"  {note}" in _lines(outcome, tmp_path / "out")


def test_models_of_one_kind_are_refused():
    with pytest.raises(InputError, match="both have one channel"):
        choose_models([Threshold("MRI"), Threshold("MRI")])


def test_what_the_model_has_not_learned_from_is_said():
    facts = Threshold("MRI").facts
    assert model_warnings(facts, ["T2"], GRID) == []
    thick = Grid(GRID.size_xyz, (1.5, 2.3, 5.0), GRID.origin_lps_mm, GRID.direction)
    first, second = model_warnings(facts, ["DWI"], thick)
    assert first == "the model was not trained on DWI (only on T1, T2, CET1)"
    assert second == (
        "outside the trained spacing: 2.30 mm between rows, trained on 1.00 to 2.00 mm"
    )


def run(studies: list[Study], output: Path, *models: Threshold, **options: bool):
    chosen = choose_models(models or [Threshold("MRI")])
    return segment_studies(studies, chosen, output, UNREGISTERED, **options)


def test_a_folder_of_everything(tmp_path: Path):
    outcome = run([study("T1", "T2", T1=image(5, tumor=False))], tmp_path / "out")
    folder = tmp_path / "out" / "study_0001"
    assert sorted(path.name for path in folder.iterdir()) == [
        *("T1.png", "T1_mask.nii.gz", "T2.png", "T2_mask.nii.gz"),
        *("itksnap_labels.txt", "report.html", "report.json", "slicer_colors.ctbl"),
    ]
    mask = sitk.ReadImage(str(folder / "T2_mask.nii.gz"))
    assert mask.GetOrigin() == pytest.approx(GRID.origin_lps_mm)
    assert sitk.GetArrayFromImage(mask).sum() == 4 * 6 * 7
    report = json.loads((folder / "report.json").read_text())
    assert report == outcome.finished["study_0001"]
    assert "empty result" in report["results"][0]["warnings"][0]
    (model,) = report["models"]
    assert (model["engine"], model["precision"]) == ("torch", "float32")
    page = (folder / "report.html").read_text()
    said = ("For research use only", "no tumor found", "1.9 ml", "computed by torch in float32")
    for words in said:
        assert words in page
    assert "http" not in page.replace('src="data:', "")
    with (tmp_path / "out" / "measures.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["study"], row["sequence"], row["slices"]) for row in rows] == [
        ("study_0001", "T1", "0"),
        ("study_0001", "T2", "4"),
    ]


@pytest.mark.parametrize(
    ("volume_ml", "text"),
    [(0.001, "< 0.1 ml"), (0.0499, "< 0.1 ml"), (0.05, "0.1 ml"), (12, "12.0 ml")],
)
def test_a_tumor_is_never_0_ml(volume_ml: float, text: str):
    assert volume_text(volume_ml) == text


def test_a_speck_and_nothing_on_the_page(tmp_path: Path):
    speck, dark = image(5, tumor=False), image(6, tumor=False)
    speck.array[3, 4, 5] = 900
    outcome = run([study("T1", "T2", "CET1", T1=dark, T2=speck, CET1=dark)], tmp_path / "out")
    page = (tmp_path / "out" / "study_0001" / "report.html").read_text()
    assert "0.0 ml" not in page
    for words in ("&lt; 0.1 ml", "<td>1 (3)</td>", "no tumor in either", "no tumor found"):
        assert words in page
    assert "  T2: < 0.1 ml, 2 x 2 x 5 mm, 1 slice" in _lines(outcome, tmp_path / "out")


def test_what_was_made_stays_and_what_changed_is_refused(tmp_path: Path):
    output, one = tmp_path / "out", study("T2")
    run([one], output)
    report = output / "study_0001" / "report.json"
    before = report.stat().st_mtime_ns
    again = Threshold("MRI")
    assert run([one], output, again).kept == 1
    assert again.calls == []
    assert report.stat().st_mtime_ns == before
    other = Threshold("MRI", digest="c")
    outcome = run([one], output, other)
    assert "--overwrite" in outcome.failed[0]
    assert report.stat().st_mtime_ns == before
    assert run([one], output, other, overwrite=True).failed == []
    assert "c" * 64 in report.read_text()


def test_a_broken_folder_is_made_anew(tmp_path: Path):
    output, one = tmp_path / "out", study("T2")
    run([one], output)
    (output / "study_0001" / "T2.png").unlink()
    assert run([one], output, overwrite=True).kept == 0
    assert (output / "study_0001" / "T2.png").is_file()


def test_a_study_that_fails_leaves_the_others_alone(tmp_path: Path):
    def fail() -> list[StudySequence]:
        raise InputError("no usable sequence")

    studies = [study("T2", identity="a"), Study("b", "b", fail), study("T2", identity="c")]
    outcome = run(studies, tmp_path / "out")
    assert outcome.failed == ["b (study_0002): no usable sequence"]
    assert sorted(outcome.finished) == ["study_0001", "study_0003"]
    assert not (tmp_path / "out" / "study_0002").exists()
    key = key_of(tmp_path / "out")
    assert key.stat().st_mode & 0o077 == 0
    assert key.read_text().splitlines()[1:] == ["study_0001,a,", "study_0002,b,", "study_0003,c,"]


def test_numbers_stay_when_studies_are_added(tmp_path: Path):
    run([study("T2", identity="m")], tmp_path / "out")
    outcome = run([study("T2", identity="a"), study("T2", identity="m")], tmp_path / "out")
    assert (sorted(outcome.finished), outcome.kept) == (["study_0001", "study_0002"], 1)


def test_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(batch, "render_study_page", full)
    outcome = run([study("T2")], tmp_path / "out")
    assert outcome.failed == [
        "the study (study_0001): can't be read or written (No space left on device)"
    ]
    assert list((tmp_path / "out").iterdir()) == []


def test_what_a_killed_run_left_is_removed(tmp_path: Path):
    left = tmp_path / "out" / ".partial-1-study_0001"
    left.mkdir(parents=True)
    run([study("T2")], tmp_path / "out")
    assert not left.exists()


def test_a_key_says_where_studies_lie_and_an_older_one_is_continued(tmp_path: Path):
    key = key_of(tmp_path / "out")
    key.write_text("study,source\nstudy_0004,m\nstudy_0009,z\n")
    one = study("T2", identity="m")
    run([replace(one, folder="/pacs/Mustermann, Eva")], tmp_path / "out")
    rows = list(csv.reader(key.read_text().splitlines()))
    assert rows[1:] == [["study_0004", "m", "/pacs/Mustermann, Eva"], ["study_0009", "z", ""]]
    moved = replace(one, folder="/moved")
    assert run([moved, replace(study("T2"), folder="/b")], tmp_path / "out").kept == 1
    again = list(csv.reader(key.read_text().splitlines()))
    assert again[1:] == [
        ["study_0004", "m", "/moved"],
        ["study_0009", "z", ""],
        ["study_0010", "one", "/b"],
    ]
    for path in (tmp_path / "out").rglob("*.*"):
        assert b"Mustermann" not in path.read_bytes()


def test_a_strange_key_is_not_replaced(tmp_path: Path):
    key_of(tmp_path / "out").write_text("my notes\n")
    with pytest.raises(InputError, match="not a key"):
        run([study("T2")], tmp_path / "out")


def test_the_same_study_gives_the_same_bytes(tmp_path: Path):
    for name in ("a", "b"):
        run([study("T2", "T1")], tmp_path / name)
    for path in (tmp_path / "a").rglob("*.*"):
        other = tmp_path / "b" / path.relative_to(tmp_path / "a")
        assert path.read_bytes() == other.read_bytes(), path.name


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["T2=missing.nii.gz"], "missing.nii.gz: is no file"),
        (["T2=x.nii.gz", "t2=x.nii.gz"], "T2 is given twice"),
        (["../T2=x.nii.gz"], "is no SEQUENCE=FILE"),
        (["T2="], "is no SEQUENCE=FILE"),
    ],
)
def test_pairs_that_are_refused(
    words: list[str], problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.nii.gz").touch()
    with pytest.raises(InputError, match=problem):
        study_of_files(words)


def test_damaged_files_are_named_together(tmp_path: Path):
    for name in ("a.nii.gz", "b.nii.gz"):
        (tmp_path / name).write_bytes(b"no image")
    one = study_of_files([f"T1={tmp_path / 'a.nii.gz'}", f"t2={tmp_path / 'b.nii.gz'}"])
    with pytest.raises(InputError) as caught:
        one.read()
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["T1", "T2"]


def test_a_missing_model_is_one_line(tmp_path: Path, capsys):
    (tmp_path / "t2.nii.gz").touch()
    words = ["segment", f"T2={tmp_path / 't2.nii.gz'}", "-o", str(tmp_path / "out")]
    assert main([*words, "--model", str(tmp_path / "nowhere")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "is no folder and no zip archive" in line
    assert not (tmp_path / "out").exists()


def test_an_empty_choice_has_no_models():
    assert ModelChoice(None, None).all == []
