"""Two readers of the same images: how far they agree, and whether a method is within their range.

The dataset's labels are the first reader's. The second reader's masks, and a consensus of both
(STAPLE), become references too. The range: a method's mean agreement with both readers, less the
readers' agreement with each other, patient by patient. It is Williams' index as a difference
(Chalana and Kim 1997, doi 10.1109/42.640755), which has an interval and a test for few patients.

    readers/masks/second, consensus    references, with unknown voxels where the first has them
    readers/scores/...                 an evaluation for each reference and method
    readers.csv                        a row for each reference, method and measure
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from nnunet_pst.comparison.margins import margin_tests
from nnunet_pst.comparison.methods import Part, score_part
from nnunet_pst.comparison.reader_words import SECOND
from nnunet_pst.comparison.results import ReaderRow
from nnunet_pst.comparison.tables import Design, means_by_patient
from nnunet_pst.errors import Fault, InputError, PSTError, few_of_each_kind
from nnunet_pst.evaluation.metrics.measures import Measure, where_found
from nnunet_pst.evaluation.prediction_names import listed
from nnunet_pst.evaluation.references import ReferenceCase, References, case_names
from nnunet_pst.evaluation.score_tables import Row
from nnunet_pst.io.consensus import staple
from nnunet_pst.io.geometry import same_grid
from nnunet_pst.io.volumes import Volume, read_voxels, write_volume
from nnunet_pst.io.workers import Runner
from nnunet_pst.labels import BACKGROUND, IGNORE, TUMOR

_DIFFERENCE = (-1.0, 1.0)


@dataclass(frozen=True)
class _Drawn:
    case: ReferenceCase
    second: Path


def check_second_reader(folder: Path, references: References) -> None:
    """Refuse a second reader who lacks cases, by the names of the files alone.

    Raises
    ------
    InputError
        The folder is none, or lacks a case; or the labels have several classes.
    """
    if len(references.labels.classes) > 1:
        raise InputError(
            f"--second-reader: {references.name} has several classes; readers are compared on one",
            Fault.UNSUPPORTED,
        )
    if not folder.is_dir():
        raise InputError(f"--second-reader {folder}: is not a folder", Fault.WRONG_TYPE)
    wanted = {case.name for case in references.cases}
    lacking = wanted - set(case_names(folder, references.file_ending))
    if lacking:
        raise InputError(
            f"--second-reader: {len(lacking)} of {len(wanted)} cases have no mask "
            f"({listed(lacking)}); name each <case>{references.file_ending}, an empty mask where "
            "the reader saw no tumor",
            Fault.MISSING,
        )


def score_readers(
    parts: Sequence[Part],
    references: References,
    second: Path,
    result: Path,
    keys: Path,
    *,
    workers: int,
) -> dict[str, list[Row]]:
    """Score the second reader against the first, and every method against both and the consensus.

    Parameters
    ----------
    parts
        Of all methods.
    references
        The first reader's labels.
    second
        Folder of the second reader's masks.
    result
        Where ``readers/`` comes to be.
    keys, workers
        As for `methods.score_part`.

    Returns
    -------
    dict
        By reference (``first`` holds the second reader alone), a row a case, method and repeat.

    Raises
    ------
    InputError
        With every problem of the second reader's masks.
    """
    masks = result / "readers" / "masks"
    _write_masks(references, second, masks, workers)
    own = Part(SECOND, 1, "readers/scores/between", second, references)
    score = partial(score_part, home=result, keys=keys, workers=workers, overlays=False)
    found = {"first": score(own)}
    for name in ("second", "consensus"):
        found[name] = []
        for part in parts:
            cases = tuple(
                replace(case, label=masks / name / case.label.name)
                for case in part.references.cases
            )
            place = f"readers/scores/{name}/{part.place}"
            against = replace(part, place=place, references=replace(references, cases=cases))
            found[name] += score(against)
    return found


def reader_rows(
    first: Sequence[Row], readers: Mapping[str, list[Row]], design: Design
) -> list[Row]:
    """Lay out the agreement with each reader, with the consensus, and the readers' range.

    Parameters
    ----------
    first
        Rows of all methods against the first reader.
    readers
        From `score_readers`.
    """
    between = readers["first"]
    against = {"first": [*between, *first], "second": readers["second"]}
    against["consensus"] = readers["consensus"]
    table = [
        _row(name, method, measure, _values(rows, measure, method), design)
        for name, rows in against.items()
        for measure in _shown(design)
        for method in ((SECOND, *design.methods) if name == "first" else design.methods)
    ]
    return [*table, *_ranges(first, readers["second"], between, design)]


def _shown(design: Design) -> Iterator[Measure]:
    """Give the family, each measure after its twin of found tumors."""
    names = [one for name in design.family for one in (where_found(name), name) if one]
    declared = {measure.name: measure for measure in design.measures}
    yield from (declared[name] for name in ("found", *names) if name in declared)


def _values(rows: Sequence[Row], measure: Measure, method: str) -> list[float]:
    return list(means_by_patient(rows, measure.name, method).values())


def _row(
    against: str, method: str, measure: Measure, values: Sequence[float], design: Design
) -> Row:
    found = design.interval(values, measure.bounds)
    row = ReaderRow(
        against, measure.name, method, found.patients, found.mean, found.low, found.high
    )
    return asdict(row)


def _ranges(
    first: Sequence[Row], second: Sequence[Row], between: Sequence[Row], design: Design
) -> list[Row]:
    """Compare each method's agreement with the readers with their own."""
    measure = next(one for one in design.measures if one.name == design.family[0])
    readers = means_by_patient(between, measure.name, SECOND)
    gains = {}
    for method in design.methods:
        one, other = (means_by_patient(rows, measure.name, method) for rows in (first, second))
        gains[method] = [(one[p] + other[p]) / 2 - readers[p] for p in readers]
    tests = (
        margin_tests(
            list(gains.values()),
            design.margin,
            _DIFFERENCE,
            seed=design.seed,
            resamples=design.resamples,
        )
        if design.margin is not None
        else []
    )
    table = []
    for place, (method, own) in enumerate(gains.items()):
        found = design.interval(own, _DIFFERENCE)
        row = ReaderRow("range", measure.name, method, found.patients, found.mean, found.low)
        row = replace(row, high=found.high, at_least=sum(x >= -1e-9 for x in own))
        if tests:
            row = replace(row, p=tests[place].p_noninferior, within=tests[place].noninferior)
        table.append(asdict(row))
    return table


