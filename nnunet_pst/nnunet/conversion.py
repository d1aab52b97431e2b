"""From a cohort table to an nnU-Net raw dataset: check everything, then write case by case."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nnunet_pst.annotation import LabelRules
from nnunet_pst.case_building import CaseFacts
from nnunet_pst.case_table import CASE_TABLE
from nnunet_pst.cohort import SPLITS, Cohort, parse_cohort
from nnunet_pst.covariates import screen_covariates
from nnunet_pst.errors import HostError, InputError, PartlyDoneError
from nnunet_pst.layouts import Case, Layout, load_layout
from nnunet_pst.nnunet.case_tasks import check_task, write_task
from nnunet_pst.nnunet.conversion_records import (
    Journal,
    Record,
    assign_pseudonyms,
    has_sources,
    read_key,
    source_places,
    source_stamp,
    write_key,
)
from nnunet_pst.nnunet.raw_dataset import (
    RawDataset,
    cases_table,
    dataset_description,
    is_ours,
    locate_dataset,
    make_folders,
    remove_strangers,
)
from nnunet_pst.whole_files import write_atomically
from nnunet_pst.workers import Runner


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
        Cases written now, cases that were whole already, and files of neither.
    renewed, removed
        Names of the cases that were whole and were written anew, or removed.
    coarse, fine
        Number of labels of each kind.
    known, tumor, free_negative, unknown, wrongly_free
        Number of slices over all labels, as in `CaseFacts`.
    resampled
        What was done to masks on another grid, by case.
    notes
        Lines about what was decided or left out.
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


@dataclass
class _Conversion:
    """A conversion that has been planned but not yet checked."""

    dataset: RawDataset
    cohort: Cohort
    layout: Layout
    rules: LabelRules
    sequences: tuple[str, ...]
    pseudonyms: dict[str, str]
    cases: list[Case]
    journal: Journal
    settings: dict[str, Any]
    whole_before: frozenset[str]
    stamps: dict[str, str] = field(default_factory=dict)
    removed_files: int = 0

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


def convert_cohort(
    table: Path,
    dataset: str,
    *,
    layout: str = "all-sequence",
    sequences: Sequence[str] | None = None,
    rules: LabelRules | None = None,
    workers: int = 1,
    overwrite: bool = False,
) -> ConversionSummary:
    """Convert a cohort table into ``nnUNet_raw/<dataset>``.

    The table and every file that it names are checked first; with any problem nothing is written.
    A conversion that was broken off goes on when the same call is made again, and one that is
    whole only converts the cases that are new or whose row or files have changed. Without
    ``overwrite`` no whole case is removed, and never do all of them come from other files.

    Parameters
    ----------
    table
        CSV, see `nnunet_pst.cohort`.
    dataset
        ``DatasetPST`` or ``DatasetNNN_Name``.
    layout
        One of `nnunet_pst.layouts.LAYOUT_MODULES`.
    sequences
        Which sequences to convert; all by default.
    rules
        How masks become labels.
    workers
        Number of processes; the files are the same with any number.
    overwrite
        Convert every case anew, also with other rules than before or from another cohort.
        Pseudonyms in an existing key stay.

    Raises
    ------
    InputError
        With all problems of the table and its files, or when the dataset was made otherwise.
    HostError
        When ``nnUNet_raw`` is not usable.
    PartlyDoneError
        When some cases could not be written; the same call goes on.
    """
    place = locate_dataset(dataset)
    cohort, problems = parse_cohort(table)
    conversion = _plan(
        place,
        cohort,
        layout=load_layout(layout),
        rules=rules or LabelRules(),
        sequences=_chosen(cohort, sequences),
    )
    conversion.settings["sequences"] = list(sequences) if sequences else "all"
    if not overwrite:
        _check_same_settings(conversion)
        if not problems:  # else the table may be another one when they are mended
            _check_same_cohort(conversion)
    elif place.folder.exists() and not is_ours(place):
        raise InputError(f"{place.name} was not made by nnunet_pst convert; remove it yourself")
    if overwrite:
        conversion.journal.records.clear()
    with _host_errors(), Runner(workers).running() as runner:
        problems += _check(conversion, runner)
        if problems:
            raise InputError(problems)
        todo = conversion.unfinished
        _write(conversion, todo, runner)
    return _summarise(conversion, {case.name for case in todo})


@contextmanager
def _host_errors() -> Iterator[None]:
    """Translate a folder that can't be written into a line for the user."""
    try:
        yield
    except OSError as error:
        raise HostError(
            f"nnUNet_raw is not writable: {error.strerror or error} ({error.filename})"
        ) from error


