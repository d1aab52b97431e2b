"""Layouts: how the sequences of a patient become nnU-Net cases.

A layout is a module of the package ``nnunet_pst.dataset_conversion`` that holds one `Layout` named
``LAYOUT``; it is found by name, so that a new one is a file there and a line in `LAYOUT_MODULES`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from nnunet_pst.cohort import Patient, Sequence
from nnunet_pst.errors import InputError

#: Names on the command line and the modules behind them.
LAYOUT_MODULES: dict[str, str] = {
    "all-sequence": "nnunet_pst.dataset_conversion.all_sequence",
}


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
        The sequences that become ``_0000``, ``_0001``, ...; they share the first one's grid.
    """

    name: str
    pseudonym: str
    patient: Patient
    channels: tuple[Sequence, ...]

    @property
    def labelled(self) -> Sequence:
        """The sequence whose mask, clicks and grid are the case's: the first channel."""
        return self.channels[0]


@dataclass(frozen=True)
class Layout:
    """A way to turn patients into cases.

    Parameters
    ----------
    name
        As on the command line.
    channel_names
        For ``dataset.json``; nnU-Net chooses the normalisation by them.
    cases
        Makes the cases of a patient from the patient, its pseudonym and the sequences asked for.
    """

    name: str
    channel_names: tuple[str, ...]
    cases: Callable[[Patient, str, tuple[str, ...]], list[Case]]


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
