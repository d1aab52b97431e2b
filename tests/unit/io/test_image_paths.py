"""Paths in table cells: which name an image, and why the others don't."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnunet_pst.errors import Fault, Problem
from nnunet_pst.io.image_paths import image_path_problem, join_address, split_address


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an image, DICOM files with and without a suffix, and other things."""
    for name in ("a.nii.gz", "Scan.MHA", " padded.nii.gz", "a.png"):
        (tmp_path / name).touch()
    (tmp_path / "1.dcm").touch()
    (tmp_path / "IM0001").write_bytes(bytes(128) + b"DICM" + bytes(20))
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "IM0001").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "empty").mkdir()
    return tmp_path


def problem(folder: Path, cell: str) -> Problem | None:
    return image_path_problem(cell, folder / cell)


def test_an_image(folder: Path):
    assert problem(folder, "a.nii.gz") is None
    assert problem(folder, "Scan.MHA") is None
    assert problem(folder, str(folder / "a.nii.gz")) is None


def test_dicom_in_all_its_forms(folder: Path):
    for cell in ("1.dcm", "IM0001", "series", "series#b=800", "1.dcm#roi=GTV Mass"):
        assert problem(folder, cell) is None


def test_an_address_comes_apart_as_it_was_put_together(tmp_path: Path):
    key = {"series": "8", "roi": "GTV #1 & more/less = 50%"}
    cell = join_address("a b/study", key)
    assert cell.startswith("a b/study#series=8&roi=GTV %231 %26 more%2Fless %3D 50%25")
    assert split_address(tmp_path / cell) == (tmp_path / "a b/study", key)
    assert split_address(Path("a#1/t2.nii.gz")) == (Path("a#1/t2.nii.gz"), {})
    (tmp_path / "x#b=8").mkdir()
    assert split_address(tmp_path / "x#b=8") == (tmp_path / "x#b=8", {})


@pytest.mark.parametrize(
    ("cell", "fault"),
    [
        ("b.nii.gz", Fault.MISSING),
        ("/none/b.nii.gz", Fault.MISSING),
        ("a.png", Fault.WRONG_TYPE),
        ("empty", Fault.WRONG_TYPE),
        ("none#b=800", Fault.MISSING),
        ("x" * 5000, Fault.MISSING),
        ("a\0b", Fault.MISSING),
    ],
)
def test_what_is_not_an_image(folder: Path, cell: str, fault: Fault):
    line = problem(folder, cell)
    assert line is not None
    assert line.fault is fault


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ('"a.nii.gz"', 'no such file: "a.nii.gz" (relative to the table); write a.nii.gz, without'),
        ("'/none/a.nii.gz '", "write /none/a.nii.gz, without quotes and spaces"),
        ("\u201ca.nii.gz\u201d", "write a.nii.gz, without quotes"),
        ("p01\\a.nii.gz", "write / instead of"),
        ("padded.nii.gz", "there is ' padded.nii.gz' with spaces around its name"),
        ("scan.mha", "there is Scan.MHA: capitals count"),
    ],
)
def test_a_likely_mistake_is_named(folder: Path, cell: str, message: str):
    assert message in str(problem(folder, cell))


def test_an_absolute_path_is_not_relative_to_the_table(folder: Path):
    for cell in ("/none/b.nii.gz", "'/none/b.nii.gz'"):
        assert "relative" not in str(problem(folder, cell))
