"""The exception family of nnunet_pst.

    PSTError                 anything a user can mend; the command line prints it and exits
    ├── InputError           bad input or a refused request            exit code 1
    ├── HostError            nnU-Net or its environment is not usable  exit code 1
    └── PartlyDoneError      some items failed, the others are done    exit code 3

Wrong usage of the command line (exit code 2) is argparse's. Any other exception is a bug of ours
and keeps its traceback.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

#: So many problems of one kind are all told; of more, the first few and their number.
_MOST_OF_A_KIND = 10
_SHOWN_OF_A_KIND = 4


class PSTError(Exception):
    """A problem that the user can mend.

    Parameters
    ----------
    problems
        One line per problem: what was found, where (file, row, case), what to do. A single string
        is one problem.
    """

    exit_code = 1

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems: list[str] = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[type[PSTError], tuple[list[str]]]:
        # The default would rebuild from the joined text and lose the separate problems on the
        # way back from a worker process.
        return type(self), (self.problems,)


def few_of_each_kind(problems: Iterable[tuple[str, str]]) -> list[str]:
    """Write problems of many cases as lines, cut short where one mistake made them all.

    Parameters
    ----------
    problems
        Pairs of what it is about, such as a case, and what is wrong with it. Those that differ
        in numbers and quoted words alone are of one kind.

    Returns
    -------
    list[str]
        ``about: what`` in the order of their first ones; of a kind with more than ten, the first
        four and how many more.
    """
    kinds: dict[str, list[str]] = {}
    for about, text in problems:
        kind = re.sub(r"'[^']*'|\d+(\.\d+)?", "", text.replace(about, ""))
        kinds.setdefault(kind, []).append(f"{about}: {text}")
    lines = []
    for found in kinds.values():
        shown = len(found) if len(found) <= _MOST_OF_A_KIND else _SHOWN_OF_A_KIND
        lines += found[:shown]
        if len(found) > shown:
            lines.append(f"and {len(found) - shown} more like the last one")
    return lines


class InputError(PSTError):
    """The table, an image, a label or an argument can't be used as it is."""


class HostError(PSTError):
    """nnU-Net is missing, outside the supported versions, or not set up."""


class PartlyDoneError(PSTError):
    """Some of the work failed; what succeeded is kept and what failed is listed."""

    exit_code = 3
