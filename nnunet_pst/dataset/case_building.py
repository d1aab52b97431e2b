"""One case from files to arrays: read, check, bring everything onto one grid, apply the rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from nnunet_pst.dataset.annotation import (
    Drawing,
    LabelRules,
    free_negatives,
    known_slices,
    slice_areas,
    slices_of_another_lesion,
    three_state_label,
)
from nnunet_pst.dataset.carried_labels import carry
from nnunet_pst.dataset.cohort import LabelKind
from nnunet_pst.dataset.drawing_checks import drawing_problems, drawing_remarks
from nnunet_pst.dataset.image_sources import (
    SourceDigests,
    SourceMask,
    check_source_mask,
    image_digests,
    image_remarks,
    read_source_grid,
    read_source_image,
    read_source_mask,
)
from nnunet_pst.dataset.layouts import Case
from nnunet_pst.dataset.slice_ranges import format_slices
from nnunet_pst.errors import Fault, InputError, Problem
from nnunet_pst.io.geometry import Grid
from nnunet_pst.io.slice_kinds import SliceKind, kinds_of_label
from nnunet_pst.io.volumes import Volume, lesion_count
from nnunet_pst.labels import BACKGROUND, IGNORE
from nnunet_pst.registration.resampling import Interpolation, resample_image
from nnunet_pst.registration.transforms import SpatialTransform


@dataclass(frozen=True)
class Alignment:
    """Transforms between the sequences of a case.

    Parameters
    ----------
    transforms
        By the names of reference and moving sequence, for each of `Case.registered`.
    interpolation
        How channels are resampled.
    """

    transforms: Mapping[tuple[str, str], SpatialTransform]
    interpolation: Interpolation


@dataclass(frozen=True)
class CaseFacts:
    """What a case holds and how it was made; nothing private.

    Parameters
    ----------
    slices
        Number of slices.
    label_kind
        Of the label as written: ``fine``, ``coarse``, or empty when there is no label.
    known, tumor, free_negative, unknown
        Number of slices whose label is known as drawn; the number of those with tumor; slices known
        to be free of tumor without a drawing; all others. ``known + free_negative + unknown`` is
        ``slices``, or 0 without a label.
    wrongly_free
        Free negatives of a simulated coarse label on which the fine mask has tumor: the error of
        the far rule, which can't be measured on real coarse masks.
    annotated
        The known slices of a coarse label; empty for a fine label (all are known).
    resampled
        How the mask was brought onto the image's grid, or None.
    note
        Why a rule was not applied, or None.
    remarks
        What to know about where the images are and how the mask was placed, and what its label
        guesses or leaves out.
    carried
        Volume and lesions before and after a mask came from another sequence, or None.
    carry_problems
        What is wrong with a carried mask.
    digests
        Of the voxels of each image and mask that was read.
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
    remarks: tuple[str, ...] = ()
    carried: str | None = None
    carry_problems: tuple[str, ...] = ()
    digests: tuple[SourceDigests, ...] = ()


@dataclass(frozen=True)
class BuiltCase:
    """The volumes of a case as nnU-Net gets them, all on one grid, and facts about them."""

    images: tuple[Volume, ...]
    label: Volume | None
    facts: CaseFacts


def check_case(case: Case, rules: LabelRules) -> CaseFacts:
    """Read the files of a case and apply the rules, without bringing them onto one grid.

    This finds all problems of the files, before anything is registered or written.

    Raises
    ------
    InputError
        With every problem of the case's files, each as ``row N, column C: what and what to do``.
    """
    _, _, facts = _read_case(case, rules)
    return facts


