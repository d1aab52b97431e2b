"""A comparison from folders of masks to a folder of tables and figures, whole or not at all.

    .partial-NAME/keys/                digests of the evaluations that are finished
    .partial-NAME/result/methods/...   the evaluations; becomes the output in one step

A comparison that was interrupted goes on: evaluations whose files are as they were stay.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

from nnunet_pst.comparison.difference_figure import draw_differences
from nnunet_pst.comparison.inputs import ComparisonInputs, ComparisonSettings, gather_inputs
from nnunet_pst.comparison.methods import Part, check_methods, score_part
from nnunet_pst.comparison.paired_figures import draw_dice_by_sequence
from nnunet_pst.comparison.readers import reader_rows, score_readers
from nnunet_pst.comparison.results import Comparison, ReaderRow
from nnunet_pst.comparison.results_folder import read_comparison
from nnunet_pst.comparison.written_results import DESCRIPTION, write_results
from nnunet_pst.dataset.look_alikes import look_alikes, said_of
from nnunet_pst.errors import Fault, InputError
from nnunet_pst.evaluation.score_tables import Row, write_csv
from nnunet_pst.io.atomic_files import (
    PARTIAL,
    fill,
    gone_if_empty,
    gone_if_refused,
    hidden_beside,
    refusals_in_one_line,
)
from nnunet_pst.io.claims import Claim, claimed
from nnunet_pst.io.dataset_folders import dataset_folder
from nnunet_pst.io.file_locks import held
from nnunet_pst.io.leftovers import sweep
from nnunet_pst.io.workers import Pace


def compare(
    methods: Mapping[str, str | Path | Sequence[str | Path]],
    dataset: str | Path,
    output: str | Path,
    settings: ComparisonSettings | None = None,
    *,
    workers: int = 1,
    overwrite: bool = False,
) -> Comparison:
    """Compare methods on the same patients of a raw dataset, or describe one; write the folder.

    Parameters
    ----------
    methods
        By name, the folder of a method's masks; several folders are repeats (seeds), or folds.
    dataset
        Name of a dataset in ``nnUNet_raw``, or its folder.
    output, workers, overwrite
        As for `run_comparison`.
    settings
        Baseline, split, measures, margin and seed; the first method is the default baseline.

    Raises
    ------
    InputError
        As for `run_comparison`, `gather_inputs` and `methods.check_methods`.

    Examples
    --------
    >>> import nnunet_pst
    >>> comparison = nnunet_pst.compare(
    ...     {"2d_5": "predictions", "again": "predictions_again"}, "DatasetPST", "comparison"
    ... )
    >>> comparison.methods, comparison.baseline
    (('2d_5', 'again'), '2d_5')
    """
    folders = {
        name: [Path(places)] if isinstance(places, str | Path) else [Path(p) for p in places]
        for name, places in methods.items()
    }
    found = check_methods([(name, path) for name, paths in folders.items() for path in paths])
    inputs = gather_inputs(found, dataset_folder(dataset), settings or ComparisonSettings())
    run_comparison(inputs, Path(output), workers=workers, overwrite=overwrite)
    return read_comparison(Path(output))


def run_comparison(
    inputs: ComparisonInputs,
    output: Path,
    *,
    workers: int = 1,
    overlays: bool = True,
    overwrite: bool = False,
) -> None:
    """Score all methods, compare them, and write the folder.

    Parameters
    ----------
    inputs
        What is compared.
    output
        Becomes a folder with ``cases.csv``, ``patients.csv``, ``intervals.csv``,
        ``differences.csv``, ``comparison.json``, ``patients.png``, ``differences.png`` and
        ``methods/<method>[/<number>]/``, an evaluation each.
    workers
        Number of processes; the result is the same with any.
    overlays
        Draw the cases.
    overwrite
        Replace an earlier comparison.

    Raises
    ------
    InputError
        With every problem of all methods, or ``output`` is in the way.
    """
    output = output.absolute()
    with (
        refusals_in_one_line(output),
        claimed(output.parent, "compare", output.name) as claim,
    ):
        _check_output(output, claim, overwrite=overwrite)
        with _draft(output) as draft:
            _compare(inputs, draft, workers=workers, overlays=overlays)
            claim.publish([(draft / "result", output)])
            shutil.rmtree(draft, ignore_errors=True)


def _compare(inputs: ComparisonInputs, draft: Path, *, workers: int, overlays: bool) -> None:
    """Fill the draft's ``result``."""
    result = draft / "result"
    rows = _score_all(inputs, draft, workers=workers, overlays=overlays)
    copies = look_alikes(inputs.dataset, workers=workers) if inputs.dataset else []
    write_results(inputs, rows, said_of(copies), result)
    if inputs.second_reader is not None:
        found = score_readers(
            inputs.parts,
            inputs.compared,
            inputs.second_reader,
            result,
            draft / "keys",
            workers=workers,
        )
        columns = [field.name for field in fields(ReaderRow)]
        write_csv(reader_rows(rows, found, inputs.design), columns, result / "readers.csv")
    comparison = read_comparison(result)
    pictures = {"patients": draw_dice_by_sequence(comparison)}
    if (drawn := draw_differences(comparison)) is not None:
        pictures["differences"] = drawn
    for name, picture in pictures.items():
        fill(result / f"{name}.png", picture.png)


