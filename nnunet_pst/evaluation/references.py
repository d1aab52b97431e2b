"""Which labels predictions are scored against: the cases of a raw dataset's split, or a folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnunet_pst.errors import Fault, InputError, Problem, few_of_each_kind
from nnunet_pst.evaluation.metrics.overlap import DEFAULT_WINDOW
from nnunet_pst.io.case_table import CASE_TABLE, image_digests, read_case_table
from nnunet_pst.io.image_paths import IMAGE_SUFFIXES
from nnunet_pst.io.label_values import OUR_LABELS, LabelValues, read_label_values
from nnunet_pst.io.real_paths import real_path

#: All of ``labelsTr``: what the folds of a cross-validation are drawn from.
TRAINING = "training"
#: nnU-Net's folder of a fold's own masks (``nnUNetTrainer.perform_actual_validation``).
VALIDATION = "validation"


@dataclass(frozen=True)
class ReferenceCase:
    """One label to score against.

    Parameters
    ----------
    name
        nnU-Net's case name.
    patient
        The person it belongs to (a pseudonym).
    sequence
        T1, T2, ...; empty if unknown.
    label
        The label file.
    image
        The first channel's image file, for pictures; None for none.
    digests
        Of the voxels of its images, where the case table has them.
    """

    name: str
    patient: str
    sequence: str
    label: Path
    image: Path | None = None
    digests: tuple[str, ...] = ()


@dataclass(frozen=True)
class References:
    """A set of labels to score predictions against.

    Parameters
    ----------
    name
        What reports call it: the dataset's or the folder's name.
    split
        ``test``, ``train``, ``val``; empty for a bare folder.
    cases
        The cases, ordered by name. Every one of them needs a prediction.
    window
        Slices of the annotated window on each side of the largest one.
    file_ending
        Ending of prediction and label files.
    label_rules
        How the dataset's labels were made from what was drawn (``dataset.json``); may be empty.
    elsewhere
        Split of each case of the dataset that is not among these.
    labels
        Which values the labels have.
    """

    name: str
    split: str
    cases: tuple[ReferenceCase, ...]
    window: int = DEFAULT_WINDOW
    file_ending: str = ".nii.gz"
    label_rules: Mapping[str, Any] = field(default_factory=dict)
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    labels: LabelValues = OUR_LABELS


def references_of_dataset(
    dataset: Path, split: str = "test", *, window: int | None = None
) -> References:
    """Collect the labels of one split of an nnU-Net raw dataset.

    Parameters
    ----------
    dataset
        Folder with ``dataset.json`` and, if ``nnunet_pst convert`` made it, ``cases.csv``. Without
        the latter every case counts as a patient of its own, and all of ``labelsTr`` as ``train``.
    split
        ``test`` (``labelsTs``), ``train`` or ``val`` (``labelsTr``), or `TRAINING`, which is both.
    window
        Slices on each side of the largest one that count as annotated; by default those that the
        dataset was converted with, else 5.

    Raises
    ------
    InputError
        There is no such dataset, split or label.
    """
    description = _read_description(dataset)
    ending = str(description.get("file_ending", ".nii.gz"))
    suffix = "Ts" if split == "test" else "Tr"
    labels = dataset / f"labels{suffix}"
    if not labels.is_dir():
        raise InputError(
            f"{dataset.name}: has no {labels.name}, so no labels to score {split} cases; give "
            "another --split, or a folder of labels as --references",
            Fault.MISSING,
        )
    table = dataset / CASE_TABLE
    if not table.is_file() and split == "val":
        raise InputError(
            f"{dataset.name}: has no cases.csv, so its val cases are unknown", Fault.MISSING
        )
    every = read_case_table(table) if table.is_file() else _bare_rows(dataset, ending)
    wanted = ("train", "val") if split == TRAINING else (split,)
    rows = [row for row in every if row["split"] in wanted]
    if not rows:
        raise InputError(
            f"{dataset.name}: has no {split} cases with labels; give another --split", Fault.EMPTY
        )
    cases = _reference_cases(rows, labels, dataset / f"images{suffix}", ending)
    rules = description.get("nnunet_pst")
    rules = rules if isinstance(rules, dict) else {}
    return References(
        name=dataset.name,
        split=split,
        cases=cases,
        window=_window(rules) if window is None else window,
        file_ending=ending,
        label_rules=rules,
        labels=read_label_values(description, dataset.name)
        if "labels" in description
        else OUR_LABELS,
        elsewhere={row["case"]: row["split"] for row in every if row["split"] not in wanted},
    )


def references_in_folder(
    labels: Path,
    *,
    images: Path | None = None,
    table: Path | None = None,
    window: int = DEFAULT_WINDOW,
    file_ending: str | None = None,
) -> References:
    """Collect every label of a folder.

    Parameters
    ----------
    labels
        Folder with ``<case><file_ending>`` files.
    images
        Folder with ``<case>_0000<file_ending>`` files, for pictures.
    table
        A ``cases.csv`` that says which patient and sequence a case is; without it every case
        counts as a patient of its own.
    window
        Slices on each side of the largest one that count as annotated.
    file_ending
        Ending of the files; None: that of the labels.

    Raises
    ------
    InputError
        A folder or a file is missing, a case is not in the table, or the labels have several
        endings.
    """
    if not labels.is_dir():
        raise InputError(f"{labels}: is not a folder", Fault.WRONG_TYPE)
    file_ending = file_ending or _ending_in(labels)
    names = case_names(labels, file_ending)
    if not names:
        raise InputError(f"{labels}: holds no file that ends in {file_ending}", Fault.EMPTY)
    rows: list[Mapping[str, str]] = [_bare_row(name) for name in names]
    if table is not None:
        known = {row["case"]: row for row in read_case_table(table)}
        lost = [
            (name, Problem(f"has no row in {table.name}", Fault.MISSING))
            for name in names
            if name not in known
        ]
        if lost:
            raise InputError(few_of_each_kind(lost))
        rows = [known[name] for name in names]
    name = real_path(labels).name
    cases = _reference_cases(rows, labels, images, file_ending)
    return References(name, "", cases, window, file_ending)


def _ending_in(labels: Path) -> str:
    """Return the one ending that the images of a folder have."""
    found = {suffix for suffix in IMAGE_SUFFIXES if case_names(labels, suffix)}
    if len(found) > 1:
        raise InputError(
            f"{labels}: holds files that end in {' and '.join(sorted(found))}; give a folder of "
            "one kind",
            Fault.AMBIGUOUS,
        )
    if not found:
        raise InputError(
            f"{labels}: holds no file that ends in {', '.join(IMAGE_SUFFIXES)}", Fault.EMPTY
        )
    return found.pop()


def images_of(cases: Iterable[ReferenceCase]) -> dict[str, str]:
    """Return whose each image is, by its digest."""
    return {digest: case.patient for case in cases for digest in case.digests}


def case_names(folder: Path, file_ending: str) -> list[str]:
    """List the cases of a folder of labels or predictions, by name; hidden files are none."""
    return sorted(
        path.name[: -len(file_ending)]
        for path in folder.iterdir()
        if path.name.endswith(file_ending) and not path.name.startswith(".")
    )


def _bare_row(name: str, split: str = "") -> dict[str, str]:
    return {"case": name, "patient": name, "sequence": "", "split": split}


def _bare_rows(dataset: Path, ending: str) -> list[dict[str, str]]:
    """Rows for a dataset without a table: a split is the folder that the label lies in."""
    folders = {"train": dataset / "labelsTr", "test": dataset / "labelsTs"}
    return [
        _bare_row(name, split)
        for split, folder in folders.items()
        if folder.is_dir()
        for name in case_names(folder, ending)
    ]


def _reference_cases(
    rows: Sequence[Mapping[str, str]], labels: Path, images: Path | None, ending: str
) -> tuple[ReferenceCase, ...]:
    """Turn rows into cases; all missing files are reported together."""
    cases, problems = [], []
    for row in sorted(rows, key=lambda row: row["case"]):
        name = row["case"]
        label = labels / f"{name}{ending}"
        image = images / f"{name}_0000{ending}" if images is not None else None
        files = [label] if image is None else [label, image]
        lost = [file for file in files if not file.is_file()]
        problems += [
            (name, Problem(f"{file.parent.name}/{file.name} is missing", Fault.MISSING))
            for file in lost
        ]
        patient, sequence = row["patient"], row["sequence"]
        cases.append(ReferenceCase(name, patient, sequence, label, image, image_digests(row)))
    if problems:
        raise InputError(few_of_each_kind(problems))
    return tuple(cases)


def _read_description(dataset: Path) -> dict[str, Any]:
    """Read ``dataset.json``; without it a folder is not a raw dataset."""
    path = dataset / "dataset.json"
    if not path.is_file():
        raise InputError(
            f"{dataset}: is not an nnU-Net raw dataset (it has no dataset.json)", Fault.MISSING
        )
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: is not valid JSON ({error})", Fault.DAMAGED) from error
    if not isinstance(description, dict):
        raise InputError(f"{path}: holds no JSON object", Fault.WRONG_TYPE)
    return description


def _window(rules: Mapping[str, Any]) -> int:
    """Half-width of the annotated window that a dataset was converted with."""
    for key in ("simulate_coarse", "coarse_slices"):
        if isinstance(rules.get(key), int):
            return int(rules[key])
    return DEFAULT_WINDOW
