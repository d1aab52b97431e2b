"""Checkpoints and plans from strangers: read so that they cannot run code.

A checkpoint is a pickle, and a pickle may call any function. torch's restricted reader makes only
tensors, numbers and containers, and those NumPy types that nnU-Net stores beside them (scalars in
the log of a training). nnU-Net's own loader is never called, because it reads without restriction.
Plans name classes to import; these names are checked against a list.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from nnunet_pst.errors import Fault, InputError, Problem
from nnunet_pst.io.wording import printable

#: What the host takes from a checkpoint (nnunet-v2 ``inference/predict_from_raw_data.py``).
KEYS = ("network_weights", "trainer_name", "init_args")
TRUST = "--trust-model"
_BEGIN_OF_ZIP = b"PK\x03\x04"
_DAMAGED = Problem("ends early or is damaged; get it again", Fault.DAMAGED)
#: Classes of networks and layers, nothing nested deeper: a longer path could reach any function.
_ALLOWED_CLASS = re.compile(
    r"torch\.nn\.(modules\.\w+\.)?[A-Z]\w*"
    r"|dynamic_network_architectures\.architectures\.\w+\.[A-Z]\w*"
    r"|nnunet_pst\.network\.unet25d\.Unet25D"
)
#: nnU-Net's resampling functions, looked up by name in its own package.
_ALLOWED_RESAMPLING = re.compile(r"resample_\w+|no_resampling_\w+")


def read_checkpoint(content: bytes, where: str, *, trusted: bool = False) -> dict[str, Any]:
    """Read a checkpoint onto the CPU.

    Parameters
    ----------
    content
        The file's bytes.
    where
        Model and file, for messages.
    trusted
        Read it without restriction: it may run code.

    Raises
    ------
    InputError
        When it needs more than the restricted reader makes, is damaged, or is not a checkpoint.
    """
    if not trusted:
        _check_format(content, where)
    try:
        with torch.serialization.safe_globals(_numpy_types()):
            checkpoint = torch.load(
                io.BytesIO(content), map_location="cpu", weights_only=not trusted
            )
    except Exception as error:  # the reader's failures have many types; none is usable
        raise InputError([_refusal(error, trusted).within(where)]) from error
    if not isinstance(checkpoint, dict) or not all(key in checkpoint for key in KEYS):
        raise InputError(
            f"{where}: is not a checkpoint of nnU-Net (no {', '.join(KEYS)})", Fault.WRONG_TYPE
        )
    started = checkpoint["init_args"]
    names = (checkpoint["trainer_name"], isinstance(started, dict) and started.get("configuration"))
    if not all(isinstance(name, str) and name and name.isprintable() for name in names):
        raise InputError(
            f"{where}: does not name its trainer and configuration; get it again", Fault.MALFORMED
        )
    _check_weights(checkpoint["network_weights"], where)
    return checkpoint


def _check_weights(weights: object, where: str) -> None:
    """Refuse weights that are not finite: their empty masks would look like no tumor."""
    if not isinstance(weights, dict):
        raise InputError(f"{where}: holds no weights; get it again", Fault.EMPTY)
    for name, value in weights.items():
        if not isinstance(value, torch.Tensor):
            continue
        # A view may repeat a few numbers many times, which fills the memory when they are used.
        if value.layout != torch.strided or value.nbytes > value.untyped_storage().nbytes():
            raise InputError(
                f"{where}: weight {str(name)[:60]} is larger than what the file stores; refused",
                Fault.UNTRUSTED,
            )
        if not torch.isfinite(value).all():
            raise InputError(
                f"{where}: weight {str(name)[:60]} is not finite; get it again", Fault.VALUES
            )


def _check_format(content: bytes, where: str) -> None:
    """Refuse torch's older formats, and records that would grow when read."""
    # The restricted reader also takes the older formats, through old and unaudited code.
    if not content.startswith(_BEGIN_OF_ZIP):
        raise InputError(
            f"{where}: is not in the format that nnU-Net writes; get it again, or add {TRUST} if "
            "you know who made it",
            Fault.WRONG_TYPE,
        )
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            packed = [m for m in archive.infolist() if m.compress_type != zipfile.ZIP_STORED]
            # torch itself does not check the checksums, and a flipped bit makes a wrong mask.
            damaged = None if packed else archive.testzip()
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise InputError([_DAMAGED.within(where)]) from error
    if packed:  # torch never compresses records, so this is an archive bomb
        raise InputError(
            f"{where}: holds compressed records, which torch doesn't write; refused",
            Fault.UNTRUSTED,
        )
    if damaged is not None:
        raise InputError(f"{where}: is damaged (a checksum is wrong); get it again", Fault.DAMAGED)


