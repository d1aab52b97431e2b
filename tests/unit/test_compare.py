"""The whole of ``compare`` on tiny masks: tables, strata, seeds, folds, refusals, the command."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest

from nnunet_pst.cli.main import main
from nnunet_pst.comparison import Compared, Settings, compare_methods
from nnunet_pst.comparison_strata import strata_of
from nnunet_pst.comparison_writing import conclusion, ranking_warning
from nnunet_pst.errors import InputError
from nnunet_pst.geometry import Grid
from nnunet_pst.volumes import Volume, write_volume

SHAPE = (4, 10, 10)
GRID = Grid((10, 10, 4), (1.0, 1.0, 5.0), (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
TUMOR = np.zeros(SHAPE, np.uint8)
TUMOR[1:3, 1:9, 1:9] = 1
PATIENTS = 8
DICE = Compared("dice", "1", 1.0)


def predicted(columns: int) -> np.ndarray:
    """The tumour without its last columns: Dice 2 (8 - c) / (16 - c)."""
    mask = TUMOR.copy()
    mask[:, :, 9 - columns :] = 0
    return mask


def dice(columns: int) -> float:
    return 2 * (8 - columns) / (16 - columns)


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(path, Volume(array, GRID))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset of eight test patients, of whom the first has two sequences, and two methods."""
    raw = tmp_path / "raw" / "DatasetPST"
    rows = ["case,patient,sequence,split,label_kind,annotated,first,last,size_cm,location"]
    for number in range(PATIENTS):
        for sequence in ("T1", "T2") if number == 0 else ("T2",):
            case = f"PST_{number}_{sequence}"
            save(raw / "labelsTs" / f"{case}.nii.gz", TUMOR)
            save(raw / "imagesTs" / f"{case}_0000.nii.gz", TUMOR)
            place = "sacrum" if number % 2 else "iliac"
            rows.append(f"{case},PST_{number},{sequence},test,fine,,,,{number + 2},{place}")
            save(tmp_path / "better" / f"{case}.nii.gz", predicted(number % 3))
            save(tmp_path / "stock" / f"{case}.nii.gz", predicted(number % 3 + 1 + number % 2))
    (raw / "cases.csv").write_text("\n".join(rows) + "\n")
    (raw / "dataset.json").write_text(json.dumps({"file_ending": ".nii.gz"}))
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "raw"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


COMMAND = ["compare", "stock=stock", "better=better", "--dataset", "DatasetPST", "--workers", "1"]
COMMAND += ["--resamples", "500", "--no-overlays"]


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_folder_and_its_numbers(home: Path, capsys: pytest.CaptureFixture[str]):
    assert main([*COMMAND, "-o", "out", "--margin", "0.02"]) == 0
    printed = capsys.readouterr().out
    out = home / "out"
    names = {"cases.csv", "patients.csv", "intervals.csv", "differences.csv", "comparison.json"}
    assert {path.name for path in out.iterdir()} == names | {
        "differences.png",
        "patients.png",
        "methods",
    }
    assert (out / "methods" / "better" / "summary.json").is_file()
    everything = [row for row in table(out / "differences.csv") if row["stratum"] == "all"]
    assert [(row["measure"], row["method"]) for row in everything] == [
        ("dice", "better"),
        ("iou", "better"),
    ]
    gains = [dice(n % 3) - dice(n % 3 + 1 + n % 2) for n in range(PATIENTS)]
    row = everything[0]
    assert float(row["difference"]) == pytest.approx(np.mean(gains), abs=1e-6)
    assert float(row["low"]) < np.mean(gains) < float(row["high"])
    assert float(row["p"]) == pytest.approx(2 / 2**PATIENTS)
    assert float(row["p_holm"]) == pytest.approx(2 * 2 / 2**PATIENTS)
    assert (row["wins"], row["ties"], row["losses"]) == (str(PATIENTS), "0", "0")
    assert (row["effect"], row["noninferior"]) == ("1", "yes")
    assert "excludes 0, in favour of better" in printed
    facts = json.loads((out / "comparison.json").read_text())
    assert list(facts["methods"]) == ["stock", "better"]
    assert facts["strata"]["size_cm"]["cut_points"] == pytest.approx([2 + 7 / 3, 2 + 14 / 3])
    assert facts["strata"]["location"]["patients"] == {"iliac": 4, "sacrum": 4}
    assert str(home) not in (out / "comparison.json").read_text()
    assert len(table(out / "patients.csv")) == 2 * PATIENTS
    assert len(table(out / "cases.csv")) == 2 * (PATIENTS + 1)


