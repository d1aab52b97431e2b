"""Series to stacks to volumes: order, place, splits, and refusals."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import HTJ2KLossless, RLELossless

from nnunet_pst.dicom.reading.files import walk
from nnunet_pst.dicom.reading.headers import read_instance
from nnunet_pst.dicom.reading.pixels import read_stack, read_stack_image
from nnunet_pst.dicom.reading.series import Stack, gather_series
from nnunet_pst.errors import Fault, InputError

DATA = Path(__file__).parents[5] / "shared" / "data"
TILTED = (0.96, 0.28, 0.0, -0.2240, 0.7680, 0.6)
Writer = Callable[..., np.ndarray]


def stacks(folder: Path) -> list[Stack]:
    series = gather_series(read_instance(origin) for origin in walk(folder).dicom)
    return [stack for one in series for stack in one.stacks]


def only(folder: Path) -> Stack:
    (stack,) = stacks(folder)
    return stack


def test_slices_are_ordered_by_place_and_spacing_comes_from_places(
    tmp_path: Path, write_series: Writer
):
    array = write_series(
        tmp_path,
        orientation=TILTED,
        spacing=(0.5, 0.75),
        SliceThickness=3.0,
        SpacingBetweenSlices=99.0,
    )
    volume = read_stack(only(tmp_path))
    np.testing.assert_array_equal(volume.array, array)
    # PixelSpacing is rows first, then columns.
    np.testing.assert_allclose(volume.grid.spacing_xyz_mm, (0.75, 0.5, 4.0), atol=1e-5)
    affine = volume.grid.affine_lps_mm
    normal = np.cross(TILTED[:3], TILTED[3:])
    expected = np.array([-10, -20, 30]) + 5 * 0.75 * np.array(TILTED[:3])
    expected = expected + 7 * 0.5 * np.array(TILTED[3:]) + 3 * 4.0 * normal
    np.testing.assert_allclose((affine @ [5, 7, 3, 1])[:3], expected, atol=1e-4)


def test_slices_are_reversed_where_places_descend_with_the_number(
    tmp_path: Path, write_series: Writer
):
    array = write_series(tmp_path, positions=(12.0, 8.0, 4.0, 0.0))
    np.testing.assert_array_equal(read_stack(only(tmp_path)).array, array[::-1])


@pytest.mark.parametrize(
    ("slope", "intercept", "dtype"),
    [(1, 0, np.uint16), (2, -5, np.float32), (None, None, np.uint16)],
)
def test_values_are_rescaled(
    tmp_path: Path, write_series: Writer, slope: int, intercept: int, dtype: type
):
    elements = {} if slope is None else {"RescaleSlope": slope, "RescaleIntercept": intercept}
    array = write_series(tmp_path, **elements)
    volume = read_stack(only(tmp_path))
    assert volume.array.dtype == dtype
    expected = array if slope is None else array.astype(float) * slope + intercept
    np.testing.assert_array_equal(volume.array, expected)


def test_b_values_of_one_series_become_stacks(tmp_path: Path, write_series: Writer):
    for b in (0, 100, 800):
        write_series(tmp_path, prefix=f"{b}-", DiffusionBValue=float(b))
    assert [stack.key for stack in stacks(tmp_path)] == [
        (("b", "0"),),
        (("b", "100"),),
        (("b", "800"),),
    ]


def test_echoes_and_phases_become_stacks(tmp_path: Path, write_series: Writer):
    for echo in (1, 2):
        write_series(tmp_path / "echoes", prefix=f"{echo}-", EchoNumbers=echo)
    for phase in (1, 2, 3):
        write_series(tmp_path / "phases", prefix=f"{phase}-", TemporalPositionIdentifier=phase)
    for hour in (9, 10):
        time = f"{hour:02d}0000"
        write_series(tmp_path / "times", prefix=f"{hour}-", AcquisitionTime=time)
    assert [s.key for s in stacks(tmp_path / "echoes")] == [(("echo", "1"),), (("echo", "2"),)]
    assert [s.key[0][1] for s in stacks(tmp_path / "phases")] == ["1", "2", "3"]
    assert [s.key for s in stacks(tmp_path / "times")] == [(("phase", "1"),), (("phase", "2"),)]


def test_an_acquisition_in_two_passes_stays_one_stack(tmp_path: Path, write_series: Writer):
    def edit(made: FileDataset, index: int) -> None:
        made.AcquisitionNumber = index % 2
        made.EchoNumbers = 1 + index % 2

    write_series(tmp_path, edit=edit)
    assert read_stack(only(tmp_path)).array.shape == (4, 12, 16)


def test_mixed_planes_become_stacks(tmp_path: Path, write_series: Writer):
    write_series(tmp_path, prefix="a-")
    write_series(tmp_path, prefix="s-", orientation=(0, 1, 0, 0, 0, -1))
    assert sorted(stack.plane for stack in stacks(tmp_path)) == ["axial", "sagittal"]


def test_a_repeated_file_is_read_once(tmp_path: Path, write_series: Writer):
    array = write_series(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    stack = only(tmp_path)
    assert stack.series.copies == 4
    np.testing.assert_array_equal(read_stack(stack).array, array)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"positions": (0, 4, 12, 16)}, Fault.MISSING),
        ({"positions": (0, 4, 16, 20, 24)}, Fault.MISSING),
        ({"positions": (0, 4, 9, 13)}, Fault.GEOMETRY),
        ({"positions": (0, 4, 4, 8)}, Fault.REPEATED),
        ({"positions": (0,)}, Fault.TOO_FEW),
        ({"spacing": (0.0, 1.0)}, Fault.MISSING),
        ({"ImagePositionPatient": None}, Fault.MISSING),
        ({"orientation": (1, 0, 0, 0.5, 0.8, 0)}, Fault.GEOMETRY),
        ({"array": np.full((4, 12, 16), 7, np.uint16)}, Fault.VALUES),
        ({"PixelData": b"\0\0"}, Fault.DAMAGED),
        ({"Rows": 60000, "Columns": 60000}, Fault.TOO_LARGE),
        ({"SamplesPerPixel": 3}, Fault.WRONG_TYPE),
    ],
)
def test_stacks_that_are_not_volumes_are_refused(
    tmp_path: Path, write_series: Writer, change: dict, fault: Fault
):
    write_series(tmp_path, **change)
    with pytest.raises(InputError) as caught:
        read_stack(only(tmp_path))
    (line,) = caught.value.problems
    assert line.fault is fault
    assert "Doe" not in line


def test_a_sheared_stack_is_refused(tmp_path: Path, write_series: Writer):
    def edit(made: FileDataset, index: int) -> None:
        made.ImagePositionPatient[1] += 0.5 * index

    write_series(tmp_path, edit=edit)
    with pytest.raises(InputError) as caught:
        read_stack(only(tmp_path))
    assert caught.value.fault is Fault.GEOMETRY


def enhanced(path: Path, write_series: Writer) -> np.ndarray:
    """An enhanced file of two b-values over three slices, frames in a muddled order."""
    array = np.random.default_rng(5).integers(0, 900, (6, 12, 16)).astype(np.uint16)
    write_series(path.parent / "template", positions=(0.0,))
    made = pydicom.dcmread(next((path.parent / "template").iterdir()))
    shutil.rmtree(path.parent / "template")
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
    measures, plane, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = made.PixelSpacing
    plane.ImageOrientationPatient = made.ImageOrientationPatient
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    made.SharedFunctionalGroupsSequence = [shared]
    for name in ("PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient"):
        delattr(made, name)
    made.PerFrameFunctionalGroupsSequence = []
    for frame in range(6):
        place, diffusion, values, groups = Dataset(), Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = [0, 0, 5.0 * ((frame // 2) * 2 % 3)]
        diffusion.DiffusionBValue = 1000.0 * (frame % 2)
        values.RescaleSlope, values.RescaleIntercept = 2, frame
        groups.PlanePositionSequence, groups.MRDiffusionSequence = [place], [diffusion]
        groups.PixelValueTransformationSequence = [values]
        made.PerFrameFunctionalGroupsSequence.append(groups)
    made.NumberOfFrames = 6
    made.PixelData = array.tobytes()
    dcmwrite(path, made)
    return array


def test_enhanced_files_are_read_frame_by_frame(tmp_path: Path, write_series: Writer):
    array = enhanced(tmp_path / "enhanced", write_series)
    low, high = stacks(tmp_path)
    assert [low.key, high.key] == [(("b", "0"),), (("b", "1000"),)]
    image = read_stack_image(high)
    # Frames 1, 3, 5 are at 0, 10, 5 mm.
    expected = [array[f].astype(float) * 2 + f for f in (1, 5, 3)]
    np.testing.assert_array_equal(image.volume.array, expected)
    assert image.frames == (2, 6, 4)
    assert len(image.headers) == 1
    assert "PixelData" not in image.headers[0]


def test_compressed_pixels_are_decoded_or_the_decoder_is_named(
    tmp_path: Path, write_series: Writer, monkeypatch: pytest.MonkeyPatch
):
    array = write_series(tmp_path)
    for path in tmp_path.iterdir():
        made = pydicom.dcmread(path)
        made.compress(RLELossless, generate_instance_uid=False)
        made.save_as(path)
    np.testing.assert_array_equal(read_stack(only(tmp_path)).array, array)
    monkeypatch.setattr("pydicom.pixels.decoders.base.Decoder.is_available", False)
    with pytest.raises(InputError, match=r"compressed \(RLE Lossless\).*pip install python-gdcm"):
        read_stack(only(tmp_path))
    monkeypatch.undo()
    for syntax, fault in ((HTJ2KLossless, Fault.NOT_INSTALLED), ("1.2.3.4", Fault.UNSUPPORTED)):
        for path in tmp_path.iterdir():
            made = pydicom.dcmread(path)
            made.file_meta.TransferSyntaxUID = syntax
            made.save_as(path)
        with pytest.raises(InputError) as caught:
            read_stack(only(tmp_path))
        assert caught.value.fault is fault


def test_headers_come_in_slice_order_and_without_pixels(tmp_path: Path, write_series: Writer):
    write_series(tmp_path)
    image = read_stack_image(only(tmp_path))
    assert [h.ImagePositionPatient[2] for h in image.headers] == [30, 34, 38, 42]
    assert not any("PixelData" in header for header in image.headers)
    assert image.frames == ()


def test_the_missing_slice_of_a_real_series_is_found():
    with pytest.raises(InputError, match=r"1 slice is missing: 6\.00 mm .* 3\.00 mm between most"):
        read_stack(only(DATA / "prostatex-missing-slice"))


def test_a_real_oblique_series_has_its_spacing_along_the_normal():
    (folder,) = (DATA / "prostatex-0218").glob("5.*")
    stack = only(folder)
    volume = read_stack(stack)
    assert volume.array.shape == (20, 320, 320)
    np.testing.assert_allclose(volume.grid.spacing_xyz_mm, (0.625, 0.625, 3.6), atol=1e-4)
    assert stack.tilt_degrees == pytest.approx(23.3, abs=0.05)
