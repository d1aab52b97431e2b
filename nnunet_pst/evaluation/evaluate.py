"""Score a folder of predictions against labels, with tables and pictures.

Everything is checked and scored before anything appears: a missing prediction, another grid or a
strange value is an error of the whole evaluation, because a mean over the cases that happened to
work can't be compared with anything.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from nnunet_pst.dataset.training_record import check_not_learned, learned_warnings
from nnunet_pst.errors import Fault, InputError, Problem, PSTError, few_of_each_kind
from nnunet_pst.evaluation.case_scoring import CaseScore, ScoringJob, score_case
from nnunet_pst.evaluation.metrics.measures import DEFAULT_TOLERANCES_MM
from nnunet_pst.evaluation.overlays import draw_contact_sheet
from nnunet_pst.evaluation.prediction_names import age_warnings, name_problems
from nnunet_pst.evaluation.references import (
    VALIDATION,
    References,
    case_names,
    images_of,
    references_of_dataset,
)
from nnunet_pst.evaluation.resumable_draft import Draft, case_key
from nnunet_pst.evaluation.score_tables import Evaluation, evaluate_scores, write_tables
from nnunet_pst.io.atomic_files import gone_if_refused, is_disk_error, refusals_in_one_line
from nnunet_pst.io.claims import Claim, claimed
from nnunet_pst.io.dataset_folders import dataset_folder
from nnunet_pst.io.file_locks import held
from nnunet_pst.io.real_paths import real_path
from nnunet_pst.io.workers import Failure, Runner

#: What an evaluation consists of; ``overwrite`` replaces a folder only if it holds nothing else.
OUTPUT_NAMES = frozenset(
    (
        "cases.csv",
        "classes.csv",
        "patients.csv",
        "sequences.csv",
        "long.csv",
        "window_distance.csv",
        "summary.json",
        "overlays",
        "contact_sheet.png",
    )
)


@dataclass(frozen=True)
class _Scored:
    """What a worker sends back."""

    score: CaseScore
    was_kept: bool


def evaluate(
    predictions: str | Path,
    dataset: str | Path,
    *,
    split: str = "test",
    output: str | Path | None = None,
    workers: int = 1,
    overwrite: bool = False,
) -> Evaluation:
    """Score predictions of a raw dataset against its labels, with tables and pictures.

    Parameters
    ----------
    predictions
        Folder that ``nnUNetv2_predict`` wrote.
    dataset
        Name of a dataset in ``nnUNet_raw``, or its folder.
    split
        ``test``, ``train``, ``val``, or ``training`` for the last two together.
    output, workers, overwrite
        As for `evaluate_predictions`, which has more choices.

    Raises
    ------
    InputError
        As for `evaluate_predictions`; or there is no such dataset or split.

    Examples
    --------
    >>> import nnunet_pst
    >>> evaluation = nnunet_pst.evaluate("predictions", "DatasetPST", output="scores")
    >>> [row["sequence"] for row in evaluation.sequences]
    ['T2', 'all']
    """
    return evaluate_predictions(
        Path(predictions),
        references_of_dataset(dataset_folder(dataset), split),
        output=None if output is None else Path(output),
        workers=workers,
        overwrite=overwrite,
    )


def evaluate_predictions(
    predictions: Path,
    references: References,
    *,
    output: Path | None = None,
    overlays: bool = True,
    workers: int = 1,
    overwrite: bool = False,
    tolerances_mm: Sequence[float] = DEFAULT_TOLERANCES_MM,
) -> Evaluation:
    """Score a folder of predictions; each worker holds one case in memory.

    An interrupted evaluation goes on when it is started again; cases whose files and settings are
    unchanged are not scored again. The bytes are the same, with any number of workers.

    Parameters
    ----------
    predictions
        Folder that ``nnUNetv2_predict`` wrote.
    references
        From `references.references_of_dataset` or `references.references_in_folder`.
    output
        Folder for `scores.write_tables`, ``overlays/<case>.png`` and ``contact_sheet.png``. It
        appears whole or not at all. None writes nothing.
    overlays
        Draw the pictures, of cases whose image is known.
    workers
        Number of processes; 1 works in this one.
    overwrite
        Replace an earlier evaluation in ``output``.
    tolerances_mm
        Tolerances of the normalized surface distance.

    Raises
    ------
    InputError
        With every problem at once: missing or extra predictions, other grids, values that are not
        labels, unreadable files, or ``output`` is in the way. ``output`` is as before then.
    HostError
        When a worker process was killed.
    """
    problems = name_problems(predictions, references)
    warnings = [*_learned(predictions, references), *age_warnings(predictions, references)]
    tolerances = tuple(float(tolerance) for tolerance in tolerances_mm)
    draft = Draft(output.absolute()) if output is not None else None
    jobs = _jobs(predictions, references, draft if overlays else None, tolerances)
    with _opened(draft, jobs, overwrite) as claim:
        scored = _score_all(jobs, workers, draft, problems)
        evaluation = evaluate_scores(
            references,
            {name: part.score.values for name, part in scored.items()},
            {name: part.score.distances for name, part in scored.items()},
            classes={name: part.score.classes for name, part in scored.items()},
            tolerances_mm=tolerances,
        )
        evaluation.summary["warnings"] = warnings
        if draft is not None:
            write_tables(evaluation, draft.result)
            _write_contact_sheet(jobs, evaluation, draft, f"{references.name} {references.split}")
            claim.publish([(draft.result, draft.output)])
            draft.remove()
    return replace(evaluation, kept=sum(part.was_kept for part in scored.values()))


def _learned(predictions: Path, references: References) -> list[str]:
    """Refuse a validation on patients of the training; warn of test patients who are known.

    Returns
    -------
    list
        A line for each training of the dataset that has learned from a test patient.
    """
    if predictions.name == VALIDATION:
        predicted = set(case_names(predictions, references.file_ending))
        cases = [case for case in references.cases if case.name in predicted]
        validated = {case.patient for case in cases}
        check_not_learned(real_path(predictions).parent, validated, images_of(cases))
    if references.split != "test":
        return []
    patients = {case.patient for case in references.cases}
    return learned_warnings(references.name, patients, images_of(references.cases))


def scored_before(output: Path) -> int:
    """Count the cases that an interrupted evaluation has scored for this output folder."""
    return Draft(output.absolute()).scored()


def evaluation_key(predictions: Path, references: References, *, overlays: bool = True) -> str:
    """Digest of all that an evaluation at the default tolerances depends on.

    Parameters
    ----------
    predictions, references, overlays
        As for `evaluate_predictions`.
    """
    drawn = Draft(predictions / "unused") if overlays else None
    jobs = _jobs(predictions, references, drawn, tuple(map(float, DEFAULT_TOLERANCES_MM)))
    said = [references.name, references.split, real_path(predictions).name]
    keys = [case_key(job) for job in jobs]
    patients = [[case.name, case.patient, case.sequence] for case in references.cases]
    rules = dict(references.label_rules)
    return hashlib.sha256(json.dumps([said, keys, patients, rules]).encode()).hexdigest()


def _jobs(
    predictions: Path, references: References, drawn: Draft | None, tolerances: tuple[float, ...]
) -> list[ScoringJob]:
    """List what there is to score, in the order of the references."""
    jobs = []
    for case in references.cases:
        prediction = predictions / f"{case.name}{references.file_ending}"
        if prediction.is_file():
            overlay = drawn.overlays / f"{case.name}.png" if drawn and case.image else None
            jobs.append(
                ScoringJob(
                    case, prediction, references.window, tolerances, overlay, references.labels
                )
            )
    return jobs


@contextmanager
def _opened(draft: Draft | None, jobs: Sequence[ScoringJob], overwrite: bool) -> Iterator[Claim]:
    """Keep a draft's folders while an evaluation is under way, and after an interruption."""
    if draft is None:
        yield Claim()
        return
    output = draft.output
    with (
        refusals_in_one_line(output),
        claimed(output.parent, "evaluate", output.name) as claim,
    ):
        _check_output(output, overwrite, claim)
        with gone_if_refused(draft.folder):
            draft.open(
                {job.case.name for job in jobs}, {job.case.name for job in jobs if job.overlay}
            )
            try:
                with held(draft.folder):
                    yield claim
            finally:
                draft.close()


