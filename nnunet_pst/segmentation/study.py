"""One study through the models: masks, measures, agreement, and every file of its folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_pst.dicom.writing.source_images import DicomSource
from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.viewer_labels import (
    ITKSNAP_FILE,
    SLICER_FILE,
    itksnap_description,
    slicer_colors,
)
from nnunet_pst.io.volumes import Volume, write_volume
from nnunet_pst.registration.policy import RegistrationSettings
from nnunet_pst.segmentation.measures import (
    TumorMeasures,
    mask_warnings,
    measure_tumor,
    volume_text,
)
from nnunet_pst.segmentation.model_interface import (
    Model,
    ModelChoice,
    Prediction,
    model_warnings,
    unknown_sequences,
)
from nnunet_pst.segmentation.montage import draw_montage
from nnunet_pst.segmentation.study_input import StudySequence
from nnunet_pst.segmentation.study_space import StudySpace, agreement, consensus

CONSENSUS = "consensus"
#: DICOM objects name the patient, as the standard demands; no other file does.
DICOM_FOLDER = "dicom"


@dataclass(frozen=True)
class SegmentationSettings:
    """The settings that decide a result besides images and models.

    Attributes
    ----------
    consensus
        Fuse the sequences' probabilities too.
    registration
        Of channels for a fusion model, and of sequences for the consensus.
    """

    consensus: bool = False
    registration: RegistrationSettings = field(
        default_factory=lambda: RegistrationSettings(engine="simpleitk")
    )


@dataclass(frozen=True)
class Result:
    """A mask with its measures and warnings.

    Attributes
    ----------
    name
        Of the sequence, or ``consensus``.
    model
        Name of the model, or how the consensus was made.
    channels
        The sequences of the input.
    image
        The image of the mask's grid.
    """

    name: str
    model: str
    channels: tuple[str, ...]
    image: Volume
    mask: npt.NDArray[np.bool_]
    measures: TumorMeasures
    warnings: tuple[str, ...]
    source: DicomSource | None


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
    """Segment every sequence for which there is a model.

    The fusion model segments its first channel if the study has all of its channels; the
    all-sequence model segments the other sequences.

    Raises
    ------
    InputError
        When there is no model for any of the sequences, or a sequence's name is unknown.
    """
    by_name = {sequence.name: sequence for sequence in sequences}
    unknown = unknown_sequences(models, list(by_name))
    if unknown:
        raise InputError(unknown)
    space = StudySpace(
        {name: sequence.image for name, sequence in by_name.items()}, settings.registration
    )
    fused = _fused_channels(models, by_name)
    if models.single is None and not fused:
        assert models.fusion is not None
        raise InputError(
            f"the study has {', '.join(by_name)}, but the fusion model needs "
            f"{' and '.join(models.fusion.facts.channels)}; give an all-sequence model too",
            Fault.MISSING,
        )
    results: list[Result] = []
    probabilities: dict[str, npt.NDArray[np.float32]] = {}
    for name in by_name:
        is_fused = bool(fused) and name == fused[0]
        model = models.fusion if is_fused else models.single
        if model is None:
            continue
        channels = fused if is_fused else (name,)
        prediction = model.predict(
            [space.on_grid(name, channel) for channel in channels], probability=settings.consensus
        )
        if prediction.probability is not None:
            probabilities[name] = prediction.probability
        results.append(_result(by_name[name], model, channels, prediction, space))
    compared = agreement(space, {result.name: result.mask for result in results})
    if settings.consensus and len(probabilities) > 1:
        results.append(_consensus(by_name, space, probabilities))
        # The consensus has registered the sequences, so their masks are compared again.
        masks = {result.name: result.mask for result in results if result.name != CONSENSUS}
        compared = agreement(space, masks)
    done = {result.name for result in results}
    missing = tuple(name for name in by_name if name not in done)
    alone = settings.consensus and len(results) == 1
    notes = [f"no consensus: {results[0].name} alone was segmented, nothing to fuse"]
    return StudyResult(
        tuple(results),
        compared,
        [pair.as_json() for pair in space.pairs],
        missing,
        tuple(notes if alone else ()),
    )


def _fused_channels(models: ModelChoice, there: dict[str, StudySequence]) -> tuple[str, ...]:
    """Names of the fusion model's channels in the study; empty if one is missing."""
    if models.fusion is None:
        return ()
    folded = {name.casefold(): name for name in there}
    channels = [channel.casefold() for channel in models.fusion.facts.channels]
    return tuple(folded[name] for name in channels) if set(channels) <= set(folded) else ()


