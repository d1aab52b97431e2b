"""What ``compare`` says before anybody believes its numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from comparison_example import compare, image, predict, save, table, tumor
from nnunet_pst.cli.main import main


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


def test_a_test_image_that_was_trained_on_is_said_first(
    tmp_path: Path, dataset: Path, widths: dict[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    part = predict(dataset, tmp_path / "part", widths)
    save(dataset / "imagesTr" / "PST_90_T2_0000.nii.gz", 2 * image(3) + 5)
    save(dataset / "imagesTr" / "PST_91_T2_0000.nii.gz", image(91))
    out = compare(tmp_path, dataset, f"part={part}")
    (said, *_) = json.loads((out / "comparison.json").read_text())["warnings"]
    assert said.startswith("leak: PST_90_T2 (train) and PST_3_T2 (test) hold nearly the same image")
    assert f"note: {said}" in capsys.readouterr().out


def test_the_page_says_what_has_changed_since(
    tmp_path: Path, dataset: Path, widths: dict[str, int]
) -> None:
    part = predict(dataset, tmp_path / "part", widths)
    seeds = [predict(dataset, tmp_path / f"seed{n}", n) for n in (3, 6)]
    words = [f"part={part}", *(f"both={folder}" for folder in seeds)]
    out = compare(tmp_path, dataset, *words)
    asked = ["report", str(out), "--dataset", str(dataset), "--overwrite"]
    page = out / "report.html"
    assert main([*asked, "--predictions", *words]) == 0
    assert "Changed since compare ran" not in page.read_text()
    assert "labels, masks of part, masks of both" in page.read_text()
    assert str(tmp_path) not in (out / "files.csv").read_text()
    save(seeds[1] / "PST_3_T2.nii.gz", tumor(2))
    save(dataset / "labelsTs" / "PST_5_T2.nii.gz", tumor(3))
    assert main([*asked, "--predictions", *words]) == 0
    text = page.read_text()
    assert "Changed since compare ran: labels of PST_5_T2; masks of both (PST_3_T2)." in text
    assert main(asked) == 0
    assert "Changed since compare ran: labels of PST_5_T2. These numbers" in page.read_text()
