"""Checkpoints on the disk: read back before they get their name."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nnunet_pst.errors import Fault, HostError
from nnunet_pst.io.atomic_files import not_whole, sync


@contextmanager
def whole_checkpoint(place: Path) -> Iterator[Path]:
    """Give a file for `torch.save`, which becomes ``place`` when it can be read back.

    An earlier checkpoint stays until then; a training that is killed goes on from it. The name of
    the file has no process in it, so that the training that goes on replaces what was left.

    Raises
    ------
    HostError
        The disk is full or broken; the training can be continued when there is room.
    """
    unfinished = place.with_name(f"{place.name}.unfinished")
    try:
        try:
            yield unfinished
        except RuntimeError:  # torch's word for a write that fails, among others
            if _is_whole(unfinished):
                raise
        if not _is_whole(unfinished):
            raise not_whole(place)
        sync(unfinished)
        os.replace(unfinished, place)
        sync(place.parent)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise HostError(
            f"{place.name}: can't be written ({error.strerror or error}); make room, and go on "
            "with the same command and --c",
            Fault.UNWRITABLE,
        ) from error


def _is_whole(file: Path) -> bool:
    """Whether every part of a checkpoint, which is a zip archive, has its checksum."""
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.testzip() is None
    except (OSError, ValueError, zipfile.BadZipFile):
        return False
