"""One study through the models: masks, measures, agreement, and what readers must know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_pst.calibration.judgement import Judgement
from nnunet_pst.calibration.signs import Signs
from nnunet_pst.dicom.writing.source_images import DicomSource
from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.geometry import Grid, slice_axis_remarks
from nnunet_pst.io.volumes import Volume
from nnunet_pst.registration.policy import RegistrationSettings
from nnunet_pst.segmentation.agreement import agreement, consensus
from nnunet_pst.segmentation.judging import MadeBy, judge_masks
from nnunet_pst.segmentation.measures import TumorMeasures, mask_warnings, measure_tumor
from nnunet_pst.segmentation.model_interface import (
    ModelChoice,
    Prediction,
    model_warnings,
    plane_problem,
    unknown_sequences,
)
from nnunet_pst.segmentation.model_roles import Role, Roles, assign_models
from nnunet_pst.segmentation.registration_choice import RegistrationWish, choose_registration
from nnunet_pst.segmentation.study_input import StudySequence, repeated_images
from nnunet_pst.segmentation.study_space import StudySpace

CONSENSUS = "consensus"


@dataclass(frozen=True)
class SegmentationSettings:
    """The settings that decide a result besides images and models.

    Attributes
    ----------
    consensus
        Fuse the sequences' probabilities too.
    probabilities
        Keep each sequence's probability of tumor.
    registration
        Of channels for a fusion model, and of sequences for the consensus. What a
        `RegistrationWish` leaves open is as in the fusion model's training data.
    """

    consensus: bool = False
    probabilities: bool = False
    registration: RegistrationSettings | RegistrationWish = field(default_factory=RegistrationWish)


@dataclass(frozen=True)
class ClassMask:
    """One class of a model that segments several.

    Attributes
    ----------
    name, value
        The class, and its value in `Result.labels`.
    warnings
        About this class alone.
    """

    name: str
    value: int
    measures: TumorMeasures
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """A mask with its measures and warnings.

    Attributes
    ----------
    name
        Of the sequence, or ``consensus``.
    model
        Name of the model, or how the consensus was made.
    weights
        Tells trainings of one name apart.
    channels
        The sequences of the input.
    image
        The image of the mask's grid.
    labels
        (z, y, x), 0 for background, else the value of a class.
    measures, warnings
        Of all classes together.
    filled
        Channels that the study lacks, and that were zero.
    classes
        Every class by itself; empty where there is one.
    what
        What the mask outlines, in words.
    probability
        (z, y, x) of all classes together; None where the model gives none.
    judgement
        Whether to believe it.
    signs
        What the networks tell of it; None of a consensus.
    """

    name: str
    model: str
    weights: str
    channels: tuple[str, ...]
    image: Volume
    labels: npt.NDArray[np.uint8]
    measures: TumorMeasures
    warnings: tuple[str, ...]
    source: DicomSource | None
    filled: tuple[str, ...] = ()
    classes: tuple[ClassMask, ...] = ()
    what: str = "tumor"
    probability: npt.NDArray[np.float32] | None = None
    judgement: Judgement | None = None
    signs: Signs | None = None

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """All classes together: (z, y, x)."""
        return self.labels > 0


@dataclass(frozen=True)
class StudyResult:
    """All masks of a study, their agreement, and the sequences without a mask."""

    results: tuple[Result, ...]
    agreement: dict[str, Any] | None
    registration: list[dict[str, Any]]
    missing: tuple[str, ...]
    notes: tuple[str, ...] = ()


def segment_study(
    sequences: Sequence[StudySequence], models: ModelChoice, settings: SegmentationSettings
) -> StudyResult:
    """Segment every sequence for which there is a model; see `assign_models`.

    Raises
    ------
    InputError
        When there is no model for any of the sequences, a sequence's name is unknown, two
        sequences are one image, a fusion model's channels show different places and there is no
        other model, slices have a plane that the model was not trained on, or a
        consensus of several classes is wanted.
    """
    by_name = {sequence.name: sequence for sequence in sequences}
    unknown = unknown_sequences(models, list(by_name))
    if problems := [*unknown, *repeated_images(sequences)]:
        raise InputError(problems)
    if settings.consensus and len(models.classes) > 1:
        raise InputError(
            f"--consensus fuses one class; the models segment {', '.join(models.classes)}: "
            "run without it",
            Fault.UNSUPPORTED,
        )
    roles = assign_models(models, list(by_name))
    _check_planes(roles, by_name)
    chosen = choose_registration(settings.registration, models)
    space = StudySpace(
        {name: sequence.image for name, sequence in by_name.items()},
        chosen.settings,
        {name: sequence.frame_of_reference for name, sequence in by_name.items()},
    )
    fused = next((role for role in roles.by_sequence.values() if len(role.channels) > 1), None)
    if fused is not None and (apart := space.apart(fused.channels[0], fused.channels)):
        roles = assign_models(models, list(by_name), apart)
    results: list[Result] = []
    probabilities: dict[str, npt.NDArray[np.float32]] = {}
    for name, role in roles.by_sequence.items():
        channels = [space.on_grid(name, channel) for channel in role.inputs]
        prediction = role.model.predict(channels, probability=True)
        if prediction.probability is not None:
            probabilities[name] = prediction.probability
        results.append(_result(by_name[name], role, prediction, space))
    masks = {result.name: result.mask for result in results}
    notes = list(roles.notes)
    if settings.consensus and len(probabilities) > 1:
        weights = "+".join(dict.fromkeys(result.weights for result in results))
        what = in_words(models.classes)
        results.append(_consensus(by_name, space, probabilities, weights, what))
    elif settings.consensus:
        notes.append(f"no consensus: {results[0].name} alone was segmented, nothing to fuse")
    # After the consensus, which registers sequences.
    agreed = agreement(space, masks)
    return StudyResult(
        tuple(_judged(results, roles, agreed)),
        agreed,
        [pair.as_json() for pair in space.pairs.values()],
        tuple(name for name in by_name if name not in masks),
        (
            *[sequence.taken_as for sequence in sequences if sequence.taken_as],
            *notes,
            *([chosen.note] if space.pairs else []),
            *_frame_notes(space),
        ),
    )


def _judged(
    results: Sequence[Result], roles: Roles, agreed: Mapping[str, Any] | None
) -> list[Result]:
    """Add to each mask whether to believe it."""
    judged = judge_masks(
        {result.name: result.measures.volume_ml for result in results},
        {
            result.name: MadeBy(
                roles.by_sequence[result.name].model.facts,
                result.signs,
                "+".join(name for name in result.channels if name not in result.filled),
                result.image,
            )
            for result in results
            if result.name in roles.by_sequence
        },
        agreed,
    )
    return [replace(result, judgement=judged[result.name]) for result in results]


def _check_planes(roles: Roles, by_name: Mapping[str, StudySequence]) -> None:
    problems = [
        plane_problem(role.model.facts, name, by_name[name].image.grid)
        for name, role in roles.by_sequence.items()
    ]
    if any(problems):
        raise InputError([problem for problem in problems if problem])


def _frame_notes(space: StudySpace) -> list[str]:
    """Say which sequences have frames of reference of their own."""
    groups: dict[str, list[str]] = {}
    for name, uid in space.frames.items():
        if uid:
            groups.setdefault(uid, []).append(name)
    if len(groups) < 2:
        return []
    named = " | ".join(", ".join(names) for names in groups.values())
    note = f"different frames of reference ({named}): their coordinates cannot be compared"
    if space.pairs and space.settings.engine != "none":
        note += ", so their alignment rests on the registration alone"
    return [note]


def _result(
    sequence: StudySequence, role: Role, prediction: Prediction, space: StudySpace
) -> Result:
    facts, mask = role.model.facts, prediction.labels > 0
    measures, what = measure_tumor(mask, sequence.image.grid), in_words(facts.classes)
    warnings = [
        *mask_warnings(mask, measures, what),
        *role.warnings,
        *slice_axis_remarks(sequence.image.grid),
        *model_warnings(facts, role.channels, sequence.image.grid),
        *space.rejected(sequence.name, role.channels),
        *space.partly_covered(sequence.name, role.channels),
        *sequence.remarks,
    ]
    return Result(
        name=sequence.name,
        model=facts.name,
        weights=facts.weights,
        channels=role.channels,
        image=sequence.image,
        labels=prediction.labels.astype(np.uint8),
        measures=measures,
        warnings=tuple(warnings),
        source=sequence.source,
        filled=role.filled,
        classes=_each_class(prediction.labels, facts.classes, sequence.image.grid),
        what=what,
        probability=prediction.probability,
        signs=prediction.signs,
    )


def in_words(classes: Sequence[str]) -> str:
    """Name what a mask of all classes together outlines."""
    return " or ".join(classes)


def _each_class(
    labels: npt.NDArray[np.uint8], names: Sequence[str], grid: Grid
) -> tuple[ClassMask, ...]:
    """Measure every class by itself; nothing where there is one, which the whole mask shows."""
    if len(names) == 1:
        return ()
    classes = []
    for value, name in enumerate(names, start=1):
        mask = labels == value
        measures = measure_tumor(mask, grid)
        warnings = mask_warnings(mask, measures, name)
        classes.append(ClassMask(name, value, measures, tuple(warnings)))
    return tuple(classes)


def _consensus(
    by_name: dict[str, StudySequence],
    space: StudySpace,
    probabilities: dict[str, npt.NDArray[np.float32]],
    weights: str,
    what: str,
) -> Result:
    made = consensus(space, probabilities)
    sequence = by_name[made.reference]
    measures = measure_tumor(made.mask, sequence.image.grid)
    warnings = [
        *mask_warnings(made.mask, measures, what),
        *space.rejected(made.reference, list(probabilities)),
    ]
    warnings += [
        f"{name} has no vote: nothing relates its coordinates to those of {made.reference}"
        for name in probabilities
        if name not in made.voters
    ]
    if made.partly_seen:
        warnings.append(
            f"{max(1, round(100 * made.partly_seen))} % of it was not seen by every sequence, and "
            "rests on the others"
        )
    return Result(
        name=CONSENSUS,
        model="mean probability of the sequences",
        weights=weights,
        channels=made.voters,
        image=sequence.image,
        labels=made.mask.astype(np.uint8),
        measures=measures,
        warnings=tuple(warnings),
        source=sequence.source,
        what=what,
        probability=made.probability,
    )
