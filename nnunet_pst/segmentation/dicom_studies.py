"""DICOM folders and archives as studies for `segment`.

A study's series may be in several of the places: a folder a series, or some series in a zip.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from nnunet_pst.dicom.reading.headers import RTSTRUCT, SEG, Instance
from nnunet_pst.dicom.reading.pixels import StackImage
from nnunet_pst.dicom.reading.series import Series, gather_series
from nnunet_pst.dicom.scan.studies import (
    ChosenSequence,
    DicomStudy,
    SeriesOfTree,
    cut_off,
    find_series,
    judge_studies,
    read_chosen,
    reasons,
    without_images,
)
from nnunet_pst.dicom.writing.source_images import DicomSource
from nnunet_pst.errors import Fault, InputError, Problem
from nnunet_pst.io.image_paths import is_image_name
from nnunet_pst.io.real_paths import real_path
from nnunet_pst.io.wording import printable
from nnunet_pst.segmentation.study_input import Study, StudySequence


@dataclass(frozen=True)
class _Place:
    """A folder or archive that was given, and what is in it."""

    path: Path
    tree: SeriesOfTree

    @property
    def name(self) -> str:
        """The place in messages."""
        return printable(self.path.name)

    @property
    def image_files(self) -> list[Path]:
        """Image files that are not DICOM."""
        return [other for other in self.tree.others if is_image_name(other)]

    @property
    def sop_uids(self) -> set[str]:
        """SOPInstanceUID of every DICOM file."""
        return {instance.sop_uid for one in self.tree.series for instance in one.instances}


def studies_of_dicom(paths: Sequence[Path]) -> tuple[list[Study], list[str], list[Problem]]:
    """Find the studies below folders and in archives, from their headers.

    Parameters
    ----------
    paths
        Folders and zip archives, each with one study, many, or a part of one; a file that is in
        several of them is taken once.

    Returns
    -------
    tuple
        The studies in the order of their discovery, each once; a line for each series without
        pixels of a study that has other series, and for everything else that is left out and
        belongs to no study; and a problem for each file that cannot be read, which may be a slice
        of any study, and each folder without images.

    Raises
    ------
    InputError
        With a line for each path that is missing or holds image files that are not DICOM, and for
        every path where none holds DICOM images.
    """
    places, problems = _places(paths)
    judged = [study for study in judge_studies(_merged(places)) if study.judgments]
    homes = _homes(judged, places)
    notes = [note for place in places for note in _others(place)]
    unread: list[Problem] = []
    for number, place in enumerate(places):
        if any(number in numbers for numbers in homes):
            unread += [problem.within(place.name) for problem in place.tree.problems]
        elif judged:
            _leave_out(place, notes, problems, unread)
        else:
            problems += _without_study(place)
    if problems:
        raise InputError(problems)
    studies = []
    order = sorted(range(len(judged)), key=lambda number: homes[number][0])
    for place_in_order, number in enumerate(order, 1):
        study, own = judged[number], [places[home] for home in homes[number]]
        # A folder's name may be the patient's, which messages must not show: so a number.
        alone = sum(homes[number][0] in numbers for numbers in homes) == 1
        label = own[0].path.name + (f" and {len(own) - 1} more" if len(own) > 1 else "")
        label += "" if alone else f", study {place_in_order}"
        notes += [f"{label}: {line}" for line in cut_off(study)] if study.chosen else []
        read = partial(_read, study, _doubt(sum(len(place.tree.problems) for place in own)))
        # Some anonymizers give two patients one StudyInstanceUID.
        identity = f"{study.patient} {study.uid}"
        left_out = (*_left_out(study), *_namesakes(study, judged))
        studies.append(Study(identity, label, read, str(study.place), left_out))
    return studies, notes, unread


def _without_study(place: _Place) -> list[Problem]:
    """Say why a place gives no study."""
    if place.image_files and not place.tree.series:
        return [_ask_for_sequences(place.path, place.image_files)]
    return without_images(place.path, place.tree.problems)


def _leave_out(
    place: _Place, notes: list[str], problems: list[Problem], unread: list[Problem]
) -> None:
    """Say that a place gives no study, where others do; ``study/*`` names all sorts of files."""
    if place.image_files and not place.tree.series:
        problems += _without_study(place)
    elif place.tree.problems or not (place.tree.series or place.path.is_file()):
        unread += _without_study(place)
    else:
        notes.append(f"{place.name}: left out, because it holds no images")


def _places(paths: Sequence[Path]) -> tuple[list[_Place], list[Problem]]:
    """Read the headers of every place that was given, each once."""
    once: dict[Path, Path] = {}
    for path in paths:
        once.setdefault(real_path(path), path)
    problems: list[Problem] = []
    read = [_place(path, problems) for path in once.values()]
    return [place for place in read if place is not None], problems


def _place(path: Path, problems: list[Problem]) -> _Place | None:
    try:
        return _Place(path, find_series(path))
    except InputError as error:
        problems += error.problems
        return None


def _merged(places: Sequence[_Place]) -> list[Series]:
    """Gather the series of all places; of two copies of a file the one with all pixels counts."""
    instances = [
        instance for place in places for one in place.tree.series for instance in one.instances
    ]
    return gather_series(sorted(instances, key=_lacks_pixels))


def _lacks_pixels(instance: Instance) -> bool:
    return any(one.pixel_problem is not None for one in instance.slices)


def _homes(judged: Sequence[DicomStudy], places: Sequence[_Place]) -> list[list[int]]:
    """Return, for each study, the numbers of the places that hold some of its images."""
    holdings = [place.sop_uids for place in places]
    homes = []
    for study in judged:
        uids = {i.sop_uid for series in study.series for i in series.instances if i.slices}
        homes.append([number for number, held in enumerate(holdings) if held & uids])
    return homes


def _others(place: _Place) -> list[str]:
    """Say which image files beside DICOM are left out."""
    if not place.tree.series or not place.image_files:
        return []
    count, first = len(place.image_files), printable(place.image_files[0].name)
    files = f"an image file ({first})" if count == 1 else f"{count} image files (such as {first})"
    return [f"{place.name}: left out {files}, which is not DICOM"]


def _left_out(study: DicomStudy) -> tuple[str, ...]:
    """Say for each series of a study that is not segmented why not."""
    lines = [f"left out: {line}" for line in reasons(study, shown=len(study.judgments))]
    kinds: Counter[str] = Counter()
    for series in study.series:
        if series.slices:
            continue
        modality = printable(series.first.modality) or "unknown"
        if modality in (RTSTRUCT, SEG) or not series.first.modality:
            kinds[modality] += 1
        else:
            number = series.first.number
            name = "a series without a number" if number is None else f"series {number}"
            lines.append(f"left out: {name}: no images ({modality})")
    lines += [f"left out: {count} series of {kind}, no images" for kind, count in kinds.items()]
    return tuple(lines)


def _namesakes(study: DicomStudy, judged: Sequence[DicomStudy]) -> list[str]:
    """Say that a study's UID is also that of another patient, or of one whose ID was changed."""
    if sum(one.uid == study.uid for one in judged) == 1:
        return []
    return [
        "other images have the same StudyInstanceUID and another PatientID: taken as another "
        "patient's study"
    ]


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
    return [_sequence(one, remarks) for one in read_chosen(study, "this study")]


def _sequence(one: ChosenSequence, remarks: tuple[str, ...]) -> StudySequence:
    stack = one.judgment.stack
    source = _source(one.image)
    warnings = list(remarks)
    if one.judgment.computed:
        warnings.append("these images were computed from others, for want of acquired ones")
    if source is None:
        warnings.append("no DICOM objects: its frames are in several files, which they cannot name")
    return StudySequence(
        one.name,
        one.image.volume,
        source,
        tuple(warnings),
        f"taken as {one.name}: {stack.name}, {one.judgment.verdict.reason}",
        is_dicom=True,
        frame_of_reference=stack.frame_of_reference,
    )


def _source(image: StackImage) -> DicomSource | None:
    """Headers for derived objects; None where frames come from several files."""
    if image.frames and len(image.headers) > 1:
        return None
    return DicomSource(image.headers, image.frames)
