"""Where a dataset is: given by its name in one of nnU-Net's folders, or by its folder."""

from __future__ import annotations

import os
from pathlib import Path

from nnunet_pst.errors import Fault, InputError

RAW, RESULTS = "nnUNet_raw", "nnUNet_results"


def dataset_name(given: str, variable: str = RAW) -> str:
    """Return the name of a dataset that is given by its name or, as nnU-Net allows, its number.

    Parameters
    ----------
    given
        Such as ``DatasetPST``, ``Dataset501_PST`` or ``501``. A name needn't exist.
    variable
        Environment variable with the folder of all datasets, where a number is looked up.

    Raises
    ------
    InputError
        It is a number that no dataset has, or several; or the variable is not set.
    """
    if not (given.isascii() and given.isdigit()):
        return given
    prefix = f"Dataset{int(given):03d}_"
    found = sorted(path.name for path in _root(given, variable).glob(f"{prefix}*") if path.is_dir())
    if not found:
        raise InputError(
            f"{given}: no {prefix}NAME in {variable}; give the whole name of a new dataset",
            Fault.MISSING,
        )
    if len(found) > 1:
        raise InputError(
            f"{given}: is the number of {', '.join(found)}; give the name", Fault.CONTRADICTION
        )
    return found[0]


def _root(given: str, variable: str) -> Path:
    root = os.environ.get(variable)
    if not root:
        raise InputError(
            f'{given}: {variable} is not set; run eval "$(nnunet_pst env ROOT)" or give the folder',
            Fault.NOT_SET,
        )
    return Path(root)


def dataset_folder(name: str | Path, variable: str = RAW, *, holds: str = "dataset.json") -> Path:
    """Return the folder of a dataset that is given by name (below ``variable``) or by path.

    Parameters
    ----------
    name
        A dataset's name, such as ``DatasetPST``, its number, or its folder.
    variable
        Environment variable with the folder of all datasets.
    holds
        File or folder that a dataset's folder holds; empty for any folder.

    Raises
    ------
    InputError
        It is a name, and the variable is not set; or as for `dataset_name`.
    """
    path = Path(name)
    if path.name != str(name) or (path.is_dir() and (path / holds).exists()):
        return path
    return _root(str(name), variable) / dataset_name(str(name), variable)
