"""Plans: stock planning and preprocessing, then our configurations and grouped folds.

Nothing here is found by nnU-Net by name; everything is written into its plans with its own
classes, so stock commands and ours read the same file.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunet_pst.dataset.splits import make_splits, separated_patients, split_patients
from nnunet_pst.errors import HostError, InputError
from nnunet_pst.io.atomic_files import copy_atomically, write_atomically
from nnunet_pst.io.case_table import CASE_TABLE, cases_of_dataset
from nnunet_pst.network.bags import STRIDE, padded_size
from nnunet_pst.nnunet.training.settings import BAGS_PER_BATCH, PLANS_KEY, TrainingSettings

#: Our configurations and their slices in a bag.
CONFIGURATIONS = {"2d_5": 3, "2d_mobilenetv2": 1}
#: What nnU-Net's planners make; the last three not for every cohort.
STOCK_CONFIGURATIONS = ("2d", "3d_fullres", "3d_lowres", "3d_cascade_fullres")
NETWORK = "nnunet_pst.network.unet25d.Unet25D"
ENCODER = "mobilenet_v2"

#: Slices that a new case may have beyond the largest of the cohort and still be one tile.
SPARE_SLICES = 4

SPLITS_FILE = "splits_final.json"


@dataclass(frozen=True)
class PlanningResult:
    """What was planned, for printing.

    Attributes
    ----------
    decisions
        Five lines: what was decided and why.
    """

    plans_file: Path
    configurations: tuple[str, ...]
    folds: int
    decisions: tuple[str, ...]


@dataclass(frozen=True)
class _Folders:
    raw: Path
    preprocessed: Path


def plan_dataset(
    dataset: str,
    *,
    extend: bool = False,
    configurations: Sequence[str] = ("2d",),
    planner: str = "ExperimentPlanner",
    plans: str | None = None,
    workers: int = 2,
    settings: TrainingSettings | None = None,
) -> PlanningResult:
    """Plan and preprocess a dataset, and add the 2.5D configurations.

    Parameters
    ----------
    dataset
        Folder name in ``nnUNet_raw``, with or without an id.
    extend
        Take plans and preprocessed data as ``nnUNetv2_plan_and_preprocess`` left them.
    configurations
        Stock configurations to preprocess; ours share the data of ``2d``.
    planner
        Any of nnU-Net's planners, by class name.
    plans
        Name of the plans; None for the planner's own.
    workers
        Processes for fingerprint and preprocessing.
    settings
        Training settings to write; None for the defaults fitted to the cohort.

    Raises
    ------
    InputError, HostError
        The dataset is missing, not planned yet (``extend``), or its slices don't lie along the
        first axis; there is no configuration of a name; there are too few patients for folds, or
        an existing ``splits_final.json`` separates one.
    """
    folders = _folders(dataset)
    if not extend:
        _refuse_unknown_names(configurations, folders.preprocessed)
        plans = _plan_stock(dataset, planner, plans, workers)
    plans_file = folders.preprocessed / f"{plans or 'nnUNetPlans'}.json"
    if not plans_file.is_file():
        raise InputError(
            f"{dataset}: no {plans_file.name} among the preprocessed data; run "
            f"'nnUNetv2_plan_and_preprocess' first, or 'nnunet_pst plan {dataset}' without --extend"
        )
    content = json.loads(plans_file.read_text())
    _refuse_other_slice_axis(dataset, content, plans_file)
    fingerprint = json.loads((folders.preprocessed / "dataset_fingerprint.json").read_text())
    settings = settings or TrainingSettings(crop=fitting_crop(content))
    added = our_configurations(content, fingerprint, settings)
    content["configurations"].update(added)
    to_preprocess = [] if extend else _to_preprocess(configurations, content)
    splits = _splits(folders, settings.seed)
    _write_json(plans_file, content)
    if splits is not None:
        _write_json(folders.preprocessed / SPLITS_FILE, splits)
    if not extend:
        for name in to_preprocess:
            _preprocess(dataset, name, plans_file.stem, workers)
        copy_references(folders.raw, folders.preprocessed)
    elif _own_data(content):
        _preprocess(dataset, next(iter(CONFIGURATIONS)), plans_file.stem, workers)
    return PlanningResult(
        plans_file=plans_file,
        configurations=tuple(content["configurations"]),
        folds=len(splits or ()),
        decisions=_decisions(content, settings, splits),
    )


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
                "network_class_name": NETWORK,
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
            # is 'ignore', and not in new cases; so ours are normalized without it.
            result[name]["use_mask_for_norm"] = [False] * len(base["use_mask_for_norm"])
            result[name]["data_identifier"] = f"{plans['plans_name']}_pst"
    return result


def patch_size(
    plans: dict[str, Any], fingerprint: dict[str, Any], crop: int
) -> tuple[int, int, int]:
    """(slices, rows, columns) that cover every case of the cohort, so that one tile is enough.

    The host gives its predictor a patch and cuts what is larger into overlapping tiles; a
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
    """Side of the training crop: the paper's 224, less when the cohort's images are smaller.

    Cropping 224 out of images of 140 would spend most of every step on padding.
    """
    median = max(plans["configurations"]["2d"]["median_image_size_in_voxels"])
    return min(TrainingSettings().crop, padded_size(round(median), STRIDE))


