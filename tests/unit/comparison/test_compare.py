"""``compare`` on tiny datasets: pairing, repeats, folds, strata, refusals, files, the command."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import nnunet_pst.comparison.methods as compared_methods
from nnunet_pst.cli.main import main
from nnunet_pst.comparison.inputs import ComparisonSettings, gather_inputs
from nnunet_pst.comparison.methods import parse_methods, parts_of
from nnunet_pst.comparison.statistics import mean_interval, p_of_mean, paired_test
from nnunet_pst.comparison.strata import strata
from nnunet_pst.comparison.trained_methods import trained_methods
from nnunet_pst.errors import Fault, InputError
from nnunet_pst.evaluation.references import references_of_dataset
from nnunet_pst.io.geometry import Grid
from nnunet_pst.io.volumes import Volume, write_volume

SHAPE = (4, 8, 8)
GRID = Grid((8, 8, 4), (1.0, 1.0, 5.0), (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
PATIENTS = 7


def tumor(columns: int) -> np.ndarray:
    """A box of two slices, six rows and some columns."""
    array = np.zeros(SHAPE, np.uint8)
    array[1:3, 1:7, 1 : 1 + columns] = 1
    return array


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(path, Volume(array, GRID))


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Seven test patients, the first of them with two sequences; six columns of tumor each."""
    folder = tmp_path / "raw" / "DatasetPST"
    rows = ["case,patient,sequence,split,label_kind,annotated,first,last,size_cm,malignancy"]
    for number in range(PATIENTS):
        for sequence in ("T1", "T2") if number == 0 else ("T2",):
            name = f"PST_{number}_{sequence}"
            save(folder / "labelsTs" / f"{name}.nii.gz", tumor(6))
            save(folder / "imagesTs" / f"{name}_0000.nii.gz", tumor(6).astype(np.float32))
            kind = "benign" if number % 2 else "malignant"
            rows.append(f"{name},PST_{number},{sequence},test,fine,,,,{number + 3},{kind}")
    (folder / "cases.csv").write_text("\n".join(rows) + "\n")
    (folder / "dataset.json").write_text(json.dumps({"file_ending": ".nii.gz"}))
    return folder


def predict(dataset: Path, folder: Path, columns: dict[str, int] | int) -> Path:
    """Masks with so many of the six columns, for every case or by case."""
    for label in sorted((dataset / "labelsTs").iterdir()):
        name = label.name.removesuffix(".nii.gz")
        width = columns if isinstance(columns, int) else columns[name]
        save(folder / label.name, tumor(width))
    return folder


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def compare(tmp_path: Path, dataset: Path, *words: str, output: str = "out") -> Path:
    out = tmp_path / output
    quiet = ("--no-overlays", "--workers", "1")
    assert main(["compare", *words, "--dataset", str(dataset), "-o", str(out), *quiet]) == 0
    return out


@pytest.fixture
def widths(dataset: Path) -> dict[str, int]:
    names = [path.name.removesuffix(".nii.gz") for path in (dataset / "labelsTs").iterdir()]
    return {name: 2 + place % 4 for place, name in enumerate(sorted(names))}


