"""A training in two processes: the batch is split, and both end with the same network."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("two_processes.py")


@pytest.fixture(scope="module")
def ranks(planned, tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """The records of both processes, and their folder as ``folder``."""
    folder = tmp_path_factory.mktemp("ddp")
    workplace = planned.but(nnUNet_results=folder / "results")
    done = subprocess.run(
        [sys.executable, SCRIPT, folder],
        env={**os.environ, **workplace.variables},
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found = [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(2)]
    return [{**one, "folder": folder} for one in found]


def test_the_batch_is_split(host: Callable, ranks: list[dict]):
    assert [one["batch_size"] for one in ranks] == [6, 6], host("splits the batch otherwise")
    assert [len(one["keys"]) for one in ranks] == [6, 6]


def test_processes_draw_different_bags(ranks: list[dict]):
    first, second = (one["data"] for one in ranks)
    assert first.shape == second.shape == (6, 3, 64, 64)
    for bag in first:
        assert not any(torch.equal(bag, other) for other in second)


def test_both_agree_after_a_step(ranks: list[dict]):
    first, second = ranks
    assert first["loss"] == pytest.approx(second["loss"], abs=1e-6)
    pairs = zip(first["after"], second["after"], strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    moved = zip(first["before"], first["after"], strict=True)
    assert any(not torch.equal(before, after) for before, after in moved)


def test_loss_and_gradient_of_a_split_batch_are_those_of_the_whole(ranks: list[dict]):
    spec = importlib.util.spec_from_file_location("two_processes", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    loss, gradient = script.loss_and_gradient(*script.example(), distributed=False)
    assert gradient.abs().min() > 1e-3, "a gradient of zero would prove nothing"
    for one in ranks:
        found, averaged = one["split_loss"]
        assert found == pytest.approx(loss, abs=1e-7)
        torch.testing.assert_close(averaged, gradient, atol=1e-7, rtol=0)


def test_a_checkpoint_appears_only_when_it_is_whole(ranks: list[dict]):
    assert not ranks[1]["seen_too_early"]
    file = ranks[0]["folder"] / "checkpoint_latest.pth"
    found = torch.load(file, map_location="cpu", weights_only=False)["network_weights"]
    # Written by the first process, without the wrapper's prefix: readable without DDP.
    assert not [name for name in found if name.startswith("module.")]
