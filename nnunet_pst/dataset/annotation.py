"""Three-state labels: which slices of a mask are known, and which are known to be free of tumor.

Masks have the shape (z, y, x), boolean arrays the shape (z,) with one entry for each slice. Labels
are those of `nnunet_pst.labels`.

A coarse mask is drawn on some slices only: on the others, "not drawn" does not mean "no tumor".
Those slices become `IGNORE`, so that no loss is computed there. Why a coarse mask claims nothing
else: docs/decisions/0097.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from nnunet_pst.dataset.cohort import Extent, LabelKind, Split
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
        Number of slices above and below the largest one that the annotators of coarse masks meant
        to draw. No label depends on it: what is known is what was drawn. Scores tell by it what
        is inside the annotated window.
    simulate_coarse
        Turn fine masks of training patients into coarse masks of this many slices above and below
        the largest one; None leaves them fine.
    far_negatives
        Take slices far from the largest one as free of tumor, in training patients.
    unknown
        ``ignore``, or ``background`` for an ablation in which unknown slices of training patients
        count as background.
    """

    coarse_slices: int = 5
    simulate_coarse: int | None = None
    far_negatives: bool = False
    unknown: Literal["ignore", "background"] = "ignore"

    def of_split(self, split: Split) -> LabelRules:
        """Return the rules for patients of a split: what is for learning changes no reference.

        Scores compare with the labels of test and validation patients. There, unknown slices stay
        unknown and no slice is taken as free for being far away.
        """
        if split == "train":
            return self
        return replace(self, unknown="ignore", far_negatives=False)


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
        Slices that were looked at, with or without tumor; None where the table doesn't say.
    extents
        First and last slice of each lesion, or of all together; empty where they were not given.
    kind_is_guessed
        Whether the label kind is a default that the table doesn't state.
    """

    mask: Mask
    spacing_zyx_mm: tuple[float, float, float]
    label_kind: LabelKind
    annotated: tuple[int, ...] | None = None
    extents: tuple[Extent, ...] = ()
    kind_is_guessed: bool = False


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

    Of a coarse mask these are the annotated slices, or else those with tumor. An undrawn slice is
    never known: not between drawn ones, and not beside them.

    Parameters
    ----------
    drawing
        A mask that is not empty.
    rules
        Reach of a simulated window.
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
    return slice_areas(mask) > 0


def slices_of_another_lesion(drawing: Drawing, known: SliceFlags) -> SliceFlags:
    """Flag the known slices of a coarse mask on which one of several lesions is not drawn.

    There, tumor is as drawn, and everything else is unknown. Connected parts of the mask belong to
    a lesion when they are within its extent; a slice is complete when each lesion whose extent
    covers it can be given a part of its own.

    Parameters
    ----------
    drawing
        A mask with an extent for each lesion. With one extent or none nothing is flagged, and
        annotated slices were looked at as a whole.
    known
        (z,), from `known_slices`.
    """
    nowhere = np.zeros(len(drawing.mask), dtype=bool)
    if drawing.label_kind == "fine" or drawing.annotated is not None or len(drawing.extents) < 2:
        return nowhere
    ranges = parts(drawing.mask)
    for z in np.flatnonzero(known):
        here = [(first, last) for first, last in drawing.extents if first <= z <= last]
        on_slice = [r for r, present in ranges if present[z]]
        fits = [[first <= r[0] and r[1] <= last for r in on_slice] for first, last in here]
        if here:
            nowhere[z] = (maximum_bipartite_matching(csr_array(fits), "column") < 0).any()
    return nowhere


def parts(mask: Mask) -> list[tuple[Extent, SliceFlags]]:
    """Return the connected parts (26 neighbors) of a mask: first and last slice, and its slices."""
    components = np.zeros(mask.shape, dtype=np.int32)
    ndimage.label(mask, structure=np.ones((3, 3, 3), dtype=bool), output=components)
    result = []
    for number, (z, y, x) in enumerate(ndimage.find_objects(components), start=1):
        present = np.zeros(len(mask), dtype=bool)
        present[z] = (components[z, y, x] == number).any(axis=(1, 2))
        result.append(((z.start, z.stop - 1), present))
    return result


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


def beyond_clicks(extents: tuple[Extent, ...], count: int) -> SliceFlags:
    """Flag the slices that are in the extent of no lesion."""
    index = np.arange(count)
    beyond = np.ones(count, dtype=bool)
    for first, last in extents:
        beyond &= (index < first) | (index > last)
    return beyond


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
    if drawing.extents:
        return beyond_clicks(drawing.extents, count) & ~known, None
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
    mask: Mask,
    *,
    known: SliceFlags,
    free: SliceFlags,
    incomplete: SliceFlags | None = None,
    unknown: Literal["ignore", "background"],
) -> npt.NDArray[np.uint8]:
    """Build the label: known slices as drawn, free ones background, all others unknown.

    Parameters
    ----------
    incomplete
        (z,) known slices on which only the drawn tumor is known, from `slices_of_another_lesion`.

    Returns
    -------
    numpy.ndarray
        (z, y, x), `BACKGROUND`, `TUMOR` or `IGNORE`.
    """
    value = IGNORE if unknown == "ignore" else BACKGROUND
    label = np.where(mask, TUMOR, BACKGROUND).astype(np.uint8)
    if incomplete is not None:
        label[incomplete[:, None, None] & ~mask] = value
    label[~known] = value
    label[free] = BACKGROUND
    return label