def build_case(case: Case, rules: LabelRules, alignment: Alignment | None = None) -> BuiltCase:
    """Read the files of a case, bring them onto the first channel's grid and apply the rules.

    Parameters
    ----------
    alignment
        Needed where `Case.registered` has pairs.

    Raises
    ------
    InputError
        As `check_case`.
    """
    images, label, facts = _read_case(case, rules)
    reference = images[0]
    assert reference is not None  # a layout makes no case without it
    names = [None if channel is None else channel.name for channel in case.channels]
    channels = [reference]
    for name, image in zip(names[1:], images[1:], strict=True):
        if name is None or image is None:
            channels.append(_no_image(reference))
        else:
            assert alignment is not None
            transform = alignment.transforms[case.reference.name, name]
            channels.append(_on_grid(image, reference.grid, transform, alignment.interpolation))
    if label is not None and case.mask_from is not None:
        assert alignment is not None
        transform = alignment.transforms[case.mask_from.name, case.reference.name].inverse()
        label, facts = _carried(
            label,
            facts,
            reference.grid,
            transform,
            unknown=rules.of_split(case.patient.split).unknown,
        )
    return BuiltCase(tuple(channels), label, facts)


def _read_case(
    case: Case, rules: LabelRules
) -> tuple[list[Volume | None], Volume | None, CaseFacts]:
    """Read images and label; the label is on the grid of the annotated sequence."""
    problems: list[Problem] = []
    images: list[Volume | None] = []
    digests: list[SourceDigests] = []
    remarks: list[str] = []
    for sequence in case.channels:
        images.append(None)
        if sequence is not None:
            with _reported(problems, case, sequence.name):
                images[-1] = image = read_source_image(sequence.image)
                digests.append(image_digests(sequence.name, image))
                remarks += image_remarks(sequence.image, image.grid)
    drawn_grid: Grid | None = None if images[0] is None else images[0].grid
    if case.mask_from is not None:
        with _reported(problems, case, case.mask_from.name):
            drawn_grid = read_source_grid(case.mask_from.image)
    labeled = case.labeled
    label, facts = None, CaseFacts(slices=0 if drawn_grid is None else drawn_grid.shape_zyx[0])
    if labeled.label is not None:
        with _reported(problems, case, f"{labeled.name}_label"):
            if drawn_grid is None:
                check_source_mask(labeled.label)
            else:
                label, facts = _build_label(case, drawn_grid, rules)
    if problems or drawn_grid is None:
        raise InputError(problems)
    facts = replace(facts, digests=(*digests, *facts.digests), remarks=(*remarks, *facts.remarks))
    return images, label, facts


def _no_image(reference: Volume) -> Volume:
    """Zeros for a sequence that the patient lacks; the network learns that they mean absent."""
    return Volume(np.zeros_like(reference.array), reference.grid)


def _on_grid(
    image: Volume, grid: Grid, transform: SpatialTransform, interpolation: Interpolation
) -> Volume:
    """Resample a channel; whole numbers stay whole, as scanners store them."""
    resampled, _ = resample_image(image, grid, transform, interpolation)
    if not np.issubdtype(image.array.dtype, np.integer):
        return resampled
    return Volume(np.rint(resampled.array).astype(image.array.dtype), grid)


def _carried(
    label: Volume, facts: CaseFacts, grid: Grid, transform: SpatialTransform, *, unknown: str
) -> tuple[Volume, CaseFacts]:
    """Carry the label of the annotated sequence to this case's grid and count its slices again."""
    carried = carry(label, grid, transform)
    kinds = kinds_of_label(carried.label)
    seen = (kinds == SliceKind.LESION) | (kinds == SliceKind.KNOWN)
    array = carried.label
    if unknown == "background":
        array = np.where(array == IGNORE, BACKGROUND, array).astype(np.uint8)
    fine = facts.label_kind == "fine"
    return Volume(array, grid), replace(
        facts,
        slices=len(kinds),
        known=int(seen.sum()),
        tumor=int((kinds == SliceKind.LESION).sum()),
        free_negative=int((kinds == SliceKind.FREE).sum()),
        unknown=int((kinds == SliceKind.UNKNOWN).sum()),
        # Errors of the far rule on the annotated sequence say nothing about this one's slices.
        wrongly_free=0,
        annotated=() if fine else tuple(np.flatnonzero(seen).tolist()),
        carried=carried.summary,
        carry_problems=carried.problems,
    )


