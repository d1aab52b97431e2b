"""What a conversion did, in numbers and notes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunet_pst.dataset.case_building import CaseFacts
from nnunet_pst.dataset.cohort import SPLITS
from nnunet_pst.dataset.conversion_plan import Conversion
from nnunet_pst.dataset.covariates import screen_covariates
from nnunet_pst.dataset.identity import name_notes
from nnunet_pst.dataset.layouts import Case
from nnunet_pst.dataset.repeated_voxels import voxel_notes
from nnunet_pst.io.real_paths import real_path


@dataclass(frozen=True)
class ConversionSummary:
    """What a conversion did.

    Parameters
    ----------
    dataset, folder, key
        Name, folder and key file of the dataset.
    patients, cases
        Numbers by split.
    written, kept, removed_files
        Number of cases written now, cases that were finished already, and files of neither that
        were removed.
    renewed, removed
        Names of the finished cases that were written again, or removed.
    coarse, fine
        Number of labels of each kind.
    known, tumor, free_negative, unknown, wrongly_free
        Number of slices over all labels, as in `CaseFacts`.
    resampled
        How masks on another grid were resampled, by case.
    notes
        Lines about decisions and omissions.
    registered, registered_before
        Number of pairs of sequences that were registered now, and by an earlier run.
    registration
        Folder with transforms, pictures and ``registration.csv``; None where nothing was
        registered.
    flagged
        Why a pair could not be registered or a mask not carried, by pair or case. The stated
        fallback was used; the user should look at the result.
    """

    dataset: str
    folder: Path
    key: Path
    patients: Mapping[str, int]
    cases: Mapping[str, int]
    written: int
    kept: int
    removed_files: int
    renewed: Sequence[str]
    removed: Sequence[str]
    coarse: int
    fine: int
    known: int
    tumor: int
    free_negative: int
    unknown: int
    wrongly_free: int
    resampled: Mapping[str, str]
    notes: Sequence[str]
    registered: int
    registered_before: int
    registration: Path | None
    flagged: Mapping[str, str]


def summarize(conversion: Conversion, written: set[str]) -> ConversionSummary:
    """Count what the dataset holds now."""
    records = conversion.journal.records
    facts = [records[case.name].facts for case in conversion.cases]
    labels = [fact for fact in facts if fact.label_kind]
    by_split = {
        split: [case for case in conversion.cases if case.patient.split == split]
        for split in SPLITS
    }
    return ConversionSummary(
        dataset=conversion.dataset.name,
        folder=conversion.dataset.folder,
        key=conversion.dataset.key,
        patients={split: len({c.pseudonym for c in cases}) for split, cases in by_split.items()},
        cases={split: len(cases) for split, cases in by_split.items()},
        written=len(written),
        kept=len(facts) - len(written),
        removed_files=conversion.removed_files,
        renewed=sorted(conversion.whole_before & written),
        removed=sorted(conversion.whole_before - {case.name for case in conversion.cases}),
        coarse=sum(fact.label_kind == "coarse" for fact in labels),
        fine=sum(fact.label_kind == "fine" for fact in labels),
        known=sum(fact.known for fact in labels),
        tumor=sum(fact.tumor for fact in labels),
        free_negative=sum(fact.free_negative for fact in labels),
        unknown=sum(fact.unknown for fact in labels),
        wrongly_free=sum(fact.wrongly_free for fact in labels),
        resampled={
            case.name: fact.resampled
            for case, fact in zip(conversion.cases, facts, strict=True)
            if fact.resampled
        },
        notes=_notes(conversion, facts),
        **_registration_counts(conversion, facts),
    )


def _registration_counts(conversion: Conversion, facts: Sequence[CaseFacts]) -> dict[str, Any]:
    """Say what was registered, and what the user should look at."""
    registration = conversion.registered
    if registration is None:
        return {"registered": 0, "registered_before": 0, "registration": None, "flagged": {}}
    carried = {
        case.name: f"mask of {case.labeled.name}, {fact.carried}: {'; '.join(fact.carry_problems)}"
        for case, fact in zip(conversion.cases, facts, strict=True)
        if fact.carry_problems
    }
    return {
        "registered": len(registration.records) - registration.kept,
        "registered_before": registration.kept,
        "registration": registration.folder,
        "flagged": {**registration.flagged, **carried},
    }


def _notes(conversion: Conversion, facts: Sequence[CaseFacts]) -> list[str]:
    """Say what was decided where the table leaves a choice, and what was left out."""
    cohort, cases = conversion.cohort, conversion.cases
    _, notes = screen_covariates(cohort)
    notes += _guessed_kinds(conversion)
    left_out = len(cohort.patients) - len({case.pseudonym for case in cases})
    if left_out:
        which = "lack one" if conversion.layout.fuses else "have none"
        notes.append(
            f"{left_out} patients {which} of {', '.join(conversion.choice.sequences)}: left out"
        )
    notes += _filled(cases)
    if conversion.registered is not None:
        notes += conversion.registered.frame_notes
    notes += _shared_masks(cases)
    notes += name_notes(cohort.patients)
    notes += voxel_notes(cases, dict(zip((case.name for case in cases), facts, strict=True)))
    notes += _coarse_notes(conversion, facts)
    if not any(case.patient.split == "test" for case in cases):
        notes.append(
            "no test cases, so there is no imagesTs: nothing to predict and evaluate on; write "
            "'test' for some patients in column 'split'"
        )
    wrong = [fact.wrongly_free for fact in facts if fact.wrongly_free]
    if wrong:
        notes.append(
            f"{sum(wrong)} of {sum(fact.free_negative for fact in facts)} free negative slices, in "
            f"{len(wrong)} cases, hold tumor in the fine masks: lesions longer than the rule allows"
        )
    notes += [
        f"{case.name} (row {case.patient.row}): {fact.note}: not applied"
        for case, fact in zip(cases, facts, strict=True)
        if fact.note
    ]
    notes += [
        f"{case.name} (row {case.patient.row}): {remark}"
        for case, fact in zip(cases, facts, strict=True)
        for remark in fact.remarks
    ]
    return notes


def _guessed_kinds(conversion: Conversion) -> list[str]:
    """Say how masks are taken whose kind the table doesn't state."""
    masks = [case.labeled for case in conversion.cases if case.labeled.label is not None]
    if not conversion.cohort.has_label_kind:
        fine = sum(sequence.label_kind == "fine" for sequence in masks)
        return [f"no column 'label_kind': {fine} masks count as fine, drawn on every slice"]
    guessed = [sequence.label_kind for sequence in masks if sequence.kind_is_guessed]
    if not guessed:
        return []
    return [
        f"label_kind is empty for {len(guessed)} masks: {guessed.count('fine')} count as fine, "
        f"drawn on every slice, {guessed.count('coarse')} as coarse"
    ]


