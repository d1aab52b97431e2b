"""What the plans of a model from strangers say, held against what can be, before it is used.

nnU-Net believes its own plans: a wrong type ends in a traceback somewhere inside of it, and a patch
of 100000 pixels in a full memory. So everything that prediction reads of them is looked at first.
Which classes may be imported is another question, see `checkpoints`.
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

from nnunet_pst.errors import InputError

OURS = "nnunet_pst.network.unet25d.Unet25D"
#: Pixels along one side of a tile; no MRI has more.
MOST_SIDE = 2048
#: Voxels of a tile: ours covers a whole study, but is computed slice by slice; what a stock network
#: remembers of a tile is some hundred times as large (nnU-Net's own tiles have up to 2**23 voxels).
MOST_TILE, MOST_STOCK_TILE = 2**27, 2**24
#: Voxels of a study on the model's spacing; one that is larger already stays as it is.
MOST_RESAMPLED = 2**27
SPACING_RANGE_MM = (0.05, 50.0)
#: No number that describes a network is larger: features, kernels, stages.
MOST_IN_NETWORK = 4096
#: Readers that keep the order of a file's voxels; the others would turn the image first.
_READERS = ("SimpleITKIO", "NibabelIO")
_INTENSITIES = ("mean", "std", "percentile_00_5", "percentile_99_5")
#: What nnU-Net's functions for resampling are called with by position
#: (nnunet-v2 ``preprocessing/resampling``).
_RESAMPLED = ("data", "new_shape", "current_spacing", "new_spacing")


def resolve_configuration(plans: dict[str, Any], name: str, where: str) -> dict[str, Any]:
    """Return a configuration with all that it inherits.

    Raises
    ------
    InputError
        When the plans have no such configuration, or it can't be made out.
    """
    configurations = plans.get("configurations")
    if not isinstance(configurations, dict) or name not in configurations:
        raise InputError(f"{where}: plans.json has no configuration '{name[:80]}'")
    if not all(isinstance(one, dict) for one in configurations.values()):
        raise InputError(f"{where}: plans.json has configurations that are none; get it again")
    try:
        found: dict[str, Any] = PlansManager(plans).get_configuration(name).configuration
    except Exception as error:  # whatever the host meets in it: circles, names of no type
        raise InputError(
            f"{where}: plans.json: nnU-Net can't make out configuration '{name[:80]}' "
            f"({type(error).__name__}); get the model again"
        ) from error
    return found


def check_plan_values(
    plans: dict[str, Any],
    configuration: dict[str, Any],
    *,
    channels: int,
    mirrored: object,
    where: str,
) -> None:
    """Refuse plans with values that can't be.

    Parameters
    ----------
    configuration
        From `resolve_configuration`.
    channels
        How many the model has.
    mirrored
        The axes that its checkpoint allows to mirror; None when there are none.
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
        raise InputError([f"{where}: plans.json: {problem}" for problem in problems])


def check_resampled_size(
    shape_zyx: Sequence[int], spacing_zyx_mm: Sequence[float], wanted: Sequence[float], where: str
) -> None:
    """Refuse an image that would fill the memory when brought to a model's spacing.

    Parameters
    ----------
    wanted
        The model's spacing, in mm; with two entries, slices stay where they are.

    Raises
    ------
    InputError
        Naming both sizes.
    """
    target = [*spacing_zyx_mm[: 3 - len(wanted)], *wanted]
    shape = [
        max(round(n * here / there), 1)
        for n, here, there in zip(shape_zyx, spacing_zyx_mm, target, strict=True)
    ]
    if math.prod(shape) > max(MOST_RESAMPLED, math.prod(shape_zyx)):
        raise InputError(
            f"{where}: on its spacing of {_by(target)} mm the image of {_by(shape_zyx)} voxels "
            f"would have {_by(shape)}, too many; use a model for such images"
        )


def _by(values: Sequence[float]) -> str:
    return " x ".join(f"{value:g}" for value in values)


def _shown(value: object) -> str:
    """As much of a value as a line can take."""
    text = "".join(c if c.isprintable() else "?" for c in repr(value))
    return text if len(text) <= 60 else f"{text[:57]}..."