@contextmanager
def _reported(problems: list[Problem], case: Case, column: str) -> Iterator[None]:
    """Collect the problems raised inside, with their place in the table."""
    place = f"row {case.patient.row}, column {column}"
    try:
        yield
    except InputError as error:
        problems += error.within(place)
    except MemoryError:
        text = "cannot be read (not enough memory)"
        problems.append(Problem(text, Fault.TOO_LARGE).within(place))
    except OSError as error:
        text = f"cannot be read ({error.strerror or error})"
        problems.append(Problem(text, Fault.UNREADABLE).within(place))


def _placed_mask(case: Case, grid: Grid) -> tuple[Drawing, SourceMask]:
    """Bring a mask onto its image's grid and compare it with the table."""
    sequence = case.labeled
    assert sequence.label is not None
    source = read_source_mask(sequence.label, sequence.image, grid)
    drawing = Drawing(
        source.mask,
        grid.spacing_zyx_mm,
        sequence.label_kind,
        sequence.annotated,
        sequence.extents,
        sequence.kind_is_guessed,
    )
    if problems := drawing_problems(drawing):
        raise InputError([problem.within(sequence.label.name) for problem in problems])
    return drawing, source


def _placing_remarks(drawing: Drawing, source: SourceMask) -> list[str]:
    """Say what a mask on another grid leaves to us: slice numbers, and slices outside of it."""
    count = len(drawing.mask)
    remarks = list(source.remarks)
    if source.own_slices is not None and (drawing.extents or drawing.annotated):
        remarks.append(
            f"first, last and annotated are taken for slices of the image ({count}), not of the "
            f"mask ({source.own_slices})"
        )
    if source.covered is not None and drawing.label_kind == "fine":
        first, last = source.covered
        outside = [z for z in range(count) if not first <= z <= last]
        if outside:
            remarks.append(
                f"the mask does not reach slices {format_slices(outside)} of its image: they count "
                "as free of tumor, because it is fine"
            )
    return remarks


def _build_label(case: Case, grid: Grid, rules: LabelRules) -> tuple[Volume, CaseFacts]:
    """Read a mask and apply the label rules to it."""
    drawing, source = _placed_mask(case, grid)
    rules = rules.of_split(case.patient.split)
    known = known_slices(drawing, rules, simulate=case.patient.split != "test")
    free, note = free_negatives(drawing, rules, known, lesions=_lesions_drawn(drawing, rules))
    incomplete = slices_of_another_lesion(drawing, known)
    label = three_state_label(
        drawing.mask, known=known, free=free, incomplete=incomplete, unknown=rules.unknown
    )
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
        resampled=source.resampled,
        note=note,
        remarks=(*_placing_remarks(drawing, source), *drawing_remarks(drawing, known)),
        digests=(SourceDigests(f"{case.labeled.name}_label", source.digest),),
    )
    return Volume(label, grid), facts


def _stays_fine(case: Case, rules: LabelRules) -> bool:
    simulated = rules.simulate_coarse is not None and case.patient.split != "test"
    return case.labeled.label_kind == "fine" and not simulated


def _lesions_drawn(drawing: Drawing, rules: LabelRules) -> int:
    """Count the separate lesions, which decide whether the far rule applies.

    Slices that a simulated coarse mask makes unknown count too: the users of the rule know whether
    a patient has one lesion, and the rule labels slices, never voxels. Slices that a coarse mask
    leaves out don't separate what is drawn above and below them.
    """
    if not rules.far_negatives:
        return 1
    mask = drawing.mask
    if drawing.label_kind == "coarse":
        mask = mask[known_slices(drawing, rules, simulate=False)]
    return lesion_count(mask)