def copy_references(raw: Path, preprocessed: Path) -> None:
    """Copy labels and ``cases.csv`` to the preprocessed data, where the host's validation looks.

    ``nnUNetv2_preprocess`` does the same after calling the class that we call ourselves.
    """
    target = preprocessed / "gt_segmentations"
    target.mkdir(exist_ok=True)
    for label in sorted((raw / "labelsTr").iterdir()):
        copy_atomically(label, target / label.name)


def _folders(dataset: str) -> _Folders:
    roots = {}
    for variable in ("nnUNet_raw", "nnUNet_preprocessed"):
        if not os.environ.get(variable):
            raise HostError(f'{variable} is not set; run: eval "$(nnunet_pst env FOLDER)"')
        roots[variable] = Path(os.environ[variable]) / dataset
    if not (roots["nnUNet_raw"] / "dataset.json").is_file():
        raise InputError(
            f"{dataset}: no dataset.json in nnUNet_raw; make the dataset with 'nnunet_pst convert'"
        )
    cases_of_dataset(roots["nnUNet_raw"])  # refused now, not after minutes of the host's planning
    return _Folders(roots["nnUNet_raw"], roots["nnUNet_preprocessed"])


def _plan_stock(dataset: str, planner: str, plans: str | None, workers: int) -> str:
    import nnunetv2
    from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import (
        DatasetFingerprintExtractor,
    )
    from nnunetv2.utilities.find_class_by_name import recursive_find_python_class

    planner_class = recursive_find_python_class(
        os.path.join(nnunetv2.__path__[0], "experiment_planning"),
        planner,
        current_module="nnunetv2.experiment_planning",
    )
    if planner_class is None:
        raise InputError(f"nnU-Net has no planner called '{planner}'")
    DatasetFingerprintExtractor(dataset, workers).run(overwrite_existing=True)
    arguments = {} if plans is None else {"plans_name": plans}
    experiment = planner_class(dataset, **arguments)
    experiment.plan_experiment()
    name: str = experiment.plans_identifier
    return name


def _refuse_unknown_names(configurations: Sequence[str], preprocessed: Path) -> None:
    """Find slips before the fingerprint, which takes long.

    Earlier plans may hold configurations of the user's own; nnU-Net keeps them when it plans anew.
    """
    known = [*STOCK_CONFIGURATIONS, *CONFIGURATIONS]
    for file in preprocessed.glob("*.json"):
        try:
            content = json.loads(file.read_text())
        except ValueError:
            continue
        if isinstance(content, dict) and isinstance(content.get("configurations"), dict):
            known += content["configurations"]
    unknown = [name for name in configurations if name not in known]
    if unknown:
        raise InputError(
            [
                f"there is no configuration '{name}'; {_suggestion(name, known)}choose from: "
                f"{', '.join(dict.fromkeys(known))}"
                for name in unknown
            ]
        )


