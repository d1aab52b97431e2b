"""The demo as a user runs it, with trainings of seconds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nnunet_pst.experiments import demo as module
from nnunet_pst.experiments.demo import Demo, run_demo

pytestmark = pytest.mark.slow


def test_the_demo_runs_from_nothing_to_its_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    for name in [name for name in os.environ if name.startswith(("nnUNet_", "NNUNET_PST_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("nnUNet_def_n_proc", "1")
    # An iteration of each is enough to make models to predict with.
    monkeypatch.setattr(module, "SECONDS", 1)
    page = run_demo(Demo(tmp_path / "demo", patients=8, seed=0, device="cpu"))
    text = page.read_text()
    assert text.count("data:image/png;base64,") == 2
    assert (
        "nnunet_pst convert phantom/cohort.csv --dataset DatasetPhantom --sequences T2 DWI" in text
    )
    assert str(tmp_path) not in text
    for name in ("train_2d_5", "train_2d"):
        log = (tmp_path / "demo" / "logs" / f"{name}.txt").read_text()
        assert "iterations of" in log
        assert "The validation after training is left out" in log
    assert "[9/9]" in capsys.readouterr().out
