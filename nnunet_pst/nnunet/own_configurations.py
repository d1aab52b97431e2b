"""What we add to nnU-Net's plans: two 2.5D configurations, and why they are as they are.

Everything is written into the plans with the host's own keys, so that stock commands and ours read
the same file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nnunet_pst.dataset.splits import Splits
from nnunet_pst.network.bags import STRIDE, padded_size
from nnunet_pst.network.unet25d import NETWORK_CLASS
from nnunet_pst.nnunet.edit_checks import check_edits
from nnunet_pst.nnunet.edited_settings import (
    Place,
    deleted_from,
    described,
    edits_of,
    with_edits,
)
from nnunet_pst.nnunet.training.settings import BAGS_PER_BATCH, PLANS_KEY, TrainingSettings

#: Our configurations and their slices in a bag.
CONFIGURATIONS = {"2d_5": 3, "2d_mobilenetv2": 1}
ENCODER = "mobilenet_v2"

#: Slices by which a new case may exceed the largest of the cohort and still be one tile.
SPARE_SLICES = 4


@dataclass(frozen=True)
class OurConfigurations:
    """The configurations that are added to plans.

    Attributes
    ----------
    configurations
        By name, all inheriting from ``2d``.
    kept
        Lines about edited settings: those kept, and those that were deleted and are there again.
    """

    configurations: dict[str, dict[str, Any]]
    kept: tuple[str, ...]


def our_configurations(
    plans: dict[str, Any],
    fingerprint: dict[str, Any],
    others: Mapping[str, Mapping[str, Any]] | None = None,
) -> OurConfigurations:
    """Generate our configurations, with the edits of those that the plans have already.

    Parameters
    ----------
    plans
        With nnU-Net's configurations, and ours of an earlier planning.
    fingerprint
        Of the dataset.
    others
        Our configurations of other plans, whose edits are wanted too.
    """
    configurations: dict[str, dict[str, Any]] = {}
    kept: list[str] = []
    for name, slices_per_bag in CONFIGURATIONS.items():
        made = _generated(plans, fingerprint, slices_per_bag)
        edits: dict[Place, Any] = {}
        for source in (plans["configurations"].get(name), (others or {}).get(name)):
            if source is not None:
                edits.update(edits_of(source, made))
        configurations[name] = with_edits(made, edits)
        check_edits(name, configurations[name])
        kept += described(name, made, edits, deleted_from(plans["configurations"].get(name)))
    return OurConfigurations(configurations, tuple(kept))


def _generated(
    plans: dict[str, Any], fingerprint: dict[str, Any], slices_per_bag: int
) -> dict[str, Any]:
    """Return a configuration as it is without edits."""
    base = plans["configurations"]["2d"]
    settings = TrainingSettings(crop=fitting_crop(plans))
    made: dict[str, Any] = {
        "inherits_from": "2d",
        "patch_size": list(patch_size(plans, fingerprint, settings.crop)),
        "batch_size": BAGS_PER_BATCH,
        "architecture": {
            "network_class_name": NETWORK_CLASS,
            "arch_kwargs": {
                "slices_per_bag": slices_per_bag,
                "encoder": ENCODER,
                "canvas": settings.crop,
                "intensity": "unit",
            },
            "_kw_requires_import": [],
        },
        PLANS_KEY: settings.to_plans(),
    }
    if any(base["use_mask_for_norm"]):
        # The host's mask counts the air of unknown slices in training cases, where the label is
        # 'ignore', but not in new cases; so ours are normalized without it.
        made["use_mask_for_norm"] = [False] * len(base["use_mask_for_norm"])
        made["data_identifier"] = f"{plans['plans_name']}_pst"
    return made


def patch_size(
    plans: dict[str, Any], fingerprint: dict[str, Any], crop: int
) -> tuple[int, int, int]:
    """Return (slices, rows, columns) that cover every case of the cohort with one tile.

    The host's predictor cuts images that are larger than a patch into overlapping tiles; a
    three-entry patch on 2d's two-entry spacing is legal and leaves slices where they are.
    """
    rows_mm, columns_mm = plans["configurations"]["2d"]["spacing"]
    slices = rows = columns = 0
    for shape, spacing in zip(
        fingerprint["shapes_after_crop"], fingerprint["spacings"], strict=True
    ):
        slices = max(slices, int(shape[0]))
        rows = max(rows, round(shape[1] * spacing[1] / rows_mm))
        columns = max(columns, round(shape[2] * spacing[2] / columns_mm))
    return slices + SPARE_SLICES, padded_size(rows, crop), padded_size(columns, crop)


def fitting_crop(plans: dict[str, Any]) -> int:
    """Return the side of the training crop in pixels: the paper's 224, less for smaller images.

    Cropping 224 out of images of 140 would spend most of every step on padding.
    """
    median = max(plans["configurations"]["2d"]["median_image_size_in_voxels"])
    return min(TrainingSettings().crop, padded_size(round(median), STRIDE))


def has_own_data(plans: dict[str, Any]) -> bool:
    """Whether our configurations need preprocessed data of their own, not those of ``2d``."""
    return "data_identifier" in plans["configurations"][next(iter(CONFIGURATIONS))]


def decisions(
    plans: dict[str, Any], splits: Splits | None, *, by_patient: bool = True
) -> tuple[str, ...]:
    """Say in five lines what was decided and why.

    Parameters
    ----------
    plans
        With our configurations.
    splits
        None where nnU-Net makes the folds.
    by_patient
        Whether a case table names the patients.
    """
    config = plans["configurations"]["2d_5"]
    slices, rows, columns = config["patch_size"]
    spacing = " x ".join(f"{mm:.3g}" for mm in plans["configurations"]["2d"]["spacing"])
    sizes = [f"{len(fold['train'])}/{len(fold['val'])}" for fold in splits or ()]
    folds = (
        f"{len(sizes)} (train/val cases {', '.join(sizes)}): "
        + ("no patient is on both sides" if by_patient else "each case counts as a patient")
        if sizes
        else "left to nnU-Net, by case: there is no cases.csv, which names the patients"
    )
    crop, bags = config[PLANS_KEY]["crop"], config["batch_size"]
    smaller = crop < TrainingSettings().crop
    reason = "the cohort's images are smaller than the paper's 224" if smaller else "as the paper"
    return (
        f"configurations added: {', '.join(CONFIGURATIONS)}, on the preprocessed data of "
        f"{config.get('data_identifier', '2d')}",
        f"slices: first axis, kept as acquired; in-plane spacing unified to {spacing} mm",
        f"training: {bags} bags of {crop} x {crop}: {reason}",
        f"prediction: one tile of {slices} x {rows} x {columns}: covers every training case, "
        f"with {SPARE_SLICES} slices to spare; nnUNetv2_predict cuts larger images into tiles",
        f"folds: {folds}",
    )
