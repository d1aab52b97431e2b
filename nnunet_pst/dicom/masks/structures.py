"""RTSTRUCT to mask: drawn contours onto the grid of the image, by their place in the patient.

References to images are not needed: exports, anonymizers and archives break them, while the points
are in the patient's space (PS3.3 C.8.8.6). A remark says whether the references agree.

CLOSED_PLANAR contours of a slice are joined; CLOSEDPLANAR_XOR ones cut holes into each other; a
hole may also be joined to its outer contour by a slit (PS3.3 C.8.8.6.3).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from nnunet_pst.dicom.masks.polygons import Points, fill_each, fill_polygons
from nnunet_pst.dicom.reading.headers import CLOSED_TYPES, CLOSED_XOR
from nnunet_pst.dicom.reading.values import integer, items, raw, text
from nnunet_pst.errors import Fault, InputError, Problem
from nnunet_pst.io.geometry import Grid

#: Largest distance of a contour's points from its slice, as a share of the slice spacing. Contours
#: on the image's planes deviate by rounding only; others were drawn on another series.
OFF_SLICE = 0.2
#: Points may be this number of pixels outside the image's edge: contours follow the border.
BEYOND_PIXELS = 1.0
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
    exclusive
        Whether it is CLOSEDPLANAR_XOR: such contours of a slice cut holes into each other.
    """

    points_lps_mm: Points
    references: tuple[str, ...]
    exclusive: bool = False


def choose_name(names: Sequence[str], roi: str | None, what: str = "structure") -> int:
    """Find a structure by its name, loosely.

    In this order: the same name; the same except for case, blanks and signs; the only name that
    begins with it; the only name that contains it. ``GTV_Mass`` is found as ``gtv mass`` and as
    ``GTV_Mass_MR_T1``. The forms of Unicode don't matter: an umlaut may be one character or two.

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
        [i for i, name in enumerate(names) if _one_form(name) == _one_form(roi)],
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


def _one_form(name: str) -> str:
    return unicodedata.normalize("NFKC", name).strip()


def _bare(name: str) -> str:
    return re.sub(r"[\W_]+", "", _one_form(name).casefold())


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
    number = integer(structures[chosen], "ROINumber")
    contours, others = contours_of(dataset, number), _other_kinds(dataset, number)
    if not contours:
        raise InputError([_without_contours(names[chosen], others)])
    try:
        mask, inner = _fill(contours, grid)
    except InputError as error:
        raise InputError(error.within(place, separator=" ")) from error
    if not mask.any():
        raise InputError(f"{place} holds no center of a pixel; draw it larger", Fault.EMPTY)
    remarks = (*_reference_remarks(contours, images), *_contour_remarks(others, inner))
    return PlacedMask(mask, names[chosen], remarks)


def _without_contours(name: str, others: Sequence[str]) -> Problem:
    kinds = f" (it has {', '.join(others)})" if others else ""
    return Problem(f"structure '{name}' has no closed contours{kinds}; draw it", Fault.EMPTY)


def _contour_remarks(others: Sequence[str], inner: int) -> tuple[str, ...]:
    """Say what of a structure was left out, and what looks like a hole and isn't one."""
    remarks = [f"left out, because they enclose no area: {', '.join(others)}"] if others else []
    if inner:
        remarks.append(
            f"{inner} closed contours lie within others and are filled with them; if they are "
            "holes, export them as CLOSEDPLANAR_XOR or joined to the outer contour"
        )
    return tuple(remarks)


def _contour_items(dataset: Dataset, roi_number: int | None) -> Iterator[Dataset]:
    for structure in items(dataset, "ROIContourSequence"):
        if integer(structure, "ReferencedROINumber") == roi_number:
            yield from items(structure, "ContourSequence")


def _other_kinds(dataset: Dataset, roi_number: int | None) -> list[str]:
    """Count the contours that enclose no area, by their kind."""
    kinds: Counter[str] = Counter()
    for contour in _contour_items(dataset, roi_number):
        kind = text(contour, "ContourGeometricType").upper()
        if kind not in CLOSED_TYPES:
            kinds[kind or "of no kind"] += 1
        elif len(_points(contour)) < 3:
            kinds["of fewer than three points"] += 1
    return [f"{count} contour{'s' * (count > 1)} {kind}" for kind, count in sorted(kinds.items())]


def contours_of(dataset: Dataset, roi_number: int | None) -> list[Contour]:
    """Return the closed contours of a structure; repeated contours are taken once.

    Raises
    ------
    InputError
        When the points of a contour are not numbers.
    """
    contours: dict[bytes, Contour] = {}
    for contour in _contour_items(dataset, roi_number):
        kind = text(contour, "ContourGeometricType").upper()
        if kind not in CLOSED_TYPES:
            continue
        points = _points(contour)
        if len(points) >= 3:
            images = items(contour, "ContourImageSequence")
            uids = tuple(text(image, "ReferencedSOPInstanceUID") for image in images)
            made = Contour(points, uids, exclusive=kind == CLOSED_XOR)
            contours.setdefault(points.tobytes(), made)
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


def _fill(contours: Sequence[Contour], grid: Grid) -> tuple[npt.NDArray[np.bool_], int]:
    """Return the mask, and the number of closed contours that lie within others."""
    inverse = np.linalg.inv(grid.affine_lps_mm)
    slices: dict[tuple[int, bool], list[Points]] = defaultdict(list)
    off_slice, beyond = 0.0, 0.0
    last = np.asarray(grid.size_xyz) - 1
    for contour in contours:
        index = contour.points_lps_mm @ inverse[:3, :3].T + inverse[:3, 3]
        depth = index[:, 2]
        number = round(float(np.median(np.clip(depth, -1, last[2] + 1))))
        off_slice = max(off_slice, float(np.abs(depth - number).max()))
        outside = np.maximum(-0.5 - index, index - last - 0.5)[:, :2]
        beyond = max(beyond, float(outside.max()))
        slices[number, contour.exclusive].append(index[:, :2])
    outer = sum(not 0 <= number <= last[2] for number, _ in slices)
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
    mask, inner = np.zeros(grid.shape_zyx, dtype=bool), 0
    for (number, exclusive), polygons in slices.items():
        if exclusive:
            mask[number] |= fill_polygons(polygons, grid.shape_zyx[1:])
            continue
        filled = fill_each(polygons, grid.shape_zyx[1:])
        mask[number] |= filled.any(axis=0)
        inner += _within_others(filled)
    return mask, inner


def _within_others(filled: npt.NDArray[np.bool_]) -> int:
    """Count the fillings, (contours, rows, columns), that are a smaller part of another one."""
    sizes = filled.sum(axis=(1, 2))
    return sum(
        any(
            0 < sizes[i] < sizes[j] and not (filled[i] & ~filled[j]).any()
            for j in range(len(filled))
        )
        for i in range(len(filled))
    )


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