def _coarse_notes(conversion: Conversion, facts: Sequence[CaseFacts]) -> list[str]:
    """Say what coarse labels lack, and what an ablation does to the labels of training cases."""
    rules, notes = conversion.settings.rules, []
    pairs = list(zip(conversion.cases, facts, strict=True))
    training = [fact for case, fact in pairs if case.patient.split == "train"]
    full = sum(
        fact.label_kind == "coarse" and fact.tumor == fact.known and not fact.free_negative
        for fact in training
    )
    if full and rules.unknown == "ignore":
        notes.append(
            f"{full} coarse labels know no slice without tumor, so the network learns none from "
            "them: fill in first and last, or give --far-negatives"
        )
    drawn = [
        len(fact.annotated)
        for case, fact in pairs
        if fact.label_kind == "coarse" and case.labeled.label_kind == "coarse"
    ]
    if drawn and max(drawn) != 2 * rules.coarse_slices + 1:
        side = "beyond" if max(drawn) > 2 * rules.coarse_slices else "inside"
        spread = f"{min(drawn)} to {max(drawn)}" if min(drawn) < max(drawn) else f"{max(drawn)}"
        knew = "knew" if side == "beyond" else "did not know"
        notes.append(
            f"coarse masks are drawn on {spread} slices: scores {side} the "
            f"window of --coarse-slices {rules.coarse_slices} take in slices that training {knew}; "
            f"--coarse-slices {max(drawn) // 2} fits better"
        )
    unknown = [fact for fact in training if fact.unknown]
    if rules.unknown == "background" and unknown:
        notes.append(
            f"--unknown background: {sum(fact.unknown for fact in unknown)} unknown slices of "
            f"{len(unknown)} training cases are background, also where a fold's validation scores "
            "them; labels of test and validation patients are as without it"
        )
    return notes


def _filled(cases: Sequence[Case]) -> list[str]:
    """Name the cases whose missing channels were filled, by channel."""
    lacking: dict[str, list[str]] = {}
    for case in cases:
        for channel in case.missing:
            lacking.setdefault(channel, []).append(f"{case.name} (row {case.patient.row})")
    return [
        f"{channel} is missing and filled with zeros in {len(names)} of {len(cases)} cases: "
        f"{', '.join(names)}"
        for channel, names in lacking.items()
    ]


def _shared_masks(cases: Sequence[Case]) -> list[str]:
    """Say which sequences share one mask file, and for how many patients."""
    users: dict[tuple[str, Path], list[str]] = {}
    for case in cases:
        if case.labeled.label is not None and case.mask_from is None:
            mask = real_path(case.labeled.label)
            users.setdefault((case.pseudonym, mask), []).append(case.labeled.name)
    shared = Counter(" and ".join(names) for names in users.values() if len(names) > 1)
    return [
        f"one mask serves {names} of {count} patients: it is put onto each image's grid"
        for names, count in shared.items()
    ]
