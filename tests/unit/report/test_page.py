"""What a report says, from what there is, and what it says is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnunet_pst.cli.main import main
from nnunet_pst.comparison.results_folder import read_comparison
from nnunet_pst.io.case_table import read_case_table
from nnunet_pst.report.dataset_facts import read_dataset
from nnunet_pst.report.inputs import Sources
from nnunet_pst.report.page import tumor_sizes
from report_example import DATASET, Example, Seen, drawings, write_rows


def test_a_report_has_all_its_parts(whole: Example):
    page = Seen(whole.page.read_text())
    for words in (
        "Comparison on DatasetPST",
        "not a medical device",
        "2d_5 against 2d",
        "mean paired difference in Dice",
        "slices nobody drew on",
        "Table 1: characteristics of the patients characteristic",
        "Other measures and sizes, only described",
        "reference volume (ml)",
        "Notes of the comparison no strata by scanner",
        "groups by sequence T1 (n = 6); T2 (n = 6)",
        "95 % interval (normal, in place of a bootstrap)",
        "Dashed: the declared margin of 0.05",
        "Other measures of every patient",
        "Means of the compared measures",
        "Dice in groups of patients",
        "Paired differences in Dice",
        "Flow of patients step patients cases in the dataset 18 36",
        "compared 6 12",
        "How this was analyzed 3 methods (2d_5, 2d, 3d_fullres) were evaluated on 6 patients",
        "2 |P∩R| / (|P| + |R|) share 1 if reference and prediction are empty",
        "tumors found best 1 12 of 12 cases",
        "\\begin{tabular}{lrrr}",
        "Tumor volume: agreement with the reference",
        "Dice against the tumor's size",
        "Away from the annotated window",
        "Learning curves",
        "No sequences of this dataset were registered",
        "seed of the resampling",
        "no patient is in two splits (checked)",
        "for the authors",
    ):
        assert words in page.text, words
    names = {path.name for path in (whole.comparison / "report_figures").iterdir()}
    assert {"dice_by_method.svg", "dice_by_method.png", "learning_curves.svg"} <= names
    assert len(drawings(whole.page.read_text())) == len(names) / 2
    assert page.text.count("worst") >= 3
    assert "worst PST_" in page.text


def test_what_is_missing_is_said_to_be_missing(example: Example):
    for path in (example.comparison / "methods").rglob("*"):
        if path.name == "window_distance.csv" or path.suffix == ".png":
            path.unlink()
    assert example.report() == 0
    text = Seen(example.page.read_text()).text
    for words in (
        "Give the dataset with --dataset",
        "Table 1: characteristics of the patients Not shown: give the dataset",
        "no training logs were found; give --results",
        "the evaluations hold no window_distance.csv",
        "No overlays in the comparison folder",
        "Table 3: input strategies, by tested sequence Not shown: no sweep was given",
    ):
        assert words in text, words


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("dataset.json", '"unknown": "ignore"', '"unknown": "background"', "Ablation: this"),
        ("dataset.json", '"labels"', '"description": "A Phantom", "labels"', "Synthetic images"),
        ("cases.csv", "PST_0007,T2,train", "PST_0001,T2,train", "Splits are broken: 1 patient"),
    ],
)
def test_what_nobody_may_miss_stands_on_top(
    example: Example, name: str, old: str, new: str, words: str
):
    assert words not in Seen(example.full()).text
    example.change(f"raw/{DATASET}/{name}", old, new)
    text = Seen(example.full("--overwrite")).text
    assert words in text[: text.index("What was found")] + text[:900]


def test_one_method_gets_the_same_page(example: Example, tmp_path: Path):
    output, masks = tmp_path / "alone", example.folder / "predictions" / "2d_5"
    words = ["compare", f"2d_5={masks}", "--dataset", str(example.dataset), "-o", str(output)]
    assert main([*words, "--workers", "1"]) == 0
    assert main(["report", str(output), "--dataset", str(example.dataset)]) == 0
    text = Seen((output / "report.html").read_text()).text
    for words_ in (
        "2d_5 on DatasetPST",
        "The tumor was found in 12 of 12 cases.",
        "One method: nothing is compared.",
        "Means of the compared measures",
        "Dice in groups of patients",
        "Tumor volume: agreement with the reference",
        "Not drawn: paired differences: there is no second method",
        "worst PST_",
    ):
        assert words_ in text, words_
    # What is compared with nothing has no baseline, family, margin or test.
    assert "Holm" not in text[text.index("Methods and data") : text.index("Tables 1 to 4")]
    assert "against" not in text[text.index("What was found") : text.index("Methods and data")]


@pytest.mark.usefixtures("undrawn")
def test_registration_flags(example: Example):
    table = example.folder / "raw" / "registration" / DATASET / "registration.csv"
    row = {"patient": "PST_0001", "reference": "T2", "moving": "CET1", "engine": "simpleitk"}
    fine = {**row, "model": "rigid", "used": "registered", "reason": ""}
    bad = {**fine, "patient": "PST_0002", "used": "scanner", "reason": "bodies overlap by 0.2 only"}
    write_rows(table, [fine, bad])
    text = Seen(example.full()).text
    assert "1 of 2 pairs of sequences were not registered" in text
    assert "bodies overlap by 0.2 only" in text


def test_size_comes_from_the_table_else_from_the_label(example: Example):
    comparison = read_comparison(example.comparison)
    sizes, what = tumor_sizes(Sources(comparison, read_dataset(example.dataset), None, ()))
    assert "cm" in what
    rows = read_case_table(example.dataset / "cases.csv")
    assert sizes == {r["patient"]: float(r["size_cm"]) for r in rows if r["split"] == "test"}
    volumes, what = tumor_sizes(Sources(comparison, None, None, ()))
    assert "ml" in what
    assert volumes == comparison.patient_means("reference_ml", "2d")


@pytest.mark.usefixtures("undrawn")
def test_datasets_are_found_by_the_name_of_the_comparison(
    example: Example, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("nnUNet_raw", str(example.folder / "raw"))
    monkeypatch.setenv("nnUNet_results", str(example.folder / "results"))
    assert example.report() == 0
    text = Seen(example.page.read_text()).text
    assert "Patients and cases by split" in text
    assert "2 models, 4 trainings" in text


@pytest.mark.usefixtures("undrawn")
def test_tables_of_a_sweep(example: Example):
    sweep = example.folder / "sweep"
    row = {"trained_on": "T1+T2", "configuration": "2d_5", "runs_done": 1, "runs": 3}
    scores = {"T1_dice": 0.5, "T1_dice_patients": 6, "T1_iou": 0.4, "T1_iou_patients": 6}
    empty = dict.fromkeys(scores, "")
    write_rows(sweep / "table3.csv", [{**row, **scores}, {**row, "runs_done": 0, **empty}])
    text = Seen(example.full("--sweep", str(sweep))).text
    assert "IoU" not in text[text.index("Table 3") : text.index("Table 4")]
    assert "T1+T2 2d_5 1 of 3 0.500 n = 6 T1+T2" in text
    assert "0 of 3 \N{EN DASH}" in text
    assert "Table 2: architectures, all sequences Not shown: the sweep has not made" in text


@pytest.mark.usefixtures("undrawn")
def test_a_comparison_that_compare_wrote(example: Example, tmp_path: Path):
    predictions = example.folder / "predictions"
    output = tmp_path / "compared"
    methods = [f"{name}={predictions / name}" for name in ("2d", "2d_5")]
    labels = ["--dataset", str(example.dataset), "--measures", "dice"]
    words = ["compare", *methods, *labels, "-o", str(output), "--workers", "1"]
    assert main([*words, "--margin", "0.05"]) == 0
    assert main(["report", str(output), "--dataset", str(example.dataset)]) == 0
    text = Seen((output / "report.html").read_text()).text
    for words_ in (
        "2d_5 against 2d No difference in Dice was shown",
        "6 patients do not show the mean",
        "Non-inferiority not shown: it may be worse by more than the declared margin of 0.05",
        "6 patients are too few for this margin: methods that never differ would need 72",
        "95 % interval",
        "groups by sequence T1 (n = 6); T2 (n = 6)",
        "groups by sex F (n = 3); M (n = 3)",
        "and Wilcoxon signed-rank",
        "seed of the resampling 0",
    ):
        assert words_ in text, words_
    assert main([*words, "--overwrite"]) == 0  # a report does not stand in the way