def _refusal(error: Exception, trusted: bool) -> Problem:
    """Say why torch did not read a checkpoint: it is damaged, or could run code."""
    # torch tells the two apart, and names the type, in its message alone.
    needed = re.search(r"(?:GLOBAL|Unsupported global: GLOBAL|type) ([\w.]+)", str(error))
    if trusted or "weights_only" not in str(error).lower().replace(" ", "_"):
        return _DAMAGED
    needs = f"needs {needed[1]}" if needed else "needs more than numbers"
    return Problem(
        f"{needs}, which could run code, and was not loaded; add {TRUST} only if you know who made "
        "it",
        Fault.UNTRUSTED,
    )


def _numpy_types() -> list[Any]:
    """Constructor and types of the NumPy scalars that nnU-Net logs, under both module names."""
    # What a NumPy scalar is pickled with; its module has another name in NumPy 1.
    scalar: Any = np.float64(0).__reduce__()[0]
    kinds = ("float64", "float32", "int64", "int32", "bool")
    return [
        scalar,
        (scalar, "numpy.core.multiarray.scalar"),
        (scalar, "numpy._core.multiarray.scalar"),
        np.dtype,
        *(type(np.dtype(kind)) for kind in kinds),
    ]


def check_plans(plans: dict[str, Any], configuration: str, where: str) -> None:
    """Refuse plans that would import anything but layers and networks.

    Raises
    ------
    InputError
        Naming what they ask for.
    """
    for name in _imported_names(plans, configuration, where):
        if not _ALLOWED_CLASS.fullmatch(name):
            raise InputError(
                f"{where}: plans.json imports '{printable(name)[:80]}', which is not a network or "
                f"layer of nnU-Net's; add {TRUST} only if you know who made it",
                Fault.UNTRUSTED,
            )


def _imported_names(plans: dict[str, Any], configuration: str, where: str) -> Iterator[str]:
    """Names that the host would import (``utilities/get_network_from_plans.py``)."""
    configurations = plans.get("configurations")
    if not isinstance(configurations, dict) or configuration not in configurations:
        raise InputError(
            f"{where}: plans.json has no configuration '{configuration}'", Fault.UNKNOWN_NAME
        )
    # All of them, because configurations inherit from others.
    for name, settings in configurations.items():
        architecture = settings.get("architecture") or {}
        _check_shape(architecture, f"{where}: plans.json, configuration '{printable(name)[:80]}'")
        if class_name := architecture.get("network_class_name"):
            yield str(class_name)
        keywords = architecture.get("arch_kwargs") or {}
        for key in architecture.get("_kw_requires_import") or ():
            if keywords.get(key) is not None:
                yield str(keywords[key])
        for key in ("resampling_fn_data", "resampling_fn_seg", "resampling_fn_probabilities"):
            if key in settings and not _ALLOWED_RESAMPLING.fullmatch(str(settings[key])):
                yield str(settings[key])


def _check_shape(architecture: object, where: str) -> None:
    """Refuse an architecture that was edited into something that cannot be looked through."""
    sound = isinstance(architecture, dict)
    if isinstance(architecture, dict):
        keywords, names = (architecture.get(k) for k in ("arch_kwargs", "_kw_requires_import"))
        sound = isinstance(keywords, dict | None) and isinstance(names, list | tuple | None)
        sound = sound and all(isinstance(name, str) for name in names or ())
    if not sound:
        raise InputError(
            f"{where}: 'architecture' is not what nnU-Net writes; get the model again, or put the "
            "edit back",
            Fault.MALFORMED,
        )
