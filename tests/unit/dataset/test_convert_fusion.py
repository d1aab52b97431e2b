"""Layout fusion and carried masks, from the table to the files."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from nnunet_pst.cli.main import main
from nnunet_pst.dataset import conversion, pair_registration
from nnunet_pst.dataset.conversion import convert_cohort
from nnunet_pst.dataset.conversion_settings import ConversionSettings
from nnunet_pst.errors import Fault, HostError, InputError
from nnunet_pst.phantom.cohort import CohortPlan, write_cohort
from nnunet_pst.registration.policy import RegistrationSettings

FAST = RegistrationSettings(engine="simpleitk")
TRUST = RegistrationSettings(engine="none")


def fusion(*channels: str, **settings: object) -> ConversionSettings:
    return ConversionSettings(layout="fusion", sequences=channels, **settings)


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom") / "cohort"
    return write_cohort(folder, CohortPlan(patients=3, seed=5, coarse=True))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def array(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def images(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


def table_without(phantom: Path, tmp_path: Path, **emptied: str) -> Path:
    """Copy of the table with columns emptied; the key is a column, the value the row's number."""
    content = rows(phantom)
    for column, which in emptied.items():
        for number, row in enumerate(content):
            if which in ("all", str(number)):
                row[column] = ""
    for row in content:
        for column, cell in row.items():
            if cell.endswith(".nii.gz"):
                row[column] = str(phantom.parent / cell)
    path = tmp_path / "table.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, content[0])
        writer.writeheader()
        writer.writerows(content)
    return path


def test_channels_are_on_the_grid_of_the_first(phantom: Path, raw: Path):
    summary = convert_cohort(phantom, "DatasetPST", fusion("T2", "CET1", registration=FAST))
    folder = raw / "DatasetPST"
    description = json.loads((folder / "dataset.json").read_text())
    assert description["channel_names"] == {"0": "T2", "1": "CET1"}
    assert description["nnunet_pst"]["registration"]["engine"] == "simpleitk"
    assert summary.registered == 3
    for row in rows(folder / "cases.csv"):
        assert row["sequence"] == "T2+CET1"
        part = "Ts" if row["split"] == "test" else "Tr"
        first, second = (
            sitk.ReadImage(str(folder / f"images{part}" / f"{row['case']}_000{i}.nii.gz"))
            for i in (0, 1)
        )
        label = sitk.ReadImage(str(folder / f"labels{part}" / f"{row['case']}.nii.gz"))
        for image in (second, label):
            assert image.GetSize() == first.GetSize()
            assert image.GetOrigin() == pytest.approx(first.GetOrigin())
    (record, *_) = rows(raw / "registration" / "DatasetPST" / "registration.csv")
    assert record["used"] == "registered"
    assert float(record["mutual_information_after"]) > float(record["mutual_information_before"])
    assert (raw / "registration" / "DatasetPST" / "contact_sheet.png").is_file()


def test_two_workers_and_a_second_run_give_the_same(
    phantom: Path, raw: Path, monkeypatch: pytest.MonkeyPatch
):
    settings = fusion("T2", "T1", registration=FAST)
    convert_cohort(phantom, "DatasetOne", settings, workers=1)
    # Interrupted when the first pair is done.
    calls = []
    original = pair_registration._register_pair

    def once(*arguments: object) -> object:
        if calls:
            raise KeyboardInterrupt
        calls.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(pair_registration, "_register_pair", once)
    with pytest.raises(KeyboardInterrupt):
        convert_cohort(phantom, "DatasetTwo", settings, workers=1)
    assert not (raw / "DatasetTwo" / "dataset.json").exists()
    monkeypatch.undo()
    monkeypatch.setenv("nnUNet_raw", str(raw))
    # As a killed engine leaves it.
    (raw / "registration" / "DatasetTwo" / "engine" / "nnunet_pst-abc").mkdir(parents=True)
    summary = convert_cohort(phantom, "DatasetTwo", settings, workers=2)
    assert (summary.registered, summary.registered_before) == (2, 1)
    assert images(raw / "DatasetOne") == images(raw / "DatasetTwo")
    assert not (raw / "registration" / "DatasetTwo" / "engine").exists()
    parts = [images(raw / "registration" / name) for name in ("DatasetOne", "DatasetTwo")]
    assert parts[0] == parts[1]
    # Nothing changed: nothing is registered, nothing written.
    again = convert_cohort(phantom, "DatasetTwo", settings, workers=1)
    assert (again.registered, again.written) == (0, 0)


