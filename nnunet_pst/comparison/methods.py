"""Several methods scored on the same cases: which folders belong together, and what they scored.

A method is a name and the folders of its masks. Folders with the same cases are repeats (seeds) of
one training recipe; nnU-Net's validation folders of several folds, whose cases differ, are parts of
one repeat. Everybody must have predicted the same cases, or nothing is compared.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nnunet_pst.comparison.method_names import name_problem
from nnunet_pst.errors import Fault, InputError, Problem, few_of_each_kind
from nnunet_pst.evaluation.evaluate import evaluate_predictions, evaluation_key
from nnunet_pst.evaluation.prediction_names import listed, name_problems
from nnunet_pst.evaluation.references import VALIDATION, References, case_names
from nnunet_pst.evaluation.score_tables import Row
from nnunet_pst.io.atomic_files import write_atomically
from nnunet_pst.io.csv_text import restored
from nnunet_pst.io.real_paths import real_path

_KEYS = ("case", "patient", "sequence")


@dataclass(frozen=True)
class Method:
    """A method by name, with the folders of its masks."""

    name: str
    folders: tuple[Path, ...]


@dataclass(frozen=True)
class Part:
    """One folder of masks to score.

    Parameters
    ----------
    method
        Whose it is.
    repeat
        Number of the repeat that it belongs to, from 1.
    place
        Folder of its evaluation, below ``methods/``.
    folder
        The masks.
    references
        The labels of the cases that it is about.
    """

    method: str
    repeat: int
    place: str
    folder: Path
    references: References


def parse_methods(words: Sequence[str]) -> list[Method]:
    """Read ``NAME=FOLDER`` words; a name that comes again adds a folder to its method.

    Raises
    ------
    InputError
        With a line for each word that is not such a pair, and as for `check_methods`.
    """
    pairs, problems = [], []
    for word in words:
        name, equals, path = word.partition("=")
        if not equals or not name or not path:
            text = f"{word!r} is not NAME=FOLDER, such as ours=predictions"
            problems.append(Problem(text, Fault.MALFORMED))
        else:
            pairs.append((name, Path(path)))
    return check_methods(pairs, problems)


def check_methods(
    pairs: Iterable[tuple[str, Path]], problems: Sequence[Problem] = ()
) -> list[Method]:
    """Collect the folders of each method.

    Parameters
    ----------
    pairs
        Name of a method and a folder of its masks.
    problems
        Problems that are known already; they are reported with those found here.

    Raises
    ------
    InputError
        With a line for each folder that is missing or comes twice, and for each name that cannot
        be in a table, a picture and the name of a folder; or there is no method.
    """
    folders: dict[str, list[Path]] = {}
    problems = list(problems)
    for name, path in pairs:
        if wrong := name_problem(name, folders):
            problems.append(Problem(f"{name!r} cannot name a method: {wrong}", Fault.MALFORMED))
        elif not path.is_dir():
            text = f"{path}: is not a folder; give what nnUNetv2_predict wrote"
            problems.append(Problem(text, Fault.WRONG_TYPE))
        elif real_path(path) in {real_path(known) for known in folders.get(name, ())}:
            problems.append(Problem(f"{path}: is given twice for {name}", Fault.REPEATED))
        else:
            folders.setdefault(name, []).append(path)
    if not problems and not folders:
        text = "give a method, or several to compare: NAME=FOLDER NAME=FOLDER"
        problems.append(Problem(text, Fault.TOO_FEW))
    if problems:
        raise InputError(problems)
    return [Method(name, tuple(paths)) for name, paths in folders.items()]


def parts_of(methods: Sequence[Method], references: References) -> list[Part]:
    """Sort the folders of all methods into repeats, and check that all are about the same cases.

    A folder that nnU-Net calls ``validation`` is about the cases that it holds; any other must hold
    every case of the references. Only names are looked at.

    Raises
    ------
    InputError
        With lines for each folder that lacks cases or holds others, and each method that lacks
        some.
    """
    parts, problems = [], []
    cases: dict[str, set[str]] = {}
    for method in methods:
        repeats: list[set[str]] = []
        for number, folder in enumerate(method.folders, 1):
            own = _about(folder, references)
            names = {case.name for case in own.cases}
            if not names:
                text = f"{method.name}: {folder.name} holds no case of {references.name}"
                problems.append(Problem(text, Fault.UNEXPECTED))
                continue
            problems += [line.within(method.name) for line in _name_problems(folder, own)]
            free = [place for place, seen in enumerate(repeats) if not seen & names]
            if free:
                repeats[free[0]] |= names
            else:
                repeats.append(names)
            place = method.name if len(method.folders) == 1 else f"{method.name}/{number}"
            repeat = (free[0] if free else len(repeats) - 1) + 1
            parts.append(Part(method.name, repeat, place, folder, own))
        cases[method.name] = set().union(*repeats)
        problems += [
            Problem(
                f"{method.name}: its repeat {number} lacks {listed(cases[method.name] - names)}",
                Fault.MISSING,
            )
            for number, names in enumerate(repeats, 1)
            if names != cases[method.name]
        ]
    everyone = set().union(*cases.values())
    problems += [
        Problem(
            f"{name}: lacks {listed(everyone - found)}, which others have predicted; predict the "
            "same cases with every method",
            Fault.MISSING,
        )
        for name, found in cases.items()
        if found != everyone
    ]
    if problems:
        raise InputError(problems)
    return parts


def _about(folder: Path, references: References) -> References:
    """Take the references that a folder is about."""
    if folder.name != VALIDATION:
        return references
    there = set(case_names(folder, references.file_ending))
    return replace(references, cases=tuple(c for c in references.cases if c.name in there))


def _name_problems(folder: Path, references: References) -> list[Problem]:
    try:
        return few_of_each_kind(name_problems(folder, references))
    except InputError as error:
        return error.problems


def score_part(part: Part, home: Path, keys: Path, *, workers: int, overlays: bool) -> list[Row]:
    """Score one folder, or read what an earlier, interrupted comparison has scored.

    Parameters
    ----------
    part
        What to score.
    home
        Folder of all evaluations; this one comes to ``home / part.place``.
    keys
        Folder of digests, which tell whether an evaluation still holds.
    workers
        Number of processes.
    overlays
        Draw the cases.

    Returns
    -------
    list[Row]
        A row per case: method, repeat, case, patient, sequence, then every measure, as the
        evaluation's own table has them.

    Raises
    ------
    InputError
        As `evaluation.evaluate_predictions`, with the method's name in every line.
    """
    output = home / part.place
    key = evaluation_key(part.folder, part.references, overlays=overlays)
    record = keys / f"{part.place.replace('/', '-')}.key"
    if not (output.is_dir() and record.is_file() and record.read_text() == key):
        output.parent.mkdir(parents=True, exist_ok=True)
        try:
            evaluate_predictions(
                part.folder,
                part.references,
                output=output,
                overlays=overlays,
                workers=workers,
                overwrite=True,
            )
        except InputError as error:
            raise InputError(error.within(part.method)) from error
        write_atomically(record, key)
    with (output / "cases.csv").open(encoding="utf-8", newline="") as file:
        return [
            {"method": part.method, "repeat": part.repeat, **_numbers(row)}
            for row in csv.DictReader(file)
        ]


def _numbers(row: Mapping[str, str]) -> Row:
    return {
        name: restored(text) if name in _KEYS else float(text) if text else math.nan
        for name, text in row.items()
    }


def host_ranking(methods: Sequence[Method]) -> dict[str, float]:
    """Read the mean Dice that nnU-Net itself wrote beside the masks; empty if any lacks it.

    nnU-Net's ``summary.json`` holds ``foreground_mean.Dice``, over annotated voxels alone and
    without the cases in which reference and prediction are empty.
    """
    found = {}
    for method in methods:
        values = []
        for folder in method.folders:
            path = folder / "summary.json"
            try:
                values.append(float(json.loads(path.read_text())["foreground_mean"]["Dice"]))
            except (OSError, ValueError, KeyError, TypeError):
                return {}
        found[method.name] = sum(values) / len(values)
    return found
