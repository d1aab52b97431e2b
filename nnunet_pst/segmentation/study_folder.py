"""A segmented study as files: masks, pictures, labels and DICOM objects."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nnunet_pst.calibration.fitting import COVERAGE
from nnunet_pst.errors import InputError
from nnunet_pst.io.atomic_files import fill
from nnunet_pst.io.viewer_labels import (
    ITKSNAP_FILE,
    SLICER_FILE,
    itksnap_description,
    slicer_colors,
)
from nnunet_pst.io.volumes import Volume, write_volume
from nnunet_pst.segmentation.doubt_picture import draw_doubt
from nnunet_pst.segmentation.measures import volume_text
from nnunet_pst.segmentation.montage import draw_montage
from nnunet_pst.segmentation.study import Result, StudyResult

if TYPE_CHECKING:
    from nnunet_pst.dicom.writing.measurement_report import MeasuredSegment

#: Steps of a written probability. Its few values make a file of floating point numbers as small as
#: one of bytes, which every viewer would have to scale (NIfTI has no half precision).
PROBABILITY_STEPS = 255
#: DICOM objects name the patient, as the standard demands; no other file does.
DICOM_FOLDER = "dicom"


def write_study(
    segmented: StudyResult,
    folder: Path,
    *,
    study: str,
    model_id: str,
    classes: Sequence[str],
    probabilities: bool,
) -> list[dict[str, Any]]:
    """Write masks, pictures, labels and DICOM objects into an empty folder.

    Parameters
    ----------
    study
        Pseudonym, for titles.
    model_id
        For DICOM objects.
    classes
        Names of the masks' values 1, 2, ...
    probabilities
        Write them too.

    Returns
    -------
    list of dict
        Each result in a report, with the names of its files.
    """
    fill(folder / ITKSNAP_FILE, itksnap_description(classes).encode())
    fill(folder / SLICER_FILE, slicer_colors(classes).encode())
    return [
        _write_result(
            result if probabilities else replace(result, probability=None),
            folder,
            doubt=result.probability,
            study=study,
            model_id=model_id,
            classes=classes,
        )
        for result in segmented.results
    ]


def _write_result(
    result: Result,
    folder: Path,
    *,
    doubt: npt.NDArray[np.float32] | None,
    study: str,
    model_id: str,
    classes: Sequence[str],
) -> dict[str, Any]:
    grid = result.image.grid
    files = {"mask": f"{result.name}_mask.nii.gz", "picture": f"{result.name}.png"}
    write_volume(folder / files["mask"], Volume(result.labels, grid))
    if result.probability is not None:
        files["probability"] = f"{result.name}_probability.nii.gz"
        steps = np.rint(result.probability * PROBABILITY_STEPS)
        rounded = Volume((steps / PROBABILITY_STEPS).astype(np.float32), grid)
        write_volume(folder / files["probability"], rounded)
    has_tumor = result.measures.slices > 0
    volume = volume_text(result.measures.volume_ml) if has_tumor else f"no {result.what} found"
    draw_montage(
        folder / files["picture"],
        result.image,
        result.labels,
        title=f"{study} {result.name}: {volume} (research use only)",
    )
    if doubt is not None:
        files["doubt"] = f"{result.name}_doubt.png"
        title = f"{study} {result.name}: probability where it is least certain (research use only)"
        draw_doubt(folder / files["doubt"], result.image, doubt, title=title)
    warnings = list(result.warnings)
    if result.source is not None:
        problem = _write_dicom(result, folder, files, model_id=model_id, classes=classes)
        warnings += [problem] if problem else []
    return {
        "name": result.name,
        "model": result.model,
        "weights": result.weights,
        "channels": list(result.channels),
        "filled": list(result.filled),
        "image": {
            "size_xyz": list(grid.size_xyz),
            "spacing_xyz_mm": [round(value, 4) for value in grid.spacing_xyz_mm],
        },
        "what": result.what,
        "measures": result.measures.as_json(),
        "classes": [
            {
                "name": one.name,
                "value": one.value,
                "measures": one.measures.as_json(),
                "warnings": list(one.warnings),
            }
            for one in result.classes
        ],
        "trust": _trust(result),
        "warnings": warnings,
        "files": files,
    }


def _trust(result: Result) -> dict[str, Any]:
    """Say whether to believe a mask, and what its networks tell of it."""
    assert result.judgement is not None
    signs = {} if result.signs is None else asdict(result.signs)
    rounded = {name: None if value is None else round(value, 4) for name, value in signs.items()}
    return {**result.judgement.as_json(), "signs": rounded}


def _write_dicom(
    result: Result,
    folder: Path,
    files: dict[str, str],
    *,
    model_id: str,
    classes: Sequence[str],
) -> str | None:
    """Write both DICOM objects, or return why there are none."""
    from nnunet_pst.dicom.writing.measurement_report import make_measurement_report
    from nnunet_pst.dicom.writing.segmentation_object import make_segmentation
    from nnunet_pst.dicom.writing.structure_set import make_structure_set

    assert result.source is not None
    if not result.measures.slices:
        return "no DICOM objects: there is nothing to outline"
    (folder / DICOM_FOLDER).mkdir(exist_ok=True)
    about: dict[str, Any] = {"name": result.name, "model_id": model_id, "classes": classes}
    try:
        segmentation = make_segmentation(result.source, result.labels, **about)
        made = {
            "seg": segmentation,
            "sr": make_measurement_report(
                result.source,
                segmentation,
                _measured_segments(result, classes),
                name=result.name,
                model_id=model_id,
            ),
            "rtstruct": make_structure_set(
                result.source, result.labels, result.image.grid, **about
            ),
        }
    except InputError as error:
        return f"no DICOM objects: {error}"
    for kind, dataset in made.items():
        files[kind] = f"{DICOM_FOLDER}/{result.name}_{kind}.dcm"
        content = io.BytesIO()
        dataset.save_as(content, enforce_file_format=True)
        fill(folder / files[kind], content.getvalue())
    return None


def _measured_segments(result: Result, classes: Sequence[str]) -> list[MeasuredSegment]:
    """Return what the report says of each segment; ranges are of all classes together."""
    from nnunet_pst.dicom.writing.measurement_report import MeasuredSegment
    from nnunet_pst.dicom.writing.segmentation_object import found_classes

    trust = result.judgement
    assert trust is not None
    measured = {one.value: one.measures for one in result.classes}
    return [
        MeasuredSegment(
            name=name,
            volume_ml=(measures := measured.get(value, result.measures)).volume_ml,
            longest_mm=measures.longest_mm,
            perpendicular_mm=measures.perpendicular_mm,
            volume_interval_ml=None if measured else trust.volume_interval_ml,
            flag=trust.flag.value,
            coverage=COVERAGE,
        )
        for value, name in found_classes(result.labels, classes).items()
    ]
