"""What we add to nnU-Net's plans: two 2.5D configurations, and why they are as they are.

Everything is written into the plans with the host's own keys, so that stock commands and ours read
the same file.
"""

from __future__ import annotations

from typing import Any

from nnunet_pst.dataset.splits import Splits
from nnunet_pst.network.bags import STRIDE, padded_size
from nnunet_pst.network.unet25d import NETWORK_CLASS
from nnunet_pst.nnunet.training.settings import BAGS_PER_BATCH, PLANS_KEY, TrainingSettings

#: Our configurations and their slices in a bag.
CONFIGURATIONS = {"2d_5": 3, "2d_mobilenetv2": 1}
ENCODER = "mobilenet_v2"

#: Slices by which a new case may exceed the largest of the cohort and still be one tile.
SPARE_SLICES = 4


def our_configurations(
    plans: dict[str, Any], fingerprint: dict[str, Any], settings: TrainingSettings
) -> dict[str, dict[str, Any]]:
    """Return the configurations that are added to ``plans``, all inheriting from ``2d``."""
    base = plans["configurations"]["2d"]
    patch = patch_size(plans, fingerprint, settings.crop)
    result: dict[str, dict[str, Any]] = {}
    for name, slices_per_bag in CONFIGURATIONS.items():
        result[name] = {
            "inherits_from": "2d",
            "patch_size": list(patch),
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
            # The host's mask counts the air of unknown slices in training cases, where the label
            # is 'ignore', but not in new cases; so ours are normalized without it.
            result[name]["use_mask_for_norm"] = [False] * len(base["use_mask_for_norm"])
            result[name]["data_identifier"] = f"{plans['plans_name']}_pst"
    return result


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
    plans: dict[str, Any], settings: TrainingSettings, splits: Splits | None
) -> tuple[str, ...]:
    """Say in five lines what was decided and why.

    Parameters
    ----------
    plans
        With our configurations.
    splits
        None where nnU-Net makes the folds.
    """
    config = plans["configurations"]["2d_5"]
    slices, rows, columns = config["patch_size"]
    spacing = " x ".join(f"{mm:.3g}" for mm in plans["configurations"]["2d"]["spacing"])
    sizes = [f"{len(fold['train'])}/{len(fold['val'])}" for fold in splits or ()]
    folds = (
        f"{len(sizes)} (train/val cases {', '.join(sizes)}): no patient is on both sides"
        if sizes
        else "left to nnU-Net, by case: there is no cases.csv, which names the patients"
    )
    smaller = settings.crop < TrainingSettings().crop
    reason = "the cohort's images are smaller than the paper's 224" if smaller else "as the paper"
    return (
        f"configurations added: {', '.join(CONFIGURATIONS)}, on the preprocessed data of "
        f"{config.get('data_identifier', '2d')}",
        f"slices: first axis, kept as acquired; in-plane spacing unified to {spacing} mm",
        f"training: {BAGS_PER_BATCH} bags of {settings.crop} x {settings.crop}: {reason}",
        f"prediction: one tile of {slices} x {rows} x {columns}: covers every case of the cohort, "
        f"with {SPARE_SLICES} slices to spare",
        f"folds: {folds}",
    )
