"""Whether a folder holds the predictions of the cases that are scored, told by the names alone."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from nnunet_pst.errors import Fault, InputError, Problem
from nnunet_pst.evaluation.references import References, case_names

#: So many cases are named in a line about all of them.
_SHOWN = 4


def name_problems(predictions: Path, references: References) -> list[tuple[str, Problem]]:
    """Say which predictions are missing, and which belong to no case that is scored.

    Parameters
    ----------
    predictions
        Folder of ``<case><file_ending>``; files of other kinds are left alone.
    references
        The cases, each of which needs a prediction.

    Returns
    -------
    list[tuple[str, Problem]]
        A case or the folder, and what is wrong with it; see `errors.few_of_each_kind`.

    Raises
    ------
    InputError
        The folder as a whole is another one: it is none, or holds no mask or none of the cases.
    """
    if not predictions.is_dir():
        raise InputError(
            f"{predictions}: is not a folder; give what nnUNetv2_predict wrote", Fault.WRONG_TYPE
        )
    found = set(case_names(predictions, references.file_ending))
    wanted = {case.name for case in references.cases}
    if not found:
        raise InputError(
            f"{predictions}: holds no file that ends in {references.file_ending}; give the folder "
            "that nnUNetv2_predict wrote",
            Fault.EMPTY,
        )
    if wanted.isdisjoint(found):
        raise InputError(f"{predictions}: {_of_other_cases(found, references)}", Fault.UNEXPECTED)
    others = found - wanted - set(references.elsewhere)
    images = f"images{'Ts' if references.split == 'test' else 'Tr'}"
    where = f" its image in {images}" if references.split else " it"
    source = f"{references.name} {references.split}".strip()
    other = "--dataset or --split" if references.split else "references"
    stranger = f"is predicted but not a case of {source}; move it elsewhere, or give other {other}"
    lacking = f"has no prediction; predict{where}, or give the folder that holds it"
    return [
        *((name, Problem(lacking, Fault.MISSING)) for name in sorted(wanted - found)),
        *((str(predictions), line) for line in _of_other_splits(found, references)),
        *((name, Problem(stranger, Fault.UNEXPECTED)) for name in sorted(others)),
    ]


def age_warnings(predictions: Path, references: References) -> list[str]:
    """Say which masks were written before their images, which may be others than were predicted.

    Copies without their times may be told of for nothing; the grid alone would tell less.
    """
    older = [
        case.name
        for case in references.cases
        if case.image is not None
        and (mask := predictions / f"{case.name}{references.file_ending}").is_file()
        and case.image.is_file()
        and mask.stat().st_mtime < case.image.stat().st_mtime
    ]
    if not older:
        return []
    return [
        f"{len(older)} of {len(references.cases)} masks are older than their images "
        f"({listed(older)}); predict again if the images have changed since"
    ]


def listed(names: Collection[str], shown: int = _SHOWN) -> str:
    """Write names in their order, of many the first few and how many more."""
    first = ", ".join(sorted(names)[:shown])
    return first if len(names) <= shown else f"{first} and {len(names) - shown} more"


def _of_other_splits(found: Collection[str], references: References) -> list[Problem]:
    """Say of each other split what the folder holds of it, and what to do."""
    scored = len([case for case in references.cases if case.name in found])
    return [
        Problem(
            f"holds {_count(scored, references.split)} to score, and {_count(len(names), split)} "
            f"({listed(names)}); move the latter to a folder of their own, and score that with "
            f"--split {split}",
            Fault.AMBIGUOUS,
        )
        for split, names in _by_split(found, references).items()
    ]


def _of_other_cases(found: Collection[str], references: References) -> str:
    """Say what a folder without a single case to score holds, and what to give instead."""
    wanted = [case.name for case in references.cases]
    source = f"{references.name} {references.split}".strip()
    lacks = f"holds none of the {len(wanted)} cases of {source} ({listed(wanted)})"
    splits = _by_split(found, references)
    if splits:
        held = " and ".join(_count(len(names), split) for split, names in splits.items())
        return f"{lacks}, but {held}; give --split {' or '.join(splits)}, or another folder"
    what = "another dataset or folder" if references.split else "other references or predictions"
    return f"{lacks}, but {listed(found)}; give {what}"


def _count(number: int, split: str) -> str:
    return f"{number} {split} case{'' if number == 1 else 's'}"


def _by_split(found: Collection[str], references: References) -> dict[str, list[str]]:
    """Sort the cases of other splits of the same dataset."""
    splits: dict[str, list[str]] = {}
    for name in sorted(found):
        if name in references.elsewhere:
            splits.setdefault(references.elsewhere[name], []).append(name)
    return splits
