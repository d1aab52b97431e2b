"""What the host plans and preprocesses by itself, called from here instead of its own commands."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.geometry import NEARLY_CUBIC
from nnunet_pst.io.wording import suggestion
from nnunet_pst.nnunet.host_files import check_preprocessed_whole, data_folder
from nnunet_pst.nnunet.own_configurations import CONFIGURATIONS, has_own_data

#: The configurations of nnU-Net's planners; the last three are not made for every cohort.
STOCK_CONFIGURATIONS = ("2d", "3d_fullres", "3d_lowres", "3d_cascade_fullres")


def plan_stock(dataset: str, planner: str, plans: str | None, workers: int) -> str:
    """Let one of the host's planners make fingerprint and plans; return the plans' name.

    Parameters
    ----------
    planner
        Name of its class.
    plans
        Name of the plans; None for the planner's own.

    Raises
    ------
    InputError
        There is no such planner.
    """
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
    keep_slices_first(experiment)
    experiment.plan_experiment()
    name: str = experiment.plans_identifier
    return name


def keep_slices_first(planner: Any) -> None:
    """Keep the host from turning nearly cubic volumes.

    It puts the axis with the largest spacing first; where voxels are nearly cubic that may be any,
    and ours have their slices there already (`io.geometry.slice_axis_xyz`).
    """
    target = planner.determine_fullres_target_spacing()
    planner.suppress_transpose |= bool(target[0] >= NEARLY_CUBIC * max(target))


def refuse_unknown_names(configurations: Sequence[str], preprocessed: Path) -> None:
    """Refuse misspelt configurations before the fingerprint, which takes long.

    Earlier plans may hold the user's own configurations; nnU-Net keeps them when it plans anew.
    """
    known = [*STOCK_CONFIGURATIONS, *CONFIGURATIONS]
    for file in preprocessed.glob("*.json"):
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except ValueError:
            continue
        if isinstance(content, dict) and isinstance(content.get("configurations"), dict):
            known += content["configurations"]
    unknown = [name for name in configurations if name not in known]
    if unknown:
        raise InputError(
            [
                f"there is no configuration '{name}'; {suggestion(name, known)}choose from: "
                f"{', '.join(dict.fromkeys(known))}"
                for name in unknown
            ],
            Fault.UNKNOWN_NAME,
        )


def configurations_to_preprocess(configurations: Sequence[str], plans: dict[str, Any]) -> list[str]:
    """Return the configurations whose data are made: 2d, those asked for, ours with their own.

    Raises
    ------
    InputError
        The host has not planned one of them.
    """
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


def preprocess(dataset: str, configuration: str, plans_file: Path, workers: int) -> None:
    """Let the host preprocess a configuration, and read its data back.

    Raises
    ------
    OSError
        A file is not whole.
    """
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor

    preprocessor = DefaultPreprocessor(verbose=False)
    preprocessor.run(dataset, configuration, plans_file.stem, num_processes=workers)
    plans = json.loads(plans_file.read_text(encoding="utf-8"))
    check_preprocessed_whole(data_folder(plans, configuration, plans_file.parent))
