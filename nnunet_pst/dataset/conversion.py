"""From a cohort table to an nnU-Net raw dataset: check everything, then write case by case."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

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
    annotated_sequence,
    plan_conversion,
    with_roi,
)
from nnunet_pst.dataset.conversion_settings import ConversionSettings
from nnunet_pst.dataset.conversion_summary import ConversionSummary, summarize
from nnunet_pst.dataset.covariates import number_problems_of_cohort, screen_covariates
from nnunet_pst.dataset.layouts import Case, load_layout
from nnunet_pst.dataset.pair_registration import pairs_of, register_cohort
from nnunet_pst.dataset.raw_dataset import (
    RawDataset,
    cases_table,
    dataset_description,
    is_ours,
    locate_dataset,
    make_folders,
    remove_strangers,
    training_planes,
)
from nnunet_pst.dataset.repeated_voxels import voxel_problems
from nnunet_pst.errors import Fault, HostError, InputError, PartlyDoneError, Problem, PSTError
from nnunet_pst.io.atomic_files import gone_if_empty, write_atomically
from nnunet_pst.io.case_table import CASE_TABLE
from nnunet_pst.io.claims import claimed
from nnunet_pst.io.digests import file_digest, quick_digest
from nnunet_pst.io.workers import Failure, Runner
from nnunet_pst.registration.policy import require_engine

#: A process takes as long to start as some eight cases to check and write.
CASES_A_PROCESS = 8


def convert_cohort(
    table: str | Path,
    dataset: str,
    settings: ConversionSettings | None = None,
    *,
    workers: int = 1,
    overwrite: bool = False,
    verify: bool = False,
) -> ConversionSummary:
    """Convert a cohort table into ``nnUNet_raw/<dataset>``.

    Everything is checked before anything is written. The same call again continues an interrupted
    conversion, and converts what is new or has changed.

    Parameters
    ----------
    table
        CSV, see `nnunet_pst.dataset.cohort_table`.
    dataset
        ``DatasetPST`` or ``DatasetNNN_Name``.
    settings
        What decides the files; None for the defaults.
    workers
        Number of processes at most; the files are the same with any number.
    overwrite
        Convert every case again, even where finished cases are lost; pseudonyms stay.
    verify
        Compare all bytes of finished cases with what was written, instead of sizes and ends.

    Raises
    ------
    InputError
        With all problems of the table and its files, or when the dataset was made otherwise.
    HostError
        When ``nnUNet_raw`` or the registration engine is not usable.
    PartlyDoneError
        When some cases could not be written; the same call continues.

    Examples
    --------
    >>> import nnunet_pst
    >>> summary = nnunet_pst.convert("cohort/cohort.csv", "DatasetPST")
    >>> summary.cases["train"], summary.cases["test"]
    (6, 2)
    """
    place = locate_dataset(dataset)
    with (
        claimed(place.raw, "convert", dataset, below=place.own_folders) as claim,
        gone_if_empty(place.own_folders, (place.key, place.journal)),
    ):
        chosen = settings or ConversionSettings()
        conversion, problems = _planned(Path(table), place, chosen, overwrite=overwrite)
        conversion.removed_files = claim.swept
        if verify:
            conversion.forget_damaged()
        return _convert(conversion, problems, workers)


def _convert(conversion: Conversion, problems: list[Problem], workers: int) -> ConversionSummary:
    """Convert while nobody else writes the dataset."""
    settings = conversion.settings
    with _host_errors(), Runner(_processes(conversion, workers)).running() as runner:
        problems += _check(conversion, runner)
        if problems:
            raise InputError(problems)
        todo = conversion.unfinished
        if any(case.registered or case.missing for case in conversion.cases):
            conversion.registered = register_cohort(
                conversion.cases, conversion.dataset.registration, settings.registration, runner
            )
        _write(conversion, todo, runner)
    return summarize(conversion, {case.name for case in todo})


def _planned(
    table: Path, place: RawDataset, settings: ConversionSettings, *, overwrite: bool
) -> tuple[Conversion, list[Problem]]:
    """Read the table and decide what is converted; the table's problems are returned."""
    layout = load_layout(settings.layout)
    cohort, problems = parse_cohort(table, annotated_sequence(layout, settings))
    problems += number_problems_of_cohort(cohort)
    conversion = plan_conversion(place, with_roi(cohort, settings.roi), layout, settings)
    # While the table has problems, it may still become the table of the earlier cohort.
    _check_earlier(conversion, overwrite=overwrite, whole_table=not problems)
    if overwrite:
        conversion.journal.records.clear()
    if pairs_of(conversion.cases):
        require_engine(settings.registration)
    return conversion, problems


