"""Checks of the values in a model's plans, which may come from strangers.

nnU-Net trusts its own plans: a wrong type ends in a traceback somewhere inside it, a patch of
100000 pixels in a full memory. So every value that prediction reads is checked first. Which classes
plans may import is checked in `checkpoints`.
"""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import nnunetv2
import numpy as np
from nnunetv2.preprocessing.normalization.default_normalization_schemes import ImageNormalization
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.utilities.find_class_by_name import recursive_find_python_class
from nnunetv2.utilities.label_handling.label_handling import LabelManager
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunet_pst.errors import Fault, InputError, Problem
from nnunet_pst.network.unet25d import NETWORK_CLASS
from nnunet_pst.nnunet.models.plan_values import is_list_of, is_number, is_whole, shown, written

#: Pixels along one side of a tile; no MRI has more.
MOST_SIDE = 2048
#: Voxels of a tile: ours covers a whole study, but is computed slice by slice; a stock network's
#: feature maps are some hundred times as large as its tile (nnU-Net's have up to 2**23 voxels).
MOST_TILE, MOST_STOCK_TILE = 2**27, 2**24
#: Voxels of a study on the model's spacing; one that is larger already stays as it is.
MOST_RESAMPLED = 2**27
SPACING_RANGE_MM = (0.05, 50.0)
#: Largest number in a network's description: features, kernels, stages.
MOST_IN_NETWORK = 4096
#: Readers that keep the order of a file's voxels; the others would turn the image first.
_READERS = ("SimpleITKIO", "NibabelIO")
_INTENSITIES = ("mean", "std", "percentile_00_5", "percentile_99_5")
#: Positional parameters of nnU-Net's functions for resampling
#: (nnunet-v2 ``preprocessing/resampling``).
_RESAMPLED = ("data", "new_shape", "current_spacing", "new_spacing")


def resolve_configuration(plans: dict[str, Any], name: str, where: str) -> dict[str, Any]:
    """Return a configuration with all that it inherits.

    Raises
    ------
    InputError
        When the plans have no such configuration, or nnU-Net cannot resolve it.
    """
    configurations = plans.get("configurations")
    if not isinstance(configurations, dict) or name not in configurations:
        raise InputError(
            f"{where}: plans.json has no configuration '{name[:80]}'", Fault.UNKNOWN_NAME
        )
    if not all(isinstance(settings, dict) for settings in configurations.values()):
        raise InputError(
            f"{where}: plans.json has configurations without settings; get it again",
            Fault.MALFORMED,
        )
    try:
        resolved: dict[str, Any] = PlansManager(plans).get_configuration(name).configuration
    except Exception as error:  # circular inheritance, names of a wrong type
        raise InputError(
            f"{where}: plans.json: nnU-Net cannot resolve configuration '{name[:80]}' "
            f"({type(error).__name__}); get the model again",
            Fault.MALFORMED,
        ) from error
    return resolved


def check_plan_values(
    plans: dict[str, Any],
    configuration: dict[str, Any],
    *,
    channels: int,
    mirrored: object,
    where: str,
) -> None:
    """Refuse plans with impossible values.

    Parameters
    ----------
    configuration
        From `resolve_configuration`.
    channels
        Number of the model's channels.
    mirrored
        The axes that its checkpoint allows to mirror; None when it names none.
    where
        Name of the model, for messages.

    Raises
    ------
    InputError
        With a line for each such value.
    """
    problems = [
        *_axes_problems(plans),
        *_geometry_problems(configuration, mirrored),
        *_architecture_problems(configuration),
        *_class_problems(plans, configuration, channels),
        *_intensity_problems(plans, configuration, channels),
    ]
    for target, segmentation in (("data", False), ("seg", True), ("probabilities", False)):
        problems += _resampling_problems(configuration, f"resampling_fn_{target}", segmentation)
    if problems:
        raise InputError([problem.within(f"{where}: plans.json") for problem in problems])


def check_resampled_size(
    shape_zyx: Sequence[int],
    spacing_zyx_mm: Sequence[float],
    model_spacing_mm: Sequence[float],
    where: str,
) -> None:
    """Refuse an image that would fill the memory when brought to a model's spacing.

    Parameters
    ----------
    model_spacing_mm
        Of (z, y, x), or of (y, x) where slices stay as they are.

    Raises
    ------
    InputError
        Naming both sizes.
    """
    target = [*spacing_zyx_mm[: 3 - len(model_spacing_mm)], *model_spacing_mm]
    shape = [
        max(round(n * here / there), 1)
        for n, here, there in zip(shape_zyx, spacing_zyx_mm, target, strict=True)
    ]
    if math.prod(shape) > max(MOST_RESAMPLED, math.prod(shape_zyx)):
        raise InputError(
            f"{where}: on its spacing of {written(target)} mm the image of {written(shape_zyx)} "
            f"voxels would have {written(shape)}, too many; use a model for such images",
            Fault.TOO_LARGE,
        )


