"""All-sequence layout: a case per patient and sequence, one channel, each on its own grid.

The paper's all-sequence model: any one sequence can be segmented alone, because the network has
seen each of them as an example of its own.
"""

from __future__ import annotations

from nnunet_pst.dataset.cohort import Patient
from nnunet_pst.dataset.layouts import Case, Layout, SequenceChoice


def cases_of_patient(patient: Patient, pseudonym: str, choice: SequenceChoice) -> list[Case]:
    """Make a case of every chosen sequence that the patient has."""
    annotated = patient.sequences.get(choice.labels_from or "")
    cases = []
    for name in choice.sequences:
        if name not in patient.sequences:
            continue
        sequence = patient.sequences[name]
        carries = sequence.label is None and annotated is not None and annotated.label is not None
        cases.append(
            Case(
                f"{pseudonym}_{name}",
                pseudonym,
                patient,
                (sequence,),
                mask_from=annotated if carries else None,
            )
        )
    return cases


LAYOUT = Layout(name="all-sequence", channel_names=lambda _: ("MRI",), cases=cases_of_patient)
