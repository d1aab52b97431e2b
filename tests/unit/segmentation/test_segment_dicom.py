"""DICOM folders and archives through ``segment``: series, failures, derived objects."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813

from nnunet_pst.cli.main import main
from nnunet_pst.dicom.masks.structures import contours_of, structure_mask
from nnunet_pst.errors import InputError
from nnunet_pst.io.volumes import Volume
from nnunet_pst.nnunet.models import segment
from nnunet_pst.segmentation.dicom_studies import studies_of_dicom
from nnunet_pst.segmentation.model_interface import ModelChoice, ModelFacts, Prediction

HEADER = {"SliceThickness": 4}
T2 = {
    **HEADER,
    "ScanningSequence": "SE",
    "EchoTime": 101,
    "RepetitionTime": 4000,
    "SequenceVariant": "SK",
}
POSITIONS = tuple(4.0 * place for place in range(8))
PROSTATE = Path(__file__).parents[4] / "shared" / "data" / "prostatex-0218"


class Bright:
    """A model whose tumor is the bright part; counts its cases."""

    facts = ModelFacts("bright", ("MRI",), ("T1", "T2", "DWI", "CET1"), None, {}, 1)

    def __init__(self) -> None:
        self.cases = 0

    def predict(self, channels: Sequence[Volume], *, probability: bool = False) -> Prediction:
        self.cases += 1
        array = channels[0].array
        mask = array > 0.8 * array.max()
        return Prediction(mask, mask.astype(np.float32) if probability else None)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Bright:
    bright = Bright()
    monkeypatch.setattr(segment, "load_models", lambda *_: ModelChoice(bright, None))
    return bright


@pytest.fixture
def write_study(write_series: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """A study with one tilted T2 series of non-square pixels and a bright box."""

    def write(folder: Path, number: int = 1, **elements: object) -> np.ndarray:
        array = np.random.default_rng(number).integers(50, 300, (8, 40, 48)).astype(np.uint16)
        array[2:6, 10:18, 12:24] = 900
        tilt = np.radians(20)
        write_series(
            folder / "t2",
            array,
            orientation=(1.0, 0.0, 0.0, 0.0, float(np.cos(tilt)), float(np.sin(tilt))),
            positions=POSITIONS,
            spacing=(1.5, 1.2),
            **{
                "StudyInstanceUID": f"1.2.3.{number}",
                "SeriesInstanceUID": f"1.2.3.{number}.1",
                "SeriesDescription": "t2_tse_tra",
                "ImageType": ["ORIGINAL", "PRIMARY", "M"],
                "MRAcquisitionType": "2D",
                "PatientID": "ID-4711",
                "StudyDate": "20240229",
                **T2,
                **elements,
            },
        )
        return array

    return write


def run(folder: Path, output: Path, *words: str) -> int:
    return main(["segment", str(folder), "--model", "m", "-o", str(output), *words])


def test_a_folder_gives_masks_seg_and_rtstruct_in_place(
    tmp_path: Path, model: Bright, write_study: Callable[..., np.ndarray]
) -> None:
    array = write_study(tmp_path / "study")
    assert run(tmp_path / "study", tmp_path / "out") == 0
    home = tmp_path / "out" / "study_0001"
    mask = sitk.ReadImage(str(home / "T2_mask.nii.gz"))
    assert np.array_equal(sitk.GetArrayFromImage(mask) > 0, array == 900)
    # The center of the first pixel of the first slice, which is not the first file.
    assert mask.GetOrigin() == pytest.approx((-10.0, -20.0, 30.0), abs=1e-4)
    seg = pydicom.dcmread(home / "dicom" / "T2_seg.dcm")
    assert seg.PatientID == "ID-4711"
    assert seg.StudyInstanceUID == "1.2.3.1"
    series = seg.ReferencedSeriesSequence[0].SeriesInstanceUID
    assert series == "1.2.3.1.1"
    assert (home / "dicom" / "T2_rtstruct.dcm").is_file()
    report = (home / "report.json").read_text()
    assert "ID-4711" not in report
    key = (tmp_path / "out_studies.csv").read_text()
    assert f",{tmp_path / 'study' / 't2'}\n" in key
    assert str(tmp_path) not in report
    assert "taken as T2" in report


def test_a_zip_gives_the_same(
    tmp_path: Path, model: Bright, write_study: Callable[..., np.ndarray]
) -> None:
    write_study(tmp_path / "study")
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "study")
    assert run(tmp_path / "study", tmp_path / "a") == 0
    assert run(Path(archive), tmp_path / "b") == 0
    masks = [(tmp_path / n / "study_0001" / "T2_mask.nii.gz").read_bytes() for n in "ab"]
    assert masks[0] == masks[1]


def test_one_bad_study_does_not_stop_the_others(
    tmp_path: Path,
    model: Bright,
    write_study: Callable[..., np.ndarray],
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = tmp_path / "many"
    write_study(root / "one", 1)
    write_study(root / "two", 2, EchoTime=5, FlipAngle=180, SeriesDescription="localizer")
    write_study(root / "three", 3)
    (root / "notes.dcm").write_bytes(b"")
    assert run(root, tmp_path / "out") == 3
    captured = capsys.readouterr()
    assert "no usable sequence" in captured.err
    assert "notes.dcm: is empty" in captured.err
    assert (
        sorted(p.name for p in (tmp_path / "out").glob("study_*/report.html"))
        == ["report.html"] * 2
    )
    assert model.cases == 2
    assert run(root, tmp_path / "out") == 3  # finished studies are kept
    assert model.cases == 2


def test_two_patients_with_one_study_uid_are_two_studies(
    tmp_path: Path, model: Bright, write_study: Callable[..., np.ndarray]
) -> None:
    write_study(tmp_path / "many" / "a", 1, PatientID="AA", StudyInstanceUID="1.2.9")
    write_study(tmp_path / "many" / "b", 2, PatientID="BB", StudyInstanceUID="1.2.9")
    assert run(tmp_path / "many", tmp_path / "out") == 0
    assert model.cases == 2
    assert (tmp_path / "out" / "study_0002" / "T2_mask.nii.gz").is_file()


@pytest.mark.parametrize(
    "change", [{"mirroring": False}, {"engine": "openvino"}, {"precision": "bfloat16"}]
)
def test_other_settings_of_a_model_are_another_result(
    change: dict[str, object],
    tmp_path: Path,
    model: Bright,
    write_study: Callable[..., np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_study(tmp_path / "study")
    assert run(tmp_path / "study", tmp_path / "out") == 0
    monkeypatch.setattr(model, "facts", replace(model.facts, **change))
    assert run(tmp_path / "study", tmp_path / "out") == 1
    assert "other settings" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["nowhere", "empty"])
def test_a_place_without_images_is_one_line(
    tmp_path: Path, model: Bright, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    (tmp_path / "empty").mkdir()
    assert run(tmp_path / place, tmp_path / "out") == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (
            "scans",
            "scans: holds no DICOM but image files (cet1.nii.gz); give those of one study with "
            "their sequence: T2=FILE CET1=FILE",
        ),
        ("scans/t2.mha", "t2.mha: say which sequence it is, such as T2=t2.mha"),
    ],
)
def test_image_files_without_their_sequence(
    tmp_path: Path, model: Bright, capsys: pytest.CaptureFixture[str], place: str, said: str
) -> None:
    (tmp_path / "scans").mkdir()
    for name in ("t2.mha", "cet1.nii.gz"):
        (tmp_path / "scans" / name).write_bytes(b"any")
    assert run(tmp_path / place, tmp_path / "out") == 1
    assert capsys.readouterr().err == f"error: {said}\n"


def test_files_and_folders_do_not_mix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["segment", str(tmp_path), "T2=t2.nii.gz", "--model", "m", "-o", str(tmp_path / "o")]
    assert main(words) == 1
    assert "either folders and archives" in capsys.readouterr().err


def test_a_missing_slice_is_refused_with_its_place(
    tmp_path: Path, model: Bright, write_study: Callable[..., np.ndarray]
) -> None:
    write_study(tmp_path / "study")
    paths = sorted((tmp_path / "study" / "t2").iterdir())
    third = next(p for p in paths if pydicom.dcmread(p).InstanceNumber == 21)
    third.unlink()
    (study,), *_ = studies_of_dicom([tmp_path / "study"])
    with pytest.raises(InputError) as refusal:
        study.read()
    assert any("slice" in problem for problem in refusal.value.problems)


def test_a_cut_off_series_is_left_out_with_a_note(
    tmp_path: Path,
    model: Bright,
    write_study: Callable[..., np.ndarray],
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_study(tmp_path / "study")
    write_study(
        tmp_path / "study" / "second",
        SeriesInstanceUID="1.2.3.1.2",
        EchoTime=12,
        RepetitionTime=500,
    )
    victim = min((tmp_path / "study" / "second" / "t2").iterdir())
    victim.write_bytes(victim.read_bytes()[:-100])
    assert run(tmp_path / "study", tmp_path / "out") == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("note: study: series 1: 1 of 8 images lacks pixels")
    report = json.loads((tmp_path / "out" / "study_0001" / "report.json").read_text())
    assert [one["name"] for one in report["results"]] == ["T2"]


def test_a_file_that_cannot_be_read_is_in_the_report(
    tmp_path: Path,
    model: Bright,
    write_study: Callable[..., np.ndarray],
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_study(tmp_path / "study")
    victim = min((tmp_path / "study" / "t2").iterdir())
    victim.unlink()
    victim.with_name("1-01.dcm").write_bytes(b"")
    assert run(tmp_path / "study", tmp_path / "out") == 3
    assert "study: " in capsys.readouterr().err
    report = (tmp_path / "out" / "study_0001" / "report.json").read_text()
    assert "a file beside these images could not be read: slices may be missing" in report


@pytest.mark.parametrize("inside", ["study", "study/masks"])
def test_an_output_inside_the_input_is_refused(
    tmp_path: Path,
    model: Bright,
    write_study: Callable[..., np.ndarray],
    inside: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_study(tmp_path / "study")
    before = sorted(tmp_path.rglob("*"))
    assert run(tmp_path / "study", tmp_path / inside) == 1
    assert "choose a folder outside" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_an_output_below_a_file_is_refused_before_the_work(
    tmp_path: Path,
    model: Bright,
    write_study: Callable[..., np.ndarray],
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_study(tmp_path / "study")
    (tmp_path / "file").write_text("")
    assert run(tmp_path / "study", tmp_path / "file" / "out") == 1
    assert "file is a file; choose another output folder" in capsys.readouterr().err
    assert model.cases == 0


def test_scan_takes_no_mask_that_segment_made(
    tmp_path: Path,
    model: Bright,
    write_study: Callable[..., np.ndarray],
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_study(tmp_path / "study")
    assert run(tmp_path / "study", tmp_path / "out") == 0
    shutil.move(tmp_path / "out" / "study_0001", tmp_path / "study" / "t2" / "results")
    assert main(["scan", str(tmp_path / "study"), "-o", str(tmp_path / "cohort.csv")]) == 0
    table = (tmp_path / "cohort.csv").read_text()
    assert "_seg" not in table
    assert "_mask" not in table
    assert "made by nnunet_pst segment" in (tmp_path / "series.csv").read_text()
    assert "left out, because nnunet_pst segment made them: 4 objects" in capsys.readouterr().out


def test_an_outline_of_thousands_of_corners_is_read_back(
    tmp_path: Path, model: Bright, write_series: Callable[..., np.ndarray]
) -> None:
    """Its points take more than the 64 kB of an explicit VR."""
    array = np.full((8, 96, 128), 100, np.uint16)
    array[3, 2:94, 1] = 900
    for row in range(2, 94, 4):  # a comb of combs
        array[3, row, 1:126] = 900
        array[3, row + 1, 2:126:2] = 900
    elements = {"SeriesDescription": "t2_tse_tra", "ImageType": ["ORIGINAL", "PRIMARY", "M"], **T2}
    write_series(tmp_path / "study", array, positions=POSITIONS, spacing=(2.0, 2.0), **elements)
    assert run(tmp_path / "study", tmp_path / "out") == 0
    home = tmp_path / "out" / "study_0001"
    (sequence,) = next(iter(studies_of_dicom([tmp_path / "study"])[0])).read()
    dataset = pydicom.dcmread(home / "dicom" / "T2_rtstruct.dcm")
    (contour,) = dataset.ROIContourSequence[0].ContourSequence
    assert len(contour.ContourData) > 3 * 2500
    found = structure_mask(dataset, sequence.image.grid, None).mask
    assert np.array_equal(found, array == 900)
    contour.ContourData = None
    contour.add_new("ContourData", "UN", "\\".join(["0.0", "1.0", "2.0"] * 3).encode())
    assert len(contours_of(dataset, 1)) == 1, "as other programs write too many points"


@pytest.mark.skipif(not PROSTATE.is_dir(), reason="the shared test data is not here")
def test_a_real_study_from_dicom(tmp_path: Path, model: Bright) -> None:
    assert run(PROSTATE, tmp_path / "out") == 0
    report = json.loads((tmp_path / "out" / "study_0001" / "report.json").read_text())
    assert [one["name"] for one in report["results"]] == ["T1", "T2", "DWI", "CET1"]
    assert len(list((tmp_path / "out" / "study_0001" / "dicom").iterdir())) == 12
