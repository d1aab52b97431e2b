"""Plans: stock planning and preprocessing, then our configurations and grouped folds.

nnU-Net looks up nothing of ours by name: everything is written into its plans with its own classes,
so stock commands and ours read the same file.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunet_pst.dataset.splits import Splits, make_splits, separated_patients, split_patients
from nnunet_pst.errors import Fault, HostError, InputError
from nnunet_pst.io.atomic_files import copy_atomically, write_atomically
from nnunet_pst.io.case_table import CASE_TABLE, cases_of_dataset
from nnunet_pst.nnunet.own_configurations import (
    CONFIGURATIONS,
    decisions,
    fitting_crop,
    has_own_data,
    our_configurations,
)
from nnunet_pst.nnunet.training.settings import TrainingSettings

#: The configurations of nnU-Net's planners; the last three are not made for every cohort.
STOCK_CONFIGURATIONS = ("2d", "3d_fullres", "3d_lowres", "3d_cascade_fullres")

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
        The dataset is missing, not planned yet, or has another axis before the slices; a name is
        unknown; there are too few patients, or a fold separates one.
    """
    folders = _folders(dataset)
    if not extend:
        _refuse_unknown_names(configurations, folders.preprocessed)
        plans = _plan_stock(dataset, planner, plans, workers)
    plans_file, content = _read_plans(dataset, folders, plans or "nnUNetPlans")
    fingerprint = json.loads((folders.preprocessed / "dataset_fingerprint.json").read_text())
    settings = settings or TrainingSettings(crop=fitting_crop(content))
    content["configurations"].update(our_configurations(content, fingerprint, settings))
    to_preprocess = [] if extend else _to_preprocess(configurations, content)
    splits = _splits(folders, settings.seed)
    _write_json(plans_file, content)
    if splits is not None:
        _write_json(folders.preprocessed / SPLITS_FILE, splits)
    if not extend:
        for name in to_preprocess:
            _preprocess(dataset, name, plans_file.stem, workers)
        copy_references(folders.raw, folders.preprocessed)
    elif has_own_data(content):
        _preprocess(dataset, next(iter(CONFIGURATIONS)), plans_file.stem, workers)
    return PlanningResult(
        plans_file=plans_file,
        configurations=tuple(content["configurations"]),
        folds=len(splits or ()),
        decisions=decisions(content, settings, splits),
    )


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
            raise HostError(
                f'{variable} is not set; run: eval "$(nnunet_pst env FOLDER)"', Fault.NOT_SET
            )
        roots[variable] = Path(os.environ[variable]) / dataset
    if not (roots["nnUNet_raw"] / "dataset.json").is_file():
        raise InputError(
            f"{dataset}: no dataset.json in nnUNet_raw; make the dataset with 'nnunet_pst convert'",
            Fault.MISSING,
        )
    cases_of_dataset(roots["nnUNet_raw"])  # damaged tables are refused before minutes of planning
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
        raise InputError(f"nnU-Net has no planner called '{planner}'", Fault.UNKNOWN_NAME)
    DatasetFingerprintExtractor(dataset, workers).run(overwrite_existing=True)
    arguments = {} if plans is None else {"plans_name": plans}
    experiment = planner_class(dataset, **arguments)
    experiment.plan_experiment()
    name: str = experiment.plans_identifier
    return name


def _refuse_unknown_names(configurations: Sequence[str], preprocessed: Path) -> None:
    """Refuse misspelt configurations before the fingerprint, which takes long.

    Earlier plans may hold the user's own configurations; nnU-Net keeps them when it plans anew.
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
            ],
            Fault.UNKNOWN_NAME,
        )


def _suggestion(name: str, known: Sequence[str]) -> str:
    """Ask for the name that was probably meant: one that begins with it, or a similar one."""
    longer = [other for other in known if name and other.startswith(name)]
    meant = longer or difflib.get_close_matches(name.casefold(), known, n=1, cutoff=0.5)
    return f"did you mean '{meant[0]}'? Else " if meant else ""


def _to_preprocess(configurations: Sequence[str], plans: dict[str, Any]) -> list[str]:
    unknown = [name for name in configurations if name not in plans["configurations"]]
    if unknown:
        raise InputError(
            f"nnU-Net has planned no configuration {', '.join(unknown)} for this cohort (3d_lowres "
            "and the cascade are for large images only); choose from: "
            f"{', '.join(plans['configurations'])}",
            Fault.UNSUPPORTED,
        )
    own = [next(iter(CONFIGURATIONS))] if has_own_data(plans) else []
    return [*dict.fromkeys(["2d", *configurations, *own])]


def _preprocess(dataset: str, configuration: str, plans: str, workers: int) -> None:
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor

    DefaultPreprocessor(verbose=False).run(dataset, configuration, plans, num_processes=workers)


def _read_plans(dataset: str, folders: _Folders, name: str) -> tuple[Path, dict[str, Any]]:
    """Read the host's plans; refuse those that put another axis before the slices."""
    file = folders.preprocessed / f"{name}.json"
    if not file.is_file():
        raise InputError(
            f"{dataset}: no {file.name} among the preprocessed data; run "
            f"'nnUNetv2_plan_and_preprocess' first, or 'nnunet_pst plan {dataset}' without "
            "--extend",
            Fault.MISSING,
        )
    plans: dict[str, Any] = json.loads(file.read_text())
    if list(plans["transpose_forward"]) != [0, 1, 2]:
        raise InputError(
            f"{dataset}: nnU-Net turns the axes of this cohort ({file.name}, "
            f"transpose_forward {plans['transpose_forward']}), because its largest voxel spacing "
            f"is not along the slices; 2.5D needs the slice axis first: leave out or resample the "
            f"scans that were not acquired as axial slices",
            Fault.GEOMETRY,
        )
    return file, plans


def _splits(folders: _Folders, seed: int) -> Splits | None:
    rows = [row for row in cases_of_dataset(folders.raw) if row["split"] != "test"]
    if rows:
        copy_atomically(folders.raw / CASE_TABLE, folders.preprocessed / CASE_TABLE)
    existing = folders.preprocessed / SPLITS_FILE
    if existing.is_file():
        splits: Splits = json.loads(existing.read_text())
        separated = separated_patients(splits, {row["case"]: row["patient"] for row in rows})
        if separated:
            raise InputError(
                f"{existing.name}: patients on both sides of a fold: {', '.join(separated)}; "
                "delete the file to get folds grouped by patient",
                Fault.LEAK,
            )
        return splits
    if not rows:
        return None  # no cases.csv tells the patients: the host makes its own folds
    patients = split_patients(rows)
    if len(patients) < 2:
        raise InputError(
            f"{folders.raw.name} has one training patient; a fold needs one more to validate on: "
            "convert a table with more patients of split 'train'",
            Fault.TOO_FEW,
        )
    return make_splits(patients, seed)


def _write_json(file: Path, content: Any) -> None:
    write_atomically(file, json.dumps(content, indent=4) + "\n")
