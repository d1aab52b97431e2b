"""The page of a scan: what it shows, that it is one file, and whom it names."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from nnunet_pst.cli.main import main
from nnunet_pst.dicom.scan.redaction import HIDDEN, Redaction
from nnunet_pst.dicom.scan.scanning import scan
from nnunet_pst.dicom.scan.studies import find_series

Writer = Callable[..., np.ndarray]
T2 = {"ScanningSequence": "SE", "EchoTime": 100.0, "RepetitionTime": 4000.0}
T1 = {"ScanningSequence": "SE", "EchoTime": 12.0, "RepetitionTime": 600.0}
DEPTHS = tuple(4.0 * i for i in range(6))
CONTOUR = np.array([[-8, -18, 34], [-2, -18, 34], [-2, -12, 34]])
#: In names of the folder and files, the header, and texts of the series.
PLANTED = ("Mustermann", "Erika", "19640812", "Doe-4711", "secret-study", "20190304", "04.03.2019")


class Tags(HTMLParser):
    """Counts the tags of a page and keeps the addresses that it loads."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]


def tags_of(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    return tags


@pytest.fixture
def study(tmp_path: Path, write_series: Writer, write_structures: Callable, series_uid: Callable):
    """A study of two sequences with a mask on one, and planted identifiers."""
    folder = tmp_path / "secret-study" / "Mustermann_19640812"
    about = {
        "positions": DEPTHS,
        "PatientID": "Doe-4711",
        "PatientName": "Mustermann^Erika",
        "PatientBirthDate": "19640812",
    }
    names = {"SeriesDescription": "AX T2 for Mustermann 20190304 04.03.2019"}
    write_series(folder / "t2", number=1, prefix="Mustermann", **about, **names, **T2)
    write_series(folder / "t1", number=2, **about, **T1)
    write_series(folder / "more", number=3, SeriesDescription="localizer <b>", **about, **T1)
    structures = {"GTV": [CONTOUR]}
    write_structures(folder / "Mustermann-rs", structures, series=series_uid(folder / "t2"))
    write_structures(folder / "Mustermann-lost", structures, series="1.2.3")
    for path in (folder / "Mustermann-rs", folder / "Mustermann-lost"):
        _rename(path)
    return folder.parent


def _rename(path: Path) -> None:
    import pydicom

    made = pydicom.dcmread(path)
    made.PatientID, made.PatientName = "Doe-4711", "Mustermann^Erika"
    made.save_as(path)


def test_the_page_shows_what_was_taken(tmp_path: Path, study: Path):
    summary = scan(study, tmp_path / "out" / "cohort.csv")
    page = summary.page.read_text(encoding="utf-8")
    tags = tags_of(page)
    assert tags.counts["image"] == 2
    assert tags.counts["polygon"] == 2  # the lost mask fits the T1, the only one without a mask
    assert tags.counts["details"] == 1
    assert "localizer &lt;b&gt;" in page
    assert all(address.startswith("data:image/") for address in tags.addresses)
    assert "http" not in re.sub(r"base64,[^\"]+", "", page)
    assert page.index("Look at these first") < page.index("<svg")


def test_a_pseudonymous_page_and_table_name_nobody(tmp_path: Path, study: Path, capsys):
    (study / "Mustermann.dcm").write_bytes(b"")
    output = tmp_path / "out" / "cohort.csv"
    assert main(["scan", str(study), "-o", str(output), "--anonymous-ids"]) == 3
    assert "Mustermann.dcm" in capsys.readouterr().err
    for name in ("scan.html", "series.csv"):
        text = (tmp_path / "out" / name).read_text(encoding="utf-8")
        assert [word for word in PLANTED if word.casefold() in text.casefold()] == [], name
        assert str(tmp_path) not in text
        assert "P0001" in text


def test_the_planted_words_are_on_a_page_that_keeps_them(tmp_path: Path, study: Path):
    page = scan(study, tmp_path / "out" / "cohort.csv").page.read_text(encoding="utf-8")
    assert [word for word in PLANTED if word in page] == [
        "Mustermann",
        "Doe-4711",
        "20190304",
        "04.03.2019",
    ]


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("AX T2 mustermann", f"AX T2 {HIDDEN}"),
        ("Erika_T2", f"{HIDDEN}_T2"),
        ("series 12, b=800", "series 12, b=800"),
        ("on 2019-03-04 or 20190304 or 4.3.2019", f"on {HIDDEN} or {HIDDEN} or {HIDDEN}"),
        ("Mustermannsche Regel", "Mustermannsche Regel"),
        ("T1 1.5 mm, 3 of 20190", "T1 1.5 mm, 3 of 20190"),
    ],
)
def test_private_words_are_hidden_and_others_stay(study: Path, text: str, clean: str):
    tree = find_series(study)
    assert Redaction(tree.series, tree.others).clean(text) == clean


def test_an_image_that_cannot_be_decoded_is_said(tmp_path: Path, write_series: Writer):
    write_series(tmp_path / "t2", positions=DEPTHS, PixelData=bytes(2 * 12 * 16), **T2)
    for path in (tmp_path / "t2").iterdir():
        data = path.read_bytes().replace(b"MONOCHROME2 ", b"MONOCHROME2 ")
        path.write_bytes(data.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.9\0"))
    summary = scan(tmp_path, tmp_path / "out" / "cohort.csv")
    assert summary.taken
    assert summary.warnings
    assert "no picture" in summary.page.read_text(encoding="utf-8")