def test_tables_agree_with_the_statistics(
    tmp_path: Path, dataset: Path, widths: dict[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    exact = predict(dataset, tmp_path / "exact", 6)
    part = predict(dataset, tmp_path / "part", widths)
    out = compare(tmp_path, dataset, f"part={part}", f"exact={exact}")
    dice = {name: 2 * width / (width + 6) for name, width in widths.items()}
    first = (dice["PST_0_T1"] + dice["PST_0_T2"]) / 2
    patients = [first, *(dice[f"PST_{number}_T2"] for number in range(1, PATIENTS))]
    rows = {
        row["method"]: row
        for row in table(out / "intervals.csv")
        if (row["measure"], row["stratum"]) == ("dice", "all")
    }
    expected = mean_interval(np.round(patients, 6), bounds=(0, 1))
    assert float(rows["part"]["mean"]) == pytest.approx(np.mean(patients), abs=1e-5)
    assert float(rows["part"]["low"]) == pytest.approx(expected.low, abs=1e-4)
    # Seven perfect patients: Clopper and Pearson's lower end.
    assert float(rows["exact"]["low"]) == pytest.approx(0.025 ** (1 / 7), abs=0.02)
    difference = next(
        row
        for row in table(out / "differences.csv")
        if (row["measure"], row["stratum"]) == ("dice", "all")
    )
    gains = [1 - value for value in patients]
    test = paired_test(np.round(gains, 6))
    assert float(difference["difference"]) == pytest.approx(np.mean(gains), abs=1e-5)
    assert float(difference["p"]) == pytest.approx(test.p, abs=1e-6)
    assert (difference["wins"], difference["losses"]) == (str(PATIENTS), "0")
    # Two measures in the family: the smaller p is doubled.
    assert float(difference["p_holm"]) == pytest.approx(2 * test.p, abs=1e-6)
    printed = capsys.readouterr().out
    mean = p_of_mean(np.round(gains, 6), bounds=(-1, 1))
    assert float(difference["p_mean"]) == pytest.approx(mean, abs=1e-5)
    assert "exact against part: No difference in Dice was shown" in printed
    assert "Most patients lean to one side (gains), but 7 patients do not show the mean" in printed
    for name in ("patients.png", "differences.png", "methods/part/cases.csv"):
        assert (out / name).is_file()


def test_strata_hold_their_patients_and_no_p_values(
    tmp_path: Path, dataset: Path, widths: dict[str, int]
) -> None:
    exact = predict(dataset, tmp_path / "exact", 6)
    part = predict(dataset, tmp_path / "part", widths)
    out = compare(tmp_path, dataset, f"a={part}", f"b={exact}")
    rows = [row for row in table(out / "differences.csv") if row["measure"] == "dice"]
    patients = {(row["stratum"], row["level"]): row["patients"] for row in rows}
    assert patients["sequence", "T1"] == "1"
    assert patients["malignancy", "benign"] == "3"
    assert patients["size_cm", "to 5"] == "3"
    assert patients["size_cm", "above 7"] == "2"
    assert all(row["p"] == "" for row in rows if row["stratum"] != "all")


def test_repeats_are_averaged_within_the_case(
    tmp_path: Path, dataset: Path, widths: dict[str, int]
) -> None:
    seeds = [predict(dataset, tmp_path / f"seed{n}", n) for n in (3, 6)]
    part = predict(dataset, tmp_path / "part", widths)
    out = compare(tmp_path, dataset, f"part={part}", *(f"both={folder}" for folder in seeds))
    rows = [row for row in table(out / "patients.csv") if row["method"] == "both"]
    assert len(rows) == PATIENTS
    assert [float(row["dice"]) for row in rows] == pytest.approx([(2 / 3 + 1) / 2] * 7, abs=1e-5)
    assert json.loads((out / "comparison.json").read_text())["repeats"] == {"part": 1, "both": 2}
    assert (out / "methods" / "both" / "2" / "cases.csv").is_file()


def test_lost_tumors_are_said_before_the_measures_they_spoil(
    tmp_path: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [path.name.removesuffix(".nii.gz") for path in (dataset / "labelsTs").iterdir()]
    some = predict(dataset, tmp_path / "some", {n: 0 if n == "PST_3_T2" else 6 for n in names})
    exact = predict(dataset, tmp_path / "exact", 6)
    out = compare(tmp_path, dataset, f"some={some}", f"exact={exact}", "--baseline", "exact")
    printed = capsys.readouterr().out.splitlines()
    head = [word for word in printed[0].split("  ") if word]
    assert [word.strip() for word in head] == [
        *("tumors found", "Dice of found tumors", "Dice"),
        *("HD95 of found tumors (mm)", "HD95 (mm)"),
    ]
    row = next(line for line in printed if line.startswith("some "))
    assert row.split("  ")[1].strip() == "7 of 8"
    means = {
        (row["method"], row["measure"]): float(row["mean"])
        for row in table(out / "intervals.csv")
        if row["stratum"] == "all" and row["mean"]
    }
    assert means["some", "hd95_found_mm"] == 0
    assert means["some", "hd95_mm"] > 1
    assert means["some", "dice_found"] == 1
    assert means["some", "dice"] == pytest.approx(6 / 7, abs=1e-5)
    assert "It found the tumor in 7 of 8 cases, the baseline in 8 of 8." in "\n".join(printed)


def test_unequal_seeds_and_their_spread_are_said(
    tmp_path: Path, dataset: Path, widths: dict[str, int]
) -> None:
    seeds = [predict(dataset, tmp_path / f"seed{n}", n) for n in (3, 6)]
    part = predict(dataset, tmp_path / "part", widths)
    out = compare(tmp_path, dataset, f"part={part}", *(f"both={folder}" for folder in seeds))
    unequal, spread = json.loads((out / "comparison.json").read_text())["warnings"]
    assert unequal.startswith("unequal numbers of trainings (part 1, both 2)")
    # Dice 2/3 and 1: a standard deviation of (1/3) / sqrt(2).
    assert spread.startswith("2 trainings of both: mean Dice 0.667, 1.000 (SD 0.236)")


def test_labels_given_as_predictions_are_asked_about(
    tmp_path: Path, dataset: Path, widths: dict[str, int]
) -> None:
    part = predict(dataset, tmp_path / "part", widths)
    out = compare(tmp_path, dataset, f"part={part}", f"copied={dataset / 'labelsTs'}")
    (asked,) = json.loads((out / "comparison.json").read_text())["warnings"]
    assert asked == "copied: Dice is 1 in all 8 cases; were labels given as predictions?"


def test_one_method_is_described(
    tmp_path: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [path.name.removesuffix(".nii.gz") for path in (dataset / "labelsTs").iterdir()]
    some = predict(dataset, tmp_path / "some", {n: 0 if n == "PST_3_T2" else 6 for n in names})
    out = compare(tmp_path, dataset, f"ours={some}")
    printed = capsys.readouterr().out
    assert "The tumor was found in 7 of 8 cases; lost: PST_3_T2." in printed
    assert "Dice, lost tumors included: mean 0.857" in printed
    assert "one method: nothing is compared" in printed
    assert table(out / "differences.csv") == []
    assert json.loads((out / "comparison.json").read_text())["baseline"] is None
    words = ["compare", f"ours={some}", "--dataset", str(dataset), "--margin", "0.1"]
    assert main([*words, "-o", str(tmp_path / "again")]) == 1
    assert "give a second method" in capsys.readouterr().err


def test_margin(tmp_path: Path, dataset: Path, widths: dict[str, int]) -> None:
    exact = predict(dataset, tmp_path / "exact", 6)
    part = predict(dataset, tmp_path / "part", widths)
    for baseline, verdict in (("part", "yes"), ("exact", "no")):
        out = compare(
            *(tmp_path, dataset, f"part={part}", f"exact={exact}"),
            *("--baseline", baseline, "--margin", "0.5"),
            output=f"against_{baseline}",
        )
        rows = [row for row in table(out / "differences.csv") if row["noninferior"]]
        assert [(row["measure"], row["noninferior"]) for row in rows] == [("dice", verdict)]
        assert (float(rows[0]["p_noninferior"]) < 0.025) == (verdict == "yes")
        assert rows[0]["equivalent"] == "no"


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


def test_a_disk_without_room_for_an_evaluation_is_left_as_it_was(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    exact = predict(dataset, tmp_path / "exact", 6)
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(compared_methods, "evaluate_predictions", full)
    words = ["compare", f"a={exact}", f"b={exact}", "--dataset", str(dataset)]
    assert main([*words, "-o", str(tmp_path / "out"), "--workers", "1"]) == 1
    assert sorted(tmp_path.iterdir()) == before


def test_interrupted_comparison_goes_on_and_gives_the_same_bytes(
    tmp_path: Path,
    dataset: Path,
    widths: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    exact = predict(dataset, tmp_path / "exact", 6)
    part = predict(dataset, tmp_path / "part", widths)
    words = (f"part={part}", f"exact={exact}")
    whole = compare(tmp_path, dataset, *words, output="whole")
    scored: list[str] = []
    genuine = compared_methods.evaluate_predictions

    def counted(predictions: Path, *rest: object, **options: object) -> object:
        scored.append(predictions.name)
        if scored == ["part", "exact"]:
            raise KeyboardInterrupt
        return genuine(predictions, *rest, **options)

    monkeypatch.setattr(compared_methods, "evaluate_predictions", counted)
    again = ["-o", str(tmp_path / "again"), "--no-overlays", "--workers", "1"]
    assert main(["compare", *words, "--dataset", str(dataset), *again]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert not (tmp_path / "again").exists()
    again = compare(tmp_path, dataset, *words, output="again")
    assert scored == ["part", "exact", "exact"]
    assert "1 of 2 evaluations were finished before" in capsys.readouterr().err
    files = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    assert all((whole / name).read_bytes() == (again / name).read_bytes() for name in files)
    assert not list(tmp_path.glob(".partial*"))


def cross_validated(tmp_path: Path, dataset: Path, name: str, width: int) -> Path:
    """A training in two folds, as nnU-Net leaves it; the labels become training labels."""
    home = tmp_path / "results" / "DatasetPST" / f"{name}__nnUNetPlans__2d"
    for label in sorted((dataset / "labelsTr").iterdir()):
        fold = int(label.name.split("_")[1]) % 2
        folder = home / f"fold_{fold}" / "validation"
        save(folder / label.name, tumor(width))
        summary = {"foreground_mean": {"Dice": width / 10}}
        (folder / "summary.json").write_text(json.dumps(summary))
    return home


@pytest.fixture
def training_dataset(dataset: Path) -> Path:
    shutil.move(dataset / "labelsTs", dataset / "labelsTr")
    shutil.move(dataset / "imagesTs", dataset / "imagesTr")
    text = (dataset / "cases.csv").read_text()
    (dataset / "cases.csv").write_text(text.replace(",test,", ",train,"))
    return dataset


def test_results_pools_the_folds_that_all_have(
    tmp_path: Path, training_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cross_validated(tmp_path, training_dataset, "nnUNetTrainer", 5)
    ours = cross_validated(tmp_path, training_dataset, "nnUNetTrainerPST25D", 4)
    (ours / "fold_2").mkdir()
    monkeypatch.setenv("nnUNet_results", str(tmp_path / "results"))
    monkeypatch.setenv("nnUNet_raw", str(training_dataset.parent))
    out = tmp_path / "out"
    words = ["--results", "DatasetPST", "-o", str(out), "--no-overlays", "--workers", "1"]
    assert main(["compare", *words]) == 0
    facts = json.loads((out / "comparison.json").read_text())
    assert set(facts["methods"]) == {"2d_nnUNetTrainer", "2d_nnUNetTrainerPST25D"}
    assert facts["baseline"] == "2d_nnUNetTrainer"
    assert facts["repeats"] == {"2d_nnUNetTrainer": 1, "2d_nnUNetTrainerPST25D": 1}
    assert len(table(out / "cases.csv")) == 2 * (PATIENTS + 1)
    assert any("fold_2: has no finished validation" in line for line in facts["warnings"])
    assert any("validation patients of the folds" in line for line in facts["warnings"])


def test_a_fold_that_one_lacks_is_named_with_it(tmp_path: Path, training_dataset: Path) -> None:
    stock = cross_validated(tmp_path, training_dataset, "nnUNetTrainer", 2)
    ours = cross_validated(tmp_path, training_dataset, "nnUNetTrainerPST25D", 2)
    shutil.rmtree(ours / "fold_1")
    (line,) = trained_methods(stock.parent).skipped
    assert line.startswith(f"{stock.name} fold_1")
    assert line.endswith(ours.name)


def test_no_fold_that_all_have_is_said_with_who_lacks_which(
    tmp_path: Path, training_dataset: Path
) -> None:
    stock = cross_validated(tmp_path, training_dataset, "nnUNetTrainer", 2)
    ours = cross_validated(tmp_path, training_dataset, "nnUNetTrainerPST25D", 2)
    shutil.rmtree(stock / "fold_0")
    shutil.rmtree(ours / "fold_1")
    with pytest.raises(InputError) as caught:
        trained_methods(stock.parent)
    _, first, second = caught.value.problems
    assert first.startswith("fold_0")
    assert stock.name in first
    assert second.startswith("fold_1")
    assert ours.name in second


def test_warns_where_the_host_ranks_otherwise(
    tmp_path: Path, training_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cross_validated(tmp_path, training_dataset, "nnUNetTrainer", 5)
    ours = cross_validated(tmp_path, training_dataset, "nnUNetTrainerPST25D", 4)
    for path in ours.rglob("summary.json"):
        path.write_text(json.dumps({"foreground_mean": {"Dice": 0.99}}))
    monkeypatch.setenv("nnUNet_results", str(tmp_path / "results"))
    monkeypatch.setenv("nnUNet_raw", str(training_dataset.parent))
    out = tmp_path / "out"
    words = ["--results", "DatasetPST", "-o", str(out), "--no-overlays", "--workers", "1"]
    assert main(["compare", *words]) == 0
    warnings = json.loads((out / "comparison.json").read_text())["warnings"]
    assert any("orders the methods otherwise: 2d_nnUNetTrainerPST25D 0.990" in w for w in warnings)


def test_trainings_without_a_validation_are_refused(tmp_path: Path, training_dataset: Path) -> None:
    home = cross_validated(tmp_path, training_dataset, "nnUNetTrainer", 5)
    for path in home.rglob("summary.json"):
        path.unlink()
    with pytest.raises(InputError) as caught:
        trained_methods(tmp_path / "results" / "DatasetPST")
    assert caught.value.fault is Fault.TOO_FEW


def test_folds_of_other_cases_are_refused(tmp_path: Path, training_dataset: Path) -> None:
    one = cross_validated(tmp_path, training_dataset, "nnUNetTrainer", 5)
    two = cross_validated(tmp_path, training_dataset, "nnUNetTrainerPST25D", 4)
    methods = parse_methods([f"a={one / 'fold_0/validation'}", f"b={two / 'fold_1/validation'}"])
    with pytest.raises(InputError) as refusal:
        parts_of(methods, references_of_dataset(training_dataset, "training"))
    assert [problem.fault for problem in refusal.value.problems] == [Fault.MISSING] * 2


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


def test_the_same_masks_under_two_names_are_said(
    tmp_path: Path,
    dataset: Path,
    widths: dict[str, int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    one, other = (predict(dataset, tmp_path / name, widths) for name in ("one", "other"))
    exact = predict(dataset, tmp_path / "exact", 6)
    words = [f"a={one}", f"b={other}", f"c={exact}", f"c={other}", f"d={one}", f"d={other}"]
    out = compare(tmp_path, dataset, *words)
    asked = "the same masks, byte by byte; was a folder given twice?"
    expected = [
        "repeats of d hold the same masks, byte by byte; was a training given twice?",
        f"a and b hold {asked}",
        f"a and c hold some of {asked}",
        f"a and d hold {asked}",
        f"b and c hold some of {asked}",
        f"b and d hold {asked}",
        f"c and d hold some of {asked}",
    ]
    warnings = json.loads((out / "comparison.json").read_text())["warnings"]
    assert warnings[: len(expected)] == expected
    assert f"note: {expected[0]}" in capsys.readouterr().out


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


def test_numbers_with_few_levels_are_words_and_constant_columns_are_no_stratum() -> None:
    rows = [
        {"case": f"c{n}", "patient": f"p{n}", "sequence": "T2", "grade": str(n % 3), "age": str(n)}
        for n in range(12)
    ]
    found = {one.name: one for one in strata(rows)}
    assert set(found) == {"grade", "age"}
    assert found["grade"].order == ("0", "1", "2")
    assert len(found["age"].cuts) == 2
    assert [list(found["age"].levels.values()).count(level) for level in found["age"].order] == [
        4,
        4,
        4,
    ]
