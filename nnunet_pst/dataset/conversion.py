"""From a cohort table to an nnU-Net raw dataset: check everything, then write case by case."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from nnunet_pst.dataset.annotation import LabelRules
from nnunet_pst.dataset.case_building import CaseFacts
from nnunet_pst.dataset.case_tasks import Registered, check_task, write_task
from nnunet_pst.dataset.cohort_table import parse_cohort
from nnunet_pst.dataset.conversion_journal import (
    Record,
    has_sources,
    read_key,
    source_places,
    source_stamp,
    write_key,
)
from nnunet_pst.dataset.conversion_plan import (
    Conversion,
    chosen_sequences,
    drawn_sequence,
    plan_conversion,
    with_roi,
)
from nnunet_pst.dataset.conversion_summary import ConversionSummary, summarize
from nnunet_pst.dataset.covariates import number_problems_of_cohort, screen_covariates
from nnunet_pst.dataset.layouts import Case, Wanted, load_layout
from nnunet_pst.dataset.pair_registration import pairs_of, register_cohort
from nnunet_pst.dataset.raw_dataset import (
    cases_table,
    dataset_description,
    is_ours,
    locate_dataset,
    make_folders,
    remove_strangers,
)
from nnunet_pst.errors import HostError, InputError, PartlyDoneError
from nnunet_pst.io.atomic_files import write_atomically
from nnunet_pst.io.case_table import CASE_TABLE
from nnunet_pst.io.workers import Runner
from nnunet_pst.registration.policy import RegistrationSettings, require_engine

#: A process takes as long to start as some eight cases to check and write.
CASES_A_PROCESS = 8


def convert_cohort(
    table: Path,
    dataset: str,
    *,
    layout: str = "all-sequence",
    sequences: Sequence[str] | None = None,
    allow_missing: bool = False,
    labels_from: str | None = None,
    roi: str | None = None,
    rules: LabelRules | None = None,
    registration: RegistrationSettings | None = None,
    workers: int = 1,
    overwrite: bool = False,
) -> ConversionSummary:
    """Convert a cohort table into ``nnUNet_raw/<dataset>``.

    All is checked before anything is written. The same call again goes on where one was broken
    off, and converts what is new or has changed.

    Parameters
    ----------
    table
        CSV, see `nnunet_pst.dataset.cohort_table`.
    dataset
        ``DatasetPST`` or ``DatasetNNN_Name``.
    layout
        One of `nnunet_pst.dataset.layouts.LAYOUT_MODULES`.
    sequences, allow_missing, labels_from, roi
        As `nnunet_pst convert` has them: which sequences (channels, of ``fusion``); zeros for a
        channel that is missing; whose mask serves all; the structure of DICOM labels.
    rules, registration
        How masks become labels; how sequences are registered, where that is needed.
    workers
        Number of processes at most; the files are the same with any number.
    overwrite
        Convert every case anew, also where whole ones are lost; pseudonyms stay.

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
    made = load_layout(layout)
    cohort, problems = parse_cohort(table, drawn_sequence(made, sequences, labels_from))
    problems += number_problems_of_cohort(cohort)
    cohort = with_roi(cohort, roi)
    wanted = Wanted(
        chosen_sequences(cohort, sequences, made, labels_from), allow_missing, labels_from
    )
    conversion = plan_conversion(
        place,
        cohort,
        layout=made,
        rules=rules or LabelRules(),
        wanted=wanted,
        registration=registration or RegistrationSettings(),
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
    if pairs_of(conversion.cases):
        require_engine(conversion.registration)
    with _host_errors(), Runner(_processes(conversion, workers)).running() as runner:
        problems += _check(conversion, runner)
        if problems:
            raise InputError(problems)
        todo = conversion.unfinished
        if any(case.registered or case.missing for case in conversion.cases):
            conversion.registered = register_cohort(
                conversion.cases, place.registration, conversion.registration, runner
            )
        _write(conversion, todo, runner)
    return summarize(conversion, {case.name for case in todo})


def _processes(conversion: Conversion, workers: int) -> int:
    """Start no process for a few cases; a registration takes longer than a process to start."""
    if pairs_of(conversion.cases):
        return workers
    return min(workers, max(1, len(conversion.cases) // CASES_A_PROCESS))


@contextmanager
def _host_errors() -> Iterator[None]:
    """Translate a folder that can't be written into a line for the user."""
    try:
        yield
    except OSError as error:
        raise HostError(
            f"nnUNet_raw is not writable: {error.strerror or error} ({error.filename})"
        ) from error


def _check_same_settings(conversion: Conversion) -> None:
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


def _check_same_cohort(conversion: Conversion) -> None:
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
            f"all {len(whole)} cases of {name} would be replaced, because {table} or --roi names "
            f"other files or structures for every one of them; {remedy}"
        )


def _listed(names: Sequence[str], shown: int = 5) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _check(conversion: Conversion, runner: Runner) -> list[str]:
    """Check the files of all cases that will be written; return the problems."""
    # Missing files are among the table's problems already.
    readable = [case for case in conversion.cases if has_sources(case)]
    conversion.stamps = {case.name: source_stamp(case) for case in readable}
    problems = [*_without_training(conversion), *_without_mask(conversion)]
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


def _without_training(conversion: Conversion) -> list[str]:
    """Report that the chosen sequences leave nothing to train on."""
    trains = any(patient.split == "train" for patient in conversion.cohort.patients)
    if not trains or any(case.patient.split == "train" for case in conversion.cases):
        return []  # a table without training patients is among its own problems
    chosen = ", ".join(conversion.wanted.sequences)
    which = "all" if conversion.layout.fuses and not conversion.wanted.allow_missing else "any"
    return [
        f"{conversion.cohort.table.name}: no training patient has {which} of {chosen}; add some"
    ]


def _without_mask(conversion: Conversion) -> list[str]:
    """Report training cases whose patient lacks the sequence that masks would be carried from.

    One that is there without a mask is among the table's own problems.
    """
    lender = conversion.wanted.labels_from
    return [
        f"{conversion.cohort.table.name}, row {case.patient.row}, column "
        f"{case.reference.name}_label: empty, and the patient has no {lender} to carry a mask "
        f"from; draw one, or empty '{case.reference.name}' too"
        for case in conversion.cases
        if case.labeled.label is None
        and case.patient.split != "test"
        and lender is not None
        and lender not in case.patient.sequences
    ]


def _write(conversion: Conversion, todo: list[Case], runner: Runner) -> None:
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
    registered = None
    if conversion.registered is not None:
        interpolation = conversion.registration.interpolation
        registered = Registered(conversion.registered.folder, interpolation)
    task = write_task(conversion.rules, dataset, registered)
    for case, outcome in runner.run(task, todo, "writing"):
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
        settings=conversion.settings,
        sequences=conversion.wanted.sequences,
    )
    write_atomically(
        dataset.folder / CASE_TABLE, cases_table(conversion.cases, facts, kept_covariates)
    )
    write_atomically(dataset.description, json.dumps(description, indent=2) + "\n")
