"""``compare`` that was interrupted, or had no room."""

from __future__ import annotations

from pathlib import Path

import pytest

import nnunet_pst.comparison.methods as compared_methods
from comparison_example import (
    compare,
    predict,
)
from nnunet_pst.cli.main import main


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
