"""Fusion layout: a case per patient, one channel per sequence, all on the first one's grid.

The paper's T2-fusion model has T2 and, registered to it, CET1. The label is the first channel's.
"""

from __future__ import annotations

from nnunet_pst.dataset.cohort_table import Patient
from nnunet_pst.dataset.layouts import Case, Layout, Wanted


def cases_of_patient(patient: Patient, pseudonym: str, wanted: Wanted) -> list[Case]:
    """Make the patient's case, or none where the patient lacks what it can't be made without."""
    channels = tuple(patient.sequences.get(name) for name in wanted.sequences)
    first = channels[0]
    if first is None or (None in channels and not wanted.allow_missing):
        return []
    drawn = patient.sequences.get(wanted.labels_from or "")
    needs_mask = first.label is None and drawn is not None and drawn.label is not None
    mask_from = drawn if needs_mask else None
    missing = tuple(
        name for name, found in zip(wanted.sequences, channels, strict=True) if found is None
    )
    return [Case(pseudonym, pseudonym, patient, channels, mask_from=mask_from, missing=missing)]


LAYOUT = Layout(
    name="fusion", channel_names=lambda sequences: sequences, cases=cases_of_patient, fuses=True
)
