"""RTSTRUCT to mask: drawn contours onto the grid of the image, by their place in the patient.

References to images are not needed: exports, anonymizers and archives break them, while the points
are in the patient's space (PS3.3 C.8.8.6). They are looked at to say whether they agree.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from nnunet_pst.dicom.masks.polygons import Points, fill_polygons
from nnunet_pst.dicom.reading.values import integer, items, raw, text
from nnunet_pst.errors import InputError
from nnunet_pst.io.geometry import Grid

#: A contour lies on a slice when no point is farther from it, as a share of the slice spacing.
#: Contours of the slices' own planes are rounded only; others were drawn on another series.
OFF_SLICE = 0.2
#: Points may lie this many pixels beyond the image's outermost edge: drawn along the border.
BEYOND_PIXELS = 1.0
_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
#: Names that are listed in a message.
_LISTED = 20


@dataclass(frozen=True)
class PlacedMask:
    """A mask on its image's grid.

    Parameters
    ----------
    mask
        (z, y, x).
    name
        Of the structure or segment.
    remarks
        What a reader should know about how it was placed.
    """

    mask: npt.NDArray[np.bool_]
    name: str
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Contour:
    """A closed contour.

    Parameters
    ----------
    points_lps_mm
        (points, 3).
    references
        SOPInstanceUIDs of the images that it says it was drawn on.
    """

    points_lps_mm: Points
    references: tuple[str, ...]


def choose_name(names: Sequence[str], wanted: str | None, what: str = "structure") -> int:
    """Find a structure by its name, loosely.

    In this order: the same name; the same but for case, blanks and signs; the only one that begins
    with it; the only one that holds it. ``GTV_Mass`` is found as ``gtv mass`` and as
    ``GTV_Mass_MR_T1``.

    Returns
    -------
    int
        Its place in ``names``.

    Raises
    ------
    InputError
        When none or several fit, with the list; when none is wanted and there isn't exactly one.
    """
    listed = ", ".join(f"'{name}'" for name in names[:_LISTED])
    listed += f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    if not names:
        raise InputError(f"holds no {what}")
    if not wanted:
        if len(names) == 1:
            return 0
        raise InputError(f"holds {len(names)} {what}s ({listed}); name one with --roi")
    bare = [_bare(name) for name in names]
    ways = (
        [i for i, name in enumerate(names) if name == wanted],
        [i for i, name in enumerate(bare) if name == _bare(wanted)],
        [i for i, name in enumerate(bare) if name.startswith(_bare(wanted))],
        [i for i, name in enumerate(bare) if _bare(wanted) in name],
    )
    found = next((way for way in ways if way), []) if _bare(wanted) else ways[0]
    if len(found) == 1:
        return found[0]
    which = "several that fit" if found else "none"
    raise InputError(f"'{wanted}' is {which} of its {what}s ({listed}); name one with --roi")


def _bare(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()


def structure_mask(
    dataset: Dataset, grid: Grid, roi: str | None = None, *, images: Collection[str] = ()
) -> PlacedMask:
    """Put a structure of an RTSTRUCT onto an image's grid.

    Parameters
    ----------
    dataset
        The RTSTRUCT.
    grid
        Of the image.
    roi
        Name of the structure; may be None where there is one.
    images
        SOPInstanceUIDs of the image's files, to say whether the contours refer to them.

    Raises
    ------
    InputError
        When the structure can't be told, has no closed contours, or doesn't lie on the image's
        slices. Without the file's name.
    """
    structures = items(dataset, "StructureSetROISequence")
    names = [text(structure, "ROIName") for structure in structures]
    chosen = choose_name(names, roi)
    found = contours_of(dataset, integer(structures[chosen], "ROINumber"))
    if not found:
        raise InputError(f"structure '{names[chosen]}' has no closed contours; draw it")
    try:
        mask = _fill(found, grid)
    except InputError as error:
        raise InputError([f"structure '{names[chosen]}' {p}" for p in error.problems]) from error
    if not mask.any():
        raise InputError(f"structure '{names[chosen]}' holds no center of a pixel; draw it larger")
    return PlacedMask(mask, names[chosen], _reference_remarks(found, images))


def contours_of(dataset: Dataset, roi_number: int | None) -> list[Contour]:
    """Return the closed contours of a structure; one that is there twice is taken once.

    Raises
    ------
    InputError
        When the points of one are no points.
    """
    found: dict[bytes, Contour] = {}
    for structure in items(dataset, "ROIContourSequence"):
        if integer(structure, "ReferencedROINumber") != roi_number:
            continue
        for contour in items(structure, "ContourSequence"):
            if text(contour, "ContourGeometricType").upper() not in _CLOSED:
                continue
            points = _points(contour)
            if len(points) >= 3:
                images = items(contour, "ContourImageSequence")
                uids = tuple(text(image, "ReferencedSOPInstanceUID") for image in images)
                found.setdefault(points.tobytes(), Contour(points, uids))
    return list(found.values())


def _points(contour: Dataset) -> Points:
    value = raw(contour, "ContourData")
    try:
        if isinstance(value, bytes):  # longer than its VR allows, so written as unknown
            value = value.decode("ascii").rstrip(" \0").split("\\")
        points = np.asarray([] if value is None else value, dtype=np.float64).reshape(-1, 3)
    except (TypeError, ValueError) as error:
        raise InputError("has contours whose points are no numbers; export it again") from error
    if not np.isfinite(points).all():
        raise InputError("has contours whose points are no numbers; export it again")
    return points


def _fill(contours: Sequence[Contour], grid: Grid) -> npt.NDArray[np.bool_]:
    inverse = np.linalg.inv(grid.affine_lps_mm)
    slices: dict[int, list[Points]] = defaultdict(list)
    off_slice, beyond = 0.0, 0.0
    last = np.asarray(grid.size_xyz) - 1
    for contour in contours:
        index = contour.points_lps_mm @ inverse[:3, :3].T + inverse[:3, 3]
        depth = index[:, 2]
        number = round(float(np.median(np.clip(depth, -1, last[2] + 1))))
        off_slice = max(off_slice, float(np.abs(depth - number).max()))
        outside = np.maximum(-0.5 - index, index - last - 0.5)[:, :2]
        beyond = max(beyond, float(outside.max()))
        slices[number].append(index[:, :2])
    outer = sum(not 0 <= number <= last[2] for number in slices)
    if off_slice > OFF_SLICE and not outer:
        spacing = grid.spacing_xyz_mm[2]
        raise InputError(
            f"has contours up to {off_slice * spacing:.2f} mm off the image's slices, which are "
            f"{spacing:.2f} mm apart; it was drawn on other planes: give the series it belongs to"
        )
    if outer or beyond > BEYOND_PIXELS:
        raise InputError(
            "has contours outside the image; it was drawn on another series or in another frame "
            "of reference: give the series it belongs to"
        )
    mask = np.zeros(grid.shape_zyx, dtype=bool)
    for number, polygons in slices.items():
        mask[number] = fill_polygons(polygons, grid.shape_zyx[1:])
    return mask


def _reference_remarks(contours: Sequence[Contour], images: Collection[str]) -> tuple[str, ...]:
    if not images:
        return ()
    strangers = sum(not set(contour.references) & set(images) for contour in contours)
    if not strangers:
        return ()
    return (
        f"{strangers} of {len(contours)} contours refer to no image of this series; all were "
        "placed by position",
    )
