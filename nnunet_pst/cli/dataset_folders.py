"""Datasets on the command line: a name in one of nnU-Net's folders, or a folder."""

from __future__ import annotations

import os
from pathlib import Path

from nnunet_pst.errors import InputError

RAW, RESULTS = "nnUNet_raw", "nnUNet_results"


def dataset_folder(name: str, variable: str = RAW, *, holds: str = "dataset.json") -> Path:
    """Folder of a dataset that is given by name (below ``variable``) or by path.

    Parameters
    ----------
    name
        As typed.
    variable
        Environment variable with the folder of all datasets.
    holds
        File or folder by which a path is known for a dataset; empty for any folder.

    Raises
    ------
    InputError
        It is a name, and the variable is not set.
    """
    path = Path(name)
    if path.name != name or (path.is_dir() and (path / holds).exists()):
        return path
    root = os.environ.get(variable)
    if not root:
        raise InputError(
            f'{name}: {variable} is not set; run eval "$(nnunet_pst env ROOT)" or give the folder'
        )
    return Path(root) / name