def _result(
    sequence: StudySequence,
    model: Model,
    channels: tuple[str, ...],
    prediction: Prediction,
    space: StudySpace,
) -> Result:
    measures = measure_tumor(prediction.mask, sequence.image.grid)
    warnings = [
        *mask_warnings(prediction.mask, measures),
        *model_warnings(model.facts, channels, sequence.image.grid),
        *_registration_warnings(space, sequence.name, channels),
        *sequence.remarks,
    ]
    return Result(
        name=sequence.name,
        model=model.facts.name,
        channels=channels,
        image=sequence.image,
        mask=prediction.mask,
        measures=measures,
        warnings=tuple(warnings),
        source=sequence.source,
    )


def _registration_warnings(space: StudySpace, reference: str, channels: Sequence[str]) -> list[str]:
    return [
        f"{pair.moving} could not be registered to {reference}: {pair.registration.reason}"
        for pair in space.pairs
        if not pair.registration.accepted
        and pair.reference == reference
        and pair.moving in channels
    ]


def _consensus(
    by_name: dict[str, StudySequence],
    space: StudySpace,
    probabilities: dict[str, npt.NDArray[np.float32]],
) -> Result:
    reference, mask = consensus(space, probabilities)
    sequence = by_name[reference]
    measures = measure_tumor(mask, sequence.image.grid)
    warnings = [
        *mask_warnings(mask, measures),
        *_registration_warnings(space, reference, list(probabilities)),
    ]
    return Result(
        name=CONSENSUS,
        model="mean probability of the sequences",
        channels=tuple(probabilities),
        image=sequence.image,
        mask=mask,
        measures=measures,
        warnings=tuple(warnings),
        source=sequence.source,
    )


def write_study(
    segmented: StudyResult, folder: Path, *, study: str, model_id: str
) -> list[dict[str, Any]]:
    """Write masks, pictures, labels and DICOM objects into an empty folder.

    Parameters
    ----------
    study
        Pseudonym, for titles.
    model_id
        For DICOM objects.

    Returns
    -------
    list of dict
        Each result in a report, with the names of its files.
    """
    (folder / ITKSNAP_FILE).write_text(itksnap_description(), encoding="utf-8")
    (folder / SLICER_FILE).write_text(slicer_colors(), encoding="utf-8")
    return [
        _write_result(result, folder, study=study, model_id=model_id)
        for result in segmented.results
    ]


def _write_result(result: Result, folder: Path, *, study: str, model_id: str) -> dict[str, Any]:
    grid = result.image.grid
    files = {"mask": f"{result.name}_mask.nii.gz", "picture": f"{result.name}.png"}
    write_volume(folder / files["mask"], Volume(result.mask.astype(np.uint8), grid))
    has_tumor = result.measures.slices > 0
    volume = volume_text(result.measures.volume_ml) if has_tumor else "no tumor found"
    draw_montage(
        folder / files["picture"],
        result.image,
        result.mask,
        title=f"{study} {result.name}: {volume} (research use only)",
    )
    warnings = list(result.warnings)
    if result.source is not None:
        problem = _write_dicom(result, folder, files, model_id=model_id)
        warnings += [problem] if problem else []
    return {
        "name": result.name,
        "model": result.model,
        "channels": list(result.channels),
        "image": {
            "size_xyz": list(grid.size_xyz),
            "spacing_xyz_mm": [round(value, 4) for value in grid.spacing_xyz_mm],
        },
        "measures": result.measures.as_json(),
        "warnings": warnings,
        "files": files,
    }


def _write_dicom(
    result: Result, folder: Path, files: dict[str, str], *, model_id: str
) -> str | None:
    """Write both DICOM objects, or return why there are none."""
    from nnunet_pst.dicom.writing.segmentation_object import make_segmentation
    from nnunet_pst.dicom.writing.structure_set import make_structure_set

    assert result.source is not None
    if not result.measures.slices:
        return "no DICOM objects: there is nothing to outline"
    (folder / DICOM_FOLDER).mkdir(exist_ok=True)
    description = {"name": result.name, "model_id": model_id}
    try:
        made = {
            "seg": make_segmentation(result.source, result.mask, **description),
            "rtstruct": make_structure_set(
                result.source, result.mask, result.image.grid, **description
            ),
        }
    except InputError as error:
        return f"no DICOM objects: {error}"
    for kind, dataset in made.items():
        files[kind] = f"{DICOM_FOLDER}/{result.name}_{kind}.dcm"
        dataset.save_as(folder / files[kind], enforce_file_format=True)
    return None
