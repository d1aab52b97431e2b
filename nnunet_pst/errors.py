"""The exception family of nnunet_pst.

    PSTError                 anything a user can mend; the command line prints it and exits
    ├── InputError           bad input or a refused request            exit code 1
    ├── HostError            nnU-Net or its environment is not usable  exit code 1
    └── PartlyDoneError      some items failed, the others are done    exit code 3

Wrong usage of the command line (exit code 2) is argparse's. Any other exception is a bug of ours
and keeps its traceback.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from enum import Enum, auto

#: So many problems of one kind are all told; of more, the first few and their number.
_MOST_OF_A_KIND = 10
_SHOWN_OF_A_KIND = 4


class Fault(Enum):
    """What kind of problem a line tells of; code and tests ask for this, never for the words."""

    OTHER = auto()  #: none of those below
    MISSING = auto()  #: a file, folder, column, cell, case or fold is not there
    EMPTY = auto()  #: it is there and holds nothing
    UNEXPECTED = auto()  #: it is there and belongs to nothing that was asked for
    UNREADABLE = auto()  #: the system refuses to read or list it
    DAMAGED = auto()  #: cut off, or not as its own format or checksum says
    WRONG_TYPE = auto()  #: something else than what belongs there: a folder, another format
    UNSUPPORTED = auto()  #: sound, but not served: a compression, an engine, a device
    MALFORMED = auto()  #: a cell, name, argument or setting that cannot be understood
    OUT_OF_RANGE = auto()  #: understood, and impossible: a slice outside the image
    NOT_A_NUMBER = auto()  #: a cell of a column of numbers that holds none
    UNKNOWN_NAME = auto()  #: no sequence, method, job, configuration or split of that name
    AMBIGUOUS = auto()  #: several things fit; one must be named
    REPEATED = auto()  #: the same case, row or name twice
    CONTRADICTION = auto()  #: two statements that cannot both be true
    GEOMETRY = auto()  #: grids, slices or positions that do not fit each other
    VALUES = auto()  #: voxels, weights or labels outside what they may be
    LEAK = auto()  #: a patient on both sides of a fold or split
    TOO_LARGE = auto()  #: more voxels, bytes or memory than is sensible
    TOO_FEW = auto()  #: fewer patients, cases, trainings or channels than needed
    EXISTS = auto()  #: output in the way, or made with other settings
    BUSY = auto()  #: another process is writing there
    UNWRITABLE = auto()  #: a place that cannot be written, or a full disk
    UNTRUSTED = auto()  #: it could run code, leave its folder, or is not what was vouched for
    NOT_INSTALLED = auto()  #: a library or program is not there
    NOT_SET = auto()  #: a variable or setting of the environment is needed
    FAILED = auto()  #: a process, job or library broke off


#: Characters of a line. What is wrong begins it, and what to do ends it.
_LONGEST_LINE, _END_OF_LINE = 1000, 300


def _one_line(text: str) -> str:
    if not text.isprintable():
        text = "".join(
            c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
        )
    if len(text) <= _LONGEST_LINE:
        return text
    return f"{text[: _LONGEST_LINE - _END_OF_LINE]} [...] {text[-_END_OF_LINE:]}"


class Problem(str):
    """A line for the user that knows its `Fault`: what was found, where, and what to do.

    A line that is built from another one keeps its fault by `within`. It may quote cells and names
    of strangers: control characters are escaped, and the middle of a very long line is left out.
    """

    fault: Fault
    __slots__ = ("fault",)

    def __new__(cls, text: str, fault: Fault | None = None) -> Problem:
        """Keep the fault of a line that has one, unless another is given."""
        problem = super().__new__(cls, _one_line(text))
        known = text.fault if isinstance(text, Problem) else Fault.OTHER
        problem.fault = known if fault is None else fault
        return problem

    def __reduce__(self) -> tuple[type[Problem], tuple[str, Fault]]:
        return type(self), (str(self), self.fault)

    def within(self, place: str, separator: str = ": ") -> Problem:
        """Return the same problem with the place before it: ``place: text``."""
        return type(self)(f"{place}{separator}{self}", self.fault)


class PSTError(Exception):
    """A problem that the user can mend.

    Parameters
    ----------
    problems
        One line per problem: what was found, where (file, row, case), what to do. A single string
        is one problem.
    fault
        Of the lines that don't know their own.
    """

    exit_code = 1

    def __init__(self, problems: str | Iterable[str], fault: Fault | None = None) -> None:
        lines = [problems] if isinstance(problems, str) else problems
        self.problems: list[Problem] = [
            line if isinstance(line, Problem) else Problem(line, fault) for line in lines
        ]
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[type[PSTError], tuple[list[Problem]]]:
        # The default would rebuild from the joined text and lose the separate problems on the
        # way back from a worker process.
        return type(self), (self.problems,)

    @property
    def fault(self) -> Fault:
        """The fault that all lines share; `Fault.OTHER` where they differ."""
        faults = self.faults
        return faults.pop() if len(faults) == 1 else Fault.OTHER

    @property
    def faults(self) -> set[Fault]:
        """The faults of all lines."""
        return {problem.fault for problem in self.problems}

    def within(self, place: str, separator: str = ": ") -> list[Problem]:
        """Return every line with the place before it."""
        return [problem.within(place, separator) for problem in self.problems]


_FULL = "make room, and run the same command again"
_CLOSED = "give yourself the right to, or choose another place"
#: What to do about what the system says.
_REMEDIES = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: _FULL,
    errno.EACCES: _CLOSED,
    errno.EPERM: _CLOSED,
    errno.EROFS: "choose a place that can be written",
    errno.EIO: "the disk fails; run the same command again, or choose another disk",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "the link leads back to itself; mend or remove it",
    errno.ENOTDIR: "a file is where a folder is needed; choose another name",
    errno.EMFILE: "allow more open files (ulimit -n)",
}


def told_by_the_system(error: OSError) -> Problem:
    """Say in a line what the operating system refuses, of which file, and what to do."""
    about = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
    remedy = _REMEDIES.get(error.errno or 0, "mend it, and run the same command again")
    reads = error.errno in (errno.ENOENT, errno.ELOOP, errno.EACCES)
    fault = Fault.UNREADABLE if reads else Fault.UNWRITABLE
    return Problem(f"{about}{error.strerror or error}; {remedy}", fault)


def few_of_each_kind(problems: Iterable[tuple[str, str]]) -> list[Problem]:
    """Write problems of many cases as lines, cut short where one mistake made them all.

    Parameters
    ----------
    problems
        Pairs of what it is about, such as a case, and what is wrong with it. Those of one fault
        are of one kind.

    Returns
    -------
    list[Problem]
        ``about: what`` in the order of their first ones; of a kind with more than ten, the first
        four and how many more.
    """
    kinds: dict[Fault, list[Problem]] = {}
    for about, text in problems:
        problem = Problem(text).within(about)
        kinds.setdefault(problem.fault, []).append(problem)
    lines = []
    for fault, ones in kinds.items():
        shown = len(ones) if len(ones) <= _MOST_OF_A_KIND else _SHOWN_OF_A_KIND
        lines += ones[:shown]
        if len(ones) > shown:
            lines.append(Problem(f"and {len(ones) - shown} more like the last one", fault))
    return lines


class InputError(PSTError):
    """The table, an image, a label or an argument can't be used as it is."""


class HostError(PSTError):
    """nnU-Net is missing, outside the supported versions, or not set up."""


class PartlyDoneError(PSTError):
    """Some of the work failed; what succeeded is kept and what failed is listed."""

    exit_code = 3
