"""RTSTRUCT to mask: drawn contours onto the grid of the image, by their place in the patient.

References to images are not needed: exports, anonymizers and archives break them, while the points
are in the patient's space (PS3.3 C.8.8.6). A remark says whether the references agree.
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
from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.geometry import Grid

#: Largest distance of a contour's points from its slice, as a share of the slice spacing. Contours
#: on the image's planes deviate by rounding only; others were drawn on another series.
OFF_SLICE = 0.2
#: Points may be this number of pixels outside the image's edge: contours follow the border.
BEYOND_PIXELS = 1.0
_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
#: Most names that a message lists.
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
        Notes for the user about how it was placed.
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
        SOPInstanceUIDs of the images on which it was drawn, as far as it says.
    """

    points_lps_mm: Points
    references: tuple[str, ...]


def choose_name(names: Sequence[str], roi: str | None, what: str = "structure") -> int:
    """Find a structure by its name, loosely.

    In this order: the same name; the same except for case, blanks and signs; the only name that
    begins with it; the only name that contains it. ``GTV_Mass`` is found as ``gtv mass`` and as
    ``GTV_Mass_MR_T1``.

    Parameters
    ----------
    names
        Of all structures.
    roi
        Name to look for; None or empty where there is only one structure.
    what
        What the names are, for messages.

    Returns
    -------
    int
        Index in ``names``.

    Raises
    ------
    InputError
        When none or several fit, with the list.
    """
    listed = ", ".join(f"'{name}'" for name in names[:_LISTED])
    listed += f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    if not names:
        raise InputError(f"holds no {what}", Fault.EMPTY)
    if not roi:
        if len(names) == 1:
            return 0
        raise InputError(
            f"holds {len(names)} {what}s ({listed}); name one with --roi", Fault.AMBIGUOUS
        )
    bare, bare_roi = [_bare(name) for name in names], _bare(roi)
    ways = (
        [i for i, name in enumerate(names) if name == roi],
        [i for i, name in enumerate(bare) if name == bare_roi],
        [i for i, name in enumerate(bare) if name.startswith(bare_roi)],
        [i for i, name in enumerate(bare) if bare_roi in name],
    )
    matches = next((way for way in ways if way), []) if bare_roi else ways[0]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise InputError(
            f"'{roi}' fits several of its {what}s ({listed}); name one with --roi", Fault.AMBIGUOUS
        )
    raise InputError(
        f"'{roi}' is none of its {what}s ({listed}); name one with --roi", Fault.UNKNOWN_NAME
    )


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
        Name of the structure; may be None where there is only one.
    images
        SOPInstanceUIDs of the image's files, to say whether the contours refer to them.

    Raises
    ------
    InputError
        When the structure is not clear, has no closed contours, or is not on the image's slices.
        The message doesn't name the file.
    """
    structures = items(dataset, "StructureSetROISequence")
    names = [text(structure, "ROIName") for structure in structures]
    chosen = choose_name(names, roi)
    place = f"structure '{names[chosen]}'"
    contours = contours_of(dataset, integer(structures[chosen], "ROINumber"))
    if not contours:
        raise InputError(f"{place} has no closed contours; draw it", Fault.EMPTY)
    try:
        mask = _fill(contours, grid)
    except InputError as error:
        raise InputError(error.within(place, separator=" ")) from error
    if not mask.any():
        raise InputError(f"{place} holds no center of a pixel; draw it larger", Fault.EMPTY)
    return PlacedMask(mask, names[chosen], _reference_remarks(contours, images))


def contours_of(dataset: Dataset, roi_number: int | None) -> list[Contour]:
    """Return the closed contours of a structure; repeated contours are taken once.

    Raises
    ------
    InputError
        When the points of a contour are not numbers.
    """
    contours: dict[bytes, Contour] = {}
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
                contours.setdefault(points.tobytes(), Contour(points, uids))
    return list(contours.values())


def _points(contour: Dataset) -> Points:
    value = raw(contour, "ContourData")
    try:
        if isinstance(value, bytes):  # longer than its VR allows, so written as unknown
            value = value.decode("ascii").rstrip(" \0").split("\\")
        points = np.asarray([] if value is None else value, dtype=np.float64).reshape(-1, 3)
    except (TypeError, ValueError) as error:
        raise _no_points() from error
    if not np.isfinite(points).all():
        raise _no_points()
    return points


def _no_points() -> InputError:
    return InputError("has contours whose points are not numbers; export it again", Fault.DAMAGED)


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
            f"{spacing:.2f} mm apart; it was drawn on other planes: give the series it belongs to",
            Fault.GEOMETRY,
        )
    if outer or beyond > BEYOND_PIXELS:
        raise InputError(
            "has contours outside the image; it was drawn on another series or in another frame "
            "of reference: give the series it belongs to",
            Fault.GEOMETRY,
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