def test_again_gives_the_same_bytes_and_needs_a_word(home: Path, capsys):
    assert main([*COMMAND, "-o", "out"]) == 0
    before = {path.name: path.read_bytes() for path in (home / "out").iterdir() if path.is_file()}
    assert main([*COMMAND, "-o", "out"]) == 1
    assert "exists; choose another output folder or add --overwrite" in capsys.readouterr().err
    assert main([*COMMAND, "-o", "out", "--overwrite"]) == 0
    after = {path.name: path.read_bytes() for path in (home / "out").iterdir() if path.is_file()}
    assert before == after
    (home / "out" / "thesis.docx").touch()
    assert main([*COMMAND, "-o", "out", "--overwrite"]) == 1
    assert "holds thesis.docx, which no comparison writes" in capsys.readouterr().err


def test_a_missing_prediction_is_refused_and_nothing_is_left(home: Path, capsys):
    (home / "better" / "PST_3_T2.nii.gz").unlink()
    assert main([*COMMAND, "-o", "out"]) == 1
    assert "better (repeat 1): lacks PST_3_T2, which stock predicted" in capsys.readouterr().err
    assert not [path for path in home.iterdir() if "out" in path.name]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["compare", "a=stock", "--dataset", "DatasetPST"], "give two or more as NAME=FOLDER"),
        ([*COMMAND, "--baseline", "other"], "--baseline other: is none of stock, better"),
        ([*COMMAND, "--measures", "reference_ml"], "--measures reference_ml: expected any of dice"),
        (["compare", "../x=stock", *COMMAND[1:]], "expected NAME=FOLDER"),
        (["compare", "third=nowhere", *COMMAND[1:]], "third: nowhere is not a folder"),
    ],
)
def test_refusals_name_what_is_wrong(home: Path, capsys, words: list[str], message: str):
    assert main(words) == 1
    assert message in capsys.readouterr().err
    assert not (home / "comparison").exists()


def test_a_case_that_nobody_predicted_is_refused(home: Path, capsys):
    for method in ("better", "stock"):
        (home / method / "PST_3_T2.nii.gz").unlink()
    assert main([*COMMAND, "-o", "out"]) == 1
    assert "better, better: PST_3_T2: has no prediction" in capsys.readouterr().err
    assert not [path for path in home.iterdir() if "out" in path.name]


def cross_validated(home: Path) -> Path:
    """Two models with two folds each, one fold unfinished in a third."""
    raw = home / "raw" / "DatasetPST"
    for name in ("labels", "images"):
        (raw / f"{name}Ts").rename(raw / f"{name}Tr")
    text = (raw / "cases.csv").read_text()
    (raw / "cases.csv").write_text(text.replace(",test,", ",train,"))
    results = home / "results" / "DatasetPST"
    for configuration, source, host in (("2d", "stock", 0.9), ("2d_5", "better", 0.8)):
        model = results / f"nnUNetTrainer__nnUNetPlans__{configuration}"
        for number, path in enumerate(sorted((home / source).iterdir())):
            target = model / f"fold_{number % 2}" / "validation" / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
        for fold in (0, 1):
            summary = {"foreground_mean": {"Dice": host}}
            path = model / f"fold_{fold}" / "validation" / "summary.json"
            path.write_text(json.dumps(summary))
        (model / "fold_all").mkdir()
        (model / "fold_2").mkdir()
    return results


