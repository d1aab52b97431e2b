"""Where a dataset is: given by its name in one of nnU-Net's folders, or by its folder."""

from __future__ import annotations

import os
from pathlib import Path

from nnunet_pst.errors import Fault, InputError

RAW, RESULTS = "nnUNet_raw", "nnUNet_results"


def dataset_folder(name: str | Path, variable: str = RAW, *, holds: str = "dataset.json") -> Path:
    """Return the folder of a dataset that is given by name (below ``variable``) or by path.

    Parameters
    ----------
    name
        A dataset's name, such as ``DatasetPST``, or its folder.
    variable
        Environment variable with the folder of all datasets.
    holds
        File or folder that a dataset's folder holds; empty for any folder.

    Raises
    ------
    InputError
        It is a name, and the variable is not set.
    """
    path = Path(name)
    if path.name != str(name) or (path.is_dir() and (path / holds).exists()):
        return path
    root = os.environ.get(variable)
    if not root:
        raise InputError(
            f'{name}: {variable} is not set; run eval "$(nnunet_pst env ROOT)" or give the folder',
            Fault.NOT_SET,
        )
    return Path(root) / name
