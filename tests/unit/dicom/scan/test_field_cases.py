"""The scripts of cases from the field, where they are at hand: what each docstring calls right."""

from __future__ import annotations

import csv
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from nnunet_pst.cli.main import main
from nnunet_pst.dataset.image_sources import read_source_image, read_source_mask
from nnunet_pst.errors import InputError

CASES = Path(__file__).parents[5] / "shared" / "cases" / "dicom"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="the cases from the field aren't here")


@dataclass(frozen=True)
class Scanned:
    """A scan of a case: rows of its tables, what it printed, and its exit code."""

    folder: Path
    cohort: dict[str, dict[str, str]]
    series: list[dict[str, str]]
    code: int

    def taken(self, patient: str) -> dict[str, str]:
        """Series number and stack that were taken, by sequence."""
        rows = [r for r in self.series if r["patient"] == patient and r["decision"] == "taken"]
        return {r["sequence"]: " ".join(filter(None, (r["series"], r["stack"]))) for r in rows}

    def reasons(self, patient: str) -> dict[str, str]:
        """Reasons of what was not taken, by series."""
        rows = [r for r in self.series if r["patient"] == patient and r["decision"] != "taken"]
        return {r["series"]: r["reason"] for r in rows}


@pytest.fixture(scope="module")
def scan_case(tmp_path_factory: pytest.TempPathFactory):
    """Writes a case by its script, once, and scans it."""

    @cache
    def written(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name[:2])
        (script,) = CASES.glob(f"{name}_*.py")
        command = [sys.executable, "-W", "ignore", str(script), str(folder / "in")]
        subprocess.run(command, check=True, capture_output=True)
        return folder

    @cache
    def scanned(name: str, *words: str) -> Scanned:
        folder = written(name)
        output = folder / f"out{len(list(folder.iterdir()))}"
        code = main(["scan", str(folder / "in"), "-o", str(output / "cohort.csv"), *words])
        cohort, series = ([*_rows(output / f"{table}.csv")] for table in ("cohort", "series"))
        return Scanned(output, {row["patient"]: row for row in cohort}, series, code)

    return scanned


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def image_of(scanned: Scanned, patient: str) -> np.ndarray:
    return read_source_image(scanned.folder / scanned.cohort[patient]["T2"]).array


def mask_of(scanned: Scanned, patient: str):
    row = scanned.cohort[patient]
    image = scanned.folder / row["T2"]
    grid = read_source_image(image).grid
    return read_source_mask(scanned.folder / row["T2_label"], image, grid)


TAKEN = [
    ("01", "enhanced", {"T1": "5 type=WATER"}),
    ("01", "classic", {"T1": "6 type=W-W"}),
    ("01", "separate", {"T1": "602"}),
    ("02", "new", {"T1": "502"}),
    ("02", "plain", {"T1": "502"}),
    ("04", "philips", {"DWI": "7 b=800"}),
    ("04", "siemens", {"DWI": "8"}),
    ("05", "classic", {"DWI": "7 b=800 type=DERIVED"}),
    ("05", "early", {"DWI": "7 b=800 type=DERIVED"}),
    ("05", "enhanced", {"DWI": "8 b=800 direction=ISOTROPIC"}),
    ("07", "trigger", {"T1": "9 phase=2", "CET1": "9 phase=4"}),
    ("07", "instance", {"T1": "9 part=2", "CET1": "9 part=4"}),
    ("08", "both", {"T1": "3", "CET1": "9"}),
    ("08", "pre", {"T1": "3"}),
    ("08", "dynamic", {"T1": "5 phase=1", "CET1": "5 phase=3"}),
    ("16", "last", {"T2": "4"}),
    ("16", "merged", {"T1": "4 te=12", "T2": "4 te=100"}),
    ("16", "twice", {"T2": "4 acquisition=1"}),
    ("16", "canon", {}),
    ("19", "shot", {"T2": "3"}),
    ("19", "mosaic", {}),
    ("19", "anon", {}),
    ("19", "noplace", {}),
    ("21", "ge", {"DWI": "5 b=800"}),
    ("21", "synth", {"DWI": "5"}),
    ("21", "ingenia", {"DWI": "9 b=500"}),
    ("21", "adc", {"DWI": "5"}),
    *[("23", p, {"T1": "3", "T2": "4"}) for p in ("wwo", "dwi", "stir", "subtraction", "spine")],
    *[("23", p, {"T1": "3", "T2": "4"}) for p in ("localizer", "neutral")],
    *[
        ("25", patient, {"CET1": "5"})
        for patient in (
            *("max_ip", "mip_tra", "mnip", "stddev", "projection", "average"),
            *("reformatted", "cpr", "mpr", "subtract"),
        )
    ],
]


