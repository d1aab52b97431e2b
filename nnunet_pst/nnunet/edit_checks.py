"""Edits of our configurations that cannot work, refused before anything is planned or trained."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from nnunet_pst.errors import Fault, InputError, Problem
from nnunet_pst.network.bags import STRIDE
from nnunet_pst.network.unet25d import Unet25D
from nnunet_pst.nnunet.edited_settings import GENERATED_KEY, Place, edits_of
from nnunet_pst.nnunet.training.settings import PLANS_KEY, TrainingSettings

#: Keys that decide how data are preprocessed. Ours use those of ``2d``; with other values here,
#: training and prediction would see different data.
_PREPROCESSING = ("inherits_from", "spacing", "normalization_schemes", "preprocessor_name")
_RESAMPLING = "resampling_fn_"
_MOST_BAGS = 4096


def check_edits(name: str, configuration: Mapping[str, Any]) -> None:
    """Refuse a configuration of ours with edits that cannot work.

    Parameters
    ----------
    name
        Of the configuration.
    configuration
        As it is in the plans, with the record of how it was generated.

    Raises
    ------
    InputError
        With a line for each such edit.
    """
    edits = edits_of(configuration, configuration.get(GENERATED_KEY) or configuration)
    problems = [
        *_of_preprocessing(edits),
        *_of_batches(configuration),
        *_of_training(configuration),
        *_of_network(configuration, edits),
    ]
    if problems:
        raise InputError([problem.within(f"plans, {name}") for problem in problems])


def check_own_configuration(plans: Mapping[str, Any], name: str) -> None:
    """Check a configuration before it is trained: plans may be edited after planning.

    Others than ours, and those that users derive from ours, are left alone.

    Raises
    ------
    InputError
        As `check_edits`.
    """
    configuration = plans["configurations"].get(name)
    if isinstance(configuration, dict) and PLANS_KEY in configuration:
        check_edits(name, configuration)


def check_plans_file(file: Path) -> None:
    """Check all configurations of ours in a plans file, as `check_edits`.

    Raises
    ------
    InputError
        The file is not one of plans, or as `check_edits`.
    """
    try:
        configurations = dict(json.loads(file.read_text(encoding="utf-8"))["configurations"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{file.name}: is not a plans file ({error}); delete it to plan again", Fault.DAMAGED
        ) from error
    for name, configuration in configurations.items():
        if isinstance(configuration, dict) and PLANS_KEY in configuration:
            check_edits(name, configuration)


def _of_preprocessing(edits: Mapping[Place, Any]) -> Iterator[Problem]:
    for place, value in edits.items():
        if place[0] in _PREPROCESSING or place[0].startswith(_RESAMPLING):
            yield Problem(
                f"{'.'.join(place)} is edited ({value!r}), but the data of 2d are what it trains "
                "on; undo it, and plan another spacing by nnUNetv2_plan_and_preprocess "
                "-overwrite_target_spacing and 'nnunet_pst plan --extend'",
                Fault.UNSUPPORTED,
            )


def _of_batches(configuration: Mapping[str, Any]) -> Iterator[Problem]:
    size = configuration.get("batch_size")
    if type(size) is not int or not 1 <= size <= _MOST_BAGS:
        yield Problem(
            f"batch_size is {size!r}; it must be a whole number from 1 to {_MOST_BAGS}",
            Fault.OUT_OF_RANGE,
        )
    patch = configuration.get("patch_size")
    if (
        not isinstance(patch, list)
        or len(patch) != 3
        or not all(type(side) is int and side > 0 for side in patch)
        or any(side % STRIDE for side in patch[1:])
    ):
        yield Problem(
            f"patch_size is {patch!r}; it must be slices, rows and columns, the last two multiples "
            f"of {STRIDE}",
            Fault.OUT_OF_RANGE,
        )


def _of_training(configuration: Mapping[str, Any]) -> Iterator[Problem]:
    values = configuration.get(PLANS_KEY)
    if not isinstance(values, dict):
        yield Problem(f"'{PLANS_KEY}' is missing; it holds the settings", Fault.MISSING)
        return
    try:
        TrainingSettings.from_plans(values)
    except InputError as error:
        yield from error.problems


def _of_network(configuration: Mapping[str, Any], edits: Mapping[Place, Any]) -> Iterator[Problem]:
    """Build an edited network without memory; the generated one is known to work."""
    if not any(place[0] == "architecture" for place in edits):
        return
    try:
        with torch.device("meta"):
            Unet25D(1, 2, **configuration["architecture"]["arch_kwargs"])
    except InputError as error:
        yield from error.problems
    except (TypeError, KeyError) as error:
        yield Problem(f"architecture cannot be built ({error})", Fault.MALFORMED)
