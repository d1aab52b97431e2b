"""Three-state labels: which slices of a mask are known, and which are known to be free of tumor.

Masks have the shape (z, y, x), boolean arrays the shape (z,) with one entry for each slice. Labels
are those of `nnunet_pst.labels`.

A coarse mask is drawn on some slices only: on the others, "not drawn" does not mean "no tumor".
Those slices become `IGNORE`, so that no loss is computed there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from nnunet_pst.dataset.cohort import LabelKind
from nnunet_pst.errors import Fault, Problem
from nnunet_pst.labels import BACKGROUND, IGNORE, TUMOR

Mask = npt.NDArray[np.bool_]
SliceFlags = npt.NDArray[np.bool_]
#: Free negatives start this many lesion diameters, and slices, from the largest slice.
FAR_DIAMETERS = 0.75
FAR_SLICES = 2


@dataclass(frozen=True)
class LabelRules:
    """How drawn masks become labels; the same for a whole dataset, and stored with it.

    Parameters
    ----------
    coarse_slices
        Number of slices above and below the largest one that count as drawn in a coarse mask.
    simulate_coarse
        Turn fine masks of training patients into coarse masks of this many slices above and below
        the largest one; None leaves them fine.
    far_negatives
        Take slices far from the largest one as free of tumor.
    unknown
        ``ignore``, or ``background`` for an ablation in which unknown slices count as background.
    """

    coarse_slices: int = 5
    simulate_coarse: int | None = None
    far_negatives: bool = False
    unknown: Literal["ignore", "background"] = "ignore"


@dataclass(frozen=True)
class Drawing:
    """A mask and what the table says about it.

    Parameters
    ----------
    mask
        (z, y, x), True where tumor was drawn.
    spacing_zyx_mm
        Spacing of the mask.
    label_kind
        ``fine`` or ``coarse``.
    annotated
        Slices whose label is known, instead of the coarse rule; None to apply the rule.
    first, last
        Slices that enclose the lesion; None where they were not given.
    """

    mask: Mask
    spacing_zyx_mm: tuple[float, float, float]
    label_kind: LabelKind
    annotated: tuple[int, ...] | None = None
    first: int | None = None
    last: int | None = None


def slice_areas(mask: Mask) -> npt.NDArray[np.int64]:
    """Count the tumor voxels of every slice: (z, y, x) to (z,)."""
    return np.asarray(np.count_nonzero(mask, axis=(1, 2)), dtype=np.int64)


def largest_slice(mask: Mask) -> int:
    """Find the slice with the largest area; of several, the middle one (the lower of two middles).

    Raises
    ------
    ValueError
        When the mask is empty.
    """
    areas = slice_areas(mask)
    if not areas.any():
        raise ValueError("an empty mask has no largest slice")
    tied = np.flatnonzero(areas == areas.max())
    return int(tied[(len(tied) - 1) // 2])


def window(center: int, reach: int, count: int) -> SliceFlags:
    """Flag the slices at most ``reach`` from ``center``, of ``count`` slices."""
    return np.asarray(np.abs(np.arange(count) - center) <= reach, dtype=bool)


def known_slices(drawing: Drawing, rules: LabelRules, *, simulate: bool) -> SliceFlags:
    """Flag the slices whose label is known from the drawing itself.

    Parameters
    ----------
    drawing
        A mask that is not empty.
    rules
        Reach of the windows.
    simulate
        Whether ``rules.simulate_coarse`` applies to this case (never to test patients). Slices
        outside its window become unknown, drawn or not; coarse masks stay as they are.
    """
    mask = drawing.mask
    count = len(mask)
    if drawing.label_kind == "fine":
        if simulate and rules.simulate_coarse is not None:
            return window(largest_slice(mask), rules.simulate_coarse, count)
        return np.ones(count, dtype=bool)
    if drawing.annotated is not None:
        return np.isin(np.arange(count), drawing.annotated)
    return window(largest_slice(mask), rules.coarse_slices, count) | (slice_areas(mask) > 0)


def in_plane_extent_mm(mask: Mask, spacing_yx_mm: tuple[float, float]) -> float:
    """Measure the largest distance between two pixels of the same slice, outer edge to outer edge.

    Parameters
    ----------
    mask
        (z, y, x).
    spacing_yx_mm
        In-plane spacing.

    Returns
    -------
    float
        Extent in mm, over gaps too; 0 for an empty mask. The diameter that is reported,
        `evaluation.metrics.diameters`, never spans a gap.
    """
    largest = 0.0
    for image in mask:
        rows = np.flatnonzero(image.any(axis=1))
        if not len(rows):
            continue
        # Only the ends of a row can be farthest apart.
        left = image[rows].argmax(axis=1) - 0.5
        right = image.shape[1] - image[rows, ::-1].argmax(axis=1) - 0.5
        y = np.concatenate([rows - 0.5, rows + 0.5] * 2) * spacing_yx_mm[0]
        x = np.concatenate([left, left, right, right]) * spacing_yx_mm[1]
        squared = (y[:, None] - y) ** 2 + (x[:, None] - x) ** 2
        largest = max(largest, float(squared.max()))
    return float(np.sqrt(largest))


def far_reach(diameter_mm: float, spacing_z_mm: float) -> float:
    """Return how many slices a single lesion extends from its largest slice at most.

    That is 0.75 diameters plus 2 slices: a lesion about as long as it is wide ends half a diameter
    from its largest slice. A longer lesion may extend farther.
    """
    return FAR_DIAMETERS * diameter_mm / spacing_z_mm + FAR_SLICES


def beyond_clicks(first: int, last: int, count: int) -> SliceFlags:
    """Flag the slices outside ``first`` to ``last``."""
    index = np.arange(count)
    return (index < first) | (index > last)


def free_negatives(
    drawing: Drawing, rules: LabelRules, known: SliceFlags, *, lesions: int
) -> tuple[SliceFlags, str | None]:
    """Flag the slices that are not drawn but known to be free of tumor.

    Parameters
    ----------
    drawing
        The mask with its clicks. Only its ``known`` slices are measured: the others must not
        affect the labels of a simulated coarse mask.
    rules
        Whether the far rule applies.
    known
        (z,), from `known_slices`.
    lesions
        Number of separate lesions that were drawn; the far rule is for a single lesion.

    Returns
    -------
    tuple
        The flags, (z,), False for known slices; and why the far rule was not applied, or None.
    """
    count = len(drawing.mask)
    nothing = np.zeros(count, dtype=bool)
    if drawing.first is not None and drawing.last is not None:
        return beyond_clicks(drawing.first, drawing.last, count) & ~known, None
    if not rules.far_negatives or known.all():
        return nothing, None
    if lesions != 1:
        return nothing, f"{lesions} separate lesions, far negatives need a single one"
    seen = drawing.mask & known[:, None, None]
    z_mm, y_mm, x_mm = drawing.spacing_zyx_mm
    # The largest drawn slice may not be annotated; only known slices are measured.
    reach = far_reach(in_plane_extent_mm(seen, (y_mm, x_mm)), z_mm)
    far = np.abs(np.arange(count) - largest_slice(seen)) > reach
    if (far & (slice_areas(seen) > 0)).any():
        return nothing, "the lesion is much longer than wide, so it reaches into the far slices"
    return far & ~known, None


def three_state_label(
    mask: Mask, *, known: SliceFlags, free: SliceFlags, unknown: Literal["ignore", "background"]
) -> npt.NDArray[np.uint8]:
    """Build the label: known slices as drawn, free ones background, all others unknown.

    Returns
    -------
    numpy.ndarray
        (z, y, x), `BACKGROUND`, `TUMOR` or `IGNORE`.
    """
    label = np.where(mask, TUMOR, BACKGROUND).astype(np.uint8)
    label[~known] = IGNORE if unknown == "ignore" else BACKGROUND
    label[free] = BACKGROUND
    return label


def drawing_problems(drawing: Drawing) -> list[Problem]:
    """List contradictions between a mask and what the table says about it, with what to do."""
    count = len(drawing.mask)
    drawn = np.flatnonzero(slice_areas(drawing.mask))
    if not len(drawn):
        return [empty_mask("the mask")]
    problems = []
    if drawing.annotated is not None:
        if max(drawing.annotated) >= count:
            problems.append(_no_slice("annotated", max(drawing.annotated), count))
        elif not np.isin(drawn, drawing.annotated).any():
            text = "no annotated slice holds tumor; slices count from 0"
            problems.append(Problem(text, Fault.CONTRADICTION))
    if drawing.first is not None and drawing.last is not None:
        if drawing.last >= count:
            problems.append(_no_slice("last", drawing.last, count))
        elif beyond_clicks(drawing.first, drawing.last, count)[drawn].any():
            text = (
                f"tumor is drawn on slices {drawn[0]} to {drawn[-1]}, outside first "
                f"({drawing.first}) to last ({drawing.last}); slices count from 0"
            )
            problems.append(Problem(text, Fault.CONTRADICTION))
    return problems


def empty_mask(name: str) -> Problem:
    """Say that a mask holds no tumor, and what to do."""
    text = f"{name} is empty; draw the tumor, or empty both cells of the sequence"
    return Problem(text, Fault.EMPTY)


def _no_slice(which: str, number: int, count: int) -> Problem:
    text = f"{which} slice {number} does not exist; the image has slices 0 to {count - 1}"
    return Problem(text, Fault.OUT_OF_RANGE)