def _chosen(cohort: Cohort, sequences: Sequence[str] | None) -> tuple[str, ...]:
    """Return the sequences to convert, in table order."""
    unknown = [name for name in sequences or () if name not in cohort.sequences]
    if unknown:
        raise InputError(
            f"{cohort.table.name} has no sequence {', '.join(unknown)}; it has "
            f"{', '.join(cohort.sequences) or 'none'}"
        )
    return tuple(name for name in cohort.sequences if not sequences or name in sequences)


def _plan(
    place: RawDataset,
    cohort: Cohort,
    *,
    layout: Layout,
    rules: LabelRules,
    sequences: tuple[str, ...],
) -> _Conversion:
    """Number the patients, make the cases, and look up what an earlier run left."""
    pseudonyms = assign_pseudonyms(cohort.patients, read_key(place.key))
    cases = [
        case
        for patient in cohort.patients
        for case in layout.cases(patient, pseudonyms[patient.identifier.casefold()], sequences)
    ]
    journal = Journal.read(place.journal)
    return _Conversion(
        dataset=place,
        cohort=cohort,
        layout=layout,
        rules=rules,
        sequences=sequences,
        pseudonyms=pseudonyms,
        cases=cases,
        journal=journal,
        settings={"layout": layout.name, **asdict(rules)},
        whole_before=frozenset(name for name in journal.records if place.holds(name)),
    )


def _check_same_settings(conversion: _Conversion) -> None:
    """Refuse to mix cases made by different rules in one dataset."""
    dataset, earlier = conversion.dataset, conversion.journal.settings
    if earlier is None:
        if dataset.folder.exists() and any(dataset.folder.iterdir()):
            raise InputError(
                f"{dataset.name} exists and was not made by this command; choose another --dataset"
                + (", or --overwrite to make it anew" if is_ours(dataset) else "")
            )
        return
    changed = [
        f"{name} {earlier.get(name)} (now {value})"
        for name, value in conversion.settings.items()
        if earlier.get(name) != value
    ]
    if changed:
        raise InputError(
            f"{dataset.name} was converted with {', '.join(changed)}; give --overwrite to convert "
            "it anew, or another --dataset"
        )


def _check_same_cohort(conversion: _Conversion) -> None:
    """Refuse to remove whole cases, or to exchange all of them: the table is another cohort's."""
    name, table = conversion.dataset.name, conversion.cohort.table.name
    whole, records = conversion.whole_before, conversion.journal.records
    staying = [case for case in conversion.cases if case.name in whole]
    lost = sorted(whole - {case.name for case in staying})
    remedy = "choose another --dataset for another cohort, or give --overwrite to convert all anew"
    if lost:
        raise InputError(
            f"{len(lost)} of the {len(whole)} cases of {name} are not in {table} any more and "
            f"would be removed ({_listed(lost)}); put them back into it, {remedy}"
        )
    if staying and all(records[c.name].places != source_places(c) for c in staying):
        raise InputError(
            f"all {len(whole)} cases of {name} would be replaced, because {table} names other "
            f"files for every one of them; {remedy}"
        )


def _listed(names: Sequence[str], shown: int = 5) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _check(conversion: _Conversion, runner: Runner) -> list[str]:
    """Check the files of all cases that will be written; return the problems."""
    # Missing files are among the table's problems already.
    readable = [case for case in conversion.cases if has_sources(case)]
    conversion.stamps = {case.name: source_stamp(case) for case in readable}
    problems = _without_training(conversion)
    todo = {case.name for case in conversion.unfinished}
    outcomes = runner.run(
        check_task(conversion.rules), [c for c in readable if c.name in todo], "checking"
    )
    found: dict[str, list[str]] = {}
    for case, outcome in outcomes:
        if isinstance(outcome, InputError):
            found[case.name] = [f"{conversion.cohort.table.name}, {p}" for p in outcome.problems]
        elif isinstance(outcome, Exception):
            raise outcome
    return problems + [line for case in conversion.cases for line in found.get(case.name, ())]


