"""The verb ``scan``: what it takes and rejects, why, and what it writes."""

from __future__ import annotations

import csv
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from nnunet_pst.cli.main import main
from nnunet_pst.dataset.cohort_table import parse_cohort
from nnunet_pst.dicom.reading.addresses import read_addressed_image
from nnunet_pst.dicom.reading.pixels import read_stack
from nnunet_pst.dicom.scan.judgments import Outcome
from nnunet_pst.dicom.scan.sequence_rules import parse_rules, read_rules
from nnunet_pst.dicom.scan.studies import find_series, judge_studies, read_study, reasons

DATA = Path(__file__).parents[5] / "shared" / "data"
Writer = Callable[..., np.ndarray]
T2 = {"ScanningSequence": "SE", "EchoTime": 100.0, "RepetitionTime": 4000.0}
T1 = {"ScanningSequence": "SE", "EchoTime": 12.0, "RepetitionTime": 600.0}
GRADIENT = {"ScanningSequence": "GR", "EchoTime": 1.4, "RepetitionTime": 4.0, "FlipAngle": 12.0}
SAGITTAL = (0, 1, 0, 0, 0, -1)
DEPTHS = tuple(4.0 * i for i in range(6))


@pytest.fixture
def write(write_series: Writer) -> Writer:
    """Writes a series of six slices: enough for a volume, and quick."""
    return lambda folder, **rest: write_series(folder, **{"positions": DEPTHS, **rest})


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def scan(folder: Path, output: Path, *words: str) -> tuple[list[dict], list[dict]]:
    assert main(["scan", str(folder), "-o", str(output / "cohort.csv"), *words]) == 0
    return rows(output / "cohort.csv"), rows(output / "series.csv")


def test_the_prostate_study_is_read_as_a_radiologist_would(tmp_path: Path):
    (patient,), stacks = scan(DATA / "prostatex-0218", tmp_path)
    taken = {r["sequence"]: (r["series"], r["stack"]) for r in stacks if r["decision"] == "taken"}
    assert taken == {"T2": ("5", ""), "DWI": ("8", "b=800"), "T1": ("26", ""), "CET1": ("96", "")}
    assert patient["DWI"].endswith("8.000000-ep2dadvdiff3Scan4bvalspair511b-12670#b=800")
    expected = {r["series_number"]: r["label"] for r in rows(DATA / "prostatex-0218-series.csv")}
    assert {r["series"] for r in stacks} == set(expected)
    for number, label in expected.items():
        sequences = {r["sequence"] for r in stacks if r["series"] == number}
        assert sequences - {"none"} == {label} - {"none"}, number
    assert all(r["reason"] and r["rule"] and r["tag"] and r["value"] for r in stacks)
    last = next(r for r in stacks if r["series"] == "96")
    assert last["reason"].startswith("phase 6 of 6 of a dynamic series, enhanced")
    assert last["value"].endswith("mean 87.3, +32% against the first phase")
    b = next(r for r in stacks if r["stack"] == "b=800")
    assert (b["tag"], b["value"]) == ("(0019,100c)", "800")


@pytest.mark.parametrize(
    ("folder", "sequences", "cell"),
    [
        ("sts-001-raw", {"T1", "T2"}, "1-1.dcm#roi=GTV_Mass"),
        ("sts-001-dicom", {"T1"}, "RS.dcm"),
    ],
)
def test_sarcoma_masks_are_attached(tmp_path: Path, folder: str, sequences: set, cell: str):
    (patient,), series = scan(DATA / folder, tmp_path, "--roi", "gtv mass")
    assert patient.keys() == {"patient"} | sequences | {f"{name}_label" for name in sequences}
    for name in sequences:
        assert patient[name].endswith(f"MR_{name}/image")
        assert patient[f"{name}_label"].endswith(f"MR_{name}/mask/{cell}")
    masks = [r for r in series if r["decision"] == "mask"]
    assert len(masks) == 2
    assert all("GTV_Mass" in r["value"] for r in masks)


