"""nnU-Net's own flags work in our verbs, and a dataset's number is as good as its name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nnunet_pst.cli.main import build_parser, main
from nnunet_pst.errors import Fault, InputError
from nnunet_pst.nnunet.models import segment as segmenting


@pytest.mark.parametrize(
    ("ours", "hosts"),
    [
        ("convert c.csv --dataset 501", "convert c.csv -d 501"),
        ("evaluate masks --dataset 501", "evaluate masks -d 501"),
        ("compare a=b --dataset 501", "compare a=b -d 501"),
        ("cohort --dataset 501", "cohort -d 501"),
        ("report comparison --dataset 501", "report comparison -d 501"),
        ("plan 501 --configurations 2d --plans P", "plan 501 -c 2d -p P"),
        (
            "sweep c.csv --out o --dataset X --configurations 2d --folds 1 --device cpu",
            "sweep c.csv --out o -d X -c 2d -f 1 -device cpu",
        ),
        ("demo --device cuda", "demo -device cuda"),
        (
            "segment s -o o --dataset 501 --configuration 2d --trainer T --plans P --device cpu",
            "segment s -o o -d 501 -c 2d -tr T -p P -device cpu",
        ),
    ],
)
def test_the_hosts_flags_are_synonyms(ours: str, hosts: str):
    parsed = [
        vars(build_parser(words.split()[0]).parse_args(words.split())) for words in (ours, hosts)
    ]
    for one in parsed:
        one.pop("wrong_usage", None)
    assert parsed[0] == parsed[1]


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[list[Path]]:
    """Models that `segment` was called with; nothing is segmented."""
    calls: list[list[Path]] = []

    def stand_in(studies: object, models: list[Path], *_: object, **__: object) -> None:
        calls.append(models)
        raise InputError("enough", Fault.EMPTY)

    monkeypatch.setattr(segmenting, "segment", stand_in)
    return calls


def test_segment_finds_a_training_as_nnunet_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: list[list[Path]]
):
    monkeypatch.setenv("nnUNet_results", str(tmp_path))
    dataset = tmp_path / "Dataset501_PST"
    dataset.mkdir()
    words = ["segment", "study", "-o", str(tmp_path / "out")]
    assert main([*words, "-d", "501"]) == 1
    assert main([*words, "-d", "501", "-c", "2d", "-tr", "T", "-p", "P", "--model", "m.zip"]) == 1
    assert taken == [
        [dataset / "nnUNetTrainerPST25D__nnUNetPlans__2d_5"],
        [dataset / "T__P__2d", Path("m.zip")],
    ]


def test_segment_without_a_model_is_wrong_usage(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stop:
        main(["segment", "study", "-o", "out"])
    assert stop.value.code == 2
    assert "--model, or -d" in capsys.readouterr().err


def test_a_number_reaches_the_dataset_through_every_verb_that_names_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "raw"))
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path / "preprocessed"))
    monkeypatch.setenv("nnUNet_results", str(tmp_path / "results"))
    for root in ("raw", "results"):
        (tmp_path / root / "Dataset501_PST").mkdir(parents=True)
    (tmp_path / "raw" / "Dataset501_PST" / "dataset.json").write_text(json.dumps({}))
    (tmp_path / "masks").mkdir()
    (tmp_path / "cohort.csv").write_text("patient,T2,T2_label\n")
    for words in (
        ["plan", "501"],
        ["plan", "-d", "501"],
        ["evaluate", str(tmp_path / "masks"), "-d", "501"],
        ["compare", f"a={tmp_path / 'masks'}", "-d", "501"],
        ["compare", "--results", "501"],
        ["cohort", "-d", "501"],
    ):
        assert main(words) == 1
        printed = capsys.readouterr().err
        assert "Dataset501_PST" in printed, (words, printed)
    assert main(["convert", str(tmp_path / "cohort.csv"), "-d", "502"]) == 1
    assert "Dataset502_NAME" in capsys.readouterr().err


def test_calibrate_and_plan_take_a_dataset_by_flag():
    for words in (["calibrate", "-d", "501"], ["plan", "-d", "501"]):
        assert build_parser(words[0]).parse_args(words).also_dataset == "501"


def test_calibrate_finds_a_training_by_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    raw = tmp_path / "raw" / "Dataset501_PST"
    (raw / "labelsTr").mkdir(parents=True)
    (raw / "imagesTr").mkdir()
    for name in ("labelsTr/A.nii.gz", "imagesTr/A_0000.nii.gz"):
        (raw / name).touch()
    (raw / "dataset.json").write_text('{"labels": {"background": 0, "tumor": 1}}')
    for variable in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        monkeypatch.setenv(variable, str(tmp_path / variable.removeprefix("nnUNet_")))
    assert main(["calibrate", "-d", "501"]) == 1
    assert "Dataset501_PST" in capsys.readouterr().err