def test_results_are_found_and_a_contrary_ranking_is_said(home: Path, capsys):
    results = cross_validated(home)
    words = ["compare", "--results", str(results), "--no-overlays", "--workers", "1"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "took nnUNetTrainer__nnUNetPlans__2d/fold_0/validation" in printed
    assert "fold_all: skipped, it was validated on what it was trained on" in printed
    assert "fold_2: skipped, it holds no validation predictions (unfinished)" in printed
    assert "ranks 2d-nnUNetTrainer 0.900 > 2d_5-nnUNetTrainer 0.800" in printed
    facts = json.loads((home / "comparison" / "comparison.json").read_text())
    assert facts["split"] == "cross-validation"
    assert facts["methods"]["2d-nnUNetTrainer"]["repeats"] == 1
    assert (home / "comparison" / "methods" / "2d-nnUNetTrainer" / "2" / "cases.csv").is_file()


def test_folds_that_lack_cases_are_refused(home: Path, capsys):
    results = cross_validated(home)
    for path in (results / "nnUNetTrainer__nnUNetPlans__2d_5" / "fold_1" / "validation").iterdir():
        path.unlink()
    assert main(["compare", "--results", str(results), "--workers", "1"]) == 1
    assert "2d_5-nnUNetTrainer (repeat 1): lacks PST_0_T2" in capsys.readouterr().err


def score(method: str, repeat: int, patient: str, sequence: str, value: float) -> dict:
    keys = {"method": method, "repeat": repeat, "case": f"{patient}_{sequence}"}
    return {**keys, "patient": patient, "sequence": sequence, "dice": value}


def test_sequences_and_seeds_are_averaged_within_the_patient():
    rows = [
        score("a", 1, "P", "T1", 0.2),
        score("a", 1, "P", "T2", 0.4),
        score("a", 2, "P", "T1", 0.6),
        score("a", 2, "P", "T2", math.nan),
        score("a", 1, "Q", "T1", 0.8),
        score("a", 2, "Q", "T1", 1.0),
    ]
    strata = strata_of([{"patient": r["patient"], "sequence": r["sequence"]} for r in rows])
    tables = compare_methods(rows, strata, Settings("a", (DICE,), resamples=100))
    assert [row["dice"] for row in tables.patients] == pytest.approx([0.45, 0.9])
    by_level = {row["level"]: row for row in tables.intervals}
    assert by_level["all"]["mean"] == pytest.approx(0.675)
    assert by_level["T2"]["mean"] == pytest.approx(0.4)
    assert (by_level["T1"]["patients"], by_level["T2"]["patients"]) == (2, 1)


def test_less_is_better_where_the_best_is_0():
    rows = [
        {**score(method, 1, f"P{n}", "T2", 0), "hd95_mm": n + (method == "a") * (1 + n / 9)}
        for method in ("a", "b")
        for n in range(8)
    ]
    strata = strata_of([{"patient": str(r["patient"]), "sequence": ""} for r in rows])
    settings = Settings("a", (Compared("hd95_mm", "mm", 0.0),), margin=0.02, resamples=100)
    (row,) = compare_methods(rows, strata, settings).differences
    assert row["difference"] < 0
    assert (row["effect"], row["wins"], row["noninferior"]) == (1.0, 8, "")


def test_the_interval_of_a_mean_ends_at_the_best_value():
    rows = [score("a", 1, f"P{n}", "T2", 1.0 if n else 0.2) for n in range(8)]
    strata = strata_of([{"patient": str(r["patient"]), "sequence": ""} for r in rows])
    (row,) = compare_methods(rows, strata, Settings("a", (DICE,))).intervals
    assert row["high"] == 1.0


def test_other_cases_are_refused_with_the_list():
    rows = [score("a", 1, "P", "T1", 1.0), score("b", 1, "Q", "T1", 1.0)]
    strata = strata_of([{"patient": "P", "sequence": "T1"}])
    with pytest.raises(InputError) as refused:
        compare_methods(rows, strata, Settings("a", (DICE,)))
    assert [line.split(",")[0] for line in refused.value.problems] == [
        "a (repeat 1): lacks Q_T1",
        "b (repeat 1): lacks P_T1",
    ]


ROW = {"measure": "dice", "method": "new", "baseline": "old", "patients": 20, "effect": 0.5}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"low": -0.01, "high": 0.05, "p_holm": 0.2}, "includes 0; neither is shown to be better"),
        ({"low": 0.01, "high": 0.05, "p_holm": 0.01}, "in favour of new"),
        ({"low": 0.01, "high": 0.05, "p_holm": 0.08}, "no conclusion"),
        ({"low": math.nan, "high": math.nan, "p_holm": 1.0}, "every patient differs by the same"),
        ({"low": math.nan, "high": math.nan, "p_holm": math.nan, "patients": 3}, "fewer than 6"),
    ],
)
def test_conclusions_claim_no_more_than_is_shown(row: dict, words: str):
    assert words in conclusion({**ROW, **row, "noninferior": ""}, None)


def test_rankings_that_agree_are_no_warning():
    assert ranking_warning({"a": 0.8, "b": 0.7}, {"a": 0.6, "b": 0.5}) is None
    assert ranking_warning({"a": 0.8, "b": 0.7}, {"a": 0.6}) is None
