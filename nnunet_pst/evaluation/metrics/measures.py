"""Every measure of a case, declared in one place: what tables, statistics and reports rely on.

A measure says its unit, which value is best and worst, and what it is worth when there is no tumor
in the reference, in the prediction or in both. `metrics.case.measure_case` applies these rules
itself, so that what is declared here is what is done. Why they are as they are:
docs/decisions/0020 and 0060.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

#: A number; None for "not defined", which means leave out and count; ``measured`` for nothing
#: special, the definition holds; ``diagonal`` for the largest distance that the image has room for,
#: between the centers of two opposite corner voxels.
EmptyValue: TypeAlias = float | Literal["measured", "diagonal"] | None

#: Tolerances of the normalized surface distance, in mm.
DEFAULT_TOLERANCES_MM = (2.0, 3.0)


@dataclass(frozen=True)
class Measure:
    """What a column of the result tables means.

    Parameters
    ----------
    name
        Column name.
    unit
        Unit; "1" for a ratio.
    best
        Value of a perfect prediction; None if there is none (a property of the case).
    worst
        Value that no prediction is worse than; None if there is no such bound, or no best. Where
        there is a best but no worst, larger is worse.
    without_reference, without_prediction, without_both
        Value when only the reference, only the prediction, or both have no tumor in known voxels.
    empty
        The same in words, and when else there is no value.
    """

    name: str
    unit: str
    best: float | None
    worst: float | None
    without_reference: EmptyValue
    without_prediction: EmptyValue
    without_both: EmptyValue
    empty: str

    @property
    def larger_is_better(self) -> bool | None:
        """Which way is better; None for a property of the case."""
        return None if self.best is None else self.best > 0

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Least and largest value that there can be; None where nobody knows them."""
        return (0.0, 1.0) if self.unit == "1" else None


@dataclass(frozen=True)
class _Rule:
    """Values for an empty reference, an empty prediction and both; the same in words."""

    reference: EmptyValue
    prediction: EmptyValue
    both: EmptyValue
    words: str


_OVERLAP = _Rule(0.0, 0.0, 1.0, "1 if reference and prediction are empty, 0 if only one of them is")
_NEEDS_REFERENCE = _Rule(None, 0.0, None, "not defined if the reference is empty")
_NEEDS_PREDICTION = _Rule(0.0, None, None, "not defined if the prediction is empty")
_FOUND = _Rule(None, 0.0, None, "not defined if the reference is empty")
_ON_FOUND = _Rule(None, None, None, "not defined where no voxel of the tumor was found")
_ALARMS = _Rule("measured", None, 0.0, "not defined if the reference has tumor")
_SPECIFICITY = _Rule(0.0, None, 1.0, "not defined if the reference has tumor")
_REGION = _Rule(None, "measured", None, "not defined if the reference has no tumor there")
_DISTANCE = _Rule(
    "diagonal",
    "diagonal",
    0.0,
    "0 if reference and prediction are empty, the diagonal of the image if only one of them is",
)
_SHARE_OF_REFERENCE = _Rule(None, "measured", None, "not defined if the reference is empty")
_COUNTED = _Rule("measured", "measured", "measured", "an empty mask measures 0")
_FREE = _Rule("measured", "measured", "measured", "not defined without such a slice")
_FREE_SLICES = _Rule(
    "measured", "measured", "measured", "every known slice if the reference is empty"
)
_KNOWN = _Rule(
    "measured",
    "measured",
    "measured",
    "share of voxels that are not unknown; no special case",
)


def _ratio(name: str, rule: _Rule) -> Measure:
    return _measure(name, "1", 1.0, 0.0, rule)


def _error(name: str, unit: str, rule: _Rule = _COUNTED) -> Measure:
    return _measure(name, unit, 0.0, None, rule)


def _property(name: str, unit: str, rule: _Rule = _COUNTED) -> Measure:
    return _measure(name, unit, None, None, rule)


def _measure(name: str, unit: str, best: float | None, worst: float | None, rule: _Rule) -> Measure:
    return Measure(
        name, unit, best, worst, rule.reference, rule.prediction, rule.both, empty=rule.words
    )


def nsd_name(tolerance_mm: float) -> str:
    """Column name of the normalized surface distance at a tolerance: ``nsd_2mm``."""
    return f"nsd_{tolerance_mm:g}mm"


def measures(tolerances_mm: Sequence[float] = DEFAULT_TOLERANCES_MM) -> tuple[Measure, ...]:
    """Declare the measures of `metrics.case.measure_case`, in the order of the tables.

    Parameters
    ----------
    tolerances_mm
        Those of the normalized surface distance; each gives a measure.
    """
    return (
        _ratio("found", _FOUND),
        _ratio("dice_found", _ON_FOUND),
        _ratio("dice", _OVERLAP),
        _ratio("iou", _OVERLAP),
        _ratio("recall", _NEEDS_REFERENCE),
        _ratio("precision", _NEEDS_PREDICTION),
        _ratio("dice_in_window", _REGION),
        _ratio("recall_in_window", _REGION),
        _ratio("dice_beyond_window", _REGION),
        _ratio("recall_beyond_window", _REGION),
        _error("false_positive_ml_on_free_slices", "ml", _FREE),
        _property("free_slices", "slices", _FREE_SLICES),
        _property("reference_ml", "ml"),
        _property("predicted_ml", "ml"),
        _property("known_share", "1", _KNOWN),
        _error("hd95_found_mm", "mm", _ON_FOUND),
        _error("hd95_mm", "mm", _DISTANCE),
        _error("assd_found_mm", "mm", _ON_FOUND),
        _error("assd_mm", "mm", _DISTANCE),
        *(_ratio(nsd_name(tolerance), _OVERLAP) for tolerance in tolerances_mm),
        _error("volume_error_ml", "ml"),
        _error("volume_error_percent", "%", _SHARE_OF_REFERENCE),
        _error("extent_error_slices", "slices"),
        _error("diameter_error_mm", "mm"),
        _property("reference_extent_slices", "slices"),
        _property("predicted_extent_slices", "slices"),
        _property("reference_diameter_mm", "mm"),
        _property("predicted_diameter_mm", "mm"),
        _ratio("lesion_recall", _NEEDS_REFERENCE),
        _ratio("lesion_precision", _NEEDS_PREDICTION),
        _ratio("lesion_f1", _OVERLAP),
        _error("false_positive_lesions", "lesions"),
        _error("false_alarms", "lesions", _ALARMS),
        _ratio("specificity", _SPECIFICITY),
        _property("reference_lesions", "lesions"),
        _property("predicted_lesions", "lesions"),
    )


def where_found(name: str) -> str | None:
    """Name of a measure on the cases whose tumor was found; None for measures without such a twin.

    A lost tumor gets a penalty in ``dice`` (0) and in ``hd95_mm`` and ``assd_mm`` (the image's
    diagonal), and is left out of their twins.
    """
    return _TWINS.get(name)


_TWINS = {"dice": "dice_found", "hd95_mm": "hd95_found_mm", "assd_mm": "assd_found_mm"}

#: All measures at the default tolerances.
MEASURES: tuple[Measure, ...] = measures()


def by_name(declared: Sequence[Measure] = MEASURES) -> Mapping[str, Measure]:
    """Measures by their names."""
    return {measure.name: measure for measure in declared}
