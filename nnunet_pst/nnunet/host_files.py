"""What the host has written: read with a sentence for damage, and read back where it counts."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import blosc2

from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.atomic_files import not_whole


@contextmanager
def host_files_readable(dataset: str, remedy: str) -> Iterator[None]:
    """Turn what damaged JSON of the host leads to into a line.

    Its files have no schema: a damaged one shows only where its content is used.

    Raises
    ------
    InputError
        With ``remedy``.
    """
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise InputError(
            f"{dataset}: dataset.json, plans or fingerprint are damaged ({_short(error)}); "
            f"{remedy}",
            Fault.DAMAGED,
        ) from error


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:100]


def check_preprocessed_whole(folder: Path) -> None:
    """Read preprocessed cases back, because the host doesn't notice a full disk.

    Parameters
    ----------
    folder
        Of one configuration's data.

    Raises
    ------
    OSError
        Naming the first file that is not whole.
    """
    for path in sorted(folder.iterdir()):
        if not _is_whole(path):
            raise not_whole(path)


def _is_whole(path: Path) -> bool:
    try:
        if path.suffix == ".pkl":
            pickle.loads(path.read_bytes())
        elif path.suffix == ".b2nd":
            blosc2.open(urlpath=str(path), mode="r")[:]
    except (pickle.UnpicklingError, EOFError, RuntimeError, ValueError, IndexError):
        return False
    return True


def data_folder(plans: Mapping[str, Any], name: str, preprocessed: Path) -> Path:
    """Return the folder of a configuration's data, which may be that of another one."""
    configuration = plans["configurations"][name]
    while "data_identifier" not in configuration:
        configuration = plans["configurations"][configuration["inherits_from"]]
    return preprocessed / str(configuration["data_identifier"])
