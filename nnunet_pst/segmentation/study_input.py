"""A study to be segmented: its sequences, as volumes, with the DICOM images behind them if any."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nnunet_pst.dicom.writing.source_images import DicomSource
from nnunet_pst.errors import InputError
from nnunet_pst.io.sequence_columns import SEQUENCE_NAME, USUAL_SEQUENCES
from nnunet_pst.io.volumes import Volume, read_image


@dataclass(frozen=True)
class StudySequence:
    """One sequence of a study.

    Attributes
    ----------
    name
        T1, T2, DWI, CET1, or as it was given.
    image
        Voxels on their own grid.
    source
        The DICOM images behind it; None for files of other kinds.
    remarks
        What a reader should know about how it was read.
    """

    name: str
    image: Volume
    source: DicomSource | None = None
    remarks: tuple[str, ...] = ()

    def digest(self) -> str:
        """SHA-256 of name, voxels and grid: what decides the result."""
        total = hashlib.sha256(repr((self.name, self.image.grid)).encode())
        total.update(str(self.image.array.dtype).encode())
        total.update(self.image.array.tobytes())
        return total.hexdigest()


@dataclass(frozen=True)
class Study:
    """A study that is not read yet.

    Attributes
    ----------
    identity
        Tells it from all others: private, it goes into the key alone.
    label
        How messages call it before it has a pseudonym.
    read
        Reads the usable sequences; raises `InputError` where there is none.
    folder
        Where it lies, for whoever wants to find it again: private like ``identity``.
    """

    identity: str
    label: str
    read: Callable[[], list[StudySequence]]
    folder: str = ""


def study_of_files(words: Sequence[str]) -> Study:
    """Make a study of files that are given with their sequence, such as ``T2=t2.nii.gz``.

    Raises
    ------
    InputError
        When a word is no such pair, a sequence comes twice, or a file is missing.
    """
    files: dict[str, Path] = {}
    problems = []
    for word in words:
        name, _, path = word.partition("=")
        name = canonical_name(name)
        # The name becomes part of files' names.
        if not SEQUENCE_NAME.fullmatch(name) or not path:
            problems.append(f"'{word}' is no SEQUENCE=FILE, such as T2=t2.nii.gz")
        elif name in files:
            problems.append(f"{name} is given twice; give one file for each sequence")
        elif not Path(path).is_file():
            problems.append(f"{path}: is no file")
        else:
            files[name] = Path(path)
    if problems:
        raise InputError(problems)
    identity = " ".join(f"{name}={path.absolute()}" for name, path in sorted(files.items()))
    folder = os.path.commonpath([path.absolute().parent for path in files.values()])
    return Study(identity, "the files", lambda: _read_files(files), folder)


def canonical_name(name: str) -> str:
    """Spell a known sequence's name as everywhere here; others stay as they are."""
    folded = name.strip().casefold()
    return next((known for known in USUAL_SEQUENCES if known.casefold() == folded), name.strip())


def _read_files(files: dict[str, Path]) -> list[StudySequence]:
    problems: list[str] = []
    read = []
    for name, path in files.items():
        with _reported(problems, name):
            read.append(StudySequence(name, read_image(path)))
    if problems:
        raise InputError(problems)
    return read


@contextmanager
def _reported(problems: list[str], name: str) -> Iterator[None]:
    """Collect the problems raised inside, with the sequence that has them."""
    try:
        yield
    except InputError as error:
        problems += [f"{name}: {problem}" for problem in error.problems]
