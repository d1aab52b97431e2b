"""The demo as a user runs it, with trainings of seconds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nnunet_pst.nnunet import demo as module
from nnunet_pst.nnunet.demo import Demo, run_demo

pytestmark = pytest.mark.slow


def test_the_demo_runs_from_nothing_to_its_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    for name in [name for name in os.environ if name.startswith(("nnUNet_", "NNUNET_PST_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("nnUNet_extTrainer", str(Path(__file__).parent / "trainers"))
    monkeypatch.setenv("nnUNet_def_n_proc", "1")
    monkeypatch.setenv("TINY_EPOCHS", "1")
    monkeypatch.setenv("TINY_SKIPS_VALIDATION", "1")
    monkeypatch.setattr(module, "TRAINER", "nnUNetTrainerPST25D_tiny")
    # One iteration of the stock network is enough to make a model to predict with.
    variables = module._variables
    monkeypatch.setattr(module, "_variables", lambda demo, budget: variables(demo, 1.0))
    page = run_demo(Demo(tmp_path / "demo", patients=8, seed=0, device="cpu"))
    text = page.read_text()
    assert text.count("data:image/png;base64,") == 2
    assert "nnunet_pst convert phantom/cohort.csv --dataset DatasetPhantom" in text
    assert str(tmp_path) not in text
    logs = (tmp_path / "demo" / "logs" / "train_2d.txt").read_text()
    assert "iterations of" in logs
    assert "The validation after training is left out" in logs
    assert "[9/9]" in capsys.readouterr().out
