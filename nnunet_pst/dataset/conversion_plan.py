"""What a conversion is going to do: which sequences, which cases, after which rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from nnunet_pst.dataset.annotation import LabelRules
from nnunet_pst.dataset.cohort_table import Cohort, Patient
from nnunet_pst.dataset.conversion_journal import Journal, assign_pseudonyms, read_key
from nnunet_pst.dataset.layouts import Case, Layout, Wanted
from nnunet_pst.dataset.pair_registration import CohortRegistration
from nnunet_pst.dataset.raw_dataset import RawDataset
from nnunet_pst.errors import InputError
from nnunet_pst.io.image_paths import is_image_name, join_address, split_address
from nnunet_pst.registration.policy import RegistrationSettings


@dataclass
class Conversion:
    """A conversion that has been planned but not yet checked."""

    dataset: RawDataset
    cohort: Cohort
    layout: Layout
    rules: LabelRules
    wanted: Wanted
    registration: RegistrationSettings
    pseudonyms: dict[str, str]
    cases: list[Case]
    journal: Journal
    settings: dict[str, Any]
    whole_before: frozenset[str]
    stamps: dict[str, str] = field(default_factory=dict)
    removed_files: int = 0
    registered: CohortRegistration | None = None

    @property
    def unfinished(self) -> list[Case]:
        """The cases that are not whole, or no longer made from what lies there now."""
        records = self.journal.records
        return [
            case
            for case in self.cases
            if case.name not in records
            or records[case.name].stamp != self.stamps.get(case.name)
            or not all(path.is_file() for path in self.dataset.files(case))
        ]


def with_roi(cohort: Cohort, roi: str | None) -> Cohort:
    """Name the structure to read of every DICOM label whose cell names none."""
    if roi is None:
        return cohort
    return replace(cohort, patients=tuple(_named(patient, roi) for patient in cohort.patients))


def _named(patient: Patient, roi: str) -> Patient:
    sequences = {}
    for name, sequence in patient.sequences.items():
        label = sequence.label
        if label is not None and not is_image_name(label):
            place, key = split_address(label)
            label = Path(join_address(str(place), {"roi": roi, **key}))
        sequences[name] = replace(sequence, label=label)
    return replace(patient, sequences=sequences)


def drawn_sequence(
    layout: Layout, sequences: Sequence[str] | None, labels_from: str | None
) -> str | None:
    """Name the sequence that must be drawn on; None: each of them."""
    if labels_from is not None:
        return labels_from
    return sequences[0] if layout.fuses and sequences else None


def chosen_sequences(
    cohort: Cohort, sequences: Sequence[str] | None, layout: Layout, labels_from: str | None
) -> tuple[str, ...]:
    """Return the sequences to convert: in the order of the channels, or of the table."""
    named = [*(sequences or ()), *([labels_from] if labels_from else [])]
    unknown = [name for name in dict.fromkeys(named) if name not in cohort.sequences]
    if unknown:
        raise InputError(
            f"{cohort.table.name} has no sequence {', '.join(unknown)}; it has "
            f"{', '.join(cohort.sequences) or 'none'}"
        )
    if not layout.fuses:
        return tuple(name for name in cohort.sequences if not sequences or name in sequences)
    if not sequences or len(sequences) < 2 or len(set(sequences)) < len(sequences):
        raise InputError(
            "layout fusion needs two channels or more, each once, the reference first: give "
            f"--channels, such as --channels {' '.join(cohort.sequences[:2]) or 'T2 CET1'}"
        )
    return tuple(sequences)


def plan_conversion(
    place: RawDataset,
    cohort: Cohort,
    *,
    layout: Layout,
    rules: LabelRules,
    wanted: Wanted,
    registration: RegistrationSettings,
) -> Conversion:
    """Number the patients, make the cases, and look up what an earlier run left."""
    pseudonyms = assign_pseudonyms(cohort.patients, read_key(place.key))
    cases = [
        case
        for patient in cohort.patients
        for case in layout.cases(patient, pseudonyms[patient.identifier.casefold()], wanted)
    ]
    settings: dict[str, Any] = {"layout": layout.name, **asdict(rules)}
    if layout.fuses or wanted.labels_from:
        settings |= {
            "allow_missing": wanted.allow_missing,
            "labels_from": wanted.labels_from,
            "registration": asdict(registration),
        }
    journal = Journal.read(place.journal)
    return Conversion(
        dataset=place,
        cohort=cohort,
        layout=layout,
        rules=rules,
        wanted=wanted,
        registration=registration,
        pseudonyms=pseudonyms,
        cases=cases,
        journal=journal,
        settings=settings,
        whole_before=frozenset(name for name in journal.records if place.holds(name)),
    )
