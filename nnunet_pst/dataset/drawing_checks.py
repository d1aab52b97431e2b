"""What is wrong with a drawn mask and its cells in the table, and what its user should know of it.

Contradictions are refused; where the label rests on a guess or leaves something out, a remark says
so (docs/conventions.md lists them all). Slices count from 0.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from nnunet_pst.dataset.annotation import (
    Drawing,
    Mask,
    SliceFlags,
    beyond_clicks,
    parts,
    slice_areas,
    slices_of_another_lesion,
)
from nnunet_pst.dataset.cohort import Extent
from nnunet_pst.dataset.slice_ranges import format_extents, format_slices
from nnunet_pst.errors import Fault, Problem

#: A lesion fills less of an image; more is said, and refused where it reaches all borders too.
MOST_OF_IMAGE = 0.5
_FROM_ZERO = "slices count from 0"
_FROM_ONE = "they seem to be counted from 1, but slices count from 0: subtract 1 from each"


def drawing_problems(drawing: Drawing) -> list[Problem]:
    """List contradictions between a mask and what the table says about it, with what to do."""
    if not drawing.mask.any():
        return [empty_mask("the mask")]
    if problem := _inverted(drawing.mask):
        return [problem]
    return [*_annotated_problems(drawing), *_extent_problems(drawing)]


def empty_mask(name: str) -> Problem:
    """Say that a mask holds no tumor, and what to do."""
    text = f"{name} is empty; draw the tumor, or empty both cells of the sequence"
    return Problem(text, Fault.EMPTY)


def _inverted(mask: Mask) -> Problem | None:
    """Refuse a mask of the background, or of everything."""
    if mask.all():
        text = "the mask is tumor in every voxel; is it the right file?"
        return Problem(text, Fault.VALUES)
    borders = [side for axis in (1, 2) for end in (0, -1) for side in [mask.take(end, axis)]]
    if mask.mean() > MOST_OF_IMAGE and all(side.all() for side in borders):
        text = (
            f"the mask is tumor in {100 * mask.mean():.0f} % of the voxels, with all borders of "
            "the image; tumor must be 1 and background 0, so invert it"
        )
        return Problem(text, Fault.VALUES)
    return None


def _drawn(drawing: Drawing) -> npt.NDArray[np.intp]:
    return np.flatnonzero(slice_areas(drawing.mask))


def _annotated_problems(drawing: Drawing) -> list[Problem]:
    annotated, count, drawn = drawing.annotated, len(drawing.mask), _drawn(drawing)
    if annotated is None:
        return []
    if max(annotated) >= count:
        return [_no_slice("annotated", max(annotated), count)]
    if not np.isin(drawn, annotated).any():
        text = f"no annotated slice holds tumor; {_FROM_ZERO}"
        return [Problem(text, Fault.CONTRADICTION)]
    problems = []
    # Both ends are off in the same direction: the numbers belong to other slices.
    shifts = min(annotated) - int(drawn[0]), max(annotated) - int(drawn[-1])
    covered = np.isin(drawn, annotated).all()
    by_one = np.isin(drawn, np.subtract(annotated, 1)).all()
    if not covered and (by_one or min(shifts) > 0 or max(shifts) < 0):
        text = (
            f"tumor is drawn on slices {format_slices(drawn.tolist())}, but annotated says "
            f"{format_slices(annotated)}; {_FROM_ONE if by_one or shifts == (1, 1) else _FROM_ZERO}"
        )
        problems.append(Problem(text, Fault.CONTRADICTION))
    empty = np.setdiff1d(annotated, drawn)
    inside = empty[~beyond_clicks(drawing.extents, count)[empty]] if drawing.extents else empty[:0]
    if not problems and len(inside):
        text = (
            f"annotated slices {format_slices(inside.tolist())} hold no tumor but are between "
            "first and last, where tumor is; leave them out of annotated, mend first and last, or "
            "give each lesion its range in the column _extent, such as 6-19;30-34"
        )
        problems.append(Problem(text, Fault.CONTRADICTION))
    return problems


def _extent_problems(drawing: Drawing) -> list[Problem]:
    extents, count, drawn = drawing.extents, len(drawing.mask), _drawn(drawing)
    if not extents:
        return []
    last = max(last for _, last in extents)
    if last >= count:
        return [_no_slice("last", last, count)]
    if beyond_clicks(extents, count)[drawn].any():
        earlier = tuple((max(first - 1, 0), last - 1) for first, last in extents)
        by_one = not beyond_clicks(earlier, count)[drawn].any()
        text = (
            f"tumor is drawn on slices {format_slices(drawn.tolist())}, outside first to last "
            f"({format_extents(extents)}); {_FROM_ONE if by_one else _FROM_ZERO}"
        )
        return [Problem(text, Fault.CONTRADICTION)]
    ranges = [part for part, _ in parts(drawing.mask)]
    if split := [part for part in ranges if not _is_within(part, extents)]:
        text = (
            f"one part of the mask is on slices {format_extents(split[:1])}, but no lesion of "
            f"{format_extents(extents)} is; give its lesion a range that holds all of it"
        )
        return [Problem(text, Fault.CONTRADICTION)]
    empty = _empty_in_extents(drawing)
    if drawing.label_kind == "fine" and drawing.kind_is_guessed and len(empty):
        text = (
            f"first to last ({format_extents(extents)}) says that there is tumor on slices "
            f"{format_slices(empty.tolist())}, where none is drawn; write 'coarse' in label_kind, "
            "or 'fine' where it is drawn on every slice"
        )
        return [Problem(text, Fault.CONTRADICTION)]
    return []


def _is_within(part: Extent, extents: Iterable[Extent]) -> bool:
    return any(first <= part[0] and part[1] <= last for first, last in extents)


def _empty_in_extents(drawing: Drawing) -> npt.NDArray[np.intp]:
    """Return the slices within the extents on which no tumor is drawn."""
    inside = ~beyond_clicks(drawing.extents, len(drawing.mask))
    return np.flatnonzero(inside & (slice_areas(drawing.mask) == 0))


def _undrawn_extents(drawing: Drawing) -> tuple[Extent, ...]:
    """Return the ranges of lesions on which nothing is drawn."""
    areas = slice_areas(drawing.mask)
    return tuple((a, b) for a, b in drawing.extents if not areas[a : b + 1].any())


def _no_slice(which: str, number: int, count: int) -> Problem:
    hint = f"; {_FROM_ONE}" if number == count else ""
    text = f"{which} slice {number} does not exist; the image has slices 0 to {count - 1}{hint}"
    return Problem(text, Fault.OUT_OF_RANGE)


def drawing_remarks(drawing: Drawing, known: SliceFlags) -> list[str]:
    """Say what the label of a mask guesses or leaves out.

    Parameters
    ----------
    known
        (z,), from `annotation.known_slices`.
    """
    fine = drawing.label_kind == "fine"
    return [*(_remarks_on_fine(drawing) if fine else _remarks_on_coarse(drawing, known)),
            *_remarks_on_size(drawing.mask)]  # fmt: skip


def _remarks_on_size(mask: Mask) -> list[str]:
    full = np.flatnonzero(mask.all(axis=(1, 2)))
    remarks = []
    if len(full):
        remarks.append(
            f"slices {format_slices(full.tolist())} are tumor in every voxel: look at it"
        )
    elif mask.mean() > MOST_OF_IMAGE:
        remarks.append(f"the mask is tumor in {100 * mask.mean():.0f} % of the voxels: look at it")
    return remarks


def _remarks_on_fine(drawing: Drawing) -> list[str]:
    drawn = _drawn(drawing)
    gaps = np.setdiff1d(np.arange(drawn[0], drawn[-1]), drawn)
    empty = _empty_in_extents(drawing) if drawing.extents else gaps[:0]
    if len(empty):
        return [
            f"slices {format_slices(empty.tolist())} are between first and last, but the mask is "
            "fine and has no tumor there: they count as free of tumor"
        ]
    if len(gaps):
        return [
            f"slices {format_slices(gaps.tolist())} between drawn ones are empty in a fine mask: "
            "they count as free of tumor"
        ]
    return []


def _remarks_on_coarse(drawing: Drawing, known: SliceFlags) -> list[str]:
    drawn = _drawn(drawing)
    if drawing.annotated is not None:
        left_out = np.setdiff1d(drawn, drawing.annotated)
        if not len(left_out):
            return []
        return [
            f"tumor is drawn on slices {format_slices(left_out.tolist())}, which annotated leaves "
            "out: they count as unknown"
        ]
    remarks = []
    gaps = np.setdiff1d(np.arange(drawn[0], drawn[-1]), drawn)
    if drawing.extents:
        gaps = gaps[~beyond_clicks(drawing.extents, len(drawing.mask))[gaps]]
    if len(gaps):
        remarks.append(
            f"slices {format_slices(gaps.tolist())} between drawn ones are not drawn: unknown"
        )
    if undrawn := _undrawn_extents(drawing):
        remarks.append(
            f"a lesion is said to be on slices {format_extents(undrawn)}, but nothing is drawn "
            "there: unknown"
        )
    if incomplete := np.flatnonzero(slices_of_another_lesion(drawing, known)).tolist():
        remarks.append(
            f"on slices {format_slices(incomplete)} a lesion is not drawn that should be there "
            f"({format_extents(drawing.extents)}): everything but the drawn tumor is unknown"
        )
    elif len(drawing.extents) < 2 and (count := _parts_apart(drawing.mask[drawn])):
        remarks.append(
            f"{count} separate parts are drawn, not all on the same slices: on a slice drawn for "
            "one lesion, undrawn tumor of another counts as background; give each lesion its "
            "range in the column _extent, such as 6-19;30-34"
        )
    return remarks


def _parts_apart(mask: Mask) -> int:
    """Count the parts of a mask without its undrawn slices; 0 where all are on every slice."""
    present = [slices for _, slices in parts(mask)]
    return 0 if all(slices.all() for slices in present) else len(present)
