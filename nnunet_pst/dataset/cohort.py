"""A cohort in memory: patients, their sequences, and where the files are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Split = Literal["train", "val", "test"]
LabelKind = Literal["coarse", "fine"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
LABEL_KINDS: tuple[LabelKind, ...] = ("coarse", "fine")


@dataclass(frozen=True)
class Sequence:
    """One sequence of one patient.

    Parameters
    ----------
    name
        Such as ``T2``.
    image
        Path of the image.
    label
        Path of the mask; None where there is none (test patients only).
    label_kind
        ``fine``: drawn on every slice; ``coarse``: drawn on some.
    annotated
        Slices whose label is known (0-based), or None to apply the coarse rule.
    first, last
        0-based slices that enclose the lesion, or None.
    """

    name: str
    image: Path
    label: Path | None
    label_kind: LabelKind
    annotated: tuple[int, ...] | None = None
    first: int | None = None
    last: int | None = None


@dataclass(frozen=True)
class Patient:
    """A row of the table.

    Parameters
    ----------
    identifier
        The ``patient`` cell. Private: it must never reach the dataset folder.
    row
        Row in the table as a spreadsheet shows it (the header is row 1).
    split
        ``train``, ``val`` or ``test``.
    sequences
        The sequences that the patient has, by name, in table order.
    covariates
        All other cells, by column.
    """

    identifier: str
    row: int
    split: Split
    sequences: Mapping[str, Sequence]
    covariates: Mapping[str, str]


@dataclass(frozen=True)
class Cohort:
    """The patients of a table, and its columns.

    Parameters
    ----------
    table
        The file.
    patients
        In table order.
    sequences, covariates
        Names of the columns, in table order.
    has_label_kind
        Whether the table has a column that says which masks are coarse.
    """

    table: Path
    patients: tuple[Patient, ...]
    sequences: tuple[str, ...]
    covariates: tuple[str, ...]
    has_label_kind: bool