def test_a_study_is_read_with_its_headers_in_order():
    sequences = read_study(DATA / "sts-001-raw")
    assert [one.name for one in sequences] == ["T1", "T2"]
    for one in sequences:
        volume, headers = one.image.volume, one.image.headers
        assert len(headers) == len(volume.array) == 40
        affine = volume.grid.affine_lps_mm
        for z in (0, 17, 39):
            place = (affine @ [0, 0, z, 1])[:3]
            np.testing.assert_allclose(place, headers[z].ImagePositionPatient, atol=0.01)


def dynamic(folder: Path, write: Writer, means: list[float]) -> None:
    """A dynamic scan, a series for each phase; numbers and series times run against the phases."""
    base = np.random.default_rng(1).integers(80, 120, (6, 12, 16))
    for index, mean in enumerate(means):
        number = 90 - index
        write(
            folder / f"{number}",
            array=(base * mean / 100).astype(np.uint16),
            number=number,
            SequenceName="fldyn3d1",
            AcquisitionTime=f"12{index:02d}00",
            SeriesTime=f"13{50 - index}00",
            **GRADIENT,
        )


@pytest.mark.parametrize(
    ("means", "taken"),
    [
        ([100, 100, 140, 170, 190], 86),
        ([100, 101, 150, 190, 150], 87),  # washed out at the end: not the last
        ([100, 102, 101], None),
        ([100], None),
    ],
)
def test_an_enhanced_phase_is_taken_by_its_pixels(
    tmp_path: Path, write: Writer, means: list, taken: int | None
):
    dynamic(tmp_path, write, means)
    (study,) = judge_studies(find_series(tmp_path).series)
    enhanced = study.chosen.get("CET1")
    assert (enhanced and enhanced.stack.series.first.number) == taken
    if len(means) > 1:  # the first phase is a T1 before contrast
        first = next(j for j in study.judgments if j.stack.series.first.number == 90)
        assert first.sequence == "T1"


def test_ties_are_broken_in_the_stated_order(tmp_path: Path, write: Writer):
    write(tmp_path / "few", number=1, positions=DEPTHS[:5], **T2)
    write(tmp_path / "coarse", number=2, spacing=(1.5, 1.5), **T2)
    write(tmp_path / "early", number=4, AcquisitionTime="100000", **T2)
    write(tmp_path / "late", number=3, AcquisitionTime="110000", **T2)
    write(tmp_path / "sagittal", number=5, orientation=SAGITTAL, **T2)
    write(tmp_path / "gap", number=6, positions=(*DEPTHS, 40.0), **T2)
    _, series = scan(tmp_path, tmp_path)
    assert {r["series"]: r["reason"].partition("; ")[2] for r in series} == {
        "1": "series 3 has more slices",
        "2": "series 3 has smaller pixels",
        "3": "taken, the best of 4",
        "4": "series 3 has a later acquisition",
        "5": "not axial but sagittal",
        "6": "fetch the whole series",
    }


def test_every_stack_that_is_not_taken_has_one_reason_with_its_name(tmp_path: Path, write: Writer):
    write(tmp_path / "few", number=1, positions=DEPTHS[:5], **T2)
    write(tmp_path / "more", number=12, **T2)
    write(tmp_path / "gap", number=3, positions=(*DEPTHS, 40.0), **T2)
    write(tmp_path / "sagittal", number=4, orientation=SAGITTAL, **T2)
    write(tmp_path / "localizer", number=5, SeriesDescription="localizer", **T2)
    (study,) = judge_studies(find_series(tmp_path).series)
    assert [one.outcome for one in study.judgments] == [
        Outcome.OUTRANKED,
        Outcome.NOT_A_VOLUME,
        Outcome.NOT_AXIAL,
        Outcome.NOT_A_SEQUENCE,
        Outcome.TAKEN,
    ]
    # "series 12 has" begins like the name of series 1.
    assert reasons(study) == [
        "series 1: series 12 has more slices",
        study.judgments[1].verdict.reason,
        "series 4: not axial but sagittal",
        "series 5: a localizer",
    ]
    assert study.judgments[1].verdict.reason.startswith("series 3: ")


