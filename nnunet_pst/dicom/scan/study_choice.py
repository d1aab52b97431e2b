"""Which study of a patient is taken."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from nnunet_pst.dicom.scan.studies import DicomStudy


class StudyChoice(Enum):
    """What makes a study of a patient better than the patient's others."""

    MASK = "mask"  #: a mask on a sequence that is taken, then most sequences
    FULLEST = "fullest"  #: most sequences, then masks
    LATEST = "latest"  #: the latest with a usable sequence


#: Why a study is better, by the place of the first value of its worth that is larger.
_ADVANTAGES = {
    StudyChoice.MASK: ("has more masks", "has more sequences", "is later", "has a later UID"),
    StudyChoice.FULLEST: ("has more sequences", "has more masks", "is later", "has a later UID"),
    StudyChoice.LATEST: ("has a usable sequence", "is later", "has more masks", "has a later UID"),
}


def best_study(studies: Sequence[DicomStudy], by: StudyChoice) -> tuple[DicomStudy, dict[str, str]]:
    """Choose a study of one patient.

    Returns
    -------
    tuple
        The study, and what it has over each other one, by StudyInstanceUID.
    """
    worths = {study.uid: _worth(study, by) for study in studies}
    best = max(studies, key=lambda study: worths[study.uid])
    advantages: dict[str, str] = {}
    for study in studies:
        if study is not best:
            pairs = zip(worths[best.uid], worths[study.uid], strict=True)
            place = next((i for i, (a, b) in enumerate(pairs) if a != b), 3)
            advantages[study.uid] = _ADVANTAGES[by][place]
    return best, advantages


def _worth(study: DicomStudy, by: StudyChoice) -> tuple[int | str, ...]:
    chosen = study.chosen.values()
    frames = {mask.frame_of_reference for mask in study.loose} - {""}
    masks = sum(
        one.stack.series.uid in study.masks or one.stack.frame_of_reference in frames
        for one in chosen
    )
    latest = max((one.stack.series.first.series_time for one in chosen), default="")
    if by is StudyChoice.MASK:
        return (masks, len(study.chosen), latest, study.uid)
    if by is StudyChoice.FULLEST:
        return (len(study.chosen), masks, latest, study.uid)
    return (min(len(study.chosen), 1), latest, masks, study.uid)
