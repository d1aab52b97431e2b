"""``compare --results``: trainings and their folds as nnU-Net leaves them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from comparison_example import (
    PATIENTS,
    cross_validated,
    table,
)
from nnunet_pst.cli.main import main
from nnunet_pst.comparison.methods import parse_methods, parts_of
from nnunet_pst.comparison.trained_methods import trained_methods
from nnunet_pst.errors import Fault, InputError
from nnunet_pst.evaluation.references import references_of_dataset


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
