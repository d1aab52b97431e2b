"""What a raw dataset says of itself: label rules, numbers by split, sizes, registration."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunet_pst.errors import Fault, InputError, Problem
from nnunet_pst.io.case_table import CASE_TABLE, SPLITS, cases_of_dataset, number_problems
from nnunet_pst.io.checked_tables import read_object, read_rows
from nnunet_pst.io.real_paths import real_path

#: Keys of ``dataset.json``, ours and the host's free ones, that are shown as they stand.
_SAID = ("name", "description", "reference", "license", "license")
#: Words by which a dataset says that nobody was scanned for it.
_SYNTHETIC = ("phantom", "synthetic", "simulated")


@dataclass(frozen=True)
class RegisteredPair:
    """A row of ``registration.csv``."""

    patient: str
    reference: str
    moving: str
    engine: str
    model: str
    used: str
    reason: str


@dataclass(frozen=True)
class DatasetFacts:
    """A raw dataset, as far as a report speaks of it.

    Parameters
    ----------
    name
        Folder name.
    rules
        The part of ``dataset.json`` under ``nnunet_pst``; empty for a dataset of other tools.
    said
        What ``dataset.json`` says of itself in the host's free keys.
    channels
        Names of the channels, in order.
    cases
        Rows of ``cases.csv``.
    pairs
        Rows of ``registration.csv``; None where nothing was registered.
    """

    name: str
    rules: Mapping[str, Any]
    said: Mapping[str, str]
    channels: Sequence[str]
    cases: Sequence[Mapping[str, str]]
    pairs: Sequence[RegisteredPair] | None

    @property
    def unknown_is_background(self) -> bool:
        """Whether slices that nobody drew on were learned as free of tumor (an ablation)."""
        return self.rules.get("unknown") == "background"

    @property
    def is_synthetic(self) -> bool:
        """Whether the dataset says, by its name or in words, that it is synthetic."""
        text = " ".join([self.name, *self.said.values()]).casefold()
        return any(word in text for word in _SYNTHETIC)

    @property
    def flagged(self) -> list[RegisteredPair]:
        """Pairs to look at: not registered, and why."""
        return [pair for pair in self.pairs or () if pair.used != "registered" or pair.reason]

    @property
    def patients_in_several_splits(self) -> list[str]:
        """Pseudonyms that a split did not keep together; must be none."""
        splits: dict[str, set[str]] = {}
        for row in self.cases:
            splits.setdefault(row["patient"], set()).add(row["split"])
        return sorted(name for name, found in splits.items() if len(found) > 1)

    def numbers(self) -> list[dict[str, Any]]:
        """Patients, cases and kinds of label in each split."""
        rows = []
        for split in SPLITS:
            cases = [row for row in self.cases if row["split"] == split]
            kinds = Counter(row.get("label_kind") or "none" for row in cases)
            if cases:
                rows.append(
                    {
                        "split": split,
                        "patients": len({row["patient"] for row in cases}),
                        "cases": len(cases),
                        "labels": ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items())),
                    }
                )
        return rows

    def sizes_cm(self) -> dict[str, float]:
        """Tumor size of every patient for whom ``size_cm`` holds a number."""
        sizes = {}
        for row in self.cases:
            try:
                size = float(row.get("size_cm", ""))
            except ValueError:
                continue
            if math.isfinite(size) and size > 0:
                sizes[row["patient"]] = size
        return sizes


def read_dataset(folder: Path) -> DatasetFacts:
    """Read a raw dataset's description, case table and registration table.

    Raises
    ------
    InputError
        With a line for each file that can't be used. ``cases.csv`` and ``registration.csv`` may be
        absent.
    """
    if not (folder / "dataset.json").is_file():
        raise InputError(
            f"{folder}: is not an nnU-Net raw dataset (it has no dataset.json)", Fault.MISSING
        )
    problems: list[Problem] = []
    description = read_object(folder / "dataset.json", problems)
    rules = description.get("nnunet_pst")
    channels = description.get("channel_names")
    cases: list[dict[str, str]] = []
    try:
        cases = cases_of_dataset(folder)
        problems += number_problems(cases)
    except InputError as error:
        # The table is named without the folders above, which are nobody's business.
        problems += [
            Problem(problem.replace(str(folder / CASE_TABLE), CASE_TABLE), problem.fault)
            for problem in error.problems
        ]
    name = real_path(folder).name
    pairs = _read_pairs(real_path(folder).parent / "registration" / name, problems)
    if problems:
        raise InputError(problems)
    return DatasetFacts(
        name=name,
        rules=rules if isinstance(rules, dict) else {},
        said={key: str(description[key]) for key in _SAID if description.get(key)},
        channels=[str(c) for c in channels.values()] if isinstance(channels, dict) else [],
        cases=cases,
        pairs=pairs,
    )


def _read_pairs(folder: Path, problems: list[Problem]) -> list[RegisteredPair] | None:
    path = folder / "registration.csv"
    if not path.is_file():
        return None
    return read_rows(RegisteredPair, path, problems)


def described_rules(rules: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Write the rules of a conversion as pairs of words, what a reader asks first on top."""
    names = {
        "layout": "layout",
        "sequences": "sequences",
        "unknown": "slices nobody drew on",
        "coarse_slices": "annotated window: slices on each side of the largest",
        "simulate_coarse": "coarse labels simulated from fine ones",
        "far_negatives": "far slices taken as free of tumor",
        "version": "converted with nnunet_pst",
    }
    pairs = [(words, _written(key, rules[key])) for key, words in names.items() if key in rules]
    others = sorted(set(rules) - set(names))
    return pairs + [(key.replace("_", " "), _written(key, rules[key])) for key in others]


def _written(key: str, value: object) -> str:
    if key == "unknown":
        return {
            "ignore": "unknown: they teach nothing (nnU-Net's ignore label)",
            "background": "BACKGROUND: learned as free of tumor, which they may not be",
        }.get(str(value), str(value))
    if key == "simulate_coarse" and isinstance(value, int) and not isinstance(value, bool):
        return f"yes, the largest slice and {value} on each side"
    if value is None or value is False:
        return "no"
    if value is True:
        return "yes"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(
            f"{name.replace('_', ' ')} {_written(name, v)}" for name, v in value.items()
        )
    return str(value)
