"""From a folder or zip to studies, and of each study the sequences to take."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from tqdm import tqdm

from nnunet_pst.dicom.reading.files import Origin, printable, walk
from nnunet_pst.dicom.reading.headers import RTSTRUCT, SEG, Instance, read_instance
from nnunet_pst.dicom.reading.pixels import StackImage, read_stack_image
from nnunet_pst.dicom.reading.series import Series, gather_series
from nnunet_pst.dicom.scan.choice import CUT_OFF, Judgment, choose_sequences
from nnunet_pst.dicom.scan.sequence_rules import Rule, read_rules
from nnunet_pst.errors import InputError
from nnunet_pst.io.sequence_columns import USUAL_SEQUENCES


@dataclass(frozen=True)
class Found:
    """What lies below a folder.

    Parameters
    ----------
    series
        All series, structures and segmentations among them.
    others
        Files that are no DICOM.
    problems
        A line for each file that can't be read.
    """

    series: tuple[Series, ...]
    others: tuple[Path, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class DicomStudy:
    """A study that is judged.

    Parameters
    ----------
    patient, uid
        PatientID and StudyInstanceUID; private.
    series
        All of it.
    judgments
        One for each stack of images.
    masks
        Structures and segmentations, by the SeriesInstanceUID that they refer to; without those
        that `nnunet_pst segment` has made.
    """

    patient: str
    uid: str
    series: tuple[Series, ...]
    judgments: tuple[Judgment, ...]
    masks: Mapping[str, tuple[Instance, ...]]

    @property
    def chosen(self) -> dict[str, Judgment]:
        """What to take, by sequence."""
        found = {one.sequence: one for one in self.judgments if one.chosen}
        return {name: found[name] for name in USUAL_SEQUENCES if name in found}

    @property
    def place(self) -> Path:
        """The folder below which its images lie, or the archive; private like the patient."""
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


def find_series(root: Path) -> Found:
    """Read the headers of all DICOM files below a folder or in a zip.

    Raises
    ------
    InputError
        When there is no such place.
    """
    found = walk(root)
    problems = list(found.problems)
    origins = tqdm(found.dicom, desc="reading headers", unit="file", disable=None)
    headers = [_header(origin, problems) for origin in origins]
    series = gather_series(header for header in headers if header is not None)
    return Found(tuple(series), tuple(found.others), tuple(problems))


def _header(origin: Origin, problems: list[str]) -> Instance | None:
    """Read a header, or report why not; a DICOMDIR is no image and no problem."""
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
    return [
        _judge(patient, uid, group, rules)
        for (patient, uid), group in tqdm(
            groups.items(), desc="judging", unit="study", disable=None
        )
    ]


def _judge(patient: str, uid: str, series: list[Series], rules: tuple[Rule, ...]) -> DicomStudy:
    masks: dict[str, tuple[Instance, ...]] = defaultdict(tuple)
    for one in series:
        for instance in one.instances:
            # What a model has drawn is nothing to learn from.
            if instance.modality in (RTSTRUCT, SEG) and not instance.made_here:
                for reference in instance.references:
                    masks[reference] += (instance,)
    stacks = [stack for one in series for stack in one.stacks]
    judgments = choose_sequences(stacks, rules, masks.keys())
    return DicomStudy(patient, uid, tuple(series), tuple(judgments), dict(masks))


def read_study(folder: Path, rules: tuple[Rule, ...] | None = None) -> list[ChosenSequence]:
    """Read the usable sequences of the one study in a folder or zip.

    Raises
    ------
    InputError
        When it holds no study, several, or no usable sequence, with the reasons.
    """
    found = find_series(folder)
    studies = [study for study in judge_studies(found.series, rules) if study.judgments]
    if not studies:
        raise InputError(without_images(folder, found.problems))
    if len(studies) > 1:
        raise InputError(
            f"{folder.name}: holds {len(studies)} studies; give a folder for each study"
        )
    return read_chosen(studies[0], folder.name)


def without_images(place: Path, problems: Sequence[str]) -> list[str]:
    """Say why a place gives no images; of a file or archive with a problem, that alone."""
    if problems and not place.is_dir():
        return list(problems)
    return [*problems, f"{printable(place.name)}: holds no DICOM images"]


def read_chosen(study: DicomStudy, name: str) -> list[ChosenSequence]:
    """Read what was chosen of a study; raises as `read_study`.

    Parameters
    ----------
    name
        How messages call the study.
    """
    if not study.chosen:
        raise InputError([f"{name}: no usable sequence", *reasons(study)])
    return [
        ChosenSequence(sequence, read_stack_image(one.stack), one)
        for sequence, one in study.chosen.items()
    ]


def cut_off(study: DicomStudy) -> list[str]:
    """Give a line for each stack that lacks pixels: whoever copied it should know."""
    return [
        f"{one.stack.name}: {one.decision}"
        for one in study.judgments
        if one.verdict.rule == CUT_OFF
    ]


def reasons(study: DicomStudy, shown: int = 20) -> list[str]:
    """Say in a line for each stack why it was not taken."""
    lines = [
        one.decision
        if one.decision.startswith(one.stack.name)
        else f"{one.stack.name}: {one.decision}"
        for one in study.judgments
        if not one.chosen
    ]
    more = [f"and {len(lines) - shown} more"] if len(lines) > shown else []
    return lines[:shown] + more
