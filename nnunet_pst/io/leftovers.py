"""What processes that were killed have left: recognized by its name, and by a lock that is free."""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from pathlib import Path

from nnunet_pst.io.atomic_files import OLD, PARTIAL
from nnunet_pst.io.file_locks import abandoned

#: A file or folder that a process was writing, by its number; not a draft that is gone on with.
_DRAFT = re.compile(rf"{re.escape(PARTIAL)}\d+-.+", re.DOTALL)


def visible(folder: Path) -> set[Path]:
    """Return what is in a folder but for claims, drafts and what killed processes have left.

    A file in the place of the folder counts as its content; a folder that is missing is empty.
    """
    if not folder.is_dir():
        return {folder} if folder.exists() else set()
    return {path for path in folder.iterdir() if not path.name.startswith(PARTIAL)}


def sweep(folder: Path, *, deep: bool = False) -> int:
    """Remove what killed processes were writing in a folder, whoever's they were.

    A folder that such a process had moved aside, without putting the new one in its place, goes
    back to its place. What a living process writes stays, and so does what can't be removed.

    Parameters
    ----------
    folder
        May be missing.
    deep
        Also in the folders below, but for hidden ones.

    Returns
    -------
    int
        How many files and folders were removed or put back.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return 0
    removed = 0
    for path in entries:
        if path.name.startswith(OLD) or _DRAFT.fullmatch(path.name):
            removed += _remove(path)
        elif deep and not path.name.startswith(".") and path.is_dir() and not path.is_symlink():
            removed += sweep(path, deep=True)
    return removed


def _remove(path: Path) -> bool:
    with abandoned(path) as free, suppress(OSError):
        if not free:
            return False
        place = path.with_name(path.name.removeprefix(OLD))
        if path.name.startswith(OLD) and not place.exists():
            path.rename(place)
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        return True
    return False
