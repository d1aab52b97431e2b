"""DICOM SEG to mask: the frames of a segment onto the grid of the image, by their place."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileDataset

from nnunet_pst.dicom.masks.structures import PlacedMask, choose_name
from nnunet_pst.dicom.reading.headers import MAX_FRAMES, described_segments
from nnunet_pst.dicom.reading.stack_geometry import UNEVEN
from nnunet_pst.dicom.reading.values import integer, item, items, numbers, text
from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.geometry import Grid
from nnunet_pst.io.volumes import MAX_VOXELS

#: Largest distance of a frame's corners from those of the image's slice, in voxels.
OFF_GRID_VOXELS = 0.05


def segment_mask(dataset: FileDataset, grid: Grid, roi: str | None = None) -> PlacedMask:
    """Put a segment of a DICOM SEG (binary, fractional or label map) onto an image's grid.

    Parameters
    ----------
    dataset
        The SEG with its pixels. Frames that are left out are empty (PS3.3 C.8.20.2).
    grid
        Of the image.
    roi
        Label of the segment; may be None where there is only one.

    Raises
    ------
    InputError
        When the segment is not clear, or its frames are not on the image's grid. The message
        doesn't name the file.
    """
    segments = described_segments(dataset)
    names = [text(segment, "SegmentLabel") for segment in segments]
    chosen = choose_name(names, roi, "segment")
    number = integer(segments[chosen], "SegmentNumber")
    _check_size(dataset, grid)
    labelmap = text(dataset, "SegmentationType").upper() == "LABELMAP"
    mask = np.zeros(grid.shape_zyx, dtype=bool)
    for index, frame in enumerate(items(dataset, "PerFrameFunctionalGroupsSequence")):
        if labelmap or _segment_number(frame, dataset) == number:
            place, turn = _place_of(frame, dataset, grid)
            mask[place] |= _pixels(dataset, index, number if labelmap else None)[turn]
    if not mask.any():
        raise InputError(f"segment '{names[chosen]}' is empty; draw it", Fault.EMPTY)
    return PlacedMask(mask, names[chosen], _remarks(dataset))


def _remarks(dataset: Dataset) -> tuple[str, ...]:
    if not _is_fractional(dataset):
        return ()
    kind = text(dataset, "SegmentationFractionalType").lower() or "fraction"
    return (f"a fractional segment: tumor is where its {kind} is at least one half",)


def _check_size(dataset: FileDataset, grid: Grid) -> None:
    frames = items(dataset, "PerFrameFunctionalGroupsSequence")
    rows, columns = integer(dataset, "Rows") or 0, integer(dataset, "Columns") or 0
    count = integer(dataset, "NumberOfFrames") or 1
    if count != len(frames) or count > MAX_FRAMES or rows * columns * count > MAX_VOXELS:
        raise InputError(
            f"claims {columns} x {rows} x {count} voxels and describes {len(frames)} frames; is "
            "it damaged?",
            Fault.DAMAGED,
        )
    if (columns, rows) != grid.size_xyz[:2]:
        x, y, _ = grid.size_xyz
        raise InputError(
            f"has a matrix of {columns} x {rows}, the image {x} x {y}; it was drawn on another "
            "series: give the series it belongs to",
            Fault.GEOMETRY,
        )


def _group(frame: Dataset, dataset: Dataset, sequence: str) -> Dataset:
    """Return a functional group of the frame, or else the shared one."""
    own = item(frame, sequence)
    return own if len(own) else item(dataset, "SharedFunctionalGroupsSequence", sequence)


def _segment_number(frame: Dataset, dataset: Dataset) -> int | None:
    identification = _group(frame, dataset, "SegmentIdentificationSequence")
    return integer(identification, "ReferencedSegmentNumber")


def _place_of(frame: Dataset, dataset: Dataset, grid: Grid) -> tuple[int, tuple[slice, slice]]:
    """Compare the corners of a frame with those of the image's slices.

    Returns
    -------
    tuple
        The slice's number, and how rows and columns of the frame are turned to the image's.
    """
    measures = _group(frame, dataset, "PixelMeasuresSequence")
    plane = _group(frame, dataset, "PlaneOrientationSequence")
    spacing = numbers(measures, "PixelSpacing", 2)
    axes = numbers(plane, "ImageOrientationPatient", 6)
    position = numbers(_group(frame, dataset, "PlanePositionSequence"), "ImagePositionPatient", 3)
    if spacing is None or axes is None or position is None:
        raise InputError("has frames without a place; export it again", Fault.MISSING)
    x, y, z = grid.size_xyz
    along_row, along_column = np.reshape(axes, (2, 3))
    steps = ((0, 0), (x - 1, 0), (0, y - 1))
    corners = np.array(
        [
            np.asarray(position) + i * spacing[1] * along_row + j * spacing[0] * along_column
            for i, j in steps
        ]
    )
    inverse = np.linalg.inv(grid.affine_lps_mm)
    index = corners @ inverse[:3, :3].T + inverse[:3, 3]
    number = round(float(np.clip(index[0, 2], -1, z)))
    turned_x, turned_y = bool(index[0, 0] > (x - 1) / 2), bool(index[0, 1] > (y - 1) / 2)
    expected = np.array(
        [[x - 1 - i if turned_x else i, y - 1 - j if turned_y else j, number] for i, j in steps]
    )
    off = np.abs(index - expected).max(axis=0)
    if not 0 <= number < z or off[:2].max() > OFF_GRID_VOXELS or off[2] > UNEVEN + OFF_GRID_VOXELS:
        raise InputError(
            "has frames that are not on the image's slices; it was drawn on another series: give "
            "the series it belongs to",
            Fault.GEOMETRY,
        )
    step_x, step_y = -1 if turned_x else 1, -1 if turned_y else 1
    return number, (slice(None, None, step_y), slice(None, None, step_x))


def _is_fractional(dataset: Dataset) -> bool:
    return text(dataset, "SegmentationType").upper() == "FRACTIONAL"


def _pixels(dataset: FileDataset, index: int, value: int | None) -> npt.NDArray[np.bool_]:
    """Decode a frame: fractions from one half on, and in a label map the segment's number."""
    from pydicom.pixels.utils import pixel_array

    raw = pixel_array(dataset, index=index, raw=True)
    if value is not None:
        return np.asarray(raw == value)
    if _is_fractional(dataset):
        return np.asarray(2 * raw.astype(int) >= (integer(dataset, "MaximumFractionalValue") or 1))
    return np.asarray(raw != 0)
