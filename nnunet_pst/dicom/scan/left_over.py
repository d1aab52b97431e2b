"""Masks of a patient that were drawn and are not used, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nnunet_pst.dicom.reading.headers import Instance
from nnunet_pst.dicom.scan.mask_search import FoundMasks
from nnunet_pst.dicom.scan.studies import DicomStudy, masks_of
from nnunet_pst.errors import Fault, Problem
from nnunet_pst.io.wording import printable


def left_over_masks(
    studies: Sequence[DicomStudy], best: DicomStudy, found: FoundMasks
) -> Iterator[Problem]:
    """Say of each mask of a patient that is not used why; those drawn on other than MR are silent.

    Parameters
    ----------
    studies
        All of the patient.
    best
        The one that is taken.
    found
        Its masks; what it names already is left out.
    """
    told = set(found.attached)
    for study in studies:
        for mask in (*masks_of(study.series), *study.loose):
            if mask.origin in told:
                continue
            told.add(mask.origin)
            reason = _reason(mask, studies, best)
            if reason:
                text = printable(f"mask {mask.origin.name} is left over: {reason}")
                yield Problem(text, Fault.UNEXPECTED)


def _reason(mask: Instance, studies: Sequence[DicomStudy], best: DicomStudy) -> str:
    """Say why a mask is not used; empty where nobody would expect it to be."""
    drawn_on = [
        (study, one)
        for study in studies
        for one in study.series
        if one.uid in mask.references and one.slices
    ]
    if not drawn_on:
        return "it names no series that is here, and lies on none that is taken"
    magnetic = [(study, one) for study, one in drawn_on if one.first.modality == "MR"]
    if not magnetic:
        return ""
    study, series = magnetic[0]
    number = series.first.number
    where = f"series {number if number is not None else 'without a number'}"
    if study is not best:
        return f"it was drawn on {where} of another study of this patient"
    return f"it was drawn on {where}, which is not taken"