def test_a_series_with_a_mask_is_preferred(
    tmp_path: Path, write: Writer, write_structures: Callable, series_uid: Callable
):
    write(tmp_path / "few", number=1, positions=DEPTHS[:5], **T2)
    write(tmp_path / "many", number=2, **T2)
    contour = np.array([[-8, -18, 34], [-2, -18, 34], [-2, -12, 34]])
    write_structures(tmp_path / "rs" / "x", {"GTV": [contour]}, series=series_uid(tmp_path / "few"))
    (patient,), _ = scan(tmp_path, tmp_path)
    assert patient == {"patient": "patient-1", "T2": "few", "T2_label": "rs/x"}


def test_a_nifti_mask_is_attached_by_its_grid(tmp_path: Path, write: Writer):
    write(tmp_path / "t2", number=1, **T2)
    write(tmp_path / "t1", number=2, spacing=(0.9, 0.9), **T1)
    (series, _) = find_series(tmp_path).series
    grid = read_stack(series.stacks[0]).grid
    mask = sitk.GetImageFromArray(np.ones(grid.shape_zyx, np.uint8))
    mask.SetSpacing(grid.spacing_xyz_mm)
    mask.SetOrigin(grid.origin_lps_mm)
    sitk.WriteImage(mask, str(tmp_path / "tumor.nii.gz"))
    (patient,), _ = scan(tmp_path, tmp_path)
    assert (patient["T2_label"], patient["T1_label"]) == ("tumor.nii.gz", "")


def test_several_series_in_one_folder_or_zip_get_addresses(tmp_path: Path, write: Writer):
    study = tmp_path / "Bjørn Åse — 1"
    for number, elements in ((1, T1), (2, T2)):
        write(study, number=number, prefix=f"{number}-", **elements)
    (patient,), _ = scan(study, tmp_path)
    assert (patient["T1"], patient["T2"]) == (f"{study.name}#series=1", f"{study.name}#series=2")
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as archive:
        for path in study.iterdir():
            archive.write(path, f"inner/{path.name}")
    shutil.rmtree(study)
    (patient,), _ = scan(tmp_path / "study.zip", tmp_path, "--overwrite")
    assert (patient["T1"], patient["T2"]) == ("study.zip#series=1", "study.zip#series=2")
    assert read_addressed_image(tmp_path / patient["T2"]).array.shape == (6, 12, 16)


def test_pseudonyms_stay_and_the_key_is_private(tmp_path: Path, write: Writer):
    write(tmp_path / "b", number=1, PatientID="Mustermann", **T2)
    scan(tmp_path / "b", tmp_path, "--anonymous-ids")
    write(tmp_path / "a", number=2, PatientID="Adler", StudyInstanceUID="1.2.3", **T2)
    patients, series = scan(tmp_path, tmp_path, "--anonymous-ids", "--overwrite")
    assert [row["patient"] for row in patients] == ["P0001", "P0002"]
    key = tmp_path / "cohort_key.csv"
    assert rows(key) == [
        {"pseudonym": "P0001", "patient": "Mustermann", "folder": str(tmp_path / "b")},
        {"pseudonym": "P0002", "patient": "Adler", "folder": str(tmp_path / "a")},
    ]
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    for secret in ("Mustermann", "Adler", "Doe", str(tmp_path)):
        assert secret not in str(patients) + str(series)


def test_a_patient_id_never_runs_as_a_formula(tmp_path: Path, write: Writer):
    formula = "=cmd|' /C calc'!A0"
    write(tmp_path / "-a", number=1, PatientID=formula, **T2)
    (patient,), series = scan(tmp_path / "-a", tmp_path)
    assert {patient["patient"], *(row["patient"] for row in series)} == {f"'{formula}"}
    assert patient["T2"] == "'-a"
    (read,) = parse_cohort(tmp_path / "cohort.csv")[0].patients  # without masks
    assert (read.identifier, read.sequences["T2"].image) == (formula, tmp_path / "-a")
    for _ in range(2):  # the key is read back, and names the same patient
        (patient,), _ = scan(tmp_path / "-a", tmp_path, "--anonymous-ids", "--overwrite")
        assert patient["patient"] == "P0001"
    (named,) = rows(tmp_path / "cohort_key.csv")
    assert (named["pseudonym"], named["patient"]) == ("P0001", f"'{formula}")