def _processes(conversion: Conversion, workers: int) -> int:
    """Start no processes for a few cases; a registration takes longer than the start of one."""
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
            f"nnUNet_raw is not writable: {error.strerror or error} ({error.filename})",
            Fault.UNWRITABLE,
        ) from error


def _check_earlier(conversion: Conversion, *, overwrite: bool, whole_table: bool) -> None:
    """Refuse a dataset folder of other origin, other settings or another cohort."""
    place = conversion.dataset
    if not overwrite:
        _check_same_settings(conversion)
        if whole_table:
            _check_same_cohort(conversion)
    elif place.folder.exists() and not is_ours(place):
        raise InputError(
            f"{place.name} was not made by nnunet_pst convert; remove it yourself", Fault.EXISTS
        )


def _check_same_settings(conversion: Conversion) -> None:
    """Refuse to mix cases made by different rules in one dataset."""
    dataset, earlier = conversion.dataset, conversion.journal.settings
    if earlier is None:
        if dataset.folder.exists() and any(dataset.folder.iterdir()):
            raise InputError(
                f"{dataset.name} exists and was not made by this command; choose another --dataset"
                + (", or --overwrite to make it again" if is_ours(dataset) else ""),
                Fault.EXISTS,
            )
        return
    changed = [
        f"{name} {earlier.get(name)} (now {value})"
        for name, value in conversion.stored_settings.items()
        if earlier.get(name) != value
    ]
    if changed:
        raise InputError(
            f"{dataset.name} was converted with {', '.join(changed)}; give --overwrite to convert "
            "it again, or another --dataset",
            Fault.EXISTS,
        )


def _check_same_cohort(conversion: Conversion) -> None:
    """Refuse to remove finished cases, or to replace all of them: the table is another cohort's."""
    name, table = conversion.dataset.name, conversion.cohort.table.name
    whole, records = conversion.whole_before, conversion.journal.records
    staying = [case for case in conversion.cases if case.name in whole]
    lost = sorted(whole - {case.name for case in staying})
    remedy = "choose another --dataset for another cohort, or give --overwrite to convert all again"
    if lost:
        raise InputError(
            f"{len(lost)} of the {len(whole)} cases of {name} are not in {table} any more and "
            f"would be removed ({_listed(lost)}); put them back into it, {remedy}",
            Fault.EXISTS,
        )
    if staying and all(records[c.name].places != source_places(c) for c in staying):
        raise InputError(
            f"all {len(whole)} cases of {name} would be replaced, because {table} or --roi names "
            f"other files or structures for every one of them; {remedy}",
            Fault.EXISTS,
        )


def _listed(names: Sequence[str], shown: int = 5) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _check(conversion: Conversion, runner: Runner) -> list[Problem]:
    """Check the files of all cases that will be written; return the problems."""
    # Missing files are among the table's problems already.
    readable = [case for case in conversion.cases if has_sources(case)]
    conversion.stamps = {case.name: source_stamp(case) for case in readable}
    problems = [*_without_training(conversion), *_without_mask(conversion)]
    todo = {case.name for case in conversion.unfinished}
    outcomes = runner.run(
        check_task(conversion.settings.rules), [c for c in readable if c.name in todo], "checking"
    )
    of_case: dict[str, list[Problem]] = {}
    facts = {name: record.facts for name, record in conversion.journal.records.items()}
    table = conversion.cohort.table.name
    for case, outcome in outcomes:
        if isinstance(outcome, InputError):
            facts.pop(case.name, None)
            of_case[case.name] = outcome.within(table, separator=", ")
        elif isinstance(outcome, Exception):
            raise outcome
        else:
            facts[case.name] = outcome
    twice = voxel_problems(conversion.cases, facts)
    problems += [line for case in conversion.cases for line in of_case.get(case.name, ())]
    return problems + [problem.within(table, separator=", ") for problem in twice]


