"""Whether a stack of images is a volume, and where its voxels lie.

All comes from ImagePositionPatient and ImageOrientationPatient (DICOM PS3.3 C.7.6.2.1.1). Slice
thickness, SpacingBetweenSlices, numbers of images and names of files say nothing about place.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from nnunet_pst.dicom.reading.series import SAME_POSITION_MM, Stack, normal_of
from nnunet_pst.errors import InputError
from nnunet_pst.io.geometry import Grid
from nnunet_pst.io.volumes import MAX_VOXELS, ORTHONORMAL_TOLERANCE

#: A distance between neighbors differs from the usual one by more than this share of it, plus
#: `SAME_POSITION_MM`: then a slice is missing, or the stack is uneven. Headers round to less.
UNEVEN = 0.02
#: Images may lie this share of a pixel beside the normal through the first one.
ASIDE_PIXELS = 0.1


def grid_of(stack: Stack) -> Grid:
    """Return where the voxels of a stack lie; slices run along the normal.

    Raises
    ------
    InputError
        When the images have no place, lie twice at one place or unevenly, or beside each other.
    """
    problem = next(_problems(stack), None)
    if problem is not None:
        raise InputError(f"{stack.name}: {problem}")
    first, last = stack.slices[0], stack.slices[-1]
    assert first.pixel_spacing_mm is not None
    assert first.position_lps_mm is not None
    assert first.orientation is not None
    assert last.position_lps_mm is not None
    along_row = np.asarray(first.orientation[:3])
    along_row = along_row / np.linalg.norm(along_row)
    normal = _normal(stack)
    # At right angles to the last bit, whatever the header rounded.
    direction = np.stack([along_row, np.cross(normal, along_row), normal], axis=1)
    reach = float(np.subtract(last.position_lps_mm, first.position_lps_mm) @ normal)
    between_rows, between_columns = first.pixel_spacing_mm
    return Grid(
        size_xyz=(first.columns, first.rows, len(stack.slices)),
        spacing_xyz_mm=(between_columns, between_rows, reach / (len(stack.slices) - 1)),
        origin_lps_mm=_three(first.position_lps_mm),
        direction=tuple(float(value) for value in direction.ravel()),
    )


def _three(values: tuple[float, ...]) -> tuple[float, float, float]:
    x, y, z = values
    return x, y, z


def _normal(stack: Stack) -> npt.NDArray[np.float64]:
    normal = normal_of(stack.first)
    assert normal is not None
    return normal


def _problems(stack: Stack) -> Iterator[str]:
    first, count = stack.first, len(stack.slices)
    if first.rows * first.columns * count > MAX_VOXELS:
        size = f"{first.columns} x {first.rows} x {count}"
        yield f"claims {size} voxels, more than any MRI here; is it damaged?"
    without = [s for s in stack.slices if s.position_lps_mm is None or s.orientation is None]
    if without:
        yield (
            f"{len(without)} of {count} images have no ImagePositionPatient or "
            "ImageOrientationPatient, so nobody knows where they lie; export the series again"
        )
    yield from _axes_problems(stack)
    if count == 1:
        yield "holds 1 image; a volume needs several"
    yield from _position_problems(stack)


def _axes_problems(stack: Stack) -> Iterator[str]:
    first = stack.first
    assert first.orientation is not None
    axes = np.reshape(first.orientation, (2, 3))
    if np.abs(axes @ axes.T - np.eye(2)).max() > ORTHONORMAL_TOLERANCE:
        yield "its rows and columns are not at right angles; export the series again"
    spacing = first.pixel_spacing_mm
    if spacing is None or min(spacing) <= 0:
        yield "has no usable PixelSpacing; export the series again"


def _position_problems(stack: Stack) -> Iterator[str]:
    """Say what keeps the images from lying one behind the other at equal distances."""
    positions = np.array([s.position_lps_mm for s in stack.slices])
    if not np.isfinite(positions).all() or np.abs(positions).max() > 1e5:
        yield "has positions beyond all measure; is it damaged?"
    normal = _normal(stack)
    depths = positions @ normal
    gaps = np.diff(depths)
    repeated = int((gaps < SAME_POSITION_MM).sum())
    if repeated:
        yield (
            f"{len(depths)} images lie at {len(depths) - repeated} places, so {repeated} lie twice "
            "and nothing in their headers tells them apart; keep one set"
        )
    usual = float(np.median(gaps))
    wrong = np.flatnonzero(np.abs(gaps - usual) > UNEVEN * usual + SAME_POSITION_MM)
    if wrong.size:
        yield _uneven(gaps, wrong, usual)
    aside = positions - positions[0] - np.outer(depths - depths[0], normal)
    assert stack.first.pixel_spacing_mm is not None
    far = float(np.linalg.norm(aside, axis=1).max())
    if far > ASIDE_PIXELS * min(stack.first.pixel_spacing_mm):
        yield (
            f"its images lie up to {far:.2f} mm beside each other (a sheared stack, or several "
            "in one); export the series again"
        )


def _uneven(gaps: npt.NDArray[np.float64], wrong: npt.NDArray[np.intp], usual: float) -> str:
    """Name the first gap; a multiple of the usual distance means missing slices."""
    gap = float(gaps[wrong[0]])
    where = (
        f"{gap:.2f} mm between slices {wrong[0]} and {wrong[0] + 1} (counted from 0), "
        f"{usual:.2f} mm between most"
    )
    missing = np.rint(gaps[wrong] / usual) - 1
    whole = np.abs(gaps[wrong] - (missing + 1) * usual) <= UNEVEN * usual + SAME_POSITION_MM
    if whole.all() and (missing > 0).all():
        number = int(missing.sum())
        slices = "1 slice is" if number == 1 else f"{number} slices are"
        return f"{slices} missing: {where}; fetch the whole series"
    return f"its slices lie unevenly: {where}; fetch the whole series, or resample it"