def _check_output(output: Path, claim: Claim, *, overwrite: bool) -> None:
    """Refuse to replace what is there, or anything that is not a comparison."""
    if not output.exists():
        return
    if not output.is_dir() or not (output / DESCRIPTION).is_file():
        raise InputError(
            f"{output}: exists and is not a comparison; choose another output folder", Fault.EXISTS
        )
    if not claim.may_replace(output, overwrite=overwrite):
        raise InputError(
            f"{output}: exists; choose another output folder or add --overwrite", Fault.EXISTS
        )


def scored_before(output: Path) -> int:
    """Count the evaluations that an interrupted comparison has finished for this output."""
    return len(list((_draft_folder(output) / "keys").glob("*.key")))


def _draft_folder(output: Path) -> Path:
    return hidden_beside(output.absolute())


@contextmanager
def _draft(output: Path) -> Iterator[Path]:
    """Give the folder in which the comparison grows; after an interruption it stays.

    A refusal removes it: whoever is refused looks for nothing hidden, and finds nothing.
    """
    folder = _draft_folder(output)
    with gone_if_refused(folder), gone_if_empty([folder]):
        (folder / "keys").mkdir(parents=True, exist_ok=True)
        (folder / "result").mkdir(exist_ok=True)
        sweep(folder, deep=True)
        with held(folder):
            yield folder


def _score_all(inputs: ComparisonInputs, draft: Path, *, workers: int, overlays: bool) -> list[Row]:
    """Score every folder; the problems of all are reported together."""
    home = draft / "result" / "methods"
    _forget_strangers(inputs, home)
    problems: list[str] = []

    def scored(part: Part) -> list[Row]:
        try:
            return score_part(part, home, draft / "keys", workers=workers, overlays=overlays)
        except InputError as error:
            problems.extend(error.problems)
            return []

    pace = Pace("compare")
    rows = []
    for number, part in enumerate(inputs.parts, 1):
        rows += scored(part)
        pace.tell(number, len(inputs.parts), "evaluation")
    if problems:
        raise InputError(problems)
    return rows


def _forget_strangers(inputs: ComparisonInputs, home: Path) -> None:
    """Remove the evaluations of a draft that are not part of this comparison."""
    for claim in home.rglob(f"{PARTIAL}claim*"):
        claim.unlink()  # of an evaluation that was killed; this comparison holds the place
    wanted = {part.place for part in inputs.parts}
    for folder in sorted(home.glob("*")) + sorted(home.glob("*/*")):
        place = str(folder.relative_to(home))
        inside = any(part == place or part.startswith(f"{place}/") for part in wanted)
        within = any(place.startswith(f"{part}/") for part in wanted)
        if folder.is_dir() and not inside and not within:
            shutil.rmtree(folder)
