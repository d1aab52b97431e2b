"""An interrupted evaluation goes on, and one that is refused leaves nothing to go on with."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation_example import HALF, TUMOR, contents, save, score
from nnunet_pst.cli.main import main
from nnunet_pst.errors import InputError
from nnunet_pst.evaluation.case_scoring import score_case
from nnunet_pst.evaluation.evaluate import scored_before


@pytest.fixture
def count_scored(monkeypatch) -> list[str]:
    """Names of the cases that are scored, as they are."""
    names: list[str] = []

    def counted(job):
        names.append(job.case.name)
        return score_case(job)

    monkeypatch.setattr("nnunet_pst.evaluation.evaluate.score_case", counted)
    return names


def interrupt_at(number: int, monkeypatch) -> None:
    """Let an evaluation be broken off (Ctrl-C) after so many cases."""
    left = [number]

    def broken(job):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return score_case(job)

    monkeypatch.setattr("nnunet_pst.evaluation.evaluate.score_case", broken)


def interrupted(predictions: Path, dataset: Path, output: Path, monkeypatch, at=3, **rest) -> None:
    with monkeypatch.context() as patch:
        interrupt_at(at, patch)
        with pytest.raises(KeyboardInterrupt):
            score(predictions, dataset, output, **rest)
    assert scored_before(output) == at


def test_an_interrupted_evaluation_goes_on(
    predictions: Path, dataset: Path, tmp_path: Path, monkeypatch, request
):
    score(predictions, dataset, tmp_path / "whole")
    interrupted(predictions, dataset, tmp_path / "scores", monkeypatch, at=2)
    assert not (tmp_path / "scores").exists()
    scored = request.getfixturevalue("count_scored")
    result = score(predictions, dataset, tmp_path / "scores")
    assert scored == ["PST_0002_T2", "PST_0003_T2"]
    assert result.kept == 2
    assert contents(tmp_path / "scores") == contents(tmp_path / "whole")
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("change", "again"),
    [
        (lambda predictions, _: save(predictions / "PST_0001_T2.nii.gz", TUMOR), 2),
        (lambda _, dataset: save(dataset / "labelsTs" / "PST_0001_T2.nii.gz", HALF), 2),
        (lambda predictions, _: (predictions / "PST_0002_T2.nii.gz").touch(), 1),
    ],
    ids=["prediction", "label", "date only"],
)
def test_what_changed_is_scored_again(
    predictions: Path, dataset: Path, tmp_path: Path, monkeypatch, request, change, again: int
):
    interrupted(predictions, dataset, tmp_path / "scores", monkeypatch, overlays=False)
    change(predictions, dataset)
    count_scored = request.getfixturevalue("count_scored")
    score(predictions, dataset, tmp_path / "scores", overlays=False)
    assert len(count_scored) == again
    score(predictions, dataset, tmp_path / "anew", overlays=False)
    assert contents(tmp_path / "scores") == contents(tmp_path / "anew")


@pytest.mark.parametrize("setting", [{"tolerances_mm": (1.0,)}, {"overlays": False}])
def test_other_settings_score_again(
    predictions: Path, dataset: Path, tmp_path: Path, monkeypatch, setting: dict
):
    interrupted(predictions, dataset, tmp_path / "scores", monkeypatch)
    assert score(predictions, dataset, tmp_path / "scores", **setting).kept == 0
    score(predictions, dataset, tmp_path / "anew", **setting)
    assert contents(tmp_path / "scores") == contents(tmp_path / "anew")


def test_command_says_that_it_goes_on(
    predictions: Path, dataset: Path, tmp_path: Path, monkeypatch, capsys
):
    words = ["evaluate", str(predictions), "--dataset", str(dataset), "--workers", "1"]
    words += ["-o", str(tmp_path / "out"), "--no-overlays", "--tolerances", "1.5"]
    with monkeypatch.context() as patch:
        interrupt_at(3, patch)
        assert main(words) == 130
    capsys.readouterr()
    assert main(words) == 0
    said = capsys.readouterr()
    assert "going on" in said.err
    assert "3 of 4 cases" in said.err
    assert "3 cases were scored before the interruption and kept" in said.out
    assert "nsd_1.5mm" in (tmp_path / "out" / "cases.csv").read_text()
    with pytest.raises(SystemExit):
        main([*words, "--tolerances", "nan"])


def test_nothing_goes_on_in_a_wrong_folder(
    predictions: Path, dataset: Path, tmp_path: Path, monkeypatch, capsys
):
    output = tmp_path / "out"
    interrupted(predictions, dataset, output, monkeypatch)
    words = ["--dataset", str(dataset), "--workers", "1", "-o", str(output)]
    assert main(["evaluate", str(tmp_path / "nowhere"), *words]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "nowhere: is not a folder" in line
    assert scored_before(output) == 3  # a slip costs no work


def test_a_refusal_removes_what_an_interruption_left(
    predictions: Path, dataset: Path, tmp_path: Path, monkeypatch
):
    interrupted(predictions, dataset, tmp_path / "out", monkeypatch)
    (predictions / "PST_0003_T2.nii.gz").write_bytes(b"no image")
    for output in (tmp_path / "out", tmp_path / "new" / "folders" / "out"):
        with pytest.raises(InputError):
            score(predictions, dataset, output)
    assert {path.name for path in tmp_path.iterdir()} == {"predictions", "raw"}