def _malformed(text: str) -> Problem:
    return Problem(text, Fault.MALFORMED)


def _axes_problems(plans: dict[str, Any]) -> Iterator[Problem]:
    for name in ("transpose_forward", "transpose_backward"):
        if sorted(map(repr, _list(plans.get(name)))) != ["0", "1", "2"]:
            yield _malformed(
                f"{name} is {shown(plans.get(name))}; expected an order of the axes 0, 1, 2"
            )
            return
    if np.argsort(plans["transpose_forward"]).tolist() != plans["transpose_backward"]:
        yield Problem("transpose_backward doesn't undo transpose_forward", Fault.CONTRADICTION)


def _geometry_problems(configuration: dict[str, Any], mirrored: object) -> Iterator[Problem]:
    low, high = SPACING_RANGE_MM
    spacing = configuration.get("spacing")
    if not is_list_of(spacing, (2, 3), lambda value: is_number(value, low, high)):
        yield _malformed(
            f"spacing is {shown(spacing)}; expected 2 or 3 numbers from {low:g} to {high:g} mm"
        )
    patch = configuration.get("patch_size")
    if not is_list_of(patch, (2, 3), lambda value: is_whole(value, 1, MOST_SIDE)):
        yield _malformed(
            f"patch_size is {shown(patch)}; expected 2 or 3 whole numbers up to {MOST_SIDE}"
        )
        return
    assert isinstance(patch, list)
    ours = _network_class(configuration) == NETWORK_CLASS
    most = MOST_TILE if ours else MOST_STOCK_TILE
    if math.prod(patch) > most:
        yield Problem(
            f"patch_size {written(patch)} has more than {most} voxels, too many for the memory",
            Fault.TOO_LARGE,
        )
    if ours and len(patch) != 3:
        yield Problem(
            f"patch_size is {shown(patch)}; a 2.5D network needs 3 numbers", Fault.CONTRADICTION
        )
    if mirrored is not None and not _mirrors(mirrored, len(patch)):
        yield Problem(
            f"mirrors axes {shown(mirrored)} of a patch with {len(patch)}", Fault.OUT_OF_RANGE
        )


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _mirrors(axes: object, count: int) -> bool:
    return (
        isinstance(axes, (list, tuple))
        and 0 < len(axes) == len(set(map(repr, axes)))
        and all(is_whole(axis, 0, count - 1) for axis in axes)
    )


def _network_class(configuration: dict[str, Any]) -> object:
    architecture = configuration.get("architecture")
    return architecture.get("network_class_name") if isinstance(architecture, dict) else None


def _architecture_problems(configuration: dict[str, Any]) -> Iterator[Problem]:
    architecture = configuration.get("architecture")
    if not isinstance(architecture, dict):
        yield _malformed(
            f"architecture is {shown(architecture)}; expected a description of a network"
        )
        return
    name = architecture.get("network_class_name")
    if not isinstance(name, str):
        yield _malformed(f"network_class_name is {shown(name)}; expected a name")
    described, imported = architecture.get("arch_kwargs"), architecture.get("_kw_requires_import")
    if not isinstance(described, dict):
        yield _malformed(f"arch_kwargs is {shown(described)}; expected a description of a network")
        return
    if not is_list_of(
        imported, range(64), lambda name: isinstance(name, str) and name in described
    ):
        yield _malformed(f"_kw_requires_import is {shown(imported)}; expected names of arch_kwargs")
    for name, value in described.items():
        if not _fits_network(value):
            yield _malformed(
                f"arch_kwargs: {shown(name)} is {shown(value)}; expected a setting of a network"
            )


def _fits_network(value: object, depth: int = 0) -> bool:
    """Whether a setting of a network, and all settings inside it, have sensible sizes."""
    if isinstance(value, (list, dict)):
        inner = list(value.values()) if isinstance(value, dict) else value
        return depth < 4 and len(inner) <= 256 and all(_fits_network(v, depth + 1) for v in inner)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return is_number(value, -MOST_IN_NETWORK, MOST_IN_NETWORK)
    return value is None or isinstance(value, bool) or len(str(value)) <= 200


