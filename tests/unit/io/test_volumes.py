"""Images and masks as files: round trips, and every refusal."""

from __future__ import annotations

import gzip
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.geometry import Grid, same_grid, slice_axis_remarks
from nnunet_pst.io.volumes import (
    Volume,
    lesion_count,
    read_header,
    read_image,
    read_mask,
    write_volume,
)

OBLIQUE = (0.96, -0.28, 0.0, 0.28, 0.96, 0.0, 0.0, 0.0, 1.0)
SHAPE = (4, 5, 6)


def save(path: Path, array: np.ndarray, spacing: tuple[float, ...] = (1.0, 1.0, 4.0)) -> Path:
    image = sitk.GetImageFromArray(array, isVector=False)
    image.SetSpacing(spacing[: array.ndim] + (1.0,) * (array.ndim - 3))
    sitk.WriteImage(image, str(path))
    return path


def assert_refused(read: Callable[[Path], object], path: Path, fault: Fault) -> None:
    with pytest.raises(InputError) as caught:
        read(path)
    (line,) = caught.value.problems
    assert path.name in line
    assert line.fault is fault


def ramp(dtype: type = np.int16, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


@pytest.mark.parametrize("suffix", ["nii.gz", "nii", "mha", "nrrd"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32])
def test_there_and_back(tmp_path: Path, suffix: str, dtype: type):
    grid = Grid((6, 5, 4), (0.7, 0.8, 4.0), (-3.0, 12.5, 40.0), OBLIQUE)
    write_volume(tmp_path / f"a.{suffix}", Volume(ramp(dtype), grid))
    back = read_image(tmp_path / f"a.{suffix}")
    assert same_grid(back.grid, grid)
    assert back.array.dtype == dtype
    assert (back.array == ramp(dtype)).all()


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.uint32])
def test_other_types_become_float32(tmp_path: Path, dtype: type):
    assert read_image(save(tmp_path / "a.nrrd", ramp(dtype))).array.dtype == np.float32


def test_the_same_voxels_give_the_same_bytes(tmp_path: Path):
    grid = Grid((6, 5, 4), (0.7, 0.8, 4.0), (0.0, 0.0, 0.0), OBLIQUE)
    for name in ("a.nii.gz", "b.nii.gz"):
        write_volume(tmp_path / name, Volume(ramp(), grid))
    data = (tmp_path / "a.nii.gz").read_bytes()
    assert data == (tmp_path / "b.nii.gz").read_bytes()
    assert data[3:8] == bytes(5), "the gzip header carries a name or a time"


@pytest.mark.parametrize("suffix", ["nii.gz", "mha", "nrrd"])
@pytest.mark.parametrize("shape", [(5, 6), (1, 5, 6), (2, 4, 5, 6)])
def test_other_dimensions_than_one_volume(tmp_path: Path, suffix: str, shape: tuple[int, ...]):
    path = save(tmp_path / f"a.{suffix}", ramp(np.int16, shape))
    assert_refused(read_header, path, Fault.GEOMETRY)


