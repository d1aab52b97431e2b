"""A cohort in memory: patients, their sequences, and where the files are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Split = Literal["train", "val", "test"]
LabelKind = Literal["coarse", "fine"]
#: First and last slice of a lesion (0-based, both included).
Extent = tuple[int, int]
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
        Slices that were looked at (0-based), or None where only drawn slices are known.
    extents
        First and last slice of each lesion, or of all together; empty where they were not given.
    kind_is_guessed
        Whether the table leaves the label kind to us.
    """

    name: str
    image: Path
    label: Path | None
    label_kind: LabelKind
    annotated: tuple[int, ...] | None = None
    extents: tuple[Extent, ...] = ()
    kind_is_guessed: bool = False

    @property
    def first(self) -> int | None:
        """First slice with tumor, as far as the table says."""
        return min((first for first, _ in self.extents), default=None)

    @property
    def last(self) -> int | None:
        """Last slice with tumor, as far as the table says."""
        return max((last for _, last in self.extents), default=None)


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
