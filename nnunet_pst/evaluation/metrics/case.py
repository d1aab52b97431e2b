"""All measures of one case: each by its own module, and the declared value where a mask is empty.

Unknown voxels of the reference (`labels.IGNORE`) count nowhere: they are taken out of both masks
before anything is measured, whatever was predicted there. Where a tumor borders on the unknown,
both masks therefore end at the same place, and a distance or an extent says what is known and no
more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from nnunet_pst.evaluation.metrics.extent import Size, measure_size
from nnunet_pst.evaluation.metrics.lesions import components, detection
from nnunet_pst.evaluation.metrics.measures import (
    DEFAULT_TOLERANCES_MM,
    EmptyValue,
    Measure,
    measures,
    nsd_name,
    where_found,
)
from nnunet_pst.evaluation.metrics.overlap import DEFAULT_WINDOW, measure_overlap
from nnunet_pst.evaluation.metrics.surface import (
    average_distance_mm,
    hausdorff_mm,
    surface_dice,
    surface_distances,
)
from nnunet_pst.labels import IGNORE, TUMOR

Label = npt.NDArray[np.integer]
Mask = npt.NDArray[np.bool_]
Vector = tuple[float, float, float]


def measure_case(
    reference: Label,
    prediction: Label,
    *,
    spacing_zyx_mm: Vector,
    half_width: int = DEFAULT_WINDOW,
    tolerances_mm: Sequence[float] = DEFAULT_TOLERANCES_MM,
) -> dict[str, float]:
    """Compute every measure of `measures.measures` for one case.

    Parameters
    ----------
    reference
        (z, y, x), slices first; 0 background, 1 tumor, 2 unknown.
    prediction
        (z, y, x); 0 background, 1 tumor.
    spacing_zyx_mm
        Distances between voxel centers.
    half_width
        Slices of the annotated window on each side of the largest one.
    tolerances_mm
        Tolerances of the normalized surface distance.

    Returns
    -------
    dict[str, float]
        Value by measure name, in the declared order; NaN where it is not defined.
    """
    tumor = reference == TUMOR
    predicted = (prediction == TUMOR) & (reference != IGNORE)
    measured = measure_overlap(
        reference,
        prediction,
        voxel_volume_ml=math.prod(spacing_zyx_mm) / 1000.0,
        half_width=half_width,
    )
    measured |= _shapes(tumor, predicted, spacing_zyx_mm)
    if tumor.any() and predicted.any():
        measured |= _surfaces(tumor, predicted, spacing_zyx_mm, tolerances_mm)
        measured |= _where_found(measured, found=bool((tumor & predicted).any()))
    else:
        measured["false_alarms"] = measured["predicted_lesions"]
    empty = _empty_values(measures(tolerances_mm), has=(bool(tumor.any()), bool(predicted.any())))
    diagonal = math.dist(
        (0, 0, 0), [(n - 1) * mm for n, mm in zip(tumor.shape, spacing_zyx_mm, strict=True)]
    )
    return {
        name: measured[name] if rule == "measured" else _declared(rule, diagonal)
        for name, rule in empty.items()
    }


def _empty_values(
    declared: Sequence[Measure], *, has: tuple[bool, bool]
) -> Mapping[str, EmptyValue]:
    """Say for every measure what it is worth, given whether (reference, prediction) have tumor."""
    if has == (True, True):
        return {measure.name: "measured" for measure in declared}
    if has == (False, True):
        return {measure.name: measure.without_reference for measure in declared}
    if has == (True, False):
        return {measure.name: measure.without_prediction for measure in declared}
    return {measure.name: measure.without_both for measure in declared}


def _declared(rule: EmptyValue, diagonal_mm: float) -> float:
    if rule is None:
        return math.nan
    return diagonal_mm if isinstance(rule, str) else rule


def _surfaces(
    tumor: Mask, predicted: Mask, spacing_zyx_mm: Vector, tolerances_mm: Sequence[float]
) -> dict[str, float]:
    distances = surface_distances(tumor, predicted, spacing_zyx_mm)
    return {
        "hd95_mm": hausdorff_mm(distances, 95.0),
        "assd_mm": average_distance_mm(distances),
    } | {nsd_name(tolerance): surface_dice(distances, tolerance) for tolerance in tolerances_mm}


def _where_found(measured: Mapping[str, float], *, found: bool) -> dict[str, float]:
    """Measure a case with tumor in both masks once more, if they share a voxel."""
    twins = {where_found(name): name for name in measured}
    return {
        **{
            twin: measured[name] if found else math.nan
            for twin, name in twins.items()
            if twin is not None
        },
        "found": float(found),
        "false_alarms": math.nan,
        "specificity": math.nan,
    }


def _shapes(tumor: Mask, predicted: Mask, spacing_zyx_mm: Vector) -> dict[str, float]:
    """Measure sizes and lesions, within the box that holds all tumor."""
    box = ndimage.find_objects((tumor | predicted).astype(np.uint8))
    masks = [mask[box[0]] if box else mask for mask in (tumor, predicted)]
    lesions = [components(mask) for mask in masks]
    found = detection(lesions[0], lesions[1])
    return _sizes(*(measure_size(part, spacing_zyx_mm) for part in lesions)) | {
        "lesion_recall": found.recall,
        "lesion_precision": found.precision,
        "lesion_f1": found.f1,
        "false_positive_lesions": float(found.invented),
        "reference_lesions": float(found.reference),
        "predicted_lesions": float(found.predicted),
    }


def _sizes(reference: Size, prediction: Size) -> dict[str, float]:
    off_ml = abs(prediction.volume_ml - reference.volume_ml)
    return {
        "volume_error_ml": off_ml,
        "volume_error_percent": 100 * off_ml / reference.volume_ml
        if reference.volume_ml
        else math.nan,
        "extent_error_slices": float(abs(prediction.extent_slices - reference.extent_slices)),
        "diameter_error_mm": abs(prediction.diameter_mm - reference.diameter_mm),
        "reference_extent_slices": float(reference.extent_slices),
        "predicted_extent_slices": float(prediction.extent_slices),
        "reference_diameter_mm": reference.diameter_mm,
        "predicted_diameter_mm": prediction.diameter_mm,
    }
