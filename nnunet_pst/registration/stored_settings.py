"""Settings of a registration as ``dataset.json`` has them, which may come from a stranger."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, get_args

from nnunet_pst.errors import Fault, InputError
from nnunet_pst.registration.policy import (
    MAX_MOTION_MM,
    Engine,
    Model,
    RegistrationSettings,
)
from nnunet_pst.registration.resampling import Interpolation


def read_settings(stored: Mapping[str, Any], where: str) -> RegistrationSettings:
    """Read the settings that `convert` wrote; keys that are missing get their defaults.

    Parameters
    ----------
    where
        The model or dataset, for messages.

    Raises
    ------
    InputError
        When a value is impossible.
    """
    values = {
        "engine": stored.get("engine", "none"),
        "model": stored.get("model", "rigid"),
        "interpolation": stored.get("interpolation", "linear"),
    }
    allowed = {"engine": Engine, "model": Model, "interpolation": Interpolation}
    wrong = [name for name, value in values.items() if value not in get_args(allowed[name])]
    motion, seed = stored.get("max_motion_mm", MAX_MOTION_MM), stored.get("seed", 0)
    if not _is_number(motion) or not motion > 0:
        wrong.append("max_motion_mm")
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**31:
        wrong.append("seed")
    if wrong:
        raise InputError(
            f"{where}: dataset.json has an impossible registration setting ({', '.join(wrong)}); "
            "get it again",
            Fault.MALFORMED,
        )
    return RegistrationSettings(**values, max_motion_mm=float(motion), seed=seed)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