def _class_problems(
    plans: dict[str, Any], configuration: dict[str, Any], channels: int
) -> Iterator[Problem]:
    """Check the names that the host looks up in its own packages."""
    reader = plans.get("image_reader_writer")
    if reader not in _READERS:
        yield Problem(
            f"was trained with the reader {shown(reader)}, which is not supported",
            Fault.UNSUPPORTED,
        )
    manager = plans.get("label_manager", "LabelManager")
    if not _is_class(manager, "utilities.label_handling", LabelManager):
        yield _unknown("label_manager is", manager)
    preprocessor = configuration.get("preprocessor_name")
    if not _is_class(preprocessor, "preprocessing", DefaultPreprocessor):
        yield _unknown("preprocessor_name is", preprocessor)
    schemes = configuration.get("normalization_schemes")
    if not is_list_of(schemes, (channels,), lambda name: isinstance(name, str)):
        yield _malformed(f"normalization_schemes is {shown(schemes)}; expected {channels} names")
        return
    for scheme in schemes or ():
        if not _is_class(scheme, "preprocessing.normalization", ImageNormalization):
            yield _unknown("normalization_schemes has", scheme)


def _unknown(setting: str, name: object) -> Problem:
    return Problem(f"{setting} {shown(name)}; nnU-Net has no such class", Fault.UNKNOWN_NAME)


def _is_class(name: object, package: str, base: type) -> bool:
    """Whether the host finds a subclass of ``base``; it would take any object of that name."""
    candidate = _look_up(name, package)
    return isinstance(candidate, type) and issubclass(candidate, base)


def _look_up(name: object, package: str) -> Any:
    if not isinstance(name, str) or not name.isidentifier():
        return None
    folder = os.path.join(nnunetv2.__path__[0], *package.split("."))
    return recursive_find_python_class(folder, name, f"nnunetv2.{package}")


def _intensity_problems(
    plans: dict[str, Any], configuration: dict[str, Any], channels: int
) -> Iterator[Problem]:
    masks = configuration.get("use_mask_for_norm")
    if not is_list_of(masks, (channels,), lambda value: isinstance(value, bool)):
        yield _malformed(
            f"use_mask_for_norm is {shown(masks)}; expected true or false, {channels} times"
        )
    # The host knows two names, the second from older plans.
    key = "foreground_intensity_properties_per_channel"
    properties = plans.get(key, plans.get("foreground_intensity_properties_by_modality"))
    for channel in map(str, range(channels)):
        values = properties.get(channel) if isinstance(properties, dict) else None
        if not isinstance(values, dict) or not all(
            is_number(values.get(name)) for name in _INTENSITIES
        ):
            yield Problem(f"{key} lacks numbers for channel {channel}", Fault.MISSING)


def _resampling_problems(
    configuration: dict[str, Any], key: str, segmentation: bool
) -> Iterator[Problem]:
    name, options = configuration.get(key), configuration.get(f"{key}_kwargs")
    function = _look_up(name, "preprocessing.resampling")
    known = list(inspect.signature(function).parameters) if inspect.isfunction(function) else []
    if tuple(known[:4]) != _RESAMPLED:
        yield Problem(f"{key} is {shown(name)}; nnU-Net has no such function", Fault.UNKNOWN_NAME)
        return
    if not isinstance(options, dict):
        yield _malformed(f"{key}_kwargs is {shown(options)}; expected settings")
        return
    for option, value in options.items():
        fits = _RESAMPLING_OPTIONS.get(option)
        if option not in known[4:] or fits is None or not fits(value):
            yield _malformed(f"{key}_kwargs: {shown(option)} must not be {shown(value)}")
    # Labels are resampled value by value, which takes forever with the gray values of an image.
    if "is_seg" in known and options.get("is_seg", False) is not segmentation:
        yield Problem(
            f"{key}_kwargs: is_seg must be {str(segmentation).lower()}", Fault.CONTRADICTION
        )


_RESAMPLING_OPTIONS: dict[str, Callable[[object], bool]] = {
    "is_seg": lambda value: isinstance(value, bool),
    "order": lambda value: is_whole(value, 0, 5),
    "order_z": lambda value: is_whole(value, 0, 5),
    "force_separate_z": lambda value: value is None or isinstance(value, bool),
    "separate_z_anisotropy_threshold": lambda value: is_number(value, 0.0),
    "memefficient_seg_resampling": lambda value: isinstance(value, bool),
    "num_threads": lambda value: is_whole(value, 1, 256),
    "mode": lambda value: value in ("linear", "nearest"),
}
