"""Which predictions belong to which method, and their scores.

A method is one or several folders. Folders with the same cases are repeats (other seeds); folders
without a case in common are folds of one cross-validation and belong together.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nnunet_pst.case_table import cases_of_dataset
from nnunet_pst.errors import InputError
from nnunet_pst.evaluation import evaluate_predictions
from nnunet_pst.references import References, case_names, references_of_dataset
from nnunet_pst.scores import Row

#: All labelled training cases, whatever fold predicts them.
CROSS_VALIDATION = "cross-validation"
METHOD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,79}")


@dataclass(frozen=True)
class Part:
    """One folder of predictions.

    Parameters
    ----------
    method
        Whose it is.
    folder
        ``<case>.nii.gz`` files.
    shown
        What tables call the folder: its name, no path.
    repeat
        1-based number of the training that made it.
    """

    method: str
    folder: Path
    shown: str
    repeat: int = 1


@dataclass(frozen=True)
class Scored:
    """The scores of all methods.

    Parameters
    ----------
    rows
        A row per method, repeat and case: `comparison.KEYS`, then every measure.
    measures
        Unit and best value by measure, as evaluations declare them.
    evaluations
        Folder of each part below the comparison's, in the order of the parts.
    """

    rows: list[Row]
    measures: dict[str, dict[str, object]]
    evaluations: list[str]


def labelled_references(dataset: Path, split: str, window: int | None = None) -> References:
    """Collect the labels of a split; ``cross-validation`` is ``train`` and ``val`` together."""
    if split != CROSS_VALIDATION:
        return references_of_dataset(dataset, split, window=window)
    table = cases_of_dataset(dataset)
    present = [name for name in ("train", "val") if any(row["split"] == name for row in table)]
    found = [references_of_dataset(dataset, name, window=window) for name in present or ["train"]]
    cases = sorted((case for part in found for case in part.cases), key=lambda case: case.name)
    return replace(found[0], split=CROSS_VALIDATION, cases=tuple(cases))


def named_parts(words: Sequence[str]) -> list[Part]:
    """Read ``NAME=FOLDER`` words; a name may come several times.

    Raises
    ------
    InputError
        With a line for each word that can't be used.
    """
    parts, problems = [], []
    for word in words:
        name, equals, folder = word.partition("=")
        if not equals or not METHOD_NAME.fullmatch(name) or not folder:
            problems.append(
                f"{word}: expected NAME=FOLDER, the name of letters, digits, '_', '.', '+' and '-'"
            )
        elif not Path(folder).is_dir():
            problems.append(f"{name}: {folder} is not a folder; give what nnUNetv2_predict wrote")
        else:
            parts.append(Part(name, Path(folder), _shown(Path(folder))))
    if problems:
        raise InputError(problems)
    return parts


def trained_parts(results: Path, ending: str = ".nii.gz") -> tuple[list[Part], list[str]]:
    """Find the validation folders of everything that was trained on a dataset.

    Parameters
    ----------
    results
        ``nnUNet_results/DatasetPST`` with ``<trainer>__<plans>__<configuration>/fold_X``.
    ending
        Ending of prediction files.

    Returns
    -------
    tuple
        The folders, and a line for each fold that is skipped and why.
    """
    if not results.is_dir():
        raise InputError(f"{results}: is not a folder; give a dataset that was trained")
    parts, skipped = [], []
    for model in sorted(path for path in results.iterdir() if path.name.count("__") == 2):
        trainer, plans, configuration = model.name.split("__")
        name = f"{configuration}-{trainer}" + ("" if plans == "nnUNetPlans" else f"-{plans}")
        for fold in sorted(model.glob("fold_*")):
            validation = fold / "validation"
            shown = f"{model.name}/{fold.name}"
            if fold.name == "fold_all":
                skipped.append(f"{shown}: skipped, it was validated on what it was trained on")
            elif not validation.is_dir() or not case_names(validation, ending):
                skipped.append(f"{shown}: skipped, it holds no validation predictions (unfinished)")
            elif not (validation / "summary.json").is_file():
                skipped.append(f"{shown}: skipped, its validation is unfinished (no summary.json)")
            elif not METHOD_NAME.fullmatch(name):
                skipped.append(f"{shown}: skipped, its name is no plain method name")
            else:
                parts.append(Part(name, validation, f"{shown}/validation"))
    return parts, skipped


def numbered_repeats(parts: Sequence[Part], ending: str = ".nii.gz") -> list[Part]:
    """Say which folders of a method belong to one cross-validation and which repeat it.

    Raises
    ------
    InputError
        Two folders of a method share some of their cases, not all: neither folds nor repeats.
    """
    taken: dict[str, list[set[str]]] = {}
    folders: dict[str, list[set[str]]] = {}
    numbered, problems = [], []
    for part in parts:
        own = set(case_names(part.folder, ending))
        if any(own & other and own != other for other in folders.setdefault(part.method, [])):
            problems.append(
                f"{part.method}: {part.shown} shares some of its cases with another folder of this "
                "name, not all; give folds of one cross-validation, or repeats of the same cases"
            )
        folders[part.method].append(own)
        repeats = taken.setdefault(part.method, [])
        place = next((n for n, cases in enumerate(repeats) if not cases & own), len(repeats))
        if place == len(repeats):
            repeats.append(set())
        repeats[place] |= own
        numbered.append(replace(part, repeat=place + 1))
    if problems:
        raise InputError(problems)
    return numbered


def predicted_cases(parts: Sequence[Part], ending: str = ".nii.gz") -> list[Row]:
    """List who predicted what: a row per method, repeat and case, before anything is scored."""
    return [
        {"method": part.method, "repeat": part.repeat, "case": name}
        for part in parts
        for name in case_names(part.folder, ending)
    ]


def score_parts(
    parts: Sequence[Part], references: References, folder: Path, *, workers: int, overlays: bool
) -> Scored:
    """Evaluate every folder into ``folder/methods``.

    The folders of a method with several become ``methods/NAME/1``, ``/2``, ... On the test split,
    and with a single folder of labels, each has to hold every case; a fold only its own ones.
    """
    rows: list[Row] = []
    measures: dict[str, dict[str, object]] = {}
    evaluations, problems = [], []
    for place, part in enumerate(parts):
        same = [number for number, other in enumerate(parts) if other.method == part.method]
        home = f"methods/{part.method}"
        home += f"/{same.index(place) + 1}" if len(same) > 1 else ""
        (folder / home).parent.mkdir(parents=True, exist_ok=True)
        wanted = references
        if references.split not in ("test", "") or (len(same) > 1 and references.split == ""):
            own = set(case_names(part.folder, references.file_ending))
            cases = tuple(case for case in references.cases if case.name in own)
            wanted = replace(references, cases=cases)
        try:
            found = evaluate_predictions(
                part.folder,
                wanted,
                output=folder / home,
                overlays=overlays,
                workers=workers,
                overwrite=True,
            )
        except InputError as error:
            problems += [f"{part.method}, {part.shown}: {line}" for line in error.problems]
            continue
        measures = found.summary["measures"]
        keys: Row = {"method": part.method, "repeat": part.repeat}
        rows += [
            {**keys, **{key: row[key] for key in ("case", "patient", "sequence", *measures)}}
            for row in found.cases
        ]
        evaluations.append(home)
    if problems:
        raise InputError(problems)
    return Scored(rows, measures, evaluations)


def host_dice(parts: Sequence[Part]) -> dict[str, float]:
    """nnU-Net's own mean foreground Dice by method, of methods with a ``summary.json`` a folder.

    It is what ``nnunetv2/evaluation/evaluate_predictions.py`` writes: over cases, on annotated
    voxels only.
    """
    found: dict[str, list[float]] = {}
    for part in parts:
        path = part.folder / "summary.json"
        try:
            value = float(json.loads(path.read_text("utf-8"))["foreground_mean"]["Dice"])
        except (OSError, ValueError, KeyError, TypeError):
            value = float("nan")  # a folder without nnU-Net's summary, which no one must have
        found.setdefault(part.method, []).append(value)
    means = {method: sum(values) / len(values) for method, values in found.items()}
    return {method: value for method, value in means.items() if value == value}


def _shown(folder: Path) -> str:
    """Name a folder without its path; the host's ``validation`` with its model and fold."""
    whole = folder.resolve()
    if whole.name == "validation" and whole.parent.name.startswith("fold_"):
        return "/".join(whole.parts[-3:])
    return whole.name
