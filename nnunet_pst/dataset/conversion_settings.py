"""What decides a conversion besides the table: layout, sequences, label rules, registration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from nnunet_pst.dataset.annotation import LabelRules
from nnunet_pst.registration.policy import RegistrationSettings


@dataclass(frozen=True)
class ConversionSettings:
    """The settings of a conversion, as `nnunet_pst convert` has them.

    Parameters
    ----------
    layout
        One of `nnunet_pst.dataset.layouts.LAYOUT_MODULES`.
    sequences
        Sequences to convert; of layout ``fusion`` the channels, the reference first. Empty: all of
        the table.
    allow_missing
        Make cases of patients who lack a channel, with zeros in its place.
    labels_from
        Sequence whose mask is used for sequences without a mask; None: every sequence needs one.
    roi
        Structure or segment to read from DICOM labels whose cell names none.
    rules
        How masks become labels.
    registration
        How sequences are registered, where that is needed.
    """

    layout: str = "all-sequence"
    sequences: Sequence[str] = ()
    allow_missing: bool = False
    labels_from: str | None = None
    roi: str | None = None
    rules: LabelRules = field(default_factory=LabelRules)
    registration: RegistrationSettings = field(default_factory=RegistrationSettings)