def _score_all(
    jobs: Sequence[ScoringJob],
    workers: int,
    draft: Draft | None,
    problems: Sequence[tuple[str, str]],
) -> dict[str, _Scored]:
    """Score all cases, in the order of the jobs; refuse if there is any problem, after all.

    Raises
    ------
    InputError
        With ``problems`` and those of the cases.
    """
    outcomes: dict[str, _Scored | Failure] = {}
    with Runner(workers if len(jobs) > 1 else 1).running() as runner:
        for job, outcome in runner.run(partial(_score, draft=draft), jobs, "evaluate"):
            outcomes[job.case.name] = outcome
    found = list(problems)
    scored = {}
    for job in jobs:
        outcome = outcomes[job.case.name]
        if isinstance(outcome, _Scored):
            scored[job.case.name] = outcome
        else:
            found += [(job.case.name, problem) for problem in _lines(outcome)]
    if found:
        raise InputError(few_of_each_kind(found))
    return scored


def _score(job: ScoringJob, draft: Draft | None) -> _Scored:
    """Score a case and keep what it scored, unless what it scored before still holds."""
    if draft is None:
        return _Scored(score_case(job), was_kept=False)
    key = case_key(job)
    kept = draft.kept(job, key)
    if kept is not None:
        return _Scored(kept, was_kept=True)
    score = score_case(job)
    draft.keep(job.case.name, key, score)
    # The tile is read back for the contact sheet; those of all cases would fill the memory.
    return _Scored(replace(score, tile=None), was_kept=False)


