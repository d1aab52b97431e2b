"""Layouts: how the sequences of a patient become nnU-Net cases.

A layout is a module of the package ``nnunet_pst.dataset_conversion`` that holds one `Layout` named
``LAYOUT``. It is loaded by name, so a new layout is a file there and a line in `LAYOUT_MODULES`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from nnunet_pst.dataset.cohort import Patient, Sequence
from nnunet_pst.errors import Fault, InputError

#: Names on the command line and the modules behind them.
LAYOUT_MODULES: dict[str, str] = {
    "all-sequence": "nnunet_pst.dataset_conversion.all_sequence",
    "fusion": "nnunet_pst.dataset_conversion.fusion",
}


@dataclass(frozen=True)
class SequenceChoice:
    """Which sequences become cases, and how.

    Parameters
    ----------
    sequences
        In the order of the channels where the layout has several, else in table order.
    allow_missing
        Make cases of patients who lack a channel other than the first.
    labels_from
        Sequence whose mask is used for sequences without a mask, or None.
    """

    sequences: tuple[str, ...]
    allow_missing: bool = False
    labels_from: str | None = None


@dataclass(frozen=True)
class Case:
    """A case of nnU-Net: the images of one patient on one grid, with one label.

    Parameters
    ----------
    name
        Pseudonymous name, such as ``PST_0001_T2``.
    pseudonym
        Of the patient, such as ``PST_0001``.
    patient
        The row of the table (private).
    channels
        The sequences that become ``_0000``, ``_0001``, ..., all on the grid of the first. None for
        a channel that the patient lacks: it becomes zeros.
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
        """The annotated sequence: its mask and clicks are used."""
        return self.mask_from or self.reference

    @property
    def registered(self) -> tuple[tuple[Sequence, Sequence], ...]:
        """Pairs (reference, moving) that the case needs registered, each in one direction."""
        pairs = [(self.reference, channel) for channel in self.present[1:]]
        # The annotated sequence is the reference of a carried mask, as it would be in a fusion.
        # Where it is a channel, its registration exists already and its inverse is used.
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
        For ``dataset.json``, from the chosen sequences; nnU-Net chooses the normalization by them.
    cases
        Makes the cases of a patient from the patient, its pseudonym and the choice of sequences.
    fuses
        Whether a case has a channel for each chosen sequence.
    """

    name: str
    channel_names: Callable[[tuple[str, ...]], tuple[str, ...]]
    cases: Callable[[Patient, str, SequenceChoice], list[Case]]
    fuses: bool = False


def load_layout(name: str) -> Layout:
    """Find a layout by name.

    Raises
    ------
    InputError
        When there is no layout of that name.
    """
    if name not in LAYOUT_MODULES:
        raise InputError(
            f"there is no layout '{name}'; choose from: {', '.join(LAYOUT_MODULES)}",
            Fault.UNKNOWN_NAME,
        )
    layout = importlib.import_module(LAYOUT_MODULES[name]).LAYOUT
    assert isinstance(layout, Layout)
    return layout
