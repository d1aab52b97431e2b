"""DICOM folders and archives as studies for `segment`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from nnunet_pst.dicom.reading.files import printable
from nnunet_pst.dicom.reading.pixels import StackImage
from nnunet_pst.dicom.scan.studies import (
    DicomStudy,
    cut_off,
    find_series,
    judge_studies,
    read_chosen,
    without_images,
)
from nnunet_pst.dicom.writing.source_images import DicomSource
from nnunet_pst.errors import Fault, InputError, Problem
from nnunet_pst.io.image_paths import is_image_name
from nnunet_pst.segmentation.study_input import Study, StudySequence


def studies_of_dicom(paths: Sequence[Path]) -> tuple[list[Study], list[str], list[Problem]]:
    """Find the studies below folders and in archives, from their headers.

    Parameters
    ----------
    paths
        Each a folder with one study or many, or a zip archive.

    Returns
    -------
    tuple
        The studies in the order of their discovery, each once; a line for each series without
        pixels of a study that has other series; and a problem for each file that cannot be read,
        which may be a slice of any study.

    Raises
    ------
    InputError
        With a line for each path that is missing or holds no DICOM images.
    """
    studies: dict[str, Study] = {}
    notes: list[str] = []
    unread: list[Problem] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            found = find_series(path)
        except InputError as error:
            problems += error.problems
            continue
        judged = [study for study in judge_studies(found.series) if study.judgments]
        images = [other for other in found.others if is_image_name(other)]
        if judged:
            unread += [Problem(line).within(printable(path.name)) for line in found.problems]
        elif images:
            problems.append(_ask_for_sequences(path, images))
        else:
            problems += map(Problem, without_images(path, found.problems))
        for study in judged:
            # A folder's name may be the patient's, which messages must not show: so a number.
            label = path.name if len(judged) == 1 else f"{path.name}, study {len(studies) + 1}"
            notes += [f"{label}: {line}" for line in cut_off(study)] if study.chosen else []
            read = partial(_read, study, _doubt(len(found.problems)))
            # Some anonymizers give two patients one StudyInstanceUID.
            identity = f"{study.patient} {study.uid}"
            where = str(study.place)
            studies.setdefault(identity, Study(identity, label, read, where))
    if problems:
        raise InputError(problems)
    return list(studies.values()), notes, unread


def _ask_for_sequences(path: Path, images: Sequence[Path]) -> Problem:
    """Ask for the sequences of image files that are not DICOM: their headers don't name them."""
    name = printable(path.name)
    if path.is_file():
        return Problem(f"{name}: say which sequence it is, such as T2={name}", Fault.AMBIGUOUS)
    return Problem(
        f"{name}: holds no DICOM but image files ({printable(images[0].name)}); give those of one "
        "study with their sequence: T2=FILE CET1=FILE",
        Fault.WRONG_TYPE,
    )


def _doubt(unread: int) -> tuple[str, ...]:
    if not unread:
        return ()
    files = "a file" if unread == 1 else f"{unread} files"
    return (f"{files} beside these images could not be read: slices may be missing",)


def _read(study: DicomStudy, remarks: tuple[str, ...]) -> list[StudySequence]:
    return [
        StudySequence(
            one.name,
            one.image.volume,
            _source(one.image),
            (
                f"taken as {one.name}: {one.judgment.stack.name}, {one.judgment.verdict.reason}",
                *remarks,
            ),
        )
        for one in read_chosen(study, "this study")
    ]


def _source(image: StackImage) -> DicomSource | None:
    """Headers for derived objects; None where frames come from several files."""
    if image.frames and len(image.headers) > 1:
        return None
    return DicomSource(image.headers, image.frames)
