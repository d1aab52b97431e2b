"""Layouts: how the sequences of a patient become nnU-Net cases.

A layout is a module of the package ``nnunet_pst.dataset_conversion`` that holds one `Layout` named
``LAYOUT``; it is found by name, so that a new one is a file there and a line in `LAYOUT_MODULES`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from nnunet_pst.dataset.cohort_table import Patient, Sequence
from nnunet_pst.errors import InputError

#: Names on the command line and the modules behind them.
LAYOUT_MODULES: dict[str, str] = {
    "all-sequence": "nnunet_pst.dataset_conversion.all_sequence",
    "fusion": "nnunet_pst.dataset_conversion.fusion",
}


@dataclass(frozen=True)
class Wanted:
    """Which sequences were asked for, and how.

    Parameters
    ----------
    sequences
        In the order of the channels where the layout has several, else in table order.
    allow_missing
        Make cases of patients who lack a channel other than the first.
    labels_from
        Sequence whose mask serves the sequences that have none, or None.
    """

    sequences: tuple[str, ...]
    allow_missing: bool = False
    labels_from: str | None = None


@dataclass(frozen=True)
class Case:
    """What nnU-Net sees: one image set on one grid, with one label.

    Parameters
    ----------
    name
        Pseudonymous name, such as ``PST_0001_T2``.
    pseudonym
        Of the patient, such as ``PST_0001``.
    patient
        The row of the table (private).
    channels
        The sequences that become ``_0000``, ``_0001``, ...; the others lie on the first one's
        grid. None for a channel that the patient lacks: it becomes zeros.
    mask_from
        Another sequence, whose mask is carried to this case; None where the first channel has one.
    missing
        Names of the channels that the patient lacks.
    """

    name: str
    pseudonym: str
    patient: Patient
    channels: tuple[Sequence | None, ...]
    mask_from: Sequence | None = None
    missing: tuple[str, ...] = ()

    @property
    def reference(self) -> Sequence:
        """The sequence whose grid is the case's: the first channel."""
        first = self.channels[0]
        assert first is not None  # layouts make no case without it
        return first

    @property
    def present(self) -> tuple[Sequence, ...]:
        """The channels that the patient has."""
        return tuple(channel for channel in self.channels if channel is not None)

    @property
    def labeled(self) -> Sequence:
        """The sequence that was drawn on and clicked on."""
        return self.mask_from or self.reference

    @property
    def registered(self) -> tuple[tuple[Sequence, Sequence], ...]:
        """Pairs (reference, moving) that the case needs registered, each in one direction."""
        pairs = [(self.reference, channel) for channel in self.present[1:]]
        # The drawn sequence is the reference of a carried mask, as it would be of a fusion; where
        # it is a channel, its registration is there already and only has to be turned round.
        if self.mask_from and self.mask_from not in self.present:
            pairs.append((self.mask_from, self.reference))
        return tuple(pairs)


@dataclass(frozen=True)
class Layout:
    """A way to turn patients into cases.

    Parameters
    ----------
    name
        As on the command line.
    channel_names
        For ``dataset.json``, from the sequences asked for; nnU-Net chooses the normalization by
        them.
    cases
        Makes the cases of a patient from the patient, its pseudonym and what was asked for.
    fuses
        Whether a case has a channel for each sequence asked for.
    """

    name: str
    channel_names: Callable[[tuple[str, ...]], tuple[str, ...]]
    cases: Callable[[Patient, str, Wanted], list[Case]]
    fuses: bool = False


def load_layout(name: str) -> Layout:
    """Find a layout by name.

    Raises
    ------
    InputError
        When there is none of that name.
    """
    if name not in LAYOUT_MODULES:
        raise InputError(f"there is no layout '{name}'; choose from: {', '.join(LAYOUT_MODULES)}")
    layout = importlib.import_module(LAYOUT_MODULES[name]).LAYOUT
    assert isinstance(layout, Layout)
    return layout
