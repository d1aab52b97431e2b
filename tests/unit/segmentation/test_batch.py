"""Folders of studies: their files, resumption, pseudonyms, and refusals."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
import SimpleITK as sitk  # noqa: N813

from nnunet_pst.cli.main import main
from nnunet_pst.cli.segment import _lines
from nnunet_pst.errors import Fault, InputError
from nnunet_pst.segmentation import batch
from nnunet_pst.segmentation.batch import key_of, segment_studies
from nnunet_pst.segmentation.measures import volume_text
from nnunet_pst.segmentation.model_interface import (
    ModelChoice,
    choose_models,
)
from nnunet_pst.segmentation.study import SegmentationSettings
from nnunet_pst.segmentation.study_input import Study, StudySequence, study_of_files
from segmentation_example import GRID, UNREGISTERED, Threshold, image, run, study


def test_one_sequence_gives_a_note_instead_of_a_consensus(tmp_path: Path):
    settings = SegmentationSettings(consensus=True, registration=UNREGISTERED.registration)
    chosen = choose_models([Threshold("MRI")])
    outcome = segment_studies([study("T2")], chosen, tmp_path / "out", settings)
    note = "no consensus: T2 alone was segmented, nothing to fuse"
    assert outcome.finished["study_0001"]["notes"] == [note]
    page = (tmp_path / "out" / "study_0001" / "report.html").read_text()
    assert f"N{note[1:]}." in page
    assert f"  {note}" in _lines(outcome, tmp_path / "out")


def test_a_folder_of_everything(tmp_path: Path):
    outcome = run([study("T1", "T2", T1=image(5, tumor=False))], tmp_path / "out")
    folder = tmp_path / "out" / "study_0001"
    assert sorted(path.name for path in folder.iterdir()) == [
        *("T1.png", "T1_doubt.png", "T1_mask.nii.gz"),
        *("T2.png", "T2_doubt.png", "T2_mask.nii.gz"),
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
    texts = ("For research use only", "no tumor found", "1.9 ml", "computed by torch in float32")
    for words in texts:
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


def test_a_speck_and_an_empty_mask_on_the_page(tmp_path: Path):
    speck, dark, darker = (image(seed, tumor=False) for seed in (5, 6, 7))
    speck.array[3, 4, 5] = 900
    outcome = run([study("T1", "T2", "CET1", T1=dark, T2=speck, CET1=darker)], tmp_path / "out")
    page = (tmp_path / "out" / "study_0001" / "report.html").read_text()
    assert "0.0 ml" not in page
    for words in ("&lt; 0.1 ml", "<td>1 (3)</td>", "no tumor in either", "no tumor found"):
        assert words in page
    assert "  T2: < 0.1 ml, 2 x 2 x 5 mm, 1 slice" in _lines(outcome, tmp_path / "out")


def test_the_same_input_is_kept_and_another_model_is_refused(tmp_path: Path):
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
    (problem,) = outcome.failed
    assert problem.fault is Fault.EXISTS
    assert "--overwrite" in problem
    assert report.stat().st_mtime_ns == before
    assert run([one], output, other, overwrite=True).failed == []
    assert "c" * 64 in report.read_text()


def test_an_incomplete_folder_is_made_anew(tmp_path: Path):
    output, one = tmp_path / "out", study("T2")
    run([one], output)
    (output / "study_0001" / "T2.png").unlink()
    assert run([one], output, overwrite=True).kept == 0
    assert (output / "study_0001" / "T2.png").is_file()


def test_a_failed_study_does_not_stop_the_others(tmp_path: Path):
    def fail() -> list[StudySequence]:
        raise InputError("no usable sequence", Fault.MISSING)

    studies = [study("T2", identity="a"), Study("b", "b", fail), study("T2", identity="c")]
    outcome = run(studies, tmp_path / "out")
    assert outcome.failed == ["b (study_0002): no usable sequence"]
    assert outcome.failed[0].fault is Fault.MISSING
    assert sorted(outcome.finished) == ["study_0001", "study_0003"]
    assert not (tmp_path / "out" / "study_0002").exists()
    key = key_of(tmp_path / "out")
    assert key.stat().st_mode & 0o077 == 0
    assert key.read_text().splitlines()[1:] == ["study_0001,a,", "study_0002,b,", "study_0003,c,"]


def test_numbers_stay_when_studies_are_added(tmp_path: Path):
    run([study("T2", identity="m")], tmp_path / "out")
    outcome = run([study("T2", identity="a"), study("T2", identity="m")], tmp_path / "out")
    assert (sorted(outcome.finished), outcome.kept) == (["study_0001", "study_0002"], 1)


def _full(*_: object) -> str:
    raise OSError(28, "No space left on device")


def test_a_failed_study_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(batch, "render_study_page", _full)
    outcome = run([study("T2")], tmp_path / "new" / "out")
    (problem,) = outcome.failed
    assert problem.fault is Fault.UNREADABLE
    assert "study_0001" in problem
    assert "No space left on device" in problem
    assert list(tmp_path.iterdir()) == []


def test_a_failed_study_leaves_the_key_and_the_folder_of_others(tmp_path: Path, monkeypatch):
    for name in ("empty", "full"):
        (tmp_path / name).mkdir()
    run([study("T2", identity="a")], tmp_path / "full")
    monkeypatch.setattr(batch, "render_study_page", _full)
    for name in ("empty", "full"):
        run([study("T2")], tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "full", "full_studies.csv"]
    assert "study_0001,a," in key_of(tmp_path / "full").read_text()


def test_the_draft_of_a_killed_run_is_removed(tmp_path: Path):
    left = tmp_path / "out" / ".partial-1-study_0001"
    left.mkdir(parents=True)
    run([study("T2")], tmp_path / "out")
    assert not left.exists()


def test_a_key_has_the_folders_of_studies_and_an_older_key_is_continued(tmp_path: Path):
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


def test_another_file_in_place_of_the_key_is_not_replaced(tmp_path: Path):
    key_of(tmp_path / "out").write_text("my notes\n")
    with pytest.raises(InputError) as caught:
        run([study("T2")], tmp_path / "out")
    assert caught.value.fault is Fault.DAMAGED


def test_the_same_study_gives_the_same_bytes(tmp_path: Path):
    for name in ("a", "b"):
        run([study("T2", "T1")], tmp_path / name)
    for path in (tmp_path / "a").rglob("*.*"):
        other = tmp_path / "b" / path.relative_to(tmp_path / "a")
        assert path.read_bytes() == other.read_bytes(), path.name


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["T2=missing.nii.gz"], Fault.MISSING),
        (["T2=folder.nii.gz"], Fault.WRONG_TYPE),
        (["T2=x.nii.gz", "t2=x.nii.gz"], Fault.REPEATED),
        (["../T2=x.nii.gz"], Fault.MALFORMED),
        (["T2="], Fault.MALFORMED),
    ],
)
def test_pairs_that_are_refused(
    words: list[str], fault: Fault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.nii.gz").touch()
    (tmp_path / "folder.nii.gz").mkdir()
    with pytest.raises(InputError) as caught:
        study_of_files(words)
    assert caught.value.fault is fault


def test_one_file_under_two_names_is_refused(tmp_path: Path):
    first = tmp_path / "x.nii.gz"
    first.write_bytes(b"any")
    (tmp_path / "y.nii.gz").hardlink_to(first)
    (tmp_path / "z.nii.gz").symlink_to(first)
    for other in ("x.nii.gz", "y.nii.gz", "z.nii.gz", "../" + tmp_path.name + "/x.nii.gz"):
        with pytest.raises(InputError) as caught:
            study_of_files([f"T2={first}", f"CET1={tmp_path / other}"])
        assert caught.value.fault is Fault.REPEATED


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
    assert "nowhere: is neither a folder nor a zip archive" in line
    assert not (tmp_path / "out").exists()


def test_an_empty_choice_has_no_models():
    assert ModelChoice(None, None).all == []
