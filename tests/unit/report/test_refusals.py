"""What a report refuses, in a line each, with nothing written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from nnunet_pst.cli.main import main
from report_example import DATASET, Example


def problems(example: Example, capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """Lines of a refusal, which leaves everything as it was."""
    before = {path: path.stat().st_mtime_ns for path in example.folder.rglob("*")}
    capsys.readouterr()
    assert example.report(*words) == 1
    assert {path: path.stat().st_mtime_ns for path in example.folder.rglob("*")} == before
    return capsys.readouterr().err.splitlines()


def test_a_folder_that_is_no_comparison(example: Example, capsys: pytest.CaptureFixture[str]):
    (example.comparison / "comparison.json").unlink()
    (line,) = problems(example, capsys)
    assert "nnunet_pst compare" in line


def test_another_dataset_is_refused(
    example: Example, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    other = tmp_path / "DatasetOther"
    shutil.copytree(example.dataset, other)
    assert main(["report", str(example.comparison), "--dataset", str(other), "--overwrite"]) == 1
    assert f"the comparison is of {DATASET}" in capsys.readouterr().err


def test_a_table_that_is_cut_off(example: Example, capsys: pytest.CaptureFixture[str]):
    path = example.comparison / "cases.csv"
    path.write_text(path.read_text()[:-30])
    (line, *_) = problems(example, capsys)
    assert "is cut off or too long" in line


def test_every_problem_of_a_comparison_is_reported(
    example: Example, capsys: pytest.CaptureFixture[str]
):
    example.change("comparison/cases.csv", "2d_5,1,PST_0001_T1", "other,1,PST_0001_T1")
    example.change("comparison/intervals.csv", "median", "medium")
    (example.comparison / "differences.csv").write_bytes(b"\xff\xfe\x00")
    lines = problems(example, capsys)
    assert len(lines) == 3
    for words in ("'other' is not in", "lacks the columns median", "can't be read as a CSV"):
        assert any(words in line for line in lines), words


@pytest.mark.parametrize("name", ["../2d", "", "a/b", "..", "a\\b"])
def test_a_method_is_no_way_out_of_the_folder(
    example: Example, capsys: pytest.CaptureFixture[str], name: str
):
    facts = json.loads((example.comparison / "comparison.json").read_text())
    facts["methods"][name] = {}
    (example.comparison / "comparison.json").write_text(json.dumps(facts))
    (line,) = problems(example, capsys)
    assert "not a plain folder name" in line


@pytest.mark.usefixtures("undrawn")
def test_a_report_is_replaced_only_when_asked(example: Example, capsys: pytest.CaptureFixture[str]):
    example.full()
    lines = problems(example, capsys)
    assert len(lines) == 2
    assert all("--overwrite" in line for line in lines)
    (example.comparison / "report_figures" / "thesis.docx").touch()
    (line,) = problems(example, capsys, "--overwrite")
    assert "thesis.docx" in line


def test_places_where_no_report_goes(example: Example, capsys: pytest.CaptureFixture[str]):
    (line,) = problems(example, capsys, "-o", str(example.folder / "report.pdf"))
    assert "ends in .html" in line
    (line,) = problems(example, capsys, "-o", str(example.folder / "nowhere" / "report.html"))
    assert "is not a folder" in line


def test_a_dataset_that_was_named_must_be_there(
    example: Example, capsys: pytest.CaptureFixture[str]
):
    (line,) = problems(example, capsys, "--dataset", "DatasetOther")
    assert "nnUNet_raw is not set" in line


def test_a_folder_that_is_no_sweep(example: Example, capsys: pytest.CaptureFixture[str]):
    (line,) = problems(example, capsys, "--sweep", str(example.folder / "nowhere"))
    assert "nnunet_pst sweep" in line
    (line,) = problems(example, capsys, "--sweep", str(example.dataset))
    assert "DatasetPST: is not the folder of a sweep" in line
    assert "holds sweep.json, jobs/ and tables such as table2.csv" in line


def test_a_slip_in_the_datasets_table(example: Example, capsys: pytest.CaptureFixture[str]):
    example.change(f"raw/{DATASET}/cases.csv", ",37,", ",3T,")
    lines = problems(example, capsys, "--dataset", str(example.dataset))
    assert ["column age: '3T' is not a number" in line for line in lines] == [True, True]
    assert lines[0].startswith("error: cases.csv, row 14, ")