def test_a_missing_channel_leaves_the_patient_out_or_is_zero(
    phantom: Path, raw: Path, tmp_path: Path
):
    emptied = {f"CET1{part}": "0" for part in ("", "_label", "_first", "_last")}
    table = table_without(phantom, tmp_path, **emptied)
    summary = convert_cohort(table, "DatasetPST", fusion("T2", "CET1", registration=TRUST))
    assert sum(summary.cases.values()) == 2
    assert any("1 patients lack one of T2, CET1: left out" in note for note in summary.notes)
    settings = fusion("T2", "CET1", registration=TRUST, allow_missing=True)
    summary = convert_cohort(table, "DatasetAll", settings)
    assert (
        "CET1 is missing and filled with zeros in 1 of 3 cases: PST_0001 (row 2)" in summary.notes
    )
    cases = rows(raw / "DatasetAll" / "cases.csv")
    assert [row["sequence"] for row in cases] == ["T2", "T2+CET1", "T2+CET1"]
    part = "Ts" if cases[0]["split"] == "test" else "Tr"
    assert not array(raw / "DatasetAll" / f"images{part}" / "PST_0001_0001.nii.gz").any()
    used = [row["used"] for row in rows(raw / "registration" / "DatasetAll" / "registration.csv")]
    assert used == ["scanner", "scanner", "missing"]
    everybody = table_without(
        phantom, tmp_path, **{f"CET1{part}": "all" for part in ("", "_label", "_first", "_last")}
    )
    summary = convert_cohort(everybody, "DatasetNone", settings)
    assert summary.registered == 0
    folder = raw / "registration" / "DatasetNone"
    assert [row["used"] for row in rows(folder / "registration.csv")] == ["missing"] * 3
    assert not (folder / "contact_sheet.png").exists()