def test_colors(tmp_path: Path):
    image = sitk.GetImageFromArray(np.zeros((*SHAPE, 3), dtype=np.uint8), isVector=True)
    sitk.WriteImage(image, str(tmp_path / "a.mha"))
    assert_refused(read_header, tmp_path / "a.mha", Fault.WRONG_TYPE)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("suffix", ["nii.gz", "nii", "mha", "nrrd"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_voxels_that_are_not_finite(tmp_path: Path, value: float, suffix: str, dtype: type):
    array = ramp(dtype)
    array[1, 2, 3] = value
    assert_refused(read_image, save(tmp_path / f"a.{suffix}", array), Fault.VALUES)


def test_a_constant_image(tmp_path: Path):
    path = save(tmp_path / "a.nii.gz", np.zeros(SHAPE, dtype=np.int16))
    assert_refused(read_image, path, Fault.VALUES)


def test_a_mask_in_place_of_an_image(tmp_path: Path):
    path = save(tmp_path / "a.nii.gz", (ramp() > 50).astype(np.int16))
    assert_refused(read_image, path, Fault.VALUES)


def test_slices_along_another_axis(tmp_path: Path):
    path = save(tmp_path / "a.nii.gz", ramp(), spacing=(5.0, 1.0, 1.0))
    assert_refused(read_header, path, Fault.GEOMETRY)


@pytest.mark.parametrize("spacing", [(1.2, 1.2, 1.0), (1.0, 1.0, 0.9), (1.0, 1.3, 1.0)])
def test_nearly_cubic_voxels_have_their_slices_along_the_third_axis(tmp_path: Path, spacing):
    path = save(tmp_path / "a.nii.gz", ramp(), spacing=spacing)
    (remark,) = slice_axis_remarks(read_header(path))
    assert "z" in remark
    assert slice_axis_remarks(read_header(save(path, ramp(), spacing=(1.0, 1.0, 1.0)))) == []


def test_a_mask_may_have_its_slices_along_any_axis(tmp_path: Path):
    path = save(tmp_path / "a.nii.gz", (ramp() > 50).astype(np.uint8), spacing=(4.0, 4.0, 2.0))
    assert read_mask(path).array.any()


def test_a_sheared_nifti(tmp_path: Path):
    path = save(tmp_path / "a.nii", ramp())
    data = bytearray(path.read_bytes())
    struct.pack_into("<hh", data, 252, 0, 1)
    struct.pack_into("<12f", data, 280, 1, 0.5, 0, 0, 0, 1, 0, 0, 0, 0, 4, 0)
    path.write_bytes(data)
    assert_refused(read_header, path, Fault.GEOMETRY)


def test_a_sheared_nrrd(tmp_path: Path):
    image = sitk.GetImageFromArray(ramp())
    image.SetDirection((1.0, 0.5, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    assert_refused(read_header, tmp_path / "a.nrrd", Fault.GEOMETRY)


def test_a_header_that_claims_a_giant_is_refused_before_decoding(tmp_path: Path):
    path = save(tmp_path / "a.nii", ramp())
    data = bytearray(path.read_bytes())
    struct.pack_into("<3h", data, 42, 32000, 32000, 32000)
    path.write_bytes(data)
    assert_refused(read_image, path, Fault.TOO_LARGE)


def test_damaged_files(tmp_path: Path):
    (tmp_path / "a.nii.gz").write_bytes(b"no image")
    assert_refused(read_image, tmp_path / "a.nii.gz", Fault.DAMAGED)


@pytest.mark.parametrize("suffix", ["nii.gz", "nii", "mha", "nrrd"])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_files_that_end_early(tmp_path: Path, suffix: str, dtype: type):
    noise = np.random.default_rng(0).integers(0, 999, (20, 30, 30)).astype(dtype)
    path = save(tmp_path / f"b.{suffix}", noise)
    path.write_bytes(path.read_bytes()[:-3000])
    assert_refused(read_image, path, Fault.DAMAGED)


def test_a_flipped_bit_in_a_compressed_file(tmp_path: Path):
    path = save(tmp_path / "b.nii.gz", ramp(np.int16, (20, 30, 30)))
    data = bytearray(path.read_bytes())
    data[-6] ^= 1
    path.write_bytes(data)
    assert_refused(read_image, path, Fault.DAMAGED)


def test_big_endian_nifti(tmp_path: Path):
    path = save(tmp_path / "a.nii", ramp(np.float32))
    data = bytearray(path.read_bytes())
    for offset, width, count in ((0, 4, 1), (40, 2, 8), (70, 2, 2), (76, 4, 11), (252, 2, 2)):
        for start in range(offset, offset + width * count, width):
            data[start : start + width] = data[start : start + width][::-1]
    for start in range(256, 328, 4):
        data[start : start + 4] = data[start : start + 4][::-1]
    voxels = np.frombuffer(bytes(data[352:]), dtype="<f4").byteswap()
    path.write_bytes(bytes(data[:352]) + voxels.tobytes())
    assert (read_image(path).array == ramp(np.float32)).all()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.nrrd", "NRRD0004\ntype: short\ndimension: 3\nsizes: 2 2 2\ndata file: other.raw\n\n"),
        ("a.mha", "ObjectType = Image\nNDims = 3\nDimSize = 2 2 2\nElementDataFile = other.raw\n"),
    ],
)
def test_voxels_in_another_file(tmp_path: Path, name: str, text: str):
    (tmp_path / name).write_text(text)
    assert_refused(read_header, tmp_path / name, Fault.UNTRUSTED)


def test_an_unknown_kind(tmp_path: Path):
    assert_refused(read_header, tmp_path / "a.png", Fault.WRONG_TYPE)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
@pytest.mark.parametrize("value", [1, 255])
def test_masks_of_two_values(tmp_path: Path, dtype: type, value: int):
    array = np.zeros(SHAPE, dtype=dtype)
    array[2, 2, 2:4] = value
    mask = read_mask(save(tmp_path / "a.nii.gz", array))
    assert mask.array.dtype == bool
    assert (mask.array == (array > 0)).all()


@pytest.mark.parametrize("values", [(0.5,), (2,), (1, 2), (1, 3), (-1,), (np.nan,), (1, 255)])
def test_masks_of_other_values(tmp_path: Path, values: tuple[float, ...]):
    array = np.zeros(SHAPE, dtype=np.float32)
    array.flat[: len(values)] = values
    assert_refused(read_mask, save(tmp_path / "a.nii.gz", array), Fault.VALUES)


def test_headers_of_nifti_keep_no_text(tmp_path: Path):
    image = sitk.GetImageFromArray(ramp())
    sitk.WriteImage(image, str(tmp_path / "a.nii.gz"))
    data = bytearray(gzip.decompress((tmp_path / "a.nii.gz").read_bytes()))
    data[148:156] = b"Mrs Name"
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(bytes(data)))
    write_volume(tmp_path / "c.nii.gz", read_image(tmp_path / "b.nii.gz"))
    assert b"Mrs Name" not in gzip.decompress((tmp_path / "c.nii.gz").read_bytes())


def test_lesions_are_counted_over_corners():
    mask = np.zeros((4, 4, 4), dtype=bool)
    mask[0, 0, 0] = mask[1, 1, 1] = True
    assert lesion_count(mask) == 1
    mask[3, 3, 3] = True
    assert lesion_count(mask) == 2
    assert lesion_count(np.zeros((2, 2, 2), dtype=bool)) == 0


def test_a_folder_that_is_missing(tmp_path: Path):
    grid = Grid((6, 5, 4), (1.0, 1.0, 4.0), (0.0, 0.0, 0.0), OBLIQUE)
    with pytest.raises(OSError, match=r"a\.nii\.gz could not be written"):
        write_volume(tmp_path / "none" / "a.nii.gz", Volume(ramp(), grid))


def spoiled_header(path: Path, changes: dict[int, bytes]) -> Path:
    """Overwrite bytes of a NIfTI, compressed or not."""
    packed = path.name.endswith(".gz")
    data = bytearray(gzip.decompress(path.read_bytes()) if packed else path.read_bytes())
    for offset, text in changes.items():
        data[offset : offset + len(text)] = text
    path.write_bytes(gzip.compress(bytes(data)) if packed else bytes(data))
    return path


@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
@pytest.mark.parametrize("read", [read_header, read_image, read_mask])
@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({344: b"\0\0\0\0"}, Fault.DAMAGED),
        ({344: b"n+3\0"}, Fault.DAMAGED),
        ({344: b"N+1\0"}, Fault.DAMAGED),
        ({0: struct.pack("<i", 384)}, Fault.DAMAGED),
        ({344: b"ni1\0"}, Fault.UNTRUSTED),
    ],
)
def test_a_nifti_without_its_mark_is_not_read_as_analyze(
    tmp_path: Path, suffix: str, read, changes: dict[int, bytes], fault: Fault
):
    array = (ramp(np.uint8) > 50).astype(np.uint8) if read is read_mask else ramp()
    path = save(tmp_path / f"a.{suffix}", array)
    read(path)
    assert_refused(read, spoiled_header(path, changes), fault)


def test_the_other_byte_order_is_read(tmp_path: Path):
    nib = pytest.importorskip("nibabel")
    array = ramp().T
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(np.int16)
    made = nib.Nifti1Image(array, np.diag([1.0, 1.0, 4.0, 1.0]), header)
    nib.save(made, str(tmp_path / "a.nii.gz"))
    assert (read_image(tmp_path / "a.nii.gz").array == ramp()).all()


FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from nnunet_pst.io.geometry import Grid
from nnunet_pst.io.volumes import Volume, write_volume
array = np.random.default_rng(0).integers(0, 900, (20, 64, 64)).astype(np.int16)
grid = Grid((64, 64, 20), (1.0, 1.0, 4.0), (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))
try:
    write_volume(Path(sys.argv[1]), Volume(array, grid))
except OSError as error:
    sys.exit(f"refused: {error}")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of a file's size there")
@pytest.mark.parametrize("suffix", ["nii.gz", "nii", "mha", "nrrd"])
def test_an_image_that_the_disk_cuts_off_is_refused(tmp_path: Path, suffix: str):
    """ITK returns normally when the disk is full, or a file may not grow."""
    path = tmp_path / f"a.{suffix}"
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "refused: " in done.stderr
    assert not path.exists()
