"""The study of the method: its cohort from TIFFs, its plans, and its table."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk  # noqa: N813

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import lgg_cohort
import method_study
import method_tables
from method_variants import BEDS, VARIANTS

RNG = np.random.default_rng(1)


def tiffs(folder: Path, name: str, *, filler: str | None = None, slices: int = 3) -> Path:
    """A patient as the Kaggle set stores one; ``filler`` repeats FLAIR."""
    home = folder / name
    home.mkdir(parents=True)
    for number in range(1, slices + 1):
        channels = RNG.integers(0, 255, (3, 8, 8), dtype=np.uint8)
        if filler:
            channels[lgg_cohort.SEQUENCES.index(filler)] = channels[lgg_cohort.FILLER]
        image = sitk.GetImageFromArray(np.moveaxis(channels, 0, -1), isVector=True)
        sitk.WriteImage(image, str(home / f"{name}_{number}.tif"))
        mask = np.zeros((8, 8), dtype=np.uint8)
        mask[2:6, 2:6] = 255
        sitk.WriteImage(sitk.GetImageFromArray(mask), str(home / f"{name}_{number}_mask.tif"))
    return home


def test_a_sequence_that_repeats_flair_is_left_out(tmp_path: Path):
    sequences, mask = lgg_cohort.read_patient(tiffs(tmp_path, "TCGA_A_1_1", filler="CET1"))
    assert list(sequences) == ["T1", "FLAIR"]
    assert mask.shape == (3, 8, 8)
    assert set(np.unique(mask)) == {0, 1}


def test_a_missing_slice_ends_it(tmp_path: Path):
    home = tiffs(tmp_path, "TCGA_A_1_1")
    (home / "TCGA_A_1_1_2.tif").unlink()
    with pytest.raises(SystemExit, match=r"slices \[1, 3\]"):
        lgg_cohort.read_patient(home)


def test_the_cohort_has_a_table_that_convert_reads(tmp_path: Path, monkeypatch):
    tiffs(tmp_path / "in", "TCGA_A_1_1")
    tiffs(tmp_path / "in", "TCGA_B_2_1", filler="T1")
    arguments = ["lgg_cohort.py", str(tmp_path / "in"), str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", arguments)
    lgg_cohort.main()
    with (tmp_path / "out" / "cohort.csv").open() as file:
        first, second = csv.DictReader(file)
    assert first["patient"] == "TCGA_A_1"
    assert second["T1"] == ""
    assert second["FLAIR"]
    image = sitk.ReadImage(str(tmp_path / "out" / first["CET1"]))
    assert image.GetSize() == (4, 4, 3)
    assert image.GetSpacing() == (2.0, 2.0, 5.0)
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out" / first["T1_label"])))
    assert mask[0].sum() == 4


def test_test_patients_are_spread_over_the_volumes():
    chosen = lgg_cohort.splits({f"p{number:03}": number for number in range(110)})
    places = [int(name[1:]) for name, split in chosen.items() if split == "test"]
    assert len(places) == 40
    assert max(np.diff(places)) <= 3


def scores(name: str, seed: int, values: dict[str, float]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"variant": name, "length": 910, "seed": seed, "patient": patient, "dice": dice}
            | {"case": f"{patient}_{sequence}", "sequence": sequence}
            for patient, dice in values.items()
            for sequence in ("T1", "FLAIR")
        ]
    )


def test_differences_are_of_patients_over_common_seeds():
    table = pd.concat(
        [
            scores("2d", 1, {"a": 0.5, "b": 0.05}),
            scores("center", 1, {"a": 0.7, "b": 0.05}),
            # Only one of both has this seed.
            scores("center", 2, {"a": 0.0, "b": 0.0}),
        ]
    )
    found = method_tables.differences(table, "center", "2d")
    assert found.tolist() == pytest.approx([0.2, 0.0])
    text = method_tables.table(table, ["2d", "center", "rgb"])
    row = next(line for line in text.splitlines() if "`center`" in line)
    assert "+0.100" in row
    assert "1 of 2" in row
    assert "rgb" not in text


def test_an_interval_holds_the_mean():
    values = RNG.normal(0.02, 0.05, 40)
    low, high = method_tables.interval(values)
    assert low < values.mean() < high


def study(tmp_path: Path) -> method_study.Study:
    return method_study.Study(
        "lgg", tmp_path / "cohort.csv", tmp_path, tmp_path / "results", "test", 1, 5.0, "cpu"
    )


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_has_plans_of_its_own(tmp_path: Path, name: str):
    arguments = {"slices_per_bag": 3, "canvas": 224}
    own = {"pst": {"crop": 224}, "architecture": {"arch_kwargs": arguments}}
    plans = {"configurations": {"2d_5": own, "2d_mobilenetv2": own, "2d": {}, "3d_fullres": {}}}
    (tmp_path / "nnUNetPlans.json").write_text(json.dumps(plans))
    job = method_study.Job(study(tmp_path), name, 2)
    written = json.loads((tmp_path / f"{method_study.write_plans(tmp_path, job)}.json").read_text())
    if job.stock:
        assert written["configurations"] == plans["configurations"]
    else:
        changed = written["configurations"][job.variant.configuration]
        assert changed["pst"] == {"crop": BEDS["lgg"].crop, "seed": 2, **job.variant.settings}
    # The plans that all variants start from are untouched.
    assert json.loads((tmp_path / "nnUNetPlans.json").read_text()) == plans


def test_held_out_patients_are_no_test_patients(tmp_path: Path):
    rows = [{"patient": f"p{n}", "T1": f"p{n}.nii.gz", "split": "train"} for n in range(9)]
    rows.append({"patient": "tested", "T1": "tested.nii.gz", "split": "test"})
    method_study._write_rows(tmp_path / "cohort.csv", rows)
    changed = method_study.held_out_cohort(tmp_path / "cohort.csv", tmp_path / "home")
    with changed.open() as file:
        found = list(csv.DictReader(file))
    assert "tested" not in {row["patient"] for row in found}
    assert sum(row["split"] == "test" for row in found) == 3
    assert all(Path(row["T1"]).is_absolute() for row in found)
