"""The studies in a folder or zip, and the sequences to take from each."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from tqdm import tqdm

from nnunet_pst.dicom.reading.files import Origin, walk
from nnunet_pst.dicom.reading.headers import RTSTRUCT, SEG, Instance, read_instance
from nnunet_pst.dicom.reading.pixels import StackImage, read_stack_image
from nnunet_pst.dicom.reading.series import Series, gather_series
from nnunet_pst.dicom.scan.choice import choose_sequences
from nnunet_pst.dicom.scan.judgments import Judgment, Outcome
from nnunet_pst.dicom.scan.sequence_rules import Rule, read_rules
from nnunet_pst.errors import Fault, InputError, Problem
from nnunet_pst.io.sequence_columns import USUAL_SEQUENCES
from nnunet_pst.io.wording import printable


@dataclass(frozen=True)
class SeriesOfTree:
    """The series below a folder.

    Parameters
    ----------
    series
        All series, including structures and segmentations.
    others
        Files that are not DICOM.
    problems
        A line for each file that can't be read.
    """

    series: tuple[Series, ...]
    others: tuple[Path, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class DicomStudy:
    """A study with a judgment of each stack.

    Parameters
    ----------
    patient, uid
        PatientID and StudyInstanceUID; private.
    series
        All its series.
    judgments
        One for each stack of images.
    masks
        Structures and segmentations, by the SeriesInstanceUID that they refer to; without those of
        `nnunet_pst segment`. They may be filed in another study of the patient.
    loose
        Those of the patient that refer to no series of images that is there.
    """

    patient: str
    uid: str
    series: tuple[Series, ...]
    judgments: tuple[Judgment, ...]
    masks: Mapping[str, tuple[Instance, ...]]
    loose: tuple[Instance, ...] = ()

    @property
    def chosen(self) -> dict[str, Judgment]:
        """The stacks to take, by sequence."""
        taken = {one.sequence: one for one in self.judgments if one.chosen}
        return {name: taken[name] for name in USUAL_SEQUENCES if name in taken}

    @property
    def place(self) -> Path:
        """The folder or archive that holds its images; private like the patient."""
        stacks = [one.stack for one in self.chosen.values() or self.judgments]
        origins = [one.origin for stack in stacks for one in stack.slices] or [
            instance.origin for one in self.series for instance in one.instances
        ]
        homes = {origin.path if origin.member else origin.path.parent for origin in origins}
        return Path(os.path.commonpath([home.absolute() for home in homes]))


@dataclass(frozen=True)
class ChosenSequence:
    """A sequence that has been read.

    Parameters
    ----------
    name
        T1, T2, DWI, CET1.
    image
        Volume and headers.
    judgment
        Why it was taken.
    """

    name: str
    image: StackImage
    judgment: Judgment


def find_series(root: Path) -> SeriesOfTree:
    """Read the headers of all DICOM files below a folder or in a zip.

    Raises
    ------
    InputError
        When there is no such place.
    """
    tree = walk(root)
    problems = list(tree.problems)
    origins = tqdm(tree.dicom, desc="reading headers", unit="file", disable=None)
    headers = [_header(origin, problems) for origin in origins]
    series = gather_series(header for header in headers if header is not None)
    return SeriesOfTree(tuple(series), tuple(tree.others), tuple(problems))


def _header(origin: Origin, problems: list[Problem]) -> Instance | None:
    """Read a header, or report why not; a DICOMDIR has no images and is skipped."""
    if PurePath(origin.member or origin.path).name.upper() == "DICOMDIR":
        return None
    try:
        return read_instance(origin)
    except InputError as error:
        problems += error.problems
        return None


def judge_studies(
    series: Sequence[Series], rules: tuple[Rule, ...] | None = None
) -> list[DicomStudy]:
    """Group series by patient and study, and decide for every stack what it is."""
    groups: dict[tuple[str, str], list[Series]] = defaultdict(list)
    for one in series:
        groups[one.first.patient, one.first.study].append(one)
    rules = read_rules() if rules is None else rules
    of_patient: dict[str, list[Series]] = defaultdict(list)
    for one in series:
        of_patient[one.first.patient].append(one)
    return [
        _judge(patient, uid, group, of_patient[patient], rules)
        for (patient, uid), group in tqdm(
            groups.items(), desc="judging", unit="study", disable=None
        )
    ]


def _judge(
    patient: str,
    uid: str,
    series: list[Series],
    of_patient: Sequence[Series],
    rules: tuple[Rule, ...],
) -> DicomStudy:
    own = {one.uid for one in series}
    with_images = {one.uid for one in of_patient if one.slices}
    masks: dict[str, tuple[Instance, ...]] = defaultdict(tuple)
    loose: list[Instance] = []
    for instance in masks_of(of_patient):
        for reference in own.intersection(instance.references):
            masks[reference] += (instance,)
        if not with_images.intersection(instance.references):
            loose.append(instance)
    stacks = [stack for one in series for stack in one.stacks]
    judgments = choose_sequences(stacks, rules, masks.keys())
    return DicomStudy(patient, uid, tuple(series), tuple(judgments), dict(masks), tuple(loose))


def masks_of(series: Iterable[Series]) -> Iterator[Instance]:
    """Yield structures and segmentations; those of a model are not used for training."""
    for one in series:
        for instance in one.instances:
            if instance.modality in (RTSTRUCT, SEG) and not instance.made_here:
                yield instance


def read_study(folder: Path, rules: tuple[Rule, ...] | None = None) -> list[ChosenSequence]:
    """Read the usable sequences of the one study in a folder or zip.

    Raises
    ------
    InputError
        When it holds no study, several, or no usable sequence, with the reasons.
    """
    tree = find_series(folder)
    studies = [study for study in judge_studies(tree.series, rules) if study.judgments]
    if not studies:
        raise InputError(without_images(folder, tree.problems))
    if len(studies) > 1:
        raise InputError(
            f"{folder.name}: holds {len(studies)} studies; give a folder for each study",
            Fault.AMBIGUOUS,
        )
    return read_chosen(studies[0], folder.name)


def without_images(place: Path, problems: Sequence[Problem]) -> list[Problem]:
    """Say why a place gives no images; for a file or archive with problems, only those."""
    if problems and not place.is_dir():
        return list(problems)
    empty = Problem("holds no DICOM images", Fault.EMPTY)
    return [*problems, empty.within(printable(place.name))]


def read_chosen(study: DicomStudy, name: str) -> list[ChosenSequence]:
    """Read the stacks to take from a study; raises as `read_study`.

    Parameters
    ----------
    name
        Of the study, for messages.
    """
    if not study.chosen:
        raise InputError(without_sequence(study, name))
    return [
        ChosenSequence(sequence, read_stack_image(one.stack), one)
        for sequence, one in study.chosen.items()
    ]


def cut_off(study: DicomStudy) -> list[Problem]:
    """Report each stack that lacks pixels, because it must be copied again."""
    return [
        Problem(one.decision, Fault.DAMAGED).within(one.stack.name)
        for one in study.judgments
        if one.outcome is Outcome.CUT_OFF
    ]


def without_sequence(study: DicomStudy, name: str) -> list[Problem]:
    """Say that a study has no usable sequence, with the reasons."""
    return [Problem("no usable sequence", Fault.MISSING).within(name), *reasons(study)]


def reasons(study: DicomStudy, shown: int = 20) -> list[Problem]:
    """Say in a line for each stack why it was not taken."""
    lines = [_reason(one) for one in study.judgments if not one.chosen]
    hidden = Problem(f"and {len(lines) - shown} more", Fault.MISSING)
    return lines[:shown] + ([hidden] if len(lines) > shown else [])


def _reason(one: Judgment) -> Problem:
    problem = Problem(one.decision, Fault.MISSING)
    return problem if one.outcome is Outcome.NOT_A_VOLUME else problem.within(one.stack.name)
