"""Plans: stock planning and preprocessing, then our configurations and grouped folds.

nnU-Net looks up nothing of ours by name: everything is written into its plans with its own classes,
so stock commands and ours read the same file.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nnunet_pst.dataset.look_alikes import look_alikes, said_of
from nnunet_pst.dataset.splits import Splits
from nnunet_pst.errors import Fault, HostError, InputError
from nnunet_pst.io.atomic_files import (
    copy_atomically,
    gone_if_empty,
    refusals_in_one_line,
    write_atomically,
)
from nnunet_pst.io.case_table import CASE_TABLE, cases_of_dataset
from nnunet_pst.io.claims import claimed
from nnunet_pst.io.dataset_folders import dataset_name
from nnunet_pst.io.label_values import read_label_values
from nnunet_pst.io.workers import deaf_to_interrupts
from nnunet_pst.nnunet.edit_checks import check_plans_file
from nnunet_pst.nnunet.environment import planner_threads
from nnunet_pst.nnunet.folds import SPLITS_FILE, PlannedFolds, plan_folds
from nnunet_pst.nnunet.host_files import host_files_readable
from nnunet_pst.nnunet.host_planning import (
    configurations_to_preprocess,
    plan_stock,
    preprocess,
    refuse_unknown_names,
)
from nnunet_pst.nnunet.own_configurations import (
    CONFIGURATIONS,
    decisions,
    has_own_data,
    our_configurations,
)
from nnunet_pst.nnunet.preprocessed import check_preprocessed
from nnunet_pst.nnunet.training.settings import TrainingSettings

_PLANS = "nnUNetPlans"


@dataclass(frozen=True)
class PlanningSettings:
    """What a user may decide about the plans.

    Attributes
    ----------
    extend
        Take plans and preprocessed data as ``nnUNetv2_plan_and_preprocess`` left them.
    configurations
        Stock configurations to preprocess; ours share the data of ``2d``.
    planner
        Any of nnU-Net's planners, by class name.
    plans
        Name of the plans; None for the planner's own.
    overwrite_folds
        Change folds even where a training has learned from patients who may no longer be trained
        on.
    edits_from
        Plans whose edited 2.5D settings are taken over, on top of this dataset's own edits.
    """

    extend: bool = False
    configurations: Sequence[str] = ("2d",)
    planner: str = "ExperimentPlanner"
    plans: str | None = None
    overwrite_folds: bool = False
    edits_from: Path | None = None


@dataclass(frozen=True)
class PlanningResult:
    """What was planned, for printing.

    Attributes
    ----------
    decisions
        What was decided and why, what was kept of the user's edits, how folds changed, and which
        images of two patients show the same.
    """

    plans_file: Path
    configurations: tuple[str, ...]
    folds: int
    decisions: tuple[str, ...]


@dataclass(frozen=True)
class _Folders:
    raw: Path
    preprocessed: Path
    results: Path | None


def plan_dataset(
    dataset: str, settings: PlanningSettings | None = None, *, workers: int = 2
) -> PlanningResult:
    """Plan and preprocess a dataset, and add the 2.5D configurations.

    Settings of our configurations that were edited in earlier plans are kept, and so is the fold of
    every patient; `PlanningResult.decisions` says what was kept and what changed.

    Parameters
    ----------
    dataset
        Folder name in ``nnUNet_raw``, with or without an id; or the id.
    settings
        What is planned, and how; None for the defaults.
    workers
        Processes for fingerprint and preprocessing.

    Raises
    ------
    InputError, HostError
        The dataset is missing, not planned yet, or has another axis before the slices; a name is
        unknown; there are too few patients; preprocessed data do not fit the plans; or a finished
        training would be contradicted by the folds.

    Examples
    --------
    >>> import nnunet_pst
    >>> nnunet_pst.plan("DatasetPST").configurations
    ('2d', '3d_fullres', '2d_5', '2d_mobilenetv2')
    """
    settings = settings or PlanningSettings()
    dataset = dataset_name(dataset)
    with host_files_readable(dataset, "convert again"):
        folders = _folders(dataset)
    place = folders.preprocessed
    with (
        refusals_in_one_line(place),
        claimed(place.parent, "plan", place.name, below=[place]),
        gone_if_empty([place]),
    ):
        # Before the long work: what is refused leaves everything as it was.
        folds = plan_folds(
            folders.raw,
            place,
            folders.results,
            seed=TrainingSettings().seed,
            overwrite=settings.overwrite_folds,
        )
        # The host prints pages; what a caller prints must stay readable, and usable in a pipe.
        with contextlib.redirect_stdout(sys.stderr), planner_threads(), deaf_to_interrupts():
            planned = _plan(dataset, settings, folders, folds, workers)
    copies = said_of(look_alikes(folders.raw, workers=workers), folds.splits)
    return replace(planned, decisions=(*planned.decisions, *copies))


def _plan(
    dataset: str,
    settings: PlanningSettings,
    folders: _Folders,
    folds: PlannedFolds,
    workers: int,
) -> PlanningResult:
    """Plan and preprocess with folds that are decided."""
    name = settings.plans
    for file in (folders.preprocessed / f"{name or _PLANS}.json", settings.edits_from):
        if file is not None and file.is_file():
            check_plans_file(file)
    if not settings.extend:
        refuse_unknown_names(settings.configurations, folders.preprocessed)
        name = plan_stock(dataset, settings.planner, name, workers)
    # What the host has just written is whole; there an error is a bug, and keeps its traceback.
    damaged = host_files_readable(dataset, "plan again without --extend")
    with damaged if settings.extend else contextlib.nullcontext():
        plans_file, content = _read_plans(dataset, folders, name or _PLANS)
        if settings.extend:
            _check_data(content, folders)
        fingerprint = json.loads(
            (folders.preprocessed / "dataset_fingerprint.json").read_text(encoding="utf-8")
        )
        ours = our_configurations(content, fingerprint, _edits_from(settings.edits_from))
        content["configurations"].update(ours.configurations)
        asked = settings.configurations
        todo = [] if settings.extend else configurations_to_preprocess(asked, content)
        by_patient = bool(cases_of_dataset(folders.raw))
        decided = decisions(content, folds.splits, by_patient=by_patient)
    _write(plans_file, content, folders, folds.splits)
    for configuration in todo:
        preprocess(dataset, configuration, plans_file, workers)
    if not settings.extend:
        copy_references(folders.raw, folders.preprocessed)
    elif has_own_data(content):
        preprocess(dataset, next(iter(CONFIGURATIONS)), plans_file, workers)
    return PlanningResult(
        plans_file=plans_file,
        configurations=tuple(content["configurations"]),
        folds=len(folds.splits or ()),
        decisions=(*decided, *ours.kept, *folds.changes),
    )


def _check_data(plans: dict[str, Any], folders: _Folders) -> None:
    """Refuse preprocessed data that do not belong to the plans and the dataset."""
    base = plans["configurations"]["2d"]
    check_preprocessed(
        folders.preprocessed / base["data_identifier"],
        base["spacing"],
        folders.raw,
        json.loads((folders.raw / "dataset.json").read_text(encoding="utf-8"))["file_ending"],
    )


def _edits_from(plans_file: Path | None) -> dict[str, dict[str, Any]]:
    """Return our configurations of other plans, by name."""
    if plans_file is None:
        return {}
    configurations = json.loads(plans_file.read_text(encoding="utf-8"))["configurations"]
    return {name: configurations[name] for name in CONFIGURATIONS if name in configurations}


def _write(
    plans_file: Path, content: dict[str, Any], folders: _Folders, splits: Splits | None
) -> None:
    """Write folds and case table before the plans that are to use them."""
    if splits is not None:
        _write_json(folders.preprocessed / SPLITS_FILE, splits)
    if (folders.raw / CASE_TABLE).is_file():
        copy_atomically(folders.raw / CASE_TABLE, folders.preprocessed / CASE_TABLE)
    _write_json(plans_file, content)


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
    # What is damaged or not served is refused before minutes of planning.
    cases_of_dataset(roots["nnUNet_raw"])
    description = json.loads((roots["nnUNet_raw"] / "dataset.json").read_text(encoding="utf-8"))
    read_label_values(description, dataset)
    results = os.environ.get("nnUNet_results")  # noqa: SIM112 (the host's name)
    return _Folders(
        roots["nnUNet_raw"],
        roots["nnUNet_preprocessed"],
        Path(results) / dataset if results else None,
    )


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
    plans: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if list(plans["transpose_forward"]) != [0, 1, 2]:
        raise InputError(
            f"{dataset}: nnU-Net turns the axes of this cohort ({file.name}, "
            f"transpose_forward {plans['transpose_forward']}), because its largest voxel spacing "
            f"is not along the slices; 2.5D needs the slice axis first: leave out or resample the "
            "scans that were not acquired as axial slices, or, where voxels are nearly cubic, run "
            f"'nnunet_pst plan {dataset}' without --extend",
            Fault.GEOMETRY,
        )
    return file, plans


def _write_json(file: Path, content: Any) -> None:
    write_atomically(file, json.dumps(content, indent=4) + "\n")
