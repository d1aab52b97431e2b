"""The plan of a conversion: which sequences and cases it writes, and with which settings."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from nnunet_pst.dataset.cohort import Cohort, Patient
from nnunet_pst.dataset.conversion_journal import Journal, assign_pseudonyms, read_key
from nnunet_pst.dataset.conversion_settings import ConversionSettings
from nnunet_pst.dataset.identity import patient_key
from nnunet_pst.dataset.layouts import Case, Layout, SequenceChoice
from nnunet_pst.dataset.pair_registration import CohortRegistration
from nnunet_pst.dataset.raw_dataset import RawDataset
from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.digests import file_digest, quick_digest
from nnunet_pst.io.image_paths import is_image_name, join_address, split_address


@dataclass
class Conversion:
    """A conversion that has been planned but not yet checked.

    Parameters
    ----------
    dataset, cohort, layout, settings
        Where it writes, what, and how.
    choice
        The sequences that the settings mean in this cohort.
    pseudonyms
        By `identity.patient_key`.
    cases
        All cases of the cohort, in table order.
    journal
        What an earlier run finished.
    stored_settings
        The settings that hold for all cases, as in ``dataset.json`` and the journal.
    whole_before
        Names of the cases that an earlier run finished.
    stamps
        State of the sources by case, see `conversion_journal.source_stamp`.
    removed_files
        Number of files that belonged to no case.
    registered
        The registered pairs; None where nothing is registered.
    """

    dataset: RawDataset
    cohort: Cohort
    layout: Layout
    settings: ConversionSettings
    choice: SequenceChoice
    pseudonyms: dict[str, str]
    cases: list[Case]
    journal: Journal
    stored_settings: dict[str, Any]
    whole_before: frozenset[str]
    stamps: dict[str, str] = field(default_factory=dict)
    removed_files: int = 0
    registered: CohortRegistration | None = None

    @property
    def unfinished(self) -> list[Case]:
        """The cases that are not finished, or whose sources or files have changed since."""
        records = self.journal.records
        return [
            case
            for case in self.cases
            if case.name not in records
            or records[case.name].stamp != self.stamps.get(case.name)
            or records[case.name].files != tuple(map(quick_digest, self.dataset.files(case)))
        ]

    def forget_damaged(self) -> None:
        """Take cases for unfinished whose files are not, byte by byte, what was written."""
        records = self.journal.records
        for case in self.cases:
            files = self.dataset.files(case)
            if case.name in records and not (
                all(file.is_file() for file in files)
                and records[case.name].sha256 == tuple(map(file_digest, files))
            ):
                del records[case.name]


def with_roi(cohort: Cohort, roi: str | None) -> Cohort:
    """Name the structure to read from every DICOM label whose cell names none."""
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


def annotated_sequence(layout: Layout, settings: ConversionSettings) -> str | None:
    """Name the only sequence that needs masks; None where every sequence needs them."""
    if settings.labels_from is not None:
        return settings.labels_from
    return settings.sequences[0] if layout.fuses and settings.sequences else None


def _chosen_sequences(
    cohort: Cohort, layout: Layout, settings: ConversionSettings
) -> tuple[str, ...]:
    """Return the sequences to convert: in the order of the channels, or of the table."""
    sequences, labels_from = settings.sequences, settings.labels_from
    named = [*sequences, *([labels_from] if labels_from else [])]
    unknown = [name for name in dict.fromkeys(named) if name not in cohort.sequences]
    if unknown:
        raise InputError(
            f"{cohort.table.name} has no sequence {', '.join(unknown)}; it has "
            f"{', '.join(cohort.sequences) or 'none'}",
            Fault.UNKNOWN_NAME,
        )
    if not layout.fuses:
        return tuple(name for name in cohort.sequences if not sequences or name in sequences)
    if len(sequences) < 2 or len(set(sequences)) < len(sequences):
        raise InputError(
            "layout fusion needs two channels or more, each once, the reference first: give "
            f"--channels, such as --channels {' '.join(cohort.sequences[:2]) or 'T2 CET1'}",
            Fault.TOO_FEW,
        )
    return tuple(sequences)


def plan_conversion(
    place: RawDataset, cohort: Cohort, layout: Layout, settings: ConversionSettings
) -> Conversion:
    """Choose the sequences, number the patients, make the cases, and read the journal.

    Raises
    ------
    InputError
        When the cohort lacks a sequence that the settings name, ``fusion`` has less than two
        channels, or the key is damaged.
    """
    sequences = _chosen_sequences(cohort, layout, settings)
    choice = SequenceChoice(sequences, settings.allow_missing, settings.labels_from)
    pseudonyms = assign_pseudonyms(cohort.patients, read_key(place.key))
    cases = [
        case
        for patient in cohort.patients
        for case in layout.cases(patient, pseudonyms[patient_key(patient.identifier)], choice)
    ]
    journal = Journal.read(place.journal)
    return Conversion(
        dataset=place,
        cohort=cohort,
        layout=layout,
        settings=settings,
        choice=choice,
        pseudonyms=pseudonyms,
        cases=cases,
        journal=journal,
        stored_settings=_stored(layout, settings),
        whole_before=frozenset(name for name in journal.records if place.holds(name)),
    )


def _stored(layout: Layout, settings: ConversionSettings) -> dict[str, Any]:
    """Write the settings that hold for all cases as in ``dataset.json`` and the journal."""
    stored: dict[str, Any] = {"layout": layout.name, **asdict(settings.rules)}
    if layout.fuses or settings.labels_from:
        stored |= {
            "allow_missing": settings.allow_missing,
            "labels_from": settings.labels_from,
            "registration": asdict(settings.registration),
        }
    return {**stored, "sequences": list(settings.sequences) or "all"}
