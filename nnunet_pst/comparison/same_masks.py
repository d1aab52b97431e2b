"""Whether compared methods hold the same masks, as they do when a folder is given twice."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from nnunet_pst.comparison.methods import Part
from nnunet_pst.io.digests import file_digest


def same_masks(parts: Sequence[Part]) -> list[str]:
    """Warn of methods, and of repeats of one, whose masks are the same byte by byte.

    Two seeds or networks never agree in every voxel of a cohort, so one folder was probably given,
    or copied, twice. It may be meant, as a check that equal masks score equally.

    Parameters
    ----------
    parts
        From `compared_methods.parts_of`, with a mask for every case.

    Returns
    -------
    list[str]
        A line for each pair of methods, and each method with such repeats.
    """
    folders: dict[str, list[tuple[str, ...]]] = {}
    for part in parts:
        folders.setdefault(part.method, []).append(_digests(part))
    lines = [
        f"repeats of {name} hold the same masks, byte by byte; was a training given twice?"
        for name, own in folders.items()
        if len(set(own)) < len(own)
    ]
    for (one, ours), (other, theirs) in combinations(folders.items(), 2):
        if not set(ours).isdisjoint(theirs):
            some = "" if set(ours) == set(theirs) else "some of "
            lines.append(
                f"{one} and {other} hold {some}the same masks, byte by byte; was a folder given "
                "twice?"
            )
    return lines


def _digests(part: Part) -> tuple[str, ...]:
    """Names and digests of a folder's masks."""
    ending = part.references.file_ending
    names = [case.name for case in part.references.cases]
    return (*names, *(file_digest(part.folder / f"{name}{ending}") for name in names))
