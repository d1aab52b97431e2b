"""All-sequence layout: a case per patient and sequence, one channel, each on its own grid.

The paper's all-sequence model: any one sequence can be segmented alone, because the network has
seen each of them as an example of its own.
"""

from __future__ import annotations

from nnunet_pst.cohort import Patient
from nnunet_pst.layouts import Case, Layout


def cases_of_patient(patient: Patient, pseudonym: str, sequences: tuple[str, ...]) -> list[Case]:
    """Make a case of every sequence that was asked for and that the patient has."""
    return [
        Case(f"{pseudonym}_{name}", pseudonym, patient, (patient.sequences[name],))
        for name in sequences
        if name in patient.sequences
    ]


LAYOUT = Layout(name="all-sequence", channel_names=("MRI",), cases=cases_of_patient)