def _without_training(conversion: _Conversion) -> list[str]:
    """Report that the chosen sequences leave nothing to train on."""
    trains = any(patient.split == "train" for patient in conversion.cohort.patients)
    if not trains or any(case.patient.split == "train" for case in conversion.cases):
        return []  # a table without training patients is among its own problems
    chosen = ", ".join(conversion.sequences)
    return [f"{conversion.cohort.table.name}: no training patient has any of {chosen}; add some"]


def _write(conversion: _Conversion, todo: list[Case], runner: Runner) -> None:
    """Write what is not whole yet; ``dataset.json`` last, so that only a whole dataset has one."""
    dataset, journal = conversion.dataset, conversion.journal
    dataset.raw.mkdir(parents=True, exist_ok=True)
    if conversion.pseudonyms != read_key(dataset.key):
        write_key(dataset.key, conversion.pseudonyms, conversion.cohort.patients)
    unchanged = {case.name for case in conversion.cases} - {case.name for case in todo}
    if todo or set(journal.records) != unchanged:
        journal.begin(conversion.settings, [n for n in journal.records if n in unchanged])
        dataset.description.unlink(missing_ok=True)
    conversion.removed_files = remove_strangers(dataset, conversion.cases)
    make_folders(dataset, conversion.cases)
    failed = []
    for case, outcome in runner.run(write_task(conversion.rules, dataset), todo, "writing"):
        if isinstance(outcome, CaseFacts):
            record = Record(conversion.stamps[case.name], source_places(case), outcome)
            journal.append(case.name, record)
        else:
            failed.append(f"{case.name}: {outcome}")
    if failed:
        done = len(conversion.cases) - len(failed)
        raise PartlyDoneError(
            [*sorted(failed), f"{done} cases are written; run the same command again for the rest"]
        )
    facts = {name: record.facts for name, record in journal.records.items()}
    kept_covariates, _ = screen_covariates(conversion.cohort)
    description = dataset_description(
        conversion.cases,
        conversion.layout,
        rules=conversion.rules,
        sequences=conversion.sequences,
    )
    write_atomically(
        dataset.folder / CASE_TABLE, cases_table(conversion.cases, facts, kept_covariates)
    )
    write_atomically(dataset.description, json.dumps(description, indent=2) + "\n")


def _summarise(conversion: _Conversion, written: set[str]) -> ConversionSummary:
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
    )


def _notes(conversion: _Conversion, facts: Sequence[CaseFacts]) -> list[str]:
    """Say what was decided where the table left something open, and what was left out."""
    cohort, cases = conversion.cohort, conversion.cases
    _, notes = screen_covariates(cohort)
    if not cohort.has_label_kind:
        masks = [case.labelled for case in cases if case.labelled.label is not None]
        fine = sum(sequence.label_kind == "fine" for sequence in masks)
        notes.append(
            f"no column 'label_kind': {fine} masks are taken as fine, drawn on every slice"
        )
    left_out = len(cohort.patients) - len({case.pseudonym for case in cases})
    if left_out:
        notes.append(f"{left_out} patients have none of {', '.join(conversion.sequences)}")
    notes += _shared_masks(cases)
    if not any(case.patient.split == "test" for case in cases):
        notes.append(
            "no test cases, so there is no imagesTs: nothing to predict and evaluate on; write "
            "'test' for some patients in column 'split'"
        )
    wrong = [fact.wrongly_free for fact in facts if fact.wrongly_free]
    if wrong:
        notes.append(
            f"{sum(wrong)} of {sum(fact.free_negative for fact in facts)} free negative slices, in "
            f"{len(wrong)} cases, hold tumor in the fine masks: lesions longer than the rule thinks"
        )
    notes += [
        f"{case.name} (row {case.patient.row}): {fact.note}: not applied"
        for case, fact in zip(cases, facts, strict=True)
        if fact.note
    ]
    return notes


def _shared_masks(cases: Sequence[Case]) -> list[str]:
    """Say which sequences of how many patients have one mask file in common."""
    users: dict[tuple[str, Path], list[str]] = {}
    for case in cases:
        if case.labelled.label is not None:
            mask = case.labelled.label.resolve()
            users.setdefault((case.pseudonym, mask), []).append(case.labelled.name)
    shared = Counter(" and ".join(names) for names in users.values() if len(names) > 1)
    return [
        f"one mask serves {names} of {count} patients: it is put onto each image's grid"
        for names, count in shared.items()
    ]