def test_a_hopeless_pair_falls_back_with_exit_code_3(
    phantom: Path, raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    table = table_without(phantom, tmp_path)
    content = rows(table)
    source = sitk.ReadImage(content[0]["CET1"])
    two_slices = tmp_path / "two.nii.gz"
    sitk.WriteImage(source[:, :, 10:12], str(two_slices))
    text = table.read_text().replace(content[0]["CET1"] + ",", f"{two_slices},")
    table.write_text(text)
    words = ["convert", str(table), "--dataset", "DatasetPST", "--layout", "fusion"]
    words += ["--channels", "T2", "CET1", "--registration", "simpleitk", "--workers", "1"]
    assert main(words) == 3
    printed = capsys.readouterr().out
    assert "look at it: PST_0001_CET1_to_T2: the moving image has 2 slices" in printed
    assert (raw / "DatasetPST" / "dataset.json").is_file()
    record = rows(raw / "registration" / "DatasetPST" / "registration.csv")[0]
    assert record["used"] == "scanner"
    assert "2 slices" in record["reason"]


def test_images_that_share_nothing_are_flagged_without_an_engine(
    phantom: Path, raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    table = table_without(phantom, tmp_path)
    content = rows(table)
    source = sitk.ReadImage(content[0]["CET1"])
    source.SetOrigin((900.0, 0.0, 0.0))
    far = tmp_path / "far.nii.gz"
    sitk.WriteImage(source, str(far))
    table.write_text(table.read_text().replace(content[0]["CET1"] + ",", f"{far},"))
    words = ["convert", str(table), "--dataset", "DatasetPST", "--layout", "fusion"]
    words += ["--channels", "T2", "CET1", "--registration", "none", "--workers", "1"]
    assert main(words) == 3
    printed = capsys.readouterr().out
    assert "look at it: PST_0001_CET1_to_T2: the images share 0 % of the reference" in printed
    assert "PST_0002_CET1_to_T2" not in printed


@pytest.mark.parametrize("engine", ["none", "simpleitk"])
@pytest.mark.parametrize("frames", [("1.2.7", "1.2.7"), ("1.2.7", "1.2.8")])
def test_frames_of_reference_of_dicom_channels_are_compared(
    tmp_path: Path, raw: Path, write_series: Callable[..., np.ndarray], engine: str, frames: tuple
):
    mask = np.zeros((4, 12, 16), np.uint8)
    mask[1:3, 4:8, 4:9] = 1
    smooth = np.random.default_rng(0).integers(0, 900, (4, 12, 16)).astype(np.uint16)
    for name, number, uid in zip(("t2", "cet1"), (1, 2), frames, strict=True):
        array = smooth + np.uint16(number)
        write_series(tmp_path / name, array, number=number, FrameOfReferenceUID=uid)
    label = sitk.GetImageFromArray(mask)
    label.SetSpacing((1.0, 1.0, 4.0))
    label.SetOrigin((-10.0, -20.0, 30.0))
    sitk.WriteImage(label, str(tmp_path / "m.nii.gz"))
    table = tmp_path / "cohort.csv"
    table.write_text("patient,split,T2,T2_label,CET1\nanna,train,t2,m.nii.gz,cet1\n")
    registration = RegistrationSettings(engine=engine)
    summary = convert_cohort(table, "DatasetPST", fusion("T2", "CET1", registration=registration))
    differ = frames[0] != frames[1]
    (record,) = rows(raw / "registration" / "DatasetPST" / "registration.csv")
    assert record["frames"] == ("different" if differ else "same")
    told = [*summary.flagged.values(), *summary.notes]
    assert any("different frames of reference" in line for line in told) == differ
    if engine == "none":
        assert bool(summary.flagged) == differ
    for path in (raw / "registration").rglob("*.*"):
        assert b"1.2.7" not in path.read_bytes()


def test_masks_are_carried_with_their_unknown_slices(phantom: Path, raw: Path, tmp_path: Path):
    emptied = {f"{s}{part}": "all" for s in ("T1", "CET1", "DWI")
               for part in ("_label", "_first", "_last")}  # fmt: skip
    table = table_without(phantom, tmp_path, **emptied)
    with pytest.raises(InputError) as caught:
        convert_cohort(table, "DatasetPST")
    assert caught.value.fault is Fault.MISSING
    settings = ConversionSettings(sequences=("T2", "T1"), labels_from="T2", registration=FAST)
    summary = convert_cohort(table, "DatasetPST", settings)
    assert not summary.flagged
    cases = {row["case"]: row for row in rows(raw / "DatasetPST" / "cases.csv")}
    true = rows(phantom)
    for number, row in enumerate(true, 1):
        if row["split"] == "test":
            continue
        label = array(raw / "DatasetPST" / "labelsTr" / f"PST_000{number}_T1.nii.gz")
        own = array(phantom.parent / row["T1_label"]) == 1
        known = label != 2
        tumor = label == 1
        dice = 2 * (tumor & own).sum() / (tumor.sum() + (own & known).sum())
        assert dice > 0.85
        assert cases[f"PST_000{number}_T1"]["label_kind"] == "coarse"
        # T2's clicks count T2's slices.
        assert cases[f"PST_000{number}_T1"]["first"] == ""


def test_registration_files_name_no_patient(phantom: Path, raw: Path):
    convert_cohort(phantom, "DatasetPST", fusion("T2", "T1", registration=TRUST))
    for path in sorted((raw / "registration").rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            content += gzip.decompress(content) if path.suffix == ".gz" else b""
            for private in (b"phantom-0001", str(phantom.parent).encode()):
                assert private not in content, path.name


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--layout", "fusion"], "needs two channels or more"),
        (["--layout", "fusion", "--channels", "T2"], "needs two channels or more"),
        (["--layout", "fusion", "--channels", "T2", "FLAIR"], "has no sequence FLAIR"),
        (["--layout", "fusion", "--sequences", "T2"], "takes --channels"),
        (["--channels", "T2", "T1"], "are for --layout fusion"),
        (["--labels-from", "T3"], "has no sequence T3"),
    ],
)
def test_contradictory_options_are_refused(phantom: Path, raw: Path, capsys, words, message):
    assert main(["convert", str(phantom), "--dataset", "DatasetPST", *words]) == 1
    assert message in capsys.readouterr().err
    assert not raw.exists()


def test_the_engine_is_checked_first(phantom: Path, raw: Path, monkeypatch: pytest.MonkeyPatch):
    def missing(_: RegistrationSettings) -> None:
        raise HostError("no engine", Fault.NOT_INSTALLED)

    monkeypatch.setattr(conversion, "require_engine", missing)
    with pytest.raises(HostError) as caught:
        convert_cohort(phantom, "DatasetPST", fusion("T2", "T1"))
    assert caught.value.fault is Fault.NOT_INSTALLED
    assert not raw.exists()


def test_a_channel_that_lends_its_mask_is_registered_once(phantom: Path, raw: Path, tmp_path: Path):
    emptied = {f"T2{part}": "all" for part in ("_label", "_first", "_last")}
    table = table_without(phantom, tmp_path, **emptied)
    settings = fusion("T2", "CET1", labels_from="CET1", registration=TRUST)
    convert_cohort(table, "DatasetPST", settings)
    records = rows(raw / "registration" / "DatasetPST" / "registration.csv")
    assert [(row["reference"], row["moving"]) for row in records] == [("T2", "CET1")] * 3
    for path in sorted((raw / "DatasetPST" / "labelsTr").iterdir()):
        assert (array(path) == 1).any()
