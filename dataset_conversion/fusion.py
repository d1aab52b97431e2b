"""Fusion layout: a case per patient, one channel per sequence, all on the first one's grid.

The paper's T2-fusion model has T2 and, registered to it, CET1. The label is the first channel's.
"""

from __future__ import annotations

from nnunet_pst.dataset.cohort import Patient
from nnunet_pst.dataset.layouts import Case, Layout, SequenceChoice


def cases_of_patient(patient: Patient, pseudonym: str, choice: SequenceChoice) -> list[Case]:
    """Make the patient's case; none where the patient lacks a channel that is needed."""
    channels = tuple(patient.sequences.get(name) for name in choice.sequences)
    first = channels[0]
    if first is None or (None in channels and not choice.allow_missing):
        return []
    annotated = patient.sequences.get(choice.labels_from or "")
    carries = first.label is None and annotated is not None and annotated.label is not None
    mask_from = annotated if carries else None
    missing = tuple(
        name for name, channel in zip(choice.sequences, channels, strict=True) if channel is None
    )
    return [Case(pseudonym, pseudonym, patient, channels, mask_from=mask_from, missing=missing)]


LAYOUT = Layout(
    name="fusion", channel_names=lambda sequences: sequences, cases=cases_of_patient, fuses=True
)
