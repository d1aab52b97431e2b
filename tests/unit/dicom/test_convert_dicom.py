"""From DICOM to a dataset: scan, then convert; segments and structures as labels."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from nnunet_pst.cli.main import main
from nnunet_pst.dicom.reading.addresses import find_stack, read_addressed_mask
from nnunet_pst.dicom.reading.stack_geometry import grid_of
from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.volumes import read_voxels

DATA = Path(__file__).parents[4] / "shared" / "data"
Writer = Callable[..., np.ndarray]
DEPTHS = tuple(4.0 * i for i in range(6))
TILTED = (0.96, 0.28, 0.0, -0.2240, 0.7680, 0.6)
#: (z, y, x): the mask of the segments and contours below.
DRAWN = np.zeros((6, 12, 16), bool)
DRAWN[2, 3:9, 4:11] = DRAWN[3, 4:8, 5:9] = True


@pytest.fixture
def study(tmp_path: Path, write_series: Writer) -> Path:
    """Two b-values in one folder, tilted, with pixels that are not square."""
    folder = tmp_path / "study"
    for b in (0, 800):
        write_series(
            folder / "dwi",
            np.random.default_rng(b).integers(0, 900, (6, 12, 16)).astype(np.uint16),
            prefix=f"{b}-",
            positions=DEPTHS,
            orientation=TILTED,
            spacing=(1.5, 0.75),
            DiffusionBValue=float(b),
        )
    return folder


def write_seg(path: Path, image: Path, masks: dict[str, np.ndarray], kind: str = "BINARY") -> None:
    """Write a SEG with the slices that have tumor, the last first."""
    stack = find_stack(image)
    template = pydicom.dcmread(stack.first.origin.path)
    del template.PixelData
    made = template
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.66.4"
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    made.SeriesInstanceUID, made.Modality, made.SegmentationType = "1.2.3", "SEG", kind
    made.MaximumFractionalValue = 200
    reference, measures, plane, shared = Dataset(), Dataset(), Dataset(), Dataset()
    reference.SeriesInstanceUID = stack.series.uid
    made.ReferencedSeriesSequence = [reference]
    measures.PixelSpacing = made.PixelSpacing
    plane.ImageOrientationPatient = made.ImageOrientationPatient
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    made.SharedFunctionalGroupsSequence = [shared]
    for name in ("PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient"):
        delattr(made, name)
    made.SegmentSequence, made.PerFrameFunctionalGroupsSequence, frames = [], [], []
    for number, (label, mask) in enumerate(masks.items(), 1):
        segment = Dataset()
        segment.SegmentNumber, segment.SegmentLabel = number, label
        made.SegmentSequence.append(segment)
        for z in np.flatnonzero(mask.any(axis=(1, 2)))[::-1]:
            place, which, groups = Dataset(), Dataset(), Dataset()
            place.ImagePositionPatient = list(stack.slices[z].position_lps_mm or ())
            which.ReferencedSegmentNumber = number
            groups.PlanePositionSequence = [place]
            groups.SegmentIdentificationSequence = [which]
            made.PerFrameFunctionalGroupsSequence.append(groups)
            frames.append(mask[z])
    groups_ = list(made.PerFrameFunctionalGroupsSequence)
    if kind == "LABELMAP":
        background = Dataset()
        background.SegmentNumber, background.SegmentLabel = 0, "Background"
        made.SegmentSequence.insert(0, background)
    made.NumberOfFrames = len(frames)
    made.PixelRepresentation = 0
    if kind == "BINARY":
        made.BitsAllocated = made.BitsStored = 1
        made.HighBit = 0
        packed = np.packbits(np.concatenate([f.ravel() for f in frames]), bitorder="little")
        data = packed.tobytes()
    else:
        made.BitsAllocated = made.BitsStored = 8
        made.HighBit = 7
        numbers = [g.SegmentIdentificationSequence[0].ReferencedSegmentNumber for g in groups_]
        inside = np.reshape(numbers, (-1, 1, 1)) if kind == "LABELMAP" else 100
        outside = 0 if kind == "LABELMAP" else 99
        data = np.where(np.stack(frames), inside, outside).astype(np.uint8).tobytes()
    made.add_new("PixelData", "OB", data + b"\0" * (len(data) % 2))
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path)


def contours(image: Path) -> list[np.ndarray]:
    affine = grid_of(find_stack(image)).affine_lps_mm
    boxes = [(2, 3.5, 2.5, 10.5, 8.5), (3, 4.5, 3.5, 8.5, 7.5)]
    return [
        (np.array([[x0, y0, z, 1], [x1, y0, z, 1], [x1, y1, z, 1], [x0, y1, z, 1]]) @ affine.T)[
            :, :3
        ]
        for z, x0, y0, x1, y1 in boxes
    ]


def mask_of(cell: Path, image: Path) -> np.ndarray:
    return read_addressed_mask(cell, image, grid_of(find_stack(image))).mask


def assert_refused(cell: Path, image: Path, fault: Fault) -> None:
    with pytest.raises(InputError) as caught:
        mask_of(cell, image)
    (line,) = caught.value.problems
    assert line.startswith(f"{cell.name} ")
    assert line.fault is fault


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
def test_segments_are_placed_by_position(study: Path, kind: str):
    image = Path(f"{study}/dwi#b=800")
    other = np.roll(DRAWN, 2, axis=0)  # a label map has each place once
    write_seg(study / "seg", image, {"Tumor": DRAWN, "Bladder": other}, kind)
    np.testing.assert_array_equal(mask_of(Path(f"{study}/seg#roi=tumor"), image), DRAWN)
    np.testing.assert_array_equal(mask_of(Path(f"{study}/seg#roi=Bladder"), image), other)
    assert_refused(study / "seg", image, Fault.AMBIGUOUS)


def test_a_mask_may_be_named_by_its_folder(study: Path, write_structures: Callable):
    image = Path(f"{study}/dwi#b=800")
    write_structures(study / "masks" / "rs", {"GTV": contours(image)})
    np.testing.assert_array_equal(mask_of(study / "masks", image), DRAWN)
    assert_refused(study / "dwi", image, Fault.WRONG_TYPE)
    write_structures(study / "masks" / "rs2", {"GTV": contours(image)})
    assert_refused(study / "masks", image, Fault.AMBIGUOUS)


def test_segments_of_another_series_are_refused(study: Path, write_series: Writer):
    image = Path(f"{study}/dwi#b=800")
    write_seg(study / "seg", image, {"Tumor": DRAWN})
    for name, change in {
        "moved": {"origin": (-10.5, -20.0, 30.0), "orientation": TILTED, "spacing": (1.5, 0.75)},
        "straight": {"spacing": (1.5, 0.75)},
    }.items():
        write_series(study / name, positions=DEPTHS, **change)
        assert_refused(study / "seg", study / name, Fault.GEOMETRY)


def table(path: Path, **cells: str) -> Path:
    row = {"patient": "anna", "label_kind": "fine", **cells}
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row))
        writer.writeheader()
        writer.writerow(row)
    return path


def convert(path: Path, *words: str) -> int:
    return main(["convert", str(path), "--dataset", "DatasetPST", "--workers", "1", *words])


def test_images_structures_and_segments_become_a_dataset(
    study: Path, raw: Path, write_structures: Callable, capsys: pytest.CaptureFixture[str]
):
    image = Path(f"{study}/dwi#b=800")
    write_seg(study / "seg.dcm", image, {"Tumor": DRAWN})
    write_structures(study / "rs.dcm", {"GTV": contours(image), "Skin": contours(image)[:1]})
    shutil.copytree(study / "dwi", study / "low")
    path = table(
        study.parent / "cohort.csv",
        DWI="study/dwi#b=800",
        DWI_label="study/seg.dcm",
        low="study/low#b=0",
        low_label="study/rs.dcm",
    )
    assert convert(path) == 1
    printed = capsys.readouterr().err
    assert "column low_label: rs.dcm holds 2 structures ('GTV', 'Skin'); name one" in printed
    assert not (raw / "DatasetPST").exists()
    path = table(
        study.parent / "cohort.csv",
        DWI="study/dwi#b=800",
        DWI_label="study/seg.dcm#roi=Tumor",
        low="study/low#b=0",
        low_label="study/rs.dcm",
    )
    assert convert(path, "--roi", "gtv") == 0
    assert "2 of 2 contours refer to no image of this series" in capsys.readouterr().out
    folder = raw / "DatasetPST"
    for name, seed in (("DWI", 800), ("low", 0)):
        written = read_voxels(folder / "imagesTr" / f"PST_0001_{name}_0000.nii.gz")
        source = np.random.default_rng(seed).integers(0, 900, (6, 12, 16))
        np.testing.assert_array_equal(written.array, source)
        label = read_voxels(folder / "labelsTr" / f"PST_0001_{name}.nii.gz")
        np.testing.assert_array_equal(label.array == 1, DRAWN)
        expected = grid_of(find_stack(image)).affine_lps_mm
        np.testing.assert_allclose(label.grid.affine_lps_mm, expected, atol=1e-4)
    private = b"".join(p.read_bytes() for p in folder.rglob("*") if p.suffix in (".json", ".csv"))
    assert b"anna" not in private
    assert b"Doe" not in private
    # Nothing is done twice, and a changed file is noticed.
    assert convert(path, "--roi", "gtv") == 0
    assert "kept them, wrote 0" in capsys.readouterr().out
    (study / "low" / "new").write_bytes(b"x")
    assert convert(path, "--roi", "gtv") == 0
    assert "wrote 1" in capsys.readouterr().out


def test_channels_may_be_dicom(study: Path, raw: Path):
    write_seg(study / "seg.dcm", Path(f"{study}/dwi#b=800"), {"Tumor": DRAWN})
    cells = {"DWI": "study/dwi#b=800", "DWI_label": "study/seg.dcm", "T2": "study/dwi#b=0"}
    path = table(study.parent / "cohort.csv", **cells)
    words = ["--layout", "fusion", "--channels", "DWI", "T2", "--registration", "none"]
    assert convert(path, *words) in (0, 3)
    channels = [
        read_voxels(raw / "DatasetPST" / "imagesTr" / f"PST_0001_000{i}.nii.gz").array
        for i in (0, 1)
    ]
    for array, seed in zip(channels, (800, 0), strict=True):
        source = np.random.default_rng(seed).integers(0, 900, (6, 12, 16))
        np.testing.assert_array_equal(array, source)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("study/dwi", "dwi holds 2 stacks of images; say which, such as dwi#series=1&b=0"),
        ("study/dwi#b=700", "dwi#b=700: there are no such images in dwi"),
        ("study", "study holds 2 stacks"),
        ("study/none", "no such file: study/none"),
    ],
)
def test_cells_without_a_stack_are_refused(
    study: Path, raw: Path, cell: str, message: str, capsys: pytest.CaptureFixture[str]
):
    write_seg(study.parent / "seg.dcm", Path(f"{study}/dwi#b=800"), {"Tumor": DRAWN})
    path = table(study.parent / "cohort.csv", DWI=cell, DWI_label="seg.dcm")
    assert convert(path) == 1
    assert message in capsys.readouterr().err
    assert not raw.exists()


def test_a_missing_slice_is_refused_by_convert(raw: Path, tmp_path: Path, capsys):
    cell = str(DATA / "prostatex-missing-slice")
    path = table(tmp_path / "cohort.csv", DWI=cell, DWI_label="x.dcm")
    (tmp_path / "x.dcm").write_bytes(bytes(128) + b"DICM")
    assert convert(path) == 1
    printed = capsys.readouterr().err
    assert "column DWI: series 8: 1 slice is missing: 6.00 mm between slices 12 and 13" in printed
    assert not raw.exists()


def test_a_scanned_sarcoma_patient_is_converted(raw: Path, tmp_path: Path, capsys):
    out = tmp_path / "cohort.csv"
    assert main(["scan", str(DATA / "sts-001-dicom"), "-o", str(out)]) == 0
    assert convert(out) == 0
    label = read_voxels(raw / "DatasetPST" / "labelsTr" / "PST_0001_T1.nii.gz")
    source = read_voxels(DATA / "sts" / "STS_001_label.nii.gz")
    np.testing.assert_array_equal(label.array, source.array)
    assert "32 of 32 contours refer to no image" in capsys.readouterr().out