def _write_masks(references: References, second: Path, folder: Path, workers: int) -> None:
    """Write the second reader's masks and the consensus as references of three states."""
    ending = references.file_ending
    drawn = [_Drawn(case, second / f"{case.name}{ending}") for case in references.cases]
    for name in ("second", "consensus"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    task = partial(_write_case, references=references, folder=folder)
    problems = []
    with Runner(workers if len(drawn) > 1 else 1).running() as runner:
        for one, outcome in runner.run(task, drawn, "readers"):
            if isinstance(outcome, PSTError):
                problems += [(one.case.name, line) for line in outcome.problems]
            elif isinstance(outcome, OSError):
                raise outcome
    if problems:
        lines = few_of_each_kind(sorted(problems))
        raise InputError([line.within("--second-reader") for line in lines])


def _write_case(one: _Drawn, references: References, folder: Path) -> None:
    first, second = read_voxels(one.case.label), read_voxels(one.second)
    if not same_grid(first.grid, second.grid):
        raise InputError(
            "lies on another grid than the label; draw on the same image", Fault.GEOMETRY
        )
    allowed = references.labels.predicted_values
    if not np.isin(second.array, allowed).all():
        values = ", ".join(map(str, allowed))
        raise InputError(f"holds other values than {values}", Fault.VALUES)
    ours, theirs = (references.labels.three_states(v.array) for v in (first, second))
    unknown = ours == IGNORE
    agreed = staple((ours == TUMOR) & ~unknown, (theirs == TUMOR) & ~unknown)
    for name, tumor in (("second", theirs == TUMOR), ("consensus", agreed)):
        mask = np.where(tumor, TUMOR, BACKGROUND).astype(np.uint8)
        mask[unknown] = IGNORE
        write_volume(folder / name / one.case.label.name, Volume(mask, first.grid))
