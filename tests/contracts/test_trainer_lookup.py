"""The host finds every trainer in a fresh process, from a checkout and from an installed wheel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from nnunet_pst.nnunet.environment import trainer_folder
from nnunet_pst.nnunet.installation import TRAINER, ask_host_for_trainer, collect_info

Host = Callable[[str], str]
TRAINERS = sorted(path.stem for path in trainer_folder().glob("nnUNetTrainer*.py"))

# All in one process: each import of the host costs seconds. The host is asked for each by name, as
# nnUNetv2_train does, and prints the folders that it searched.
FIND_ALL = """
import contextlib, inspect, json, sys
with contextlib.redirect_stdout(sys.stderr):
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name as find
    found = {name: find(name) for name in sys.argv[1:]}
    base = next(iter(found.values())).__mro__[1]
    print(base)
print(json.dumps({
    "classes": {name: found_class.__name__ for name, found_class in found.items()},
    "base": inspect.getfile(base),
}))
"""


def find_all(folder: Path, **environ: str) -> dict:
    done = subprocess.run(
        [sys.executable, "-c", FIND_ALL, *TRAINERS],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, **environ},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads(done.stdout))


def test_from_the_installed_checkout(host: Host, tmp_path: Path):
    found = find_all(tmp_path, nnUNet_extTrainer=str(trainer_folder()))
    assert found["classes"] == {name: name for name in TRAINERS}, host("finds other classes")


def test_from_an_installed_wheel(host: Host, wheel: Path, tmp_path: Path):
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    found = find_all(
        tmp_path,
        PYTHONPATH=str(site),
        nnUNet_extTrainer=str(site / "nnunet_pst" / "trainers"),
    )
    assert found["classes"] == {name: name for name in TRAINERS}, host("finds other classes")
    assert Path(found["base"]).is_relative_to(site)


def test_a_broken_neighbor_is_named(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "broken.py").write_text("import no_such_library_here\n")
    monkeypatch.setenv("nnUNet_extTrainer", str(tmp_path))
    answer = ask_host_for_trainer(TRAINER)
    assert answer.get("error") == "ModuleNotFoundError", host(f"answered {answer}")


@pytest.mark.usefixtures("host_folders")
def test_info_finds_nothing_missing_where_env_was_used():
    findings = {finding.name: finding for finding in collect_info()}
    assert [finding.to_do for finding in findings.values() if finding.to_do] == []
    assert TRAINER in findings["nnUNet_extTrainer"].value
