"""The tables of ``compare`` on tiny datasets: pairing, repeats, strata, margins, one method."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from comparison_example import (
    PATIENTS,
    compare,
    predict,
    table,
)
from nnunet_pst.cli.main import main
from nnunet_pst.comparison.statistics import mean_interval, p_of_mean, paired_test
from nnunet_pst.comparison.strata import strata


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