def _lines(failure: Failure) -> list[Problem]:
    """Say in lines why a case was not scored."""
    if isinstance(failure, PSTError):
        return failure.problems
    if is_disk_error(failure):
        text = f"{failure.strerror or failure}; make room, and the same command goes on"
        return [Problem(text, Fault.UNWRITABLE)]
    text = f"{failure.strerror or failure}; make the file readable"
    return [Problem(text, Fault.UNREADABLE)]


def _write_contact_sheet(
    jobs: Sequence[ScoringJob], evaluation: Evaluation, draft: Draft, source: str
) -> None:
    dice = {str(row["case"]): float(row["dice"]) for row in evaluation.cases}
    names = [job.case.name for job in jobs if job.overlay]
    tiles = [(name, dice[name], np.load(draft.cases / f"{name}.npy")) for name in names]
    if tiles:
        title = f"{source.strip()}: cases by Dice, lowest first"
        draw_contact_sheet(tiles, draft.result / "contact_sheet.png", title=title)


def _check_output(output: Path, overwrite: bool, claim: Claim) -> None:
    """Refuse to replace what is there, or anything that is not an evaluation."""
    if not output.exists():
        return
    if not output.is_dir():
        raise InputError(f"{output}: is a file; choose another output folder", Fault.EXISTS)
    if not claim.may_replace(output, overwrite=overwrite):
        raise InputError(
            f"{output}: exists; choose another output folder or add --overwrite", Fault.EXISTS
        )
    foreign = sorted({path.name for path in output.iterdir()} - OUTPUT_NAMES)
    if foreign:
        raise InputError(
            f"{output}: holds {foreign[0]}, which no evaluation writes, and is not replaced; "
            "choose another output folder",
            Fault.EXISTS,
        )
