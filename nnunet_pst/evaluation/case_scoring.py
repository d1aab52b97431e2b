"""One case: its files checked, measured and drawn, for whichever process it falls to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_pst.errors import Fault, InputError, Problem
from nnunet_pst.evaluation.metrics.case import Label, measure_case
from nnunet_pst.evaluation.metrics.window_distance import AtDistance, by_distance
from nnunet_pst.evaluation.overlays import CaseView, draw_case, draw_thumbnail, for_display
from nnunet_pst.evaluation.references import ReferenceCase
from nnunet_pst.io.geometry import Grid, corner_distance_voxels, same_grid
from nnunet_pst.io.label_values import OUR_LABELS, LabelValues
from nnunet_pst.io.volumes import Volume, read_image, read_voxels


@dataclass(frozen=True)
class ScoringJob:
    """One case to score.

    Parameters
    ----------
    case
        Its label, and its image for the picture.
    prediction
        The predicted mask.
    window
        Slices of the annotated window on each side of the largest one.
    tolerances_mm
        Tolerances of the normalized surface distance.
    overlay
        Picture to write, if any.
    labels
        Which values the labels have.
    """

    case: ReferenceCase
    prediction: Path
    window: int
    tolerances_mm: tuple[float, ...]
    overlay: Path | None
    labels: LabelValues = OUR_LABELS


@dataclass(frozen=True)
class CaseScore:
    """What is known of a scored case.

    Parameters
    ----------
    values
        Value by measure name; of several classes together.
    distances
        Agreement by distance from the window.
    tile
        (height, width, 3) thumbnail for the contact sheet, if the case was drawn.
    classes
        Value by measure name for each class, where there are several.
    """

    values: dict[str, float]
    distances: list[AtDistance]
    tile: npt.NDArray[np.uint8] | None = None
    classes: Mapping[str, dict[str, float]] = field(default_factory=dict)


def score_case(job: ScoringJob) -> CaseScore:
    """Check, measure and draw one case.

    Raises
    ------
    InputError
        With every problem of the case: unreadable files, other grids, values that are not labels.
    """
    reference = read_voxels(job.case.label)
    prediction = read_voxels(job.prediction)
    image = read_image(job.case.image) if job.overlay and job.case.image else None
    problems = _content_problems(reference, prediction, image, job.labels)
    if problems:
        raise InputError(problems)
    grid = reference.grid
    pair = reference.array, prediction.array
    several = job.labels.classes if len(job.labels.classes) > 1 else {}
    classes = {
        name: _measured(job, grid, *(job.labels.three_states(array, name) for array in pair))
        for name in several
    }
    truth, predicted = (job.labels.three_states(array) for array in pair)
    values = _measured(job, grid, truth, predicted)
    distances = by_distance(truth, predicted, half_width=job.window)
    if job.overlay is None or image is None:
        return CaseScore(values, distances, classes=classes)
    view = CaseView(
        name=job.case.name,
        dice=values["dice"],
        image=for_display(image.array, grid),
        reference=for_display(truth, grid),
        prediction=for_display(predicted, grid),
        spacing_zyx_mm=grid.spacing_zyx_mm,
        half_width=job.window,
    )
    draw_case(view, job.overlay)
    return CaseScore(values, distances, draw_thumbnail(view), classes)


def _measured(job: ScoringJob, grid: Grid, truth: Label, predicted: Label) -> dict[str, float]:
    return measure_case(
        truth,
        predicted,
        spacing_zyx_mm=grid.spacing_zyx_mm,
        half_width=job.window,
        tolerances_mm=job.tolerances_mm,
    )


def _content_problems(
    reference: Volume, prediction: Volume, image: Volume | None, labels: LabelValues
) -> list[Problem]:
    """Say what is wrong with the voxels of one case."""
    problems = []
    for what, volume, remedy in (
        ("prediction", prediction, "predict from the image that belongs to this label"),
        ("image", image, "give the image that the label was drawn on"),
    ):
        if volume is not None and not same_grid(reference.grid, volume.grid):
            text = (
                f"{what} and reference lie on different grids ({_difference(reference, volume)}); "
                f"{remedy}"
            )
            problems.append(Problem(text, Fault.GEOMETRY))
    allowed = {"reference": labels.reference_values, "prediction": labels.predicted_values}
    for what, volume in (("reference", reference), ("prediction", prediction)):
        strange = strange_values(volume.array, allowed[what])
        if strange:
            values = ", ".join(map(str, allowed[what]))
            text = f"{what} holds the values {strange}; expected {values}"
            problems.append(Problem(text, Fault.VALUES))
    return problems


def _difference(reference: Volume, other: Volume) -> str:
    """Describe how two grids differ."""
    ours, theirs = reference.grid, other.grid
    if ours.size_xyz != theirs.size_xyz:
        sizes = (" x ".join(map(str, grid.size_xyz)) for grid in (theirs, ours))
        return "sizes {} and {}".format(*sizes)
    return f"up to {corner_distance_voxels(ours, theirs):.3g} voxels apart"


def strange_values(array: npt.NDArray[Any], allowed: Sequence[int]) -> str:
    """First few values that are not labels; empty if there are none."""
    strange = np.unique(array[~np.isin(array, allowed)])
    return ", ".join(f"{value:g}" for value in strange[:5]) + (", ..." if strange.size > 5 else "")
