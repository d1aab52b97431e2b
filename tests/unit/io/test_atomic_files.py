"""Files that are whole or absent."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.atomic_files import (
    PARTIAL,
    copy_atomically,
    folder_written_whole,
    gone_if_refused,
    refusals_in_one_line,
    write_atomically,
    written_whole,
)


def test_a_file_is_replaced_whole(tmp_path: Path):
    file = tmp_path / "a.json"
    write_atomically(file, "first\r\n")
    write_atomically(file, "second ü\n")
    assert file.read_bytes() == "second ü\n".encode()
    (tmp_path / "b.json").write_bytes(b"third")
    copy_atomically(tmp_path / "b.json", file)
    assert file.read_bytes() == b"third"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "b.json"]


def write_half(file: Path) -> None:
    with written_whole(file) as partial:
        assert partial.name.startswith(PARTIAL)
        assert partial.name.endswith(file.name)
        partial.write_text("half")
        raise RuntimeError


def test_what_goes_wrong_leaves_the_old_file(tmp_path: Path):
    file = tmp_path / "a.nii.gz"
    file.write_text("old")
    with pytest.raises(RuntimeError):
        write_half(file)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_a_private_file_is_private_while_it_is_written(tmp_path: Path, monkeypatch):
    modes = []
    replace = Path.replace

    def watched(self: Path, target: Path) -> Path:
        modes.append(stat.S_IMODE(self.stat().st_mode))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    (tmp_path / "key.csv").write_text("readable for all")
    write_atomically(tmp_path / "key.csv", "secret", mode=0o600)
    assert modes == [0o600]
    assert stat.S_IMODE((tmp_path / "key.csv").stat().st_mode) == 0o600


def test_other_files_get_the_permissions_of_any_new_file(tmp_path: Path):
    umask = os.umask(0o027)
    try:
        write_atomically(tmp_path / "plans.json", "{}")
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "plans.json").stat().st_mode) == 0o640


def fill_folder(folder: Path, text: str, error: Exception | None = None) -> None:
    with folder_written_whole(folder) as draft:
        (draft / "a.txt").write_text(text)
        if error is not None:
            raise error


def test_a_folder_is_replaced_whole_or_stays_as_it_was(tmp_path: Path):
    folder = tmp_path / "figures [1]"
    fill_folder(folder, "first")
    (folder / "b.txt").touch()
    (tmp_path / f"{PARTIAL}0-{folder.name}").mkdir()  # left by a process that was killed
    fill_folder(folder, "second")
    with pytest.raises(RuntimeError):
        fill_folder(folder, "third", RuntimeError())
    assert [path.read_text() for path in folder.iterdir()] == ["second"]
    assert list(tmp_path.iterdir()) == [folder]


def test_a_refusal_is_one_line(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError) as caught, refusals_in_one_line(tmp_path):
        write_atomically(tmp_path / "file" / "a", "")
    (line,) = caught.value.problems
    assert line.startswith(f"{tmp_path}: can't be written (Not a directory)")
    assert line.fault is Fault.UNWRITABLE


@pytest.mark.parametrize(("error", "left"), [(InputError("no"), False), (OSError("full"), True)])
def test_a_refusal_removes_the_folder_and_an_interruption_does_not(tmp_path, error, left: bool):
    folder = tmp_path / "made" / "for" / "this"

    def fill() -> None:
        with gone_if_refused(folder):
            folder.mkdir(parents=True)
            (folder / "half").touch()
            raise error

    with pytest.raises(type(error)):
        fill()
    assert folder.exists() == (tmp_path / "made").exists() == left