def is_whole(value: object, low: int, high: int) -> bool:
    """Whether a value from a JSON file is a whole number between two, both included."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def is_number(value: object, low: float = -math.inf, high: float = math.inf) -> bool:
    """Whether a value from a JSON file is a finite number between two, both included."""
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and low <= value <= high
        and abs(value) < math.inf
    )


def _are(values: object, counts: Sequence[int], fits: Callable[[object], bool]) -> bool:
    return isinstance(values, list) and len(values) in counts and all(map(fits, values))


def _axes_problems(plans: dict[str, Any]) -> Iterator[str]:
    for name in ("transpose_forward", "transpose_backward"):
        if sorted(map(repr, _list(plans.get(name)))) != ["0", "1", "2"]:
            yield f"{name} is {_shown(plans.get(name))}; expected an order of the axes 0, 1, 2"
            return
    if np.argsort(plans["transpose_forward"]).tolist() != plans["transpose_backward"]:
        yield "transpose_backward doesn't undo transpose_forward"


def _geometry_problems(configuration: dict[str, Any], mirrored: object) -> Iterator[str]:
    low, high = SPACING_RANGE_MM
    spacing = configuration.get("spacing")
    if not _are(spacing, (2, 3), lambda value: is_number(value, low, high)):
        yield f"spacing is {_shown(spacing)}; expected 2 or 3 numbers from {low:g} to {high:g} mm"
    patch = configuration.get("patch_size")
    if not _are(patch, (2, 3), lambda value: is_whole(value, 1, MOST_SIDE)):
        yield f"patch_size is {_shown(patch)}; expected 2 or 3 whole numbers up to {MOST_SIDE}"
        return
    assert isinstance(patch, list)
    most = MOST_TILE if _network_class(configuration) == OURS else MOST_STOCK_TILE
    if math.prod(patch) > most:
        yield f"patch_size {_by(patch)} has more than {most} voxels, which no memory holds"
    if _network_class(configuration) == OURS and len(patch) != 3:
        yield f"patch_size is {_shown(patch)}; a 2.5D network wants 3 numbers"
    if mirrored is not None and not _mirrors(mirrored, len(patch)):
        yield f"mirrors axes {_shown(mirrored)} of a patch with {len(patch)}"


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


def _architecture_problems(configuration: dict[str, Any]) -> Iterator[str]:
    architecture = configuration.get("architecture")
    if not isinstance(architecture, dict):
        yield f"architecture is {_shown(architecture)}; expected a description of a network"
        return
    if not isinstance(architecture.get("network_class_name"), str):
        yield f"network_class_name is {_shown(architecture.get('network_class_name'))}, no name"
    described, imported = architecture.get("arch_kwargs"), architecture.get("_kw_requires_import")
    if not isinstance(described, dict):
        yield f"arch_kwargs is {_shown(described)}; expected a description of a network"
        return
    if not _are(imported, range(64), lambda one: isinstance(one, str) and one in described):
        yield f"_kw_requires_import is {_shown(imported)}; expected names of arch_kwargs"
    for name, value in described.items():
        if not _fits_network(value):
            yield f"arch_kwargs: {_shown(name)} is {_shown(value)}, which no network has"


def _fits_network(value: object, depth: int = 0) -> bool:
    """Whether what describes a network holds no number beyond reason."""
    if isinstance(value, (list, dict)):
        inner = list(value.values()) if isinstance(value, dict) else value
        return depth < 4 and len(inner) <= 256 and all(_fits_network(v, depth + 1) for v in inner)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return is_number(value, -MOST_IN_NETWORK, MOST_IN_NETWORK)
    return value is None or isinstance(value, bool) or len(str(value)) <= 200


def _class_problems(
    plans: dict[str, Any], configuration: dict[str, Any], channels: int
) -> Iterator[str]:
    """Hold the names that the host looks up against what they must be."""
    reader = plans.get("image_reader_writer")
    if reader not in _READERS:
        yield f"was trained with the reader {_shown(reader)}, which isn't served"
    manager = plans.get("label_manager", "LabelManager")
    if not _is_class(manager, "utilities.label_handling", LabelManager):
        yield f"label_manager is {_shown(manager)}; nnU-Net has no such thing"
    preprocessor = configuration.get("preprocessor_name")
    if not _is_class(preprocessor, "preprocessing", DefaultPreprocessor):
        yield f"preprocessor_name is {_shown(preprocessor)}; nnU-Net has no such thing"
    schemes = configuration.get("normalization_schemes")
    if not _are(schemes, (channels,), lambda name: isinstance(name, str)):
        yield f"normalization_schemes is {_shown(schemes)}; expected {channels} names"
        return
    for scheme in schemes or ():
        if not _is_class(scheme, "preprocessing.normalization", ImageNormalization):
            yield f"normalization_schemes has {_shown(scheme)}; nnU-Net has no such thing"


def _is_class(name: object, package: str, base: type) -> bool:
    """Whether the host finds a class of that kind; it would take anything that has the name."""
    found = _found(name, package)
    return isinstance(found, type) and issubclass(found, base)


def _found(name: object, package: str) -> Any:
    if not isinstance(name, str) or not name.isidentifier():
        return None
    folder = os.path.join(nnunetv2.__path__[0], *package.split("."))
    return recursive_find_python_class(folder, name, f"nnunetv2.{package}")


def _intensity_problems(
    plans: dict[str, Any], configuration: dict[str, Any], channels: int
) -> Iterator[str]:
    masks = configuration.get("use_mask_for_norm")
    if not _are(masks, (channels,), lambda value: isinstance(value, bool)):
        yield f"use_mask_for_norm is {_shown(masks)}; expected true or false, {channels} times"
    # The host knows two names, the second from older plans.
    key = "foreground_intensity_properties_per_channel"
    found = plans.get(key, plans.get("foreground_intensity_properties_by_modality"))
    for channel in map(str, range(channels)):
        one = found.get(channel) if isinstance(found, dict) else None
        if not isinstance(one, dict) or not all(is_number(one.get(name)) for name in _INTENSITIES):
            yield f"{key} lacks numbers for channel {channel}"


def _resampling_problems(
    configuration: dict[str, Any], key: str, segmentation: bool
) -> Iterator[str]:
    name, options = configuration.get(key), configuration.get(f"{key}_kwargs")
    function = _found(name, "preprocessing.resampling")
    known = list(inspect.signature(function).parameters) if inspect.isfunction(function) else []
    if tuple(known[:4]) != _RESAMPLED:
        yield f"{key} is {_shown(name)}; nnU-Net has no such function"
        return
    if not isinstance(options, dict):
        yield f"{key}_kwargs is {_shown(options)}; expected settings"
        return
    for option, value in options.items():
        fits = _RESAMPLING_OPTIONS.get(option)
        if option not in known[4:] or fits is None or not fits(value):
            yield f"{key}_kwargs: {_shown(option)} is {_shown(value)}, which can't be"
    # Labels are resampled one value after the other, which an image's gray values make endless.
    if "is_seg" in known and options.get("is_seg", False) is not segmentation:
        yield f"{key}_kwargs: is_seg must be {str(segmentation).lower()}"


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
