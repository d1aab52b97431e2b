"""One command at a time in one place, and outputs that become visible together.

While a command writes, a hidden file beside its outputs holds a lock and says who writes. Before
finished drafts get their names, the file notes what they are; when the command ends, the file
goes, last of all. So a file that is there without a living process tells that a command was broken
off, and which outputs are its own: the same command replaces them without being asked to.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.atomic_files import (
    PARTIAL,
    file_draft,
    fill,
    hidden_beside,
    not_whole,
    replace_folder,
    sync,
)
from nnunet_pst.io.file_locks import names, try_lock
from nnunet_pst.io.leftovers import sweep

_CLAIM = f"{PARTIAL}claim-"
#: A command that ends at this moment is waited for, and a look at the lock is not taken for one.
_TRIES, _BETWEEN_S = 5, 0.1


@dataclass
class Claim:
    """The right to write in a place.

    Attributes
    ----------
    made
        Outputs of commands that were broken off here, by name, with the time of their newest file.
    swept
        Number of leftovers of killed processes that were removed.
    """

    made: dict[str, int] = field(default_factory=dict)
    swept: int = 0
    _handle: int = -1
    _publishing: bool = False

    def unfinished(self, place: Path) -> bool:
        """Whether an output is from a command that was broken off, and unchanged since."""
        return place.name in self.made and self.made[place.name] == _newest(place)

    def may_replace(self, place: Path, *, overwrite: bool) -> bool:
        """Whether an output may be written: none is there, or it may be replaced."""
        return overwrite or not os.path.lexists(place) or self.unfinished(place)

    def publish(self, outputs: Sequence[tuple[Path, Path]]) -> None:
        """Give finished drafts their names, all of them or none.

        Parameters
        ----------
        outputs
            A draft and its place, each a file or a folder, in the order of their appearance.
        """
        self.made |= {place.name: _newest(draft) for draft, place in outputs}
        self._note({"made": self.made})
        self._publishing = True
        done: list[Path] = []
        try:
            for draft, place in outputs:
                fresh = not place.exists()
                if draft.is_dir():
                    replace_folder(draft, place)
                else:
                    sync(draft)
                    draft.replace(place)
                done += [place] if fresh else []
            for folder in dict.fromkeys(place.parent for _, place in outputs):
                sync(folder)
        except OSError:
            for place in done:
                _remove(place)
            self._publishing = False
            raise
        self._publishing = False

    def write(self, texts: Mapping[Path, str]) -> None:
        """Write text files that get their names together."""
        with ExitStack() as drafts:
            outputs = [(drafts.enter_context(file_draft(place)), place) for place in texts]
            for draft, place in outputs:
                fill(draft, texts[place].encode())
            self.publish(outputs)

    @property
    def interrupted(self) -> bool:
        """Whether some outputs have their names and others don't."""
        return self._publishing

    def _note(self, content: dict[str, Any]) -> None:
        """Add a line, which is on the disk when this returns."""
        line = json.dumps(content).encode() + b"\n"
        if os.write(self._handle, line) < len(line):
            raise not_whole(Path(_CLAIM))
        os.fsync(self._handle)


def broken_off(folder: Path, name: str) -> bool:
    """Whether the claim of a command is there, of one that writes or one that was broken off."""
    return _file(folder, name).exists()


def _file(folder: Path, name: str) -> Path:
    return hidden_beside(folder / name, _CLAIM) if name else folder / _CLAIM.rstrip("-")


@contextmanager
def claimed(
    folder: Path, verb: str, name: str = "", *, below: Iterable[Path] = ()
) -> Iterator[Claim]:
    """Claim a place for a command, and remove what killed processes have left there.

    Parameters
    ----------
    folder
        Where outputs, or the drafts of them, are written; made if it is missing.
    verb
        The command, for whoever is refused.
    name
        The output; empty where the command has the folder for itself.
    below
        Folders that are the command's own, in which leftovers are looked for at any depth.

    Raises
    ------
    InputError
        Another process writes there (`Fault.BUSY`), or the folder can't be written.
    """
    folder = folder.absolute()
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = _file(folder, name)
        handle = _taken(file, folder / name)
    except OSError as error:
        _remove_empty(missing)
        in_the_way = isinstance(error, FileExistsError | NotADirectoryError)
        why = "a file is in the way" if in_the_way else error.strerror or error
        raise InputError(
            f"{folder}: can't be written ({why}); make room or choose another", Fault.UNWRITABLE
        ) from error
    claim = Claim(_made(file), _handle=handle)
    try:
        claim.swept = sweep(folder) + sum(sweep(own, deep=True) for own in below)
        claim._note({"verb": verb, "process": os.getpid(), "machine": _machine()})
        yield claim
    finally:
        if not claim.interrupted:
            with suppress(OSError):
                file.unlink()
        os.close(handle)
        _remove_empty(missing)


def _taken(file: Path, place: Path) -> int:
    """Open and lock the file of a claim.

    Raises
    ------
    InputError
        Another process holds it.
    """
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_BETWEEN_S)
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        # Whoever held it may have removed it before it was locked here.
        if try_lock(handle) and names(file, handle):
            return handle
        os.close(handle)
    raise InputError(
        f"{place}: {_who(file)} is writing here; wait until it is done, or choose another place",
        Fault.BUSY,
    )


def _lines(file: Path) -> list[dict[str, Any]]:
    """Read the lines of a claim; one that was cut off is skipped."""
    found = []
    with suppress(OSError):
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError):
                content = json.loads(line)
                found += [content] if isinstance(content, dict) else []
    return found


def _made(file: Path) -> dict[str, int]:
    """Read what a command that was broken off has made."""
    made = [line["made"] for line in _lines(file) if isinstance(line.get("made"), dict)]
    return dict(made[-1]) if made else {}


def _who(file: Path) -> str:
    """Name the command that holds a claim."""
    said = [line for line in _lines(file) if "verb" in line]
    if not said:
        return "another process"
    where = "this" if said[-1].get("machine") == _machine() else "another"
    return f"{said[-1]['verb']} (process {said[-1].get('process')} on {where} machine)"


def _machine() -> str:
    """Return a digest of this machine's name, which itself nobody needs to read."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def _newest(place: Path) -> int:
    """Return when a file, or the newest file below a folder, was last written, in nanoseconds."""
    files = [path for path in (place, *place.rglob("*")) if path.is_file()]
    return max((path.stat().st_mtime_ns for path in files), default=0)


def _remove(place: Path) -> None:
    if place.is_dir():
        shutil.rmtree(place, ignore_errors=True)
    else:
        with suppress(OSError):
            place.unlink()


def _remove_empty(folders: Iterable[Path]) -> None:
    """Remove folders that were made for nothing, the innermost first."""
    for folder in folders:
        with suppress(OSError):
            if not any(folder.iterdir()):
                folder.rmdir()
