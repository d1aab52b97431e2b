"""The whole of ``evaluate`` on tiny datasets: averages, tables, pictures, the command."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest

from evaluation_example import CASES, NOTHING, TUMOR, save, score
from nnunet_pst.cli.main import main
from nnunet_pst.dataset.training_record import write_record
from nnunet_pst.errors import Fault, InputError
from nnunet_pst.evaluation.evaluate import evaluate_predictions
from nnunet_pst.evaluation.references import references_in_folder, references_of_dataset


def test_patients_weigh_the_same(predictions: Path, dataset: Path):
    result = score(predictions, dataset)
    dice = {row["case"]: row["dice"] for row in result.cases}
    assert dice == pytest.approx(
        {"PST_0001_T1": 1, "PST_0001_T2": 0, "PST_0002_T2": 2 / 3, "PST_0003_T2": 1}
    )
    patients = {row["patient"]: row["dice"] for row in result.patients}
    assert patients == pytest.approx({"PST_0001": 1 / 2, "PST_0002": 2 / 3, "PST_0003": 1})
    assert [row["cases"] for row in result.patients] == [2, 1, 1]
    sequences = {row["sequence"]: row for row in result.sequences}
    assert sequences["T1"]["dice_mean"] == 1
    assert sequences["T2"]["dice_mean"] == pytest.approx((0 + 2 / 3 + 1) / 3)
    assert sequences["all"]["dice_mean"] == pytest.approx((1 / 2 + 2 / 3 + 1) / 3)
    assert sequences["all"]["dice_median"] == pytest.approx(2 / 3)


def test_undefined_values_are_left_out_and_counted(predictions: Path, dataset: Path):
    precision = score(predictions, dataset).summary["sequences"]["T2"]["precision"]
    assert precision == {"mean": 1.0, "median": 1.0, "min": 1.0, "max": 1.0, "n": 2}


def test_summary_says_how_it_was_made(predictions: Path, dataset: Path):
    summary = score(predictions, dataset).summary
    assert summary["window_slices"] == 1  # from dataset.json
    assert summary["empty_masks"] == {
        "reference_and_prediction": 0,
        "reference_only": 0,
        "prediction_only": 1,
    }
    assert (summary["cases"], summary["patients"]) == (4, 3)
    assert "predictions" not in summary  # a folder may be named after a patient
    assert "numpy" in summary["versions"]


def test_volumes_are_in_milliliters(predictions: Path, dataset: Path):
    row = score(predictions, dataset).cases[2]
    assert row["reference_ml"] == pytest.approx(3 * 4 * 4 * 5 / 1000)
    assert row["predicted_ml"] == pytest.approx(3 * 4 * 2 * 5 / 1000)


def test_lost_tumors_are_counted_and_left_out_of_what_was_found(predictions: Path, dataset: Path):
    result = score(predictions, dataset)
    assert {key: result.summary["detection"][key] for key in ("found_cases", "tumor_cases")} == {
        "found_cases": 3,
        "tumor_cases": 4,
    }
    # The first patient's second case is lost: 0 with the penalty, left out of what was found.
    patients = {row["patient"]: row for row in result.patients}
    assert [patients["PST_0001"][name] for name in ("found", "dice_found", "dice")] == [0.5, 1, 0.5]
    assert patients["PST_0001"]["hd95_found_mm"] == 0
    assert patients["PST_0001"]["hd95_mm"] > 10
    t2 = next(row for row in result.sequences if row["sequence"] == "T2")
    assert (t2["found_cases"], t2["tumor_cases"]) == (2, 3)
    assert (t2["dice_found_n"], t2["dice_n"]) == (2, 3)


def test_patients_without_a_tumor_have_false_alarms_and_a_specificity(
    predictions: Path, dataset: Path, tmp_path: Path, capsys
):
    alarms = NOTHING.copy()
    alarms[0, 0, 0] = alarms[6, 9, 9] = 1
    for name, mask in (("PST_0002_T2", alarms), ("PST_0003_T2", NOTHING)):
        save(dataset / "labelsTs" / f"{name}.nii.gz", NOTHING)
        save(predictions / f"{name}.nii.gz", mask)
    words = ["evaluate", str(predictions), "--dataset", str(dataset), "--no-overlays"]
    assert main([*words, "--workers", "1", "-o", str(tmp_path / "out")]) == 0
    assert (
        "2 patients without a tumor: 1 false alarms per patient, specificity 0.500"
        in capsys.readouterr().out
    )
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["detection"] == {
        **{"found_cases": 1, "tumor_cases": 2, "tumor_free_patients": 2, "tumor_free_cases": 2},
        **{"false_alarms_per_patient": 1.0, "specificity": 0.5},
    }
    assert summary["overall"]["specificity"]["n"] == 2


def test_files(predictions: Path, dataset: Path, tmp_path: Path):
    output = tmp_path / "out" / "scores"
    result = score(predictions, dataset, output)
    names = sorted(path.relative_to(output).as_posix() for path in output.rglob("*"))
    assert names == [
        "cases.csv",
        "contact_sheet.png",
        "long.csv",
        "overlays",
        *(f"overlays/{name}.png" for name in CASES),
        "patients.csv",
        "sequences.csv",
        "summary.json",
        "window_distance.csv",
    ]
    assert [path.name for path in output.parent.iterdir()] == ["scores"]
    assert json.loads((output / "summary.json").read_text()) == result.summary
    with (output / "cases.csv").open(newline="") as file:
        rows = {row["case"]: row for row in csv.DictReader(file)}
    assert rows["PST_0002_T2"]["dice"] == "0.666667"
    assert rows["PST_0001_T2"]["precision"] == ""  # not defined
    assert rows["PST_0001_T2"]["patient"] == "PST_0001"


def test_no_machine_path_in_what_is_shared(predictions: Path, dataset: Path, tmp_path: Path):
    score(predictions, dataset, tmp_path / "scores")
    files = [path for path in (tmp_path / "scores").rglob("*") if path.is_file()]
    assert all(str(tmp_path).encode() not in path.read_bytes() for path in files)


def test_several_processes_give_the_same_files(predictions: Path, dataset: Path, tmp_path: Path):
    outputs = [tmp_path / "one", tmp_path / "two"]
    for workers, output in enumerate(outputs, start=1):
        score(predictions, dataset, output, workers=workers)
    one, two = ({p.name: p.read_bytes() for p in o.rglob("*") if p.is_file()} for o in outputs)
    assert one == two


def test_coarse_labels_are_scored_where_annotated(dataset: Path, tmp_path: Path):
    prediction = TUMOR.copy()
    prediction[:2] = 1  # only where nobody knows
    save(tmp_path / "val" / "PST_0004_T1.nii.gz", prediction)
    result = evaluate_predictions(tmp_path / "val", references_of_dataset(dataset, "val"))
    assert result.cases[0]["dice"] == 1
    assert result.cases[0]["known_share"] == pytest.approx(5 / 7)
    assert result.summary["cases_with_unknown_voxels"] == 1


def test_a_dataset_of_another_maker(predictions: Path, dataset: Path):
    (dataset / "cases.csv").unlink()
    (dataset / "dataset.json").write_text('{"file_ending": ".nii.gz"}')
    references = references_of_dataset(dataset)
    assert references.window == 5
    result = evaluate_predictions(predictions, references)
    assert [row["patient"] for row in result.patients] == list(CASES)
    assert [row["sequence"] for row in result.sequences] == ["all"]
    with pytest.raises(InputError) as caught:
        references_of_dataset(dataset, "val")
    assert caught.value.fault is Fault.MISSING


def test_a_folder_of_labels(predictions: Path, dataset: Path, tmp_path: Path):
    labels = dataset / "labelsTs"
    bare = evaluate_predictions(predictions, references_in_folder(labels), output=tmp_path / "bare")
    assert not (tmp_path / "bare" / "overlays").exists()  # there are no images
    assert len(bare.patients) == 4
    grouped = references_in_folder(
        labels, images=dataset / "imagesTs", table=dataset / "cases.csv", window=1
    )
    result = evaluate_predictions(predictions, grouped, output=tmp_path / "full")
    assert (tmp_path / "full" / "contact_sheet.png").is_file()
    assert result.patients == score(predictions, dataset).patients


def test_command(predictions: Path, dataset: Path, monkeypatch, capsys):
    monkeypatch.setenv("nnUNet_raw", str(dataset.parent))
    assert main(["evaluate", str(predictions), "--dataset", "DatasetPST", "--workers", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:6] == ["sequence", "patients", "found", "Dice", "if", "found"]
    assert lines[3].split()[:5] == ["all", "3", "3", "of", "4"]
    assert "0.722" in lines[3]
    assert any(line.startswith("found: the masks share a voxel; 1 lost cases") for line in lines)
    assert any(line.startswith("empty masks: prediction only 1") for line in lines)
    assert (predictions / "evaluation" / "summary.json").is_file()


def test_command_prints_json(predictions: Path, dataset: Path, tmp_path: Path, capsys):
    words = ["evaluate", str(predictions), "--dataset", str(dataset), "--json", "--no-overlays"]
    assert main([*words, "--workers", "1", "-o", str(tmp_path / "out"), "--window", "2"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["window_slices"] == 2
    assert summary["overall"]["dice"]["n"] == 3


def test_command_says_when_labels_are_coarse(dataset: Path, tmp_path: Path, capsys):
    save(tmp_path / "val" / "PST_0004_T1.nii.gz", TUMOR)
    words = ["evaluate", str(tmp_path / "val"), "--dataset", str(dataset), "--split", "val"]
    assert main(words) == 0
    assert "annotated voxels only" in capsys.readouterr().out
    description = json.loads((dataset / "dataset.json").read_text())
    description["nnunet_pst"]["unknown"] = "background"
    (dataset / "dataset.json").write_text(json.dumps(description))
    assert main([*words, "--overwrite"]) == 0
    assert "not drawn as background" not in capsys.readouterr().out
    # The ablation is for learning: it changes labels of training patients only.
    table = dataset / "cases.csv"
    table.write_text(table.read_text().replace(",val,", ",train,"))
    assert main([*words[:-1], "train", "--overwrite"]) == 0
    assert "not drawn as background" in capsys.readouterr().out


def test_long_table_and_distances(predictions: Path, dataset: Path, tmp_path: Path):
    result = score(predictions, dataset, tmp_path / "scores", tolerances_mm=(2, 4.5))
    with (tmp_path / "scores" / "long.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 * len(result.measures)
    assert list(rows[0]) == ["case", "patient", "sequence", "measure", "unit", "value"]
    (half,) = (r for r in rows if (r["case"], r["measure"]) == ("PST_0002_T2", "nsd_4.5mm"))
    assert 0 < float(half["value"]) <= 1
    with (tmp_path / "scores" / "window_distance.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["case"] == "PST_0002_T2"]
    # The tumor has three slices, the window one on each side of the middle one.
    assert [(r["distance_slices"], r["slices"], r["dice"]) for r in rows] == [
        ("0", "3", "0.666667"),
        ("1", "2", ""),
        ("2", "2", ""),
    ]
    bins = result.summary["window_distance"]
    assert bins["0"]["dice"]["n"] == 3
    assert bins["1-2"]["dice"]["n"] == 0


def test_a_cohort_without_tumor_has_no_window(dataset: Path, tmp_path: Path):
    for name in CASES:
        save(dataset / "labelsTs" / f"{name}.nii.gz", NOTHING)
        save(tmp_path / "empty" / f"{name}.nii.gz", NOTHING)
    result = score(tmp_path / "empty", dataset, tmp_path / "scores")
    assert result.distances == []
    assert result.summary["overall"]["hd95_mm"]["mean"] == 0
    assert (tmp_path / "scores" / "window_distance.csv").read_text().startswith("case,patient")


def test_a_test_patient_whom_a_training_knows_is_said(
    predictions: Path, dataset: Path, tmp_path: Path, monkeypatch, capsys
):
    fold = tmp_path / "results" / "DatasetPST" / "T__nnUNetPlans__2d_5" / "fold_0"
    fold.mkdir(parents=True)
    (fold / "checkpoint_final.pth").touch()
    write_record(fold, {"PST_0001"})
    monkeypatch.setenv("nnUNet_results", str(tmp_path / "results"))
    assert main(["evaluate", str(predictions), "--dataset", str(dataset)]) == 0
    assert "look at it: T__nnUNetPlans__2d_5, fold 0 has learned from PST_0001" in (
        capsys.readouterr().out
    )


def test_a_validation_of_known_patients_is_refused(
    predictions: Path, dataset: Path, tmp_path: Path
):
    fold = tmp_path / "fold_0"
    fold.mkdir()
    write_record(fold, {"PST_0001"})
    predictions.rename(fold / "validation")
    with pytest.raises(InputError) as caught:
        evaluate_predictions(fold / "validation", references_of_dataset(dataset))
    assert caught.value.fault is Fault.LEAK


def test_masks_older_than_their_images_are_told_of(dataset: Path, predictions: Path):
    references = references_of_dataset(dataset, "test")
    for path in predictions.glob("*.nii.gz"):
        os.utime(path, (2e9, 2e9))
    assert evaluate_predictions(predictions, references).summary["warnings"] == []
    os.utime(dataset / "imagesTs" / "PST_0002_T2_0000.nii.gz", (2.1e9, 2.1e9))
    (line,) = evaluate_predictions(predictions, references).summary["warnings"]
    assert "PST_0002_T2" in line
    assert "1 of 4" in line