def _without_training(conversion: Conversion) -> list[Problem]:
    """Report that the chosen sequences leave nothing to train on."""
    trains = any(patient.split == "train" for patient in conversion.cohort.patients)
    if not trains or any(case.patient.split == "train" for case in conversion.cases):
        return []  # a table without training patients is among its own problems
    chosen = ", ".join(conversion.choice.sequences)
    which = "all" if conversion.layout.fuses and not conversion.choice.allow_missing else "any"
    text = f"no training patient has {which} of {chosen}; add some"
    return [Problem(text, Fault.TOO_FEW).within(conversion.cohort.table.name)]


def _without_mask(conversion: Conversion) -> list[Problem]:
    """Report training cases whose patient lacks the sequence that masks would be carried from.

    A sequence without a mask is among the table's own problems.
    """
    lender = conversion.choice.labels_from
    return [
        Problem(
            f"{conversion.cohort.table.name}, row {case.patient.row}, column "
            f"{case.reference.name}_label: empty, and the patient has no {lender} to carry a mask "
            f"from; draw one, or empty '{case.reference.name}' too",
            Fault.MISSING,
        )
        for case in conversion.cases
        if case.labeled.label is None
        and case.patient.split != "test"
        and lender is not None
        and lender not in case.patient.sequences
    ]


def _write(conversion: Conversion, todo: list[Case], runner: Runner) -> None:
    """Write the unfinished cases; ``dataset.json``, which only a whole dataset has, last."""
    dataset, journal = conversion.dataset, conversion.journal
    dataset.raw.mkdir(parents=True, exist_ok=True)
    if conversion.pseudonyms != read_key(dataset.key):
        write_key(dataset.key, conversion.pseudonyms, conversion.cohort.patients)
    unchanged = {case.name for case in conversion.cases} - {case.name for case in todo}
    if todo or set(journal.records) != unchanged:
        journal.begin(conversion.stored_settings, [n for n in journal.records if n in unchanged])
        dataset.description.unlink(missing_ok=True)
    conversion.removed_files += remove_strangers(dataset, conversion.cases)
    make_folders(dataset, conversion.cases)
    _write_cases(conversion, todo, runner)
    journal.settle([case.name for case in conversion.cases])
    facts = {name: record.facts for name, record in journal.records.items()}
    kept_covariates, _ = screen_covariates(conversion.cohort)
    description = dataset_description(
        conversion.cases,
        conversion.layout,
        settings=conversion.stored_settings,
        sequences=conversion.choice.sequences,
        planes=training_planes(dataset, conversion.cases),
    )
    write_atomically(
        dataset.folder / CASE_TABLE, cases_table(conversion.cases, facts, kept_covariates)
    )
    write_atomically(dataset.description, json.dumps(description, indent=2) + "\n")


def _write_cases(conversion: Conversion, todo: list[Case], runner: Runner) -> None:
    """Write cases, and note each in the journal when it is whole.

    Raises
    ------
    PartlyDoneError, HostError
        When some, or all, could not be written.
    """
    settings = conversion.settings
    failed: dict[str, Failure] = {}
    registered = None
    if (pairs := conversion.registered) is not None:
        registered = Registered(pairs.folder, settings.registration.interpolation)
    task = write_task(settings.rules, conversion.dataset, registered)
    for case, outcome in runner.run(task, todo, "writing"):
        if isinstance(outcome, CaseFacts):
            files = conversion.dataset.files(case)
            record = Record(
                conversion.stamps[case.name],
                source_places(case),
                outcome,
                tuple(map(quick_digest, files)),
                tuple(map(file_digest, files)),
            )
            conversion.journal.append(case.name, record)
        else:
            failed[case.name] = outcome
    if failed:
        lines = [line for name in sorted(failed) for line in _failure(name, failed[name])]
        done = len(conversion.cases) - len(failed)
        whole = "1 case is" if done == 1 else f"{done or 'no'} cases are"
        text = f"{whole} written; run the same command again for the rest"
        problems = [*lines, Problem(text, Fault.FAILED)]
        raise PartlyDoneError(problems) if done else HostError(problems)


def _failure(name: str, error: Failure) -> list[Problem]:
    """Say why a case could not be written."""
    if isinstance(error, PSTError):
        return error.within(name)
    return [Problem(str(error.strerror or error), Fault.UNWRITABLE).within(name)]
