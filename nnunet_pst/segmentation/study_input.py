"""A study to be segmented: its sequences, as volumes, with the DICOM images behind them if any."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nnunet_pst.dicom.writing.source_images import DicomSource
from nnunet_pst.errors import Fault, InputError, Problem
from nnunet_pst.io.sequence_columns import SEQUENCE_NAME, USUAL_SEQUENCES
from nnunet_pst.io.volumes import Volume, read_image


@dataclass(frozen=True)
class StudySequence:
    """One sequence of a study.

    Attributes
    ----------
    name
        T1, T2, DWI, CET1, or as the user spelled it.
    image
        Voxels on their own grid.
    source
        The DICOM images behind it; None for other files.
    remarks
        What readers should be warned of about how it was read.
    taken_as
        Which images they are and why; no warning. Empty for other files.
    is_dicom
        Whether it was read from DICOM, also where ``source`` is None.
    frame_of_reference
        FrameOfReferenceUID of DICOM images; private, never written. Empty: unknown.
    """

    name: str
    image: Volume
    source: DicomSource | None = None
    remarks: tuple[str, ...] = ()
    taken_as: str = ""
    is_dicom: bool = False
    frame_of_reference: str = ""

    def digest(self) -> str:
        """SHA-256 of name, voxels and grid, which decide the result."""
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
        Distinguishes studies; private: it is written into the key only.
    label
        The study in messages before it has a pseudonym.
    read
        Reads the usable sequences; raises `InputError` where no sequence is usable.
    folder
        Its place, so that a user can find it again; private like ``identity``.
    left_out
        A line for each of its series that is not read, with the reason.
    """

    identity: str
    label: str
    read: Callable[[], list[StudySequence]]
    folder: str = ""
    left_out: tuple[str, ...] = ()


def study_of_files(words: Sequence[str]) -> Study:
    """Make a study of files that are given with their sequence, such as ``T2=t2.nii.gz``.

    Raises
    ------
    InputError
        When a word is not such a pair, a sequence is given twice, or a file is missing.
    """
    files: dict[str, Path] = {}
    problems: list[Problem] = []
    for word in words:
        name, _, path = word.partition("=")
        name = canonical_name(name)
        # The name becomes part of files' names.
        if not SEQUENCE_NAME.fullmatch(name) or not path:
            problems.append(
                Problem(f"'{word}' must be SEQUENCE=FILE, such as T2=t2.nii.gz", Fault.MALFORMED)
            )
        elif name in files:
            problems.append(
                Problem(f"{name} is given twice; give one file for each sequence", Fault.REPEATED)
            )
        elif not Path(path).is_file():
            exists = Path(path).exists()
            problems.append(
                Problem(f"{path}: is not a file", Fault.WRONG_TYPE if exists else Fault.MISSING)
            )
        elif twin := _same_file(files, Path(path)):
            problems.append(_repeated(twin, name))
        else:
            files[name] = Path(path)
    if problems:
        raise InputError(problems)
    identity = " ".join(f"{name}={path.absolute()}" for name, path in sorted(files.items()))
    folder = os.path.commonpath([path.absolute().parent for path in files.values()])
    return Study(identity, "the files", lambda: _read_files(files), folder)


def _same_file(files: dict[str, Path], path: Path) -> str | None:
    """Return the sequence that has the same file already, under any path or hard link."""
    return next((name for name, other in files.items() if other.samefile(path)), None)


def _repeated(one: str, other: str) -> Problem:
    return Problem(
        f"{one} and {other} are the same image; give each sequence its own file", Fault.REPEATED
    )


def repeated_images(sequences: Sequence[StudySequence]) -> list[Problem]:
    """Return a problem for each pair of sequences with the same voxels, in any files."""
    return [
        _repeated(one.name, other.name)
        for one, other in itertools.combinations(sequences, 2)
        if np.array_equal(one.image.array, other.image.array)
    ]


def canonical_name(name: str) -> str:
    """Return this package's spelling of a known sequence; other names stay as they are."""
    folded = name.strip().casefold()
    return next((known for known in USUAL_SEQUENCES if known.casefold() == folded), name.strip())


def _read_files(files: dict[str, Path]) -> list[StudySequence]:
    problems: list[Problem] = []
    sequences = []
    for name, path in files.items():
        with _collected(problems, name):
            sequences.append(StudySequence(name, read_image(path)))
    if problems:
        raise InputError(problems)
    return sequences


@contextmanager
def _collected(problems: list[Problem], name: str) -> Iterator[None]:
    """Collect the problems raised inside, each with the name of its sequence."""
    try:
        yield
    except InputError as error:
        problems += error.within(name)
