"""A built wheel holds every module, its command and its trainers."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
FOLDERS = {
    "nnunet_pst": "nnunet_pst",
    "trainers": "nnunet_pst/trainers",
    "dataset_conversion": "nnunet_pst/dataset_conversion",
}


def modules_on_disk() -> set[str]:
    """Places of every module, template and table in a wheel."""
    return {
        f"{place}/{path.relative_to(CHECKOUT / folder).as_posix()}"
        for folder, place in FOLDERS.items()
        for pattern in ("*.py", "*.html", "*.csv", "py.typed")
        for path in (CHECKOUT / folder).rglob(pattern)
    }


def test_the_wheel_holds_every_module_and_nothing_else(wheel: Path):
    names = {n for n in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in n}
    assert names == modules_on_disk()


def test_an_installed_wheel_has_its_command_and_its_trainers(wheel: Path, tmp_path: Path):
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    entry = next(site.glob("*.dist-info/entry_points.txt")).read_text(encoding="utf-8")
    assert "nnunet_pst = nnunet_pst.cli.main:main" in entry
    # Before the finder of an editable install, which comes last.
    code = "from nnunet_pst.nnunet.environment import trainer_folder; print(trainer_folder())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
    )
    assert done.stdout.strip() == str(site / "nnunet_pst" / "trainers"), done.stderr
