"""What ``compare`` refuses, in a line each, and that nothing is left of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from comparison_example import (
    predict,
    save,
    tumor,
)
from nnunet_pst.cli.main import main
from nnunet_pst.comparison.inputs import ComparisonSettings, gather_inputs
from nnunet_pst.comparison.methods import parse_methods
from nnunet_pst.errors import Fault, InputError


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a"], "is not NAME=FOLDER"),
        (["a\nb"], r"'a\\nb' is not NAME=FOLDER"),
        (["../a=."], "'../a' cannot name a method: it becomes a folder's"),
        (["a\\b=."], "it becomes a folder's"),
        ([".a=."], "a first '.'"),
        ([" =."], "' ' cannot name a method: it is blank"),
        (["a\nb=."], r"'a\\nb' cannot name a method: it holds a line end"),
        (["a\u202eb=."], "can't be seen"),
        (["a =."], "begins or ends with a space"),
        ([f"{'a' * 61}=."], "it has 61 characters, more than 60"),
        (["+a=."], "takes it for a formula; leave out the first '\\+'"),
        (["Ours=.", "ours=.."], "'Ours' differs from it in capitals alone"),
        (["a=nowhere"], "nowhere: is not a folder"),
        (["a=.", "a=."], "is given twice"),
    ],
)
def test_words_are_refused(words: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said) as refusal:
        parse_methods(words)
    assert len(refusal.value.problems) == 1
    assert "\n" not in refusal.value.problems[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--measures", "dise"], "'dise' is not a measure"),
        (["--measures", "reference_ml"], "has no best value"),
        (["--baseline", "c"], "is not one of the methods a, b"),
        (["--measures", "hd95_mm", "dice"], "put dice there"),
    ],
)
def test_options_are_refused(
    tmp_path: Path,
    dataset: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    folders = [f"{name}={predict(dataset, tmp_path / name, 6)}" for name in "ab"]
    out = str(tmp_path / "out")
    assert main(["compare", *folders, "--dataset", str(dataset), "-o", out, *words]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("number", ["0", "-0.1", "1", "1.5", "nan"])
def test_a_margin_that_decides_nothing_is_refused(
    tmp_path: Path, dataset: Path, capsys: pytest.CaptureFixture[str], number: str
) -> None:
    folders = {name: predict(dataset, tmp_path / name, 6) for name in "ab"}
    words = [f"{name}={folder}" for name, folder in folders.items()]
    with pytest.raises(SystemExit):
        main(["compare", *words, "--dataset", str(dataset), f"--margin={number}"])
    assert "must lie above 0 and below 1" in capsys.readouterr().err
    with pytest.raises(InputError) as refusal:
        gather_inputs(parse_methods(words), dataset, ComparisonSettings(margin=float(number)))
    assert refusal.value.fault is Fault.VALUES


def test_other_patients_are_refused(
    tmp_path: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = predict(dataset, tmp_path / "one", 6)
    two = predict(dataset, tmp_path / "two", 5)
    (two / "PST_3_T2.nii.gz").unlink()
    words = ["compare", f"one={one}", f"two={two}", "--dataset", str(dataset)]
    assert main([*words, "-o", str(tmp_path / "out"), "--workers", "1"]) == 1
    assert "error: two: PST_3_T2: has no prediction" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_wrong_folders_are_a_line_each_and_nothing_is_left(
    tmp_path: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exact = predict(dataset, tmp_path / "exact", 6)
    for number in range(12):
        save(tmp_path / "others" / f"KITS_{number}.nii.gz", tumor(6))
    words = ["compare", f"a={exact}", f"b={tmp_path / 'others'}", f"c={tmp_path}"]
    words += ["--dataset", str(dataset), "-o", str(tmp_path / "out"), "--workers", "1"]
    draft = tmp_path / ".partial-out" / "keys"  # of an earlier comparison that was killed
    draft.mkdir(parents=True)
    (draft / "a.key").touch()
    assert main(words) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "error: b: " in lines[0]
    assert "holds none of the 8 cases of DatasetPST test" in lines[0]
    assert "error: c: " in lines[1]
    assert draft.is_dir()


def test_a_slip_in_a_covariate_is_told_before_anything_is_scored(
    tmp_path: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exact = predict(dataset, tmp_path / "exact", 6)
    text = (dataset / "cases.csv").read_text()
    (dataset / "cases.csv").write_text(text.replace(",9,malignant", ",9cm,malignant"))
    words = ["compare", f"a={exact}", f"b={exact}", "--dataset", str(dataset)]
    assert main([*words, "-o", str(tmp_path / "out")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: cases.csv, row 9, column size_cm: '9cm' is not a number")


def test_a_mask_that_cannot_be_read_leaves_nothing(
    tmp_path: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [predict(dataset, tmp_path / name, 6) for name in "ab"]
    (folders[1] / "PST_3_T2.nii.gz").write_bytes(b"no image")
    words = ["compare", *(f"{one.name}={one}" for one in folders), "--dataset", str(dataset)]
    before = sorted(tmp_path.iterdir())
    assert main([*words, "-o", str(tmp_path / "out"), "--no-overlays", "--workers", "1"]) == 1
    assert "error: b: PST_3_T2: " in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


def test_a_foreign_folder_is_not_replaced(
    tmp_path: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [f"{name}={predict(dataset, tmp_path / name, 6)}" for name in "ab"]
    out = tmp_path / "mine"
    (out / "thesis").mkdir(parents=True)
    words = ["--dataset", str(dataset), "-o", str(out), "--overwrite"]
    assert main(["compare", *folders, *words]) == 1
    assert "is not a comparison" in capsys.readouterr().err
    assert (out / "thesis").is_dir()
