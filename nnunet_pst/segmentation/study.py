"""One study through the models: masks, measures, agreement, and every file of its folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_pst.dicom.writing.source_images import DicomSource
from nnunet_pst.errors import InputError
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
#: Holds what names the patient, because DICOM demands it; everything beside it names nobody.
DICOM_FOLDER = "dicom"


@dataclass(frozen=True)
class SegmentationSettings:
    """What decides a result besides images and models.

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
    """A mask and all that is to be said of it.

    Attributes
    ----------
    name
        Of the sequence, or ``consensus``.
    model
        Name of the model, or how the consensus came about.
    channels
        The sequences that were looked at.
    image
        On whose grid the mask lies.
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
    """All masks of a study, how they compare, and what was asked for in vain."""

    results: tuple[Result, ...]
    agreement: dict[str, Any] | None
    registration: list[dict[str, Any]]
    missing: tuple[str, ...]
    notes: tuple[str, ...] = ()


def segment_study(
    sequences: Sequence[StudySequence], models: ModelChoice, settings: SegmentationSettings
) -> StudyResult:
    """Segment every sequence that a model can take.

    The fusion model segments its first channel where all of its channels are there; everything
    else is the other model's.

    Raises
    ------
    InputError
        When no model can take any of the sequences, or a sequence's name is none.
    """
    by_name = {one.name: one for one in sequences}
    unknown = unknown_sequences(models, list(by_name))
    if unknown:
        raise InputError(unknown)
    space = StudySpace({one.name: one.image for one in sequences}, settings.registration)
    fused = _fused_channels(models, by_name)
    if models.single is None and not fused:
        assert models.fusion is not None
        raise InputError(
            f"the study has {', '.join(by_name)}, but the fusion model wants "
            f"{' and '.join(models.fusion.facts.channels)}; give an all-sequence model too"
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
        # Registered for the consensus, the sequences compare better than by the scanner.
        masks = {one.name: one.mask for one in results if one.name != CONSENSUS}
        compared = agreement(space, masks)
    done = {result.name for result in results}
    missing = tuple(name for name in by_name if name not in done)
    alone = settings.consensus and len(results) == 1
    notes = [f"no consensus: {results[0].name} alone was segmented, nothing to fuse"]
    return StudyResult(
        tuple(results), compared, space.records, missing, tuple(notes if alone else ())
    )


def _fused_channels(models: ModelChoice, there: dict[str, StudySequence]) -> tuple[str, ...]:
    """Names of the study's sequences that the fusion model can see together; else none."""
    if models.fusion is None:
        return ()
    folded = {name.casefold(): name for name in there}
    wanted = [channel.casefold() for channel in models.fusion.facts.channels]
    return tuple(folded[one] for one in wanted) if set(wanted) <= set(folded) else ()


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
        f"{record['moving']} could not be registered to {reference}: {record['reason']}"
        for record in space.records
        if record["reason"] and record["reference"] == reference and record["moving"] in channels
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
    found: StudyResult, folder: Path, *, study: str, model_id: str
) -> list[dict[str, Any]]:
    """Write masks, pictures, labels and DICOM objects into a folder that is there and empty.

    Parameters
    ----------
    study
        Pseudonym, for titles.
    model_id
        For DICOM objects.

    Returns
    -------
    list of dict
        What a report says of each result, with the names of its files.
    """
    (folder / ITKSNAP_FILE).write_text(itksnap_description(), encoding="utf-8")
    (folder / SLICER_FILE).write_text(slicer_colors(), encoding="utf-8")
    return [_write_result(one, folder, study=study, model_id=model_id) for one in found.results]


def _write_result(result: Result, folder: Path, *, study: str, model_id: str) -> dict[str, Any]:
    grid = result.image.grid
    files = {"mask": f"{result.name}_mask.nii.gz", "picture": f"{result.name}.png"}
    write_volume(folder / files["mask"], Volume(result.mask.astype(np.uint8), grid))
    found = result.measures.slices > 0
    volume = volume_text(result.measures.volume_ml) if found else "no tumor found"
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
    """Write both DICOM objects, or say why there are none."""
    from nnunet_pst.dicom.writing.segmentation_object import make_segmentation
    from nnunet_pst.dicom.writing.structure_set import make_structure_set

    assert result.source is not None
    if not result.measures.slices:
        return "no DICOM objects: there is nothing to outline"
    (folder / DICOM_FOLDER).mkdir(exist_ok=True)
    about = {"name": result.name, "model_id": model_id}
    try:
        made = {
            "seg": make_segmentation(result.source, result.mask, **about),
            "rtstruct": make_structure_set(result.source, result.mask, result.image.grid, **about),
        }
    except InputError as error:
        return f"no DICOM objects: {error}"
    for kind, dataset in made.items():
        files[kind] = f"{DICOM_FOLDER}/{result.name}_{kind}.dcm"
        dataset.save_as(folder / files[kind], enforce_file_format=True)
    return None
