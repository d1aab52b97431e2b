"""Killed at the worst moments, a training goes on from its last whole epoch to the same weights."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.slow

TRAIN = (
    "nnUNetv2_train", "DatasetPST", "2d_5", "0", "-tr", "nnUNetTrainerPST25D_tiny",
    "-device", "cpu",
)  # fmt: skip


@pytest.fixture(scope="module")
def killed(planned, tmp_path_factory: pytest.TempPathFactory):
    """A workplace with a training that was killed in its third epoch (number 2)."""
    workplace = planned.but(nnUNet_results=tmp_path_factory.mktemp("killed"))
    done = workplace.but(TINY_KILLED_IN_EPOCH="2").run(*TRAIN)
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    return workplace


@pytest.fixture(scope="module")
def killed_twice(killed, tmp_path_factory: pytest.TempPathFactory):
    """The same, resumed and killed with half a checkpoint of that epoch on the disk."""
    workplace = killed.but(nnUNet_results=tmp_path_factory.mktemp("killed-twice"))
    shutil.copytree(killed.results, workplace.results, dirs_exist_ok=True)
    done = workplace.but(TINY_KILLED_SAVING_EPOCH="2").run(*TRAIN, "--c")
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    return workplace


@pytest.fixture(scope="module")
def without_room(killed_twice, tmp_path_factory: pytest.TempPathFactory):
    """The same, resumed while the disk is full: the workplace, and what the command has said."""
    workplace = killed_twice.but(nnUNet_results=tmp_path_factory.mktemp("without-room"))
    shutil.copytree(killed_twice.results, workplace.results, dirs_exist_ok=True)
    return workplace, workplace.but(TINY_FULL_SAVING_EPOCH="2").run(*TRAIN, "--c")


@pytest.fixture(scope="module")
def resumed(without_room, tmp_path_factory: pytest.TempPathFactory):
    """The same, resumed, killed after a whole checkpoint and while validating, to the end."""
    earlier, _ = without_room
    workplace = earlier.but(nnUNet_results=tmp_path_factory.mktemp("resumed"))
    shutil.copytree(earlier.results, workplace.results, dirs_exist_ok=True)
    for moment in ({"TINY_KILLED_SAVED_EPOCH": "3"}, {"TINY_KILLED_VALIDATING": "1"}):
        done = workplace.but(**moment).run(*TRAIN, "--c")
        assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    workplace.check(*TRAIN, "--c")
    return workplace


def load(workplace, name: str) -> dict:
    file = workplace.model / "fold_0" / name
    return dict(torch.load(file, map_location="cpu", weights_only=False))


def logs(workplace) -> list[str]:
    """The logs of all starts, in their order."""
    files = (workplace.model / "fold_0").glob("training_log_*.txt")
    return [path.read_text() for path in sorted(files, key=lambda path: path.stat().st_mtime)]


def test_killed_in_mid_epoch_all_whole_epochs_are_kept(killed):
    assert load(killed, "checkpoint_latest.pth")["current_epoch"] == 2
    assert not (killed.model / "fold_0" / "checkpoint_final.pth").exists()


def test_half_a_checkpoint_never_passes_for_a_whole_one(killed_twice):
    fold = killed_twice.model / "fold_0"
    # Files that were whole before the kill are still whole.
    assert load(killed_twice, "checkpoint_latest.pth")["current_epoch"] == 2
    (half,) = [
        path for path in fold.iterdir() if path.suffix not in {".pth", ".txt", ".json", ".png"}
    ]
    with pytest.raises(RuntimeError):
        torch.load(half, map_location="cpu", weights_only=False)


def test_a_full_disk_is_said_in_a_line_and_costs_an_epoch_at_most(without_room):
    workplace, done = without_room
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "could not be written whole; is the disk full?" in line
    assert "--c" in line
    assert "Traceback" not in done.stderr
    assert load(workplace, "checkpoint_latest.pth")["current_epoch"] == 2
    fold = workplace.model / "fold_0"
    assert [path.name for path in fold.iterdir() if "unfinished" in path.name] == []


def test_after_a_kill_in_the_validation_it_is_made_as_if_nothing_had_happened(trained, resumed):
    wanted, found = (place.model / "fold_0" / "validation" for place in (trained, resumed))
    assert sorted(p.name for p in found.iterdir()) == sorted(p.name for p in wanted.iterdir())
    for mask in found.glob("*.nii.gz"):
        assert mask.read_bytes() == (wanted / mask.name).read_bytes()


def test_it_goes_on_with_the_epoch_in_which_it_was_killed(host: Callable, resumed):
    starts = [log[log.index("Epochs ") :].split(",")[0] for log in logs(resumed)]
    again = ["Epochs 2 to 3"] * 3
    assert starts[:4] == ["Epochs 0 to 3", *again], host("resumes elsewhere")
    assert load(resumed, "checkpoint_final.pth")["current_epoch"] == 4


def test_it_ends_with_the_weights_of_an_uninterrupted_training(trained, resumed):
    wanted = load(trained, "checkpoint_final.pth")
    found = load(resumed, "checkpoint_final.pth")
    different = [
        name
        for name, value in wanted["network_weights"].items()
        if not torch.equal(value, found["network_weights"][name])
    ]
    assert different == []
    assert found["logging"]["train_losses"] == wanted["logging"]["train_losses"]
    assert found["logging"]["lrs"] == wanted["logging"]["lrs"]


def test_leftovers_of_a_killed_training_are_harmless(resumed, tmp_path: Path):
    # The resumed training overwrote the incomplete file and moved it to its place.
    fold = resumed.model / "fold_0"
    assert [path.name for path in fold.iterdir() if "unfinished" in path.name] == []
