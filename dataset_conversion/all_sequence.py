"""All-sequence layout: a case per patient and sequence, one channel, each on its own grid.

The paper's all-sequence model: any one sequence can be segmented alone, because the network has
seen each of them as an example of its own.
"""

from __future__ import annotations

from nnunet_pst.dataset.cohort_table import Patient
from nnunet_pst.dataset.layouts import Case, Layout, Wanted


def cases_of_patient(patient: Patient, pseudonym: str, wanted: Wanted) -> list[Case]:
    """Make a case of every sequence that was asked for and that the patient has."""
    drawn = patient.sequences.get(wanted.labels_from or "")
    cases = []
    for name in wanted.sequences:
        if name not in patient.sequences:
            continue
        sequence = patient.sequences[name]
        needs_mask = sequence.label is None and drawn is not None and drawn.label is not None
        cases.append(
            Case(
                f"{pseudonym}_{name}",
                pseudonym,
                patient,
                (sequence,),
                mask_from=drawn if needs_mask else None,
            )
        )
    return cases


LAYOUT = Layout(name="all-sequence", channel_names=lambda _: ("MRI",), cases=cases_of_patient)