def test_a_key_without_folders_is_continued(tmp_path: Path, write: Writer):
    write(tmp_path / "a", number=2, PatientID="Adler", **T2)
    key = tmp_path / "cohort_key.csv"
    key.write_text("pseudonym,patient\nP0007,Mustermann\nP0003,Adler\n")
    scan(tmp_path, tmp_path, "--anonymous-ids")
    assert [tuple(row.values()) for row in rows(key)] == [
        ("P0007", "Mustermann", ""),
        ("P0003", "Adler", str(tmp_path / "a")),
    ]


@pytest.mark.parametrize("text", ["", "a,b\n", "pseudonym,patient,folder\nP0001\n"])
def test_a_file_that_is_not_a_key_is_not_replaced(tmp_path: Path, write: Writer, text: str):
    write(tmp_path / "a", **T2)
    (tmp_path / "cohort_key.csv").write_text(text)
    words = ["scan", str(tmp_path), "-o", str(tmp_path / "cohort.csv"), "--anonymous-ids"]
    assert main(words) == 1
    assert (tmp_path / "cohort_key.csv").read_text() == text


def test_of_several_studies_the_fullest_is_taken(tmp_path: Path, write: Writer):
    write(tmp_path / "old" / "t2", number=1, **T2)
    write(tmp_path / "old" / "t1", number=2, **T1)
    write(tmp_path / "new", number=3, StudyInstanceUID="1.2.3", SeriesDate="20300101", **T2)
    (patient,), series = scan(tmp_path, tmp_path)
    assert (patient["T1"], patient["T2"]) == ("old/t1", "old/t2")
    other = next(row for row in series if row["series"] == "3")
    assert other["reason"] == "another study of this patient is taken: it has more sequences"


def test_given_rules_replace_the_packages(tmp_path: Path, write: Writer):
    write(tmp_path / "t2", number=1, **T2)
    rules = tmp_path / "rules.csv"
    rules.write_text("rule,sequence,when,reason\nmine,DWI,te > 50 & scanning ~ ^SE$,because\n")
    (patient,), (row,) = scan(tmp_path, tmp_path, "--rules", str(rules))
    assert patient["DWI"] == "t2"
    assert (row["rule"], row["value"]) == ("mine", "100; SE")


def test_the_packages_rules_are_printed_to_be_changed(
    tmp_path: Path, write: Writer, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as stop:
        main(["scan", "--print-rules"])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert parse_rules(printed, "printed") == read_rules()
    write(tmp_path / "t2", spacing=(4.5, 4.5), **T2)
    words = ["scan", str(tmp_path), "-o", str(tmp_path / "cohort.csv")]
    assert main(words) == 1
    assert "pixels of more than 3 mm, as a survey" in capsys.readouterr().err
    (tmp_path / "rules.csv").write_text(printed.replace("pixel_mm > 3", "pixel_mm > 5"))
    assert main([*words, "--rules", str(tmp_path / "rules.csv")]) == 0


@pytest.mark.parametrize("place", ["nowhere", "empty", "localizer"])
def test_nothing_usable_writes_nothing(
    tmp_path: Path, write: Writer, place: str, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "empty").mkdir()
    write(tmp_path / "localizer", SeriesDescription="localizer", **T2)
    out = tmp_path / "out"
    assert main(["scan", str(tmp_path / place), "-o", str(out / "cohort.csv")]) == 1
    printed = capsys.readouterr().err.splitlines()
    assert {
        "nowhere": f"error: {tmp_path / 'nowhere'}: no such folder or file",
        "empty": "error: empty: holds no DICOM images",
        "localizer": "error: localizer: no usable sequence",
    }[place] == printed[0]
    assert printed[1:] == (["error: series 1: a localizer"] if place == "localizer" else [])
    assert not out.exists()


def test_tables_are_not_replaced_without_overwrite(tmp_path: Path, write: Writer):
    write(tmp_path / "t2", **T2)
    scan(tmp_path, tmp_path)
    assert main(["scan", str(tmp_path), "-o", str(tmp_path / "cohort.csv")]) == 1
