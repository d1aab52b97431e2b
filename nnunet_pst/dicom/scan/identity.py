"""Who a patient is and which files are one image, where identifiers are shared or repeated.

Nothing here decides on its own: it says what is shared, and `PatientKey` lets users decide.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum

from nnunet_pst.dicom.reading.headers import Instance
from nnunet_pst.dicom.reading.series import Series
from nnunet_pst.dicom.scan.contrast_words import folded
from nnunet_pst.dicom.scan.studies import DicomStudy
from nnunet_pst.errors import Fault, Problem

#: So many series of one image with one name look like one series with a UID for each image.
_MOST_LONE_IMAGES = 5


class PatientKey(Enum):
    """What makes two studies those of one patient."""

    ID = "id"  #: the same PatientID
    NAME = "name"  #: the same PatientID and PatientName
    BIRTH_DATE = "birth-date"  #: the same PatientID and PatientBirthDate
    STUDY = "study"  #: nothing: each study is a patient


def person_of(study: DicomStudy, by: PatientKey) -> str:
    """Return what tells persons of one PatientID apart; private, and empty by PatientID alone."""
    first = study.series[0].first
    return {
        PatientKey.ID: "",
        PatientKey.NAME: plain_name(first.patient_name),
        PatientKey.BIRTH_DATE: first.birth_date,
        PatientKey.STUDY: study.uid,
    }[by]


def plain_name(name: str) -> str:
    """Write a person's name without signs, accents and case: systems differ in those."""
    return " ".join(re.findall(r"\w+", folded(name).casefold()))


def shared_identifiers(studies: Sequence[DicomStudy], by: PatientKey) -> dict[str, list[Problem]]:
    """Say which PatientIDs and StudyInstanceUIDs more than one person has.

    Returns
    -------
    dict
        Lines by PatientID; they name nobody.
    """
    lines: dict[str, list[Problem]] = defaultdict(list)
    patients: dict[str, list[Instance]] = defaultdict(list)
    owners: dict[str, set[str]] = defaultdict(set)
    for study in studies:
        patients[study.patient] += [one.first for one in study.series]
        owners[study.uid].add(study.patient)
    for patient, files in patients.items() if by is PatientKey.ID else ():
        names = {plain_name(one.patient_name) for one in files} - {""}
        births = {one.birth_date for one in files} - {""}
        kinds = [
            f"{len(values)} {what}"
            for values, what in ((names, "names"), (births, "dates of birth"))
            if len(values) > 1
        ]
        if kinds:
            text = (
                f"{' and '.join(kinds)} under one PatientID: several persons? They are one "
                "patient here; --patients-by name, birth-date or study tells them apart"
            )
            lines[patient].append(Problem(text, Fault.CONTRADICTION))
    for study in studies:
        if len(owners[study.uid]) > 1:
            text = (
                f"its study has {len(owners[study.uid])} PatientIDs: one person or several? They "
                "are several patients here; correct the IDs where they are one"
            )
            lines[study.patient].append(Problem(text, Fault.CONTRADICTION))
    return lines


def repeated_identifiers(study: DicomStudy) -> Iterator[Problem]:
    """Say which images share a UID, and which series may be parts of one."""
    for one in study.series:
        if one.shared_uids:
            text = (
                f"{one.shared_uids} images share their SOPInstanceUID with another one; all were "
                "kept, but masks can't refer to them"
            )
            yield Problem(text, Fault.REPEATED).within(_name(one))
    for number, count in _lone_images(study.series):
        text = (
            f"{count} series of one image each have the number {number}: one series whose "
            "SeriesInstanceUID was changed for every image? Nothing is taken from them; export it "
            "again under one UID"
        )
        yield Problem(text, Fault.REPEATED)


def copies_in(study: DicomStudy) -> Iterator[str]:
    """Say which files were left out because they are copies of others."""
    for one in study.series:
        if one.copies:
            yield f"{_name(one)}: {one.copies} files are copies of others, and were left out"


def _lone_images(series: Iterable[Series]) -> Iterator[tuple[str, int]]:
    groups: dict[tuple[int | None, str], int] = defaultdict(int)
    for one in series:
        if len(one.slices) == 1:
            groups[one.first.number, one.first.description] += 1
    for (number, _), count in groups.items():
        if count >= _MOST_LONE_IMAGES:
            yield ("of none" if number is None else str(number)), count


def _name(series: Series) -> str:
    number = series.first.number
    return f"series {number if number is not None else 'without a number'}"
