"""What the method study trains: three test beds, and one change of the recipe at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

#: Options of ``nnunet_pst convert`` by the slices that are drawn on each side of the largest one.
COARSE = "--simulate-coarse", "{}", "--far-negatives"


@dataclass(frozen=True)
class Bed:
    """A cohort that methods are tried on.

    Attributes
    ----------
    crop
        Side of a training crop in pixels.
    iterations
        Of a training, unless the study says otherwise.
    drawn
        Slices drawn on each side of the one with the largest tumor area; those of test patients are
        all drawn.
    """

    crop: int
    iterations: int
    drawn: int


BEDS = {
    "lgg": Bed(crop=96, iterations=910, drawn=3),
    "sarcomas": Bed(crop=160, iterations=910, drawn=5),
    "phantom": Bed(crop=96, iterations=910, drawn=3),
}

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Variant:
    """One change to the recipe.

    Attributes
    ----------
    says
        Its line in the table.
    configuration
        Of the plans.
    settings
        Changes to the plans' key ``pst``.
    network
        Changes to the network's arguments in the plans.
    trainer
        What the trainer changes, see `nnUNetTrainerPST25DStudy`.
    drawn
        Slices drawn on each side: None, as the bed says; -1, every slice.
    longer
        Factor on the bed's iterations.
    planner
        Of nnU-Net: stock nnU-Net trains for the time that the study gives it, with its own network,
        loss and augmentation, instead of a number of iterations.
    """

    says: str
    configuration: str = "2d_5"
    settings: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    network: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    trainer: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    drawn: int | None = None
    longer: float = 1.0
    planner: str | None = None


#: The first is what the others are compared with.
VARIANTS = {
    "2d": Variant("one slice (`2d_mobilenetv2`)", "2d_mobilenetv2"),
    "center": Variant("three slices, first layer `center`"),
    "rgb": Variant("three slices, first layer `rgb`", settings={"first_layer": "rgb"}),
    "near": Variant("three slices, first layer `near`", settings={"first_layer": "near"}),
    "mean": Variant("three slices, first layer `mean`", settings={"first_layer": "mean"}),
    "five": Variant("five slices, `center`", network={"slices_per_bag": 5}),
    "sharp": Variant("half of the bags not resampled", settings={"resampled_share": 0.5}),
    "sharp2d": Variant(
        "one slice, half of the bags not resampled",
        "2d_mobilenetv2",
        settings={"resampled_share": 0.5},
    ),
    "host": Variant(
        "the host's changes of gray values", trainer={"intensity_augmentation": "host"}
    ),
    "dice_ce": Variant("Dice + cross-entropy", trainer={"loss": "dice_ce"}),
    "ema": Variant("average of the weights", trainer={"ema": 0.99}),
    "lesion70": Variant("`lesion_share` 0.7", settings={"lesion_share": 0.7}),
    "negative25": Variant("`negative_share` 0.25", settings={"negative_share": 0.25}),
    "drawn1": Variant("1 slice each side drawn", drawn=1),
    "drawn5": Variant("5 slices each side drawn", drawn=5),
    "fine": Variant("every slice drawn", drawn=-1),
    "longer": Variant("four times the iterations", longer=4),
    "longer2d": Variant("one slice, four times the iterations", "2d_mobilenetv2", longer=4),
    "stock2d": Variant("stock `2d`", "2d", planner="ExperimentPlanner"),
    "stock3d": Variant("stock `3d_fullres`", "3d_fullres", planner="ExperimentPlanner"),
    "resencm": Variant("stock `2d`, ResEnc-M", "2d", planner="nnUNetPlannerResEncM"),
    "resencl": Variant("stock `2d`, ResEnc-L", "2d", planner="nnUNetPlannerResEncL"),
}
