"""How every measure is defined, for whoever reads its number: formula and source.

R is the reference, P the prediction, both without the unknown voxels; |.| counts voxels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_MAIER = "Maier-Hein et al. 2024, doi 10.1038/s41592-023-02151-z"
_NIKOLOV = "Nikolov et al. 2021, doi 10.2196/26151"
_HEIMANN = "Heimann et al. 2009, doi 10.1109/TMI.2009.2013851"
_OURS = "nnunet_pst"


@dataclass(frozen=True)
class Definition:
    """A formula in words and signs, and where it is from."""

    formula: str
    source: str


def definition(name: str) -> Definition | None:
    """Return the definition of a measure by its column's name; None for one without."""
    if name.startswith("nsd_"):
        tolerance = name.removeprefix("nsd_").removesuffix("mm")
        formula = f"share of both surfaces' area within {tolerance} mm of the other surface"
        return Definition(formula, _NIKOLOV)
    return _DEFINITIONS.get(name)


_DEFINITIONS: Mapping[str, Definition] = {
    "found": Definition("1 if P and R share a voxel, else 0", _OURS),
    "dice_found": Definition("Dice of the cases that were found", _MAIER),
    "dice": Definition("2 |P∩R| / (|P| + |R|)", "Dice 1945, doi 10.2307/1932409"),
    "iou": Definition("|P∩R| / (|P| + |R| - |P∩R|)", _MAIER),
    "recall": Definition("|P∩R| / |R|", _MAIER),
    "precision": Definition("|P∩R| / |P|", _MAIER),
    "dice_in_window": Definition("Dice on the slices of the annotated window", _OURS),
    "recall_in_window": Definition("recall on the slices of the annotated window", _OURS),
    "dice_beyond_window": Definition("Dice on the known slices outside the window", _OURS),
    "recall_beyond_window": Definition("recall on the known slices outside the window", _OURS),
    "false_positive_ml_on_free_slices": Definition(
        "volume of P on known slices without any R", _OURS
    ),
    "hd95_found_mm": Definition("HD95 of the cases that were found", _NIKOLOV),
    "hd95_mm": Definition(
        "the larger of two distances: each is what 95 % of a surface's area does not exceed on the "
        "way to the other surface",
        _NIKOLOV,
    ),
    "assd_found_mm": Definition("ASSD of the cases that were found", _HEIMANN),
    "assd_mm": Definition("mean distance over the area of both surfaces to the other", _HEIMANN),
    "volume_error_ml": Definition("| volume of P - volume of R |", _OURS),
    "volume_error_percent": Definition("100 | |P| - |R| | / |R|", _HEIMANN),
    "extent_error_slices": Definition("| slices from first to last of P - of R |", _OURS),
    "diameter_error_mm": Definition(
        "| longest diameter within a part of one slice, of P - of R |", _OURS
    ),
    "lesion_recall": Definition(
        "share of the connected parts of R of which at least a tenth is in P", _OURS
    ),
    "lesion_precision": Definition(
        "share of the connected parts of P of which at least a tenth is in R", _OURS
    ),
    "lesion_f1": Definition("harmonic mean of lesion recall and lesion precision", _MAIER),
    "false_positive_lesions": Definition(
        "connected parts of P of which less than a tenth is in R", _OURS
    ),
    "false_alarms": Definition("connected parts of P, where R is empty", _OURS),
    "specificity": Definition("1 if P is empty, else 0, where R is empty", _MAIER),
}
