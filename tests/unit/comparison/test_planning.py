"""How many patients the next study needs, against what is known of such tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nnunet_pst.cli.main import main
from nnunet_pst.comparison.planning import dice_differences, planned
from nnunet_pst.comparison.results_folder import read_comparison
from nnunet_pst.errors import Fault, InputError
from report_example import make_comparison, make_dataset

SPREAD = np.random.default_rng(0).normal(0.3, 0.08, 60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("planning")
    dataset = make_dataset(home / "raw", 6, (16, 24, 24), 2)
    return make_comparison(home / "comparison", dataset, home / "predictions", overlays=False)


def test_more_patients_and_larger_differences_show_more():
    small, large = (
        [one.power for one in planned(SPREAD, d, sizes=(20, 80, 200), studies=60)]
        for d in (0.05, 0.2)
    )
    assert small[0] < 0.2  # one patient in six could lose everything unseen
    assert small[2] > 0.8
    assert large[1] == 1
    assert all(a <= b for a, b in zip(small, large, strict=True))


def test_no_difference_is_hardly_ever_shown():
    (found,) = planned(SPREAD, 1e-9, sizes=(80,), studies=100)
    assert found.power < 0.06


def test_lost_tumors_need_more_patients():
    lost = np.concatenate([SPREAD, np.full(6, -0.5)])
    with_losses, without = (
        planned(spread, 0.1, sizes=(80,), studies=60)[0].power for spread in (lost, SPREAD)
    )
    assert with_losses < without


def test_command(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["power", "--from", str(folder), "--difference", "0.3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["patients", "10", "20"]
    assert lines[1].startswith("shows 0.3")
    assert "2d_5 against 2d: share of 400 simulated studies" in "\n".join(lines)


def test_what_was_not_compared_is_refused(folder: Path):
    comparison = read_comparison(folder)
    for method, fault in (("2d", Fault.UNKNOWN_NAME), ("nobody", Fault.UNKNOWN_NAME)):
        with pytest.raises(InputError) as refusal:
            dice_differences(comparison, method)
        assert refusal.value.fault is fault
    few = replace(comparison, cases=[c for c in comparison.cases if c.patient < "PST_0004"])
    with pytest.raises(InputError) as refusal:
        dice_differences(few, "2d_5")
    assert refusal.value.fault is Fault.TOO_FEW