def _suggestion(name: str, known: Sequence[str]) -> str:
    """Ask for the name that was probably meant: one that goes on like this, or a similar one."""
    longer = [other for other in known if name and other.startswith(name)]
    meant = longer or difflib.get_close_matches(name.casefold(), known, n=1, cutoff=0.5)
    return f"did you mean '{meant[0]}'? Else " if meant else ""


def _to_preprocess(configurations: Sequence[str], plans: dict[str, Any]) -> list[str]:
    unknown = [name for name in configurations if name not in plans["configurations"]]
    if unknown:
        raise InputError(
            f"nnU-Net has planned no configuration {', '.join(unknown)} for this cohort (3d_lowres "
            "and the cascade are for large images only); choose from: "
            f"{', '.join(plans['configurations'])}"
        )
    own = [next(iter(CONFIGURATIONS))] if _own_data(plans) else []
    return [*dict.fromkeys(["2d", *configurations, *own])]


def _own_data(plans: dict[str, Any]) -> bool:
    return "data_identifier" in plans["configurations"][next(iter(CONFIGURATIONS))]


def _preprocess(dataset: str, configuration: str, plans: str, workers: int) -> None:
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor

    DefaultPreprocessor(verbose=False).run(dataset, configuration, plans, num_processes=workers)


def _refuse_other_slice_axis(dataset: str, plans: dict[str, Any], plans_file: Path) -> None:
    if list(plans["transpose_forward"]) != [0, 1, 2]:
        raise InputError(
            f"{dataset}: nnU-Net turns the axes of this cohort ({plans_file.name}, "
            f"transpose_forward {plans['transpose_forward']}), because its largest voxel spacing "
            f"is not along the slices; 2.5D needs the slice axis first: leave out or resample the "
            f"scans that were not acquired as axial slices"
        )


def _splits(folders: _Folders, seed: int) -> list[dict[str, list[str]]] | None:
    rows = [row for row in cases_of_dataset(folders.raw) if row["split"] != "test"]
    if rows:
        copy_atomically(folders.raw / CASE_TABLE, folders.preprocessed / CASE_TABLE)
    existing = folders.preprocessed / SPLITS_FILE
    if existing.is_file():
        splits: list[dict[str, list[str]]] = json.loads(existing.read_text())
        torn = separated_patients(splits, {row["case"]: row["patient"] for row in rows})
        if torn:
            raise InputError(
                f"{existing.name}: patients on both sides of a fold: {', '.join(torn)}; delete "
                f"the file to get folds grouped by patient"
            )
        return splits
    if not rows:
        return None  # not made by us, it says nothing about patients: the host makes its own folds
    patients = split_patients(rows)
    if len(patients) < 2:
        raise InputError(
            f"{folders.raw.name} has one training patient; a fold needs one more to validate on: "
            "convert a table with more patients of split 'train'"
        )
    return make_splits(patients, seed)


def _write_json(file: Path, content: Any) -> None:
    write_atomically(file, json.dumps(content, indent=4) + "\n")


def _decisions(
    plans: dict[str, Any], settings: TrainingSettings, splits: list[dict[str, list[str]]] | None
) -> tuple[str, ...]:
    config = plans["configurations"]["2d_5"]
    slices, rows, columns = config["patch_size"]
    spacing = " x ".join(f"{mm:.3g}" for mm in plans["configurations"]["2d"]["spacing"])
    sizes = [f"{len(fold['train'])}/{len(fold['val'])}" for fold in splits or ()]
    folds = (
        f"{len(sizes)} (train/val cases {', '.join(sizes)}): no patient is on both sides"
        if sizes
        else "left to nnU-Net, by case: there is no cases.csv that says which patient is whose"
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
