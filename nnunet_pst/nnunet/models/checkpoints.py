"""Checkpoints and plans from strangers: read so that they can't run code.

A checkpoint is a pickle, and a pickle may call anything. So torch's restricted reader goes first,
which makes tensors, numbers and containers, and of NumPy only what nnU-Net stores beside them
(scalars in the log of a training). nnU-Net's own loader is never called: it reads without
restriction. Plans name classes to import, which are held against a list as well.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from nnunet_pst.dicom.reading.files import printable
from nnunet_pst.errors import InputError

#: What the host takes from a checkpoint (nnunet-v2 ``inference/predict_from_raw_data.py``).
KEYS = ("network_weights", "trainer_name", "init_args")
TRUST = "--trust-model"
_BEGIN_OF_ZIP = b"PK\x03\x04"
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
        When it needs more than the restricted reader makes, is damaged, or is no checkpoint.
    """
    if not trusted:
        _check_format(content, where)
    try:
        with torch.serialization.safe_globals(_numpy_types()):
            found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=not trusted)
    except Exception as error:  # the reader's failures have many types; none is usable
        raise InputError(_refusal(where, error, trusted)) from error
    if not isinstance(found, dict) or not all(key in found for key in KEYS):
        raise InputError(f"{where}: is no checkpoint of nnU-Net (no {', '.join(KEYS)})")
    started = found["init_args"]
    named = (found["trainer_name"], isinstance(started, dict) and started.get("configuration"))
    if not all(isinstance(name, str) and name and name.isprintable() for name in named):
        raise InputError(f"{where}: doesn't say what was trained; get it again")
    _check_weights(found["network_weights"], where)
    return found


def _check_weights(weights: object, where: str) -> None:
    """Refuse weights that aren't finite: they predict nothing, and nothing looks like no tumor."""
    if not isinstance(weights, dict):
        raise InputError(f"{where}: holds no weights; get it again")
    for name, value in weights.items():
        if not isinstance(value, torch.Tensor):
            continue
        # A view may repeat few numbers as many, which fills the memory when they are used.
        if value.layout != torch.strided or value.nbytes > value.untyped_storage().nbytes():
            raise InputError(f"{where}: weights that the file doesn't hold ({str(name)[:60]})")
        if not torch.isfinite(value).all():
            raise InputError(f"{where}: weights that are no finite numbers ({str(name)[:60]})")


def _check_format(content: bytes, where: str) -> None:
    """Refuse torch's older formats, and records that would grow when read."""
    # The restricted reader takes the older formats too, but with them a hostile file may choose
    # code paths that nobody has looked at for years.
    if not content.startswith(_BEGIN_OF_ZIP):
        raise InputError(
            f"{where}: is not in the format that nnU-Net writes; get it again, or add {TRUST} if "
            "you know who made it"
        )
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            packed = [m for m in archive.infolist() if m.compress_type != zipfile.ZIP_STORED]
            # torch itself doesn't look at the checksums, and a flipped bit is a wrong mask.
            damaged = None if packed else archive.testzip()
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise InputError(f"{where}: ends early or is damaged; get it again") from error
    if packed:  # torch never packs, so this is somebody's bomb
        raise InputError(f"{where}: holds packed records, which torch doesn't write; refused")
    if damaged is not None:
        raise InputError(f"{where}: is damaged (a checksum is wrong); get it again")


def _refusal(where: str, error: Exception, trusted: bool) -> str:
    wanted = re.search(r"(?:GLOBAL|Unsupported global: GLOBAL|type) ([\w.]+)", str(error))
    if trusted or "weights_only" not in str(error).lower().replace(" ", "_"):
        return f"{where}: ends early or is damaged; get it again"
    needs = f"needs {wanted[1]}" if wanted else "needs more than numbers"
    return (
        f"{where}: {needs}, which could run code, and was not loaded; add {TRUST} only if you know "
        "who made it"
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
    """Refuse plans that would import something else than layers and networks.

    Raises
    ------
    InputError
        Naming what they ask for.
    """
    for name in _imported_names(plans, configuration, where):
        if not _ALLOWED_CLASS.fullmatch(name):
            raise InputError(
                f"{where}: plans.json wants to import '{printable(name)[:80]}', which is no "
                f"network or layer of nnU-Net's; add {TRUST} only if you know who made it"
            )


def _imported_names(plans: dict[str, Any], configuration: str, where: str) -> Iterator[str]:
    """Names that the host would import (``utilities/get_network_from_plans.py``)."""
    configurations = plans.get("configurations")
    if not isinstance(configurations, dict) or configuration not in configurations:
        raise InputError(f"{where}: plans.json has no configuration '{configuration}'")
    # Every one, because configurations inherit from others.
    for one in configurations.values():
        architecture = one.get("architecture") or {}
        yield from filter(None, [architecture.get("network_class_name")])
        wanted = architecture.get("arch_kwargs") or {}
        for key in architecture.get("_kw_requires_import") or ():
            if wanted.get(key) is not None:
                yield str(wanted[key])
        for key in ("resampling_fn_data", "resampling_fn_seg", "resampling_fn_probabilities"):
            if key in one and not _ALLOWED_RESAMPLING.fullmatch(str(one[key])):
                yield str(one[key])
