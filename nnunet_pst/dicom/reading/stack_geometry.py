"""Whether a stack of images is a volume, and the grid of its voxels.

The grid comes from ImagePositionPatient and ImageOrientationPatient (DICOM PS3.3 C.7.6.2.1.1).
Slice thickness, SpacingBetweenSlices, numbers of images and names of files say nothing about place.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from nnunet_pst.dicom.reading.series import Stack
from nnunet_pst.dicom.reading.slice_places import SAME_POSITION_MM, normal_of
from nnunet_pst.errors import Fault, InputError, Problem
from nnunet_pst.io.geometry import Grid
from nnunet_pst.io.volumes import MAX_VOXELS, ORTHONORMAL_TOLERANCE

#: Where a distance between neighbors differs from the median by more than this share of it, plus
#: `SAME_POSITION_MM`, a slice is missing or the stack is uneven. Headers round to less.
UNEVEN = 0.02
#: Images may be this share of a pixel beside the normal through the first one.
ASIDE_PIXELS = 0.1


def grid_of(stack: Stack) -> Grid:
    """Return the grid of a stack; slices run along the normal.

    Raises
    ------
    InputError
        When images have no place, share a place, or are not stacked evenly along the normal.
    """
    problem = next(_problems(stack), None)
    if problem is not None:
        raise InputError([problem.within(stack.name)])
    first, last = stack.slices[0], stack.slices[-1]
    assert first.pixel_spacing_mm is not None
    assert first.position_lps_mm is not None
    assert first.orientation is not None
    assert last.position_lps_mm is not None
    along_row = np.asarray(first.orientation[:3])
    along_row = along_row / np.linalg.norm(along_row)
    normal = _normal(stack)
    # Exactly at right angles, although the header is rounded.
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


def _problems(stack: Stack) -> Iterator[Problem]:
    first, count = stack.first, len(stack.slices)
    if first.rows * first.columns * count > MAX_VOXELS:
        size = f"{first.columns} x {first.rows} x {count}"
        text = f"claims {size} voxels, more than any MRI here; is it damaged?"
        yield Problem(text, Fault.TOO_LARGE)
    without = [s for s in stack.slices if s.position_lps_mm is None or s.orientation is None]
    if without:
        yield Problem(
            f"{len(without)} of {count} images have no ImagePositionPatient or "
            "ImageOrientationPatient, so nobody knows where they lie; export the series again",
            Fault.MISSING,
        )
    yield from _axes_problems(stack)
    if count == 1:
        yield Problem("holds 1 image; a volume needs several", Fault.TOO_FEW)
    yield from _position_problems(stack)


def _axes_problems(stack: Stack) -> Iterator[Problem]:
    first = stack.first
    assert first.orientation is not None
    axes = np.reshape(first.orientation, (2, 3))
    if np.abs(axes @ axes.T - np.eye(2)).max() > ORTHONORMAL_TOLERANCE:
        text = "its rows and columns are not at right angles; export the series again"
        yield Problem(text, Fault.GEOMETRY)
    spacing = first.pixel_spacing_mm
    if spacing is None or min(spacing) <= 0:
        yield Problem("has no usable PixelSpacing; export the series again", Fault.MISSING)


def _position_problems(stack: Stack) -> Iterator[Problem]:
    """Say why the images are not one behind the other at equal distances."""
    positions = np.array([s.position_lps_mm for s in stack.slices])
    if not np.isfinite(positions).all() or np.abs(positions).max() > 1e5:
        yield Problem("has positions beyond all measure; is it damaged?", Fault.GEOMETRY)
    normal = _normal(stack)
    depths = positions @ normal
    gaps = np.diff(depths)
    repeated = int((gaps < SAME_POSITION_MM).sum())
    if repeated:
        yield Problem(
            f"{len(depths)} images lie at {len(depths) - repeated} places, so {repeated} lie twice "
            "and nothing in their headers tells them apart; keep one set",
            Fault.REPEATED,
        )
    usual = float(np.median(gaps))
    wrong = np.flatnonzero(np.abs(gaps - usual) > UNEVEN * usual + SAME_POSITION_MM)
    if wrong.size:
        yield _uneven(gaps, wrong, usual)
    aside = positions - positions[0] - np.outer(depths - depths[0], normal)
    assert stack.first.pixel_spacing_mm is not None
    far = float(np.linalg.norm(aside, axis=1).max())
    if far > ASIDE_PIXELS * min(stack.first.pixel_spacing_mm):
        yield Problem(
            f"its images lie up to {far:.2f} mm beside each other (a sheared stack, or several "
            "in one); export the series again",
            Fault.GEOMETRY,
        )


def _uneven(gaps: npt.NDArray[np.float64], wrong: npt.NDArray[np.intp], usual: float) -> Problem:
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
        return Problem(f"{slices} missing: {where}; fetch the whole series", Fault.MISSING)
    text = f"its slices lie unevenly: {where}; fetch the whole series, or resample it"
    return Problem(text, Fault.GEOMETRY)