@pytest.mark.parametrize(("case", "patient", "taken"), TAKEN)
def test_the_right_series_are_taken(scan_case, case: str, patient: str, taken: dict):
    assert scan_case(case).taken(patient) == taken


@pytest.mark.parametrize(
    ("case", "patient", "series", "word"),
    [
        ("19", "mosaic", "6", "mosaic"),
        ("19", "anon", "4", "have no ImagePositionPatient"),
        ("19", "noplace", "4", "have no ImagePositionPatient"),
        ("19", "shot", "4", "screen capture"),
        ("25", "average", "6", "made from other images"),
        ("25", "stddev", "6", "made from other images"),
    ],
)
def test_the_reason_names_what_is_there(scan_case, case, patient, series, word):
    assert word in scan_case(case).reasons(patient)[series]


@pytest.mark.parametrize("patient", ["study", "frame", "seg"])
def test_masks_with_lost_references_are_attached_and_it_is_said(scan_case, patient: str):
    scanned = scan_case("10")
    assert mask_of(scanned, patient).mask.sum(axis=(1, 2)).tolist()[3:5] == [144, 144]
    assert scanned.code == 3


def test_contours_are_joined_unless_they_are_exclusive(scan_case):
    scanned = scan_case("11")
    source = mask_of(scanned, "case")
    assert source.mask.sum(axis=(1, 2)).tolist() == [0, 0, 252, 144, 240, 240, 0, 0]
    assert any("1 contour OPEN_PLANAR" in remark for remark in source.remarks)
    assert scanned.code == 3


@pytest.mark.parametrize("patient", ["fractional", "labelmap", "labelmap1", "turned", "stack"])
def test_segments_of_every_kind(scan_case, patient: str):
    mask = mask_of(scan_case("13"), patient).mask
    assert mask.sum(axis=(1, 2)).tolist() == [0, 0, 0, 144, 144, 0, 0, 0]
    assert mask[3:5, 8:20, 8:20].all()


@pytest.mark.parametrize(
    "patient",
    ["bare_implicit", "bare_explicit", "big", "deflated", "deflated_frame", "encapsulated"],
)
def test_transfer_syntaxes_are_read(scan_case, patient: str):
    assert image_of(scan_case("14"), patient).mean() == pytest.approx(300, rel=0.05)


def test_what_no_decoder_reads_is_refused_by_name(scan_case):
    with pytest.raises(InputError, match="JPEG XL"):
        image_of(scan_case("14"), "jpegxl")
    assert scan_case("14").code == 3  # said by the scan already, which draws a picture


def test_images_that_share_a_uid_are_all_kept_and_it_is_said(scan_case):
    scanned = scan_case("16")
    assert {p: len(image_of(scanned, p)) for p in ("last", "all", "twice")} == {
        "last": 8,
        "all": 8,
        "twice": 8,
    }
    assert scanned.code == 3


def test_padding_float_and_slopes(scan_case):
    scanned = scan_case("17")
    padded = image_of(scanned, "padded")
    assert (padded.min(), padded[:, :, :10].max()) == (0, 0)
    assert padded[:, :, 10:].mean() == pytest.approx(300, rel=0.05)
    assert image_of(scanned, "float").mean() == pytest.approx(0.5, rel=0.05)
    assert image_of(scanned, "frames").mean(axis=(1, 2)) == pytest.approx(600, rel=0.05)


@pytest.mark.parametrize(
    ("patient", "roi", "attached"),
    [
        ("gb", "肿瘤", True),
        ("nfd", "Tumör", True),
        ("nfd", "Tumo\u0308r", True),
        ("twice", "GTV", False),
        ("empty", "GTV", False),
        ("points", "GTV", False),
    ],
)
def test_names_of_structures(scan_case, patient: str, roi: str, attached: bool):
    scanned = scan_case("26", "--roi", roi)
    assert bool(scanned.cohort[patient]["T2_label"]) == attached
    assert scanned.code == 3
