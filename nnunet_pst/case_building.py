"""One case from files to arrays: read, check, bring the mask onto the grid, apply the rules."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from nnunet_pst.annotation import (
    Drawing,
    LabelRules,
    drawing_problems,
    free_negatives,
    known_slices,
    slice_areas,
    three_state_label,
)
from nnunet_pst.cohort import LabelKind
from nnunet_pst.errors import InputError
from nnunet_pst.geometry import same_grid
from nnunet_pst.layouts import Case
from nnunet_pst.mask_grids import place_mask
from nnunet_pst.volumes import Volume, lesion_count, read_image, read_mask


@dataclass(frozen=True)
class CaseFacts:
    """What became of a case; holds nothing private.

    Parameters
    ----------
    slices
        Number of slices.
    label_kind
        Of the label as written: ``fine``, ``coarse``, or empty when there is no label.
    known, tumor, free_negative, unknown
        Number of slices whose label is known as drawn; those of them with tumour; those known to
        be free of tumour without a drawing; all others. ``known + free_negative + unknown`` is
        ``slices``, or 0 without a label.
    wrongly_free
        Free negatives of a simulated coarse label on which the fine mask has tumour: the error of
        the far rule, which nobody could know from real coarse masks.
    annotated
        The known slices of a coarse label; empty for a fine one (all).
    resampled
        How the mask was brought onto the image's grid, or None.
    note
        Why a rule was not applied, or None.
    """

    slices: int
    label_kind: LabelKind | str = ""
    known: int = 0
    tumor: int = 0
    free_negative: int = 0
    unknown: int = 0
    wrongly_free: int = 0
    annotated: tuple[int, ...] = ()
    resampled: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class BuiltCase:
    """The volumes of a case as nnU-Net gets them, all on one grid, and what became of it."""

    images: tuple[Volume, ...]
    label: Volume | None
    facts: CaseFacts


def build_case(case: Case, rules: LabelRules) -> BuiltCase:
    """Read the files of a case and apply the rules.

    Raises
    ------
    InputError
        With every problem of the case's files, each as ``row N, column C: what and what to do``.
    """
    problems: list[str] = []
    images = []
    for sequence in case.channels:
        with _reported(problems, case, sequence.name):
            images.append(read_image(sequence.image))
    labelled = case.labelled
    mask: Volume | None = None
    if labelled.label is not None:
        with _reported(problems, case, f"{labelled.name}_label"):
            mask = read_mask(labelled.label)
    if problems:
        raise InputError(problems)
    grid = images[0].grid
    for sequence, image in zip(case.channels, images, strict=True):
        with _reported(problems, case, sequence.name):
            if not same_grid(grid, image.grid):
                raise InputError(f"{sequence.image.name} is on another grid than {labelled.name}")
    label, facts = None, CaseFacts(slices=grid.shape_zyx[0])
    if mask is not None:
        with _reported(problems, case, f"{labelled.name}_label"):
            label, facts = _build_label(case, mask, images[0], rules=rules)
    if problems:
        raise InputError(problems)
    return BuiltCase(tuple(images), label, facts)


@contextmanager
def _reported(problems: list[str], case: Case, column: str) -> Iterator[None]:
    """Collect the problems raised inside, with their place in the table."""
    try:
        yield
    except InputError as error:
        problems += [f"row {case.patient.row}, column {column}: {p}" for p in error.problems]
    except (OSError, MemoryError) as error:
        reason = "not enough memory" if isinstance(error, MemoryError) else error.strerror or error
        problems.append(f"row {case.patient.row}, column {column}: could not be read ({reason})")


def _placed_mask(case: Case, mask: Volume, image: Volume) -> tuple[Drawing, str | None]:
    """Bring a mask onto its image's grid and hold it against the table."""
    sequence = case.labelled
    assert sequence.label is not None
    if not mask.array.any():
        raise InputError(
            f"{sequence.label.name} is empty; draw the tumor, or empty both cells of the sequence"
        )
    try:
        placed, resampled = place_mask(mask, image.grid)
    except InputError as error:
        raise InputError([f"{sequence.label.name}: {p}" for p in error.problems]) from error
    drawing = Drawing(
        placed,
        image.grid.spacing_zyx_mm,
        sequence.label_kind,
        sequence.annotated,
        sequence.first,
        sequence.last,
    )
    if problems := drawing_problems(drawing):
        raise InputError([f"{sequence.label.name}: {p}" for p in problems])
    return drawing, resampled


def _build_label(
    case: Case, mask: Volume, image: Volume, *, rules: LabelRules
) -> tuple[Volume, CaseFacts]:
    """Apply the label rules to a mask."""
    drawing, resampled = _placed_mask(case, mask, image)
    known = known_slices(drawing, rules, simulate=case.patient.split != "test")
    free, note = free_negatives(drawing, rules, known, lesions=_lesions_drawn(drawing, rules))
    label = three_state_label(drawing.mask, known=known, free=free, unknown=rules.unknown)
    drawn = slice_areas(drawing.mask) > 0
    fine = _stays_fine(case, rules)
    facts = CaseFacts(
        slices=len(label),
        label_kind="fine" if fine else "coarse",
        known=int(known.sum()),
        tumor=int((known & drawn).sum()),
        free_negative=int(free.sum()),
        unknown=int((~known & ~free).sum()),
        wrongly_free=int((free & drawn).sum()),
        annotated=() if fine else tuple(np.flatnonzero(known).tolist()),
        resampled=resampled,
        note=note,
    )
    return Volume(label, image.grid), facts


def _stays_fine(case: Case, rules: LabelRules) -> bool:
    simulated = rules.simulate_coarse is not None and case.patient.split != "test"
    return case.labelled.label_kind == "fine" and not simulated


def _lesions_drawn(drawing: Drawing, rules: LabelRules) -> int:
    """Count the separate lesions that the far rule would have to reckon with.

    Also in slices that a simulated coarse mask forgets: whether a patient has one lesion is
    known to whoever asks for the rule, and it labels slices, never voxels. Slices that a coarse
    mask leaves out don't separate what is drawn above and below them.
    """
    if not rules.far_negatives:
        return 1
    mask = drawing.mask
    if drawing.label_kind == "coarse":
        mask = mask[known_slices(drawing, rules, simulate=False)]
    return lesion_count(mask)
