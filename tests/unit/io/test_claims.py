"""One command at a time in one place, outputs that appear together, and what kills leave."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io import claims
from nnunet_pst.io.atomic_files import (
    PARTIAL,
    file_draft,
    fill,
    folder_draft,
    hidden_beside,
    replace_folder,
    write_atomically,
)
from nnunet_pst.io.claims import claimed
from nnunet_pst.io.leftovers import sweep, visible

#: Writes two tables under a claim, and is killed where its argument says.
KILLED = """
import os, signal, sys
from pathlib import Path
from nnunet_pst.io import atomic_files, claims
folder, point = Path(sys.argv[1]), sys.argv[2]
def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
if point == "before": claims.Claim.publish = die
replace = Path.replace
def second(draft, place):
    if place.name == "b.csv": die()
    return replace(draft, place)
if point == "between": Path.replace = second
with claims.claimed(folder, "scan", "a.csv") as claim:
    claim.write({folder / "a.csv": "a", folder / "b.csv": "b"})
    die()
"""


def killed(folder: Path, point: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder), point])
    assert done.returncode == -signal.SIGKILL


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_outputs_of_a_claim_appear_together_and_the_claim_goes(tmp_path: Path):
    with claimed(tmp_path / "new", "scan", "a.csv") as claim:
        assert names(tmp_path / "new") == [f"{PARTIAL}claim-a.csv"]
        claim.write({tmp_path / "new" / "a.csv": "a", tmp_path / "new" / "b.csv": "b"})
    assert names(tmp_path / "new") == ["a.csv", "b.csv"]


@pytest.mark.parametrize("point", ["before", "between", "after"])
def test_after_a_kill_the_same_command_may_replace_what_it_has_made(tmp_path: Path, point: str):
    killed(tmp_path, point)
    with claimed(tmp_path, "scan", "a.csv") as claim:
        for name in ("a.csv", "b.csv"):
            assert claim.may_replace(tmp_path / name, overwrite=False)
        claim.write({tmp_path / "a.csv": "a", tmp_path / "b.csv": "b"})
    assert names(tmp_path) == ["a.csv", "b.csv"]


def test_what_a_person_has_changed_since_is_not_replaced(tmp_path: Path):
    killed(tmp_path, "after")
    (tmp_path / "a.csv").write_text("edited")
    os.utime(tmp_path / "a.csv", (0, 0))
    with claimed(tmp_path, "scan", "a.csv") as claim:
        assert not claim.may_replace(tmp_path / "a.csv", overwrite=False)
        assert claim.may_replace(tmp_path / "b.csv", overwrite=False)
        assert claim.may_replace(tmp_path / "a.csv", overwrite=True)


def test_a_second_command_is_told_who_writes(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(claims, "_TRIES", 1)
    with claimed(tmp_path, "evaluate", "scores"):
        with pytest.raises(InputError) as caught, claimed(tmp_path, "compare", "scores"):
            pass
        with claimed(tmp_path, "evaluate", "others"):
            pass  # another output of the same folder
    (line,) = caught.value.problems
    assert line.fault is Fault.BUSY
    assert f"evaluate (process {os.getpid()} on this machine) is writing here" in line


def test_a_refusal_leaves_nothing_that_was_made_for_it(tmp_path: Path):
    with pytest.raises(InputError), claimed(tmp_path / "made" / "for", "scan", "a.csv"):
        raise InputError("no")
    assert names(tmp_path) == []


def test_of_outputs_that_cannot_all_appear_none_does(tmp_path: Path, monkeypatch):
    replace = Path.replace

    def full(draft: Path, place: Path) -> Path:
        if place.name == "b.csv":
            raise OSError(errno.ENOSPC, "full")
        return replace(draft, place)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="full"), claimed(tmp_path, "scan") as claim:
        claim.write({tmp_path / "a.csv": "a", tmp_path / "b.csv": "b"})
    assert names(tmp_path) == []


def test_leftovers_of_the_dead_are_swept_and_those_of_the_living_stay(tmp_path: Path):
    (tmp_path / "deep").mkdir()
    for place in (tmp_path, tmp_path / "deep"):
        (place / f"{PARTIAL}1-cohort.csv").write_text("half")
        (place / f"{PARTIAL}2-figures").mkdir()
    (tmp_path / f"{PARTIAL}scores").mkdir()  # an evaluation goes on from it
    with file_draft(tmp_path / "a.csv") as alive, folder_draft(tmp_path / "figures") as drawn:
        sweep(tmp_path, deep=True)
        assert alive.exists()
        assert drawn.exists()
    assert names(tmp_path) == [f"{PARTIAL}scores", "deep"]
    assert names(tmp_path / "deep") == []
    assert visible(tmp_path) == {tmp_path / "deep"}


def test_without_locks_age_decides(tmp_path: Path, monkeypatch):
    from nnunet_pst.io import file_locks

    def none(handle: int) -> bool:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(file_locks, "_locked", none)
    young, old = tmp_path / f"{PARTIAL}1-a.csv", tmp_path / f"{PARTIAL}1-b.csv"
    young.touch()
    old.touch()
    os.utime(old, (0, 0))
    sweep(tmp_path)
    assert names(tmp_path) == [young.name]


def test_a_folder_that_was_moved_aside_comes_back(tmp_path: Path):
    aside = tmp_path / f"{PARTIAL}old-scores"
    aside.mkdir()
    (aside / "cases.csv").write_text("earlier")
    sweep(tmp_path)
    assert (tmp_path / "scores" / "cases.csv").read_text() == "earlier"
    aside.mkdir()
    sweep(tmp_path)
    assert names(tmp_path) == ["scores"]


def test_a_folder_that_cannot_be_put_in_place_leaves_the_earlier_one(tmp_path: Path, monkeypatch):
    for name in ("new", "scores"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text(name)
    rename = Path.rename

    def full(source: Path, target: Path) -> Path:
        if source.name == "new":
            raise OSError(errno.EIO, "broken")
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(OSError, match="broken"):
        replace_folder(tmp_path / "new", tmp_path / "scores")
    assert (tmp_path / "scores" / "a").read_text() == "scores"


def test_what_the_disk_has_lost_is_noticed(tmp_path: Path, monkeypatch):
    (tmp_path / "a.csv").write_text("earlier")
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read(path)[:-1])
    with pytest.raises(OSError, match="could not be written whole"):
        write_atomically(tmp_path / "a.csv", "later")
    assert (tmp_path / "a.csv").read_text() == "earlier"
    assert names(tmp_path) == ["a.csv"]
    with pytest.raises(OSError, match="could not be written whole"):
        fill(tmp_path / "b", b"content")


def test_the_longest_names_can_be_written(tmp_path: Path):
    name = "n" * (255 - len(".nii.gz")) + ".nii.gz"
    write_atomically(tmp_path / name, "content")
    assert names(tmp_path) == [name]
    hidden = hidden_beside(tmp_path / name)
    assert len(os.fsencode(hidden.name)) <= 255
    assert hidden.name.endswith(".nii.gz")
