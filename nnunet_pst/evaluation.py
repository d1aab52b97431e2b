"""Score a folder of predictions against labels, with tables and pictures.

Everything is checked and scored before anything appears: a missing prediction, another grid or a
strange value is an error of the whole evaluation, because a mean over the cases that happened to
work can't be compared with anything.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from nnunet_pst.errors import InputError, PSTError
from nnunet_pst.geometry import corner_distance_voxels, same_grid
from nnunet_pst.labels import BACKGROUND, IGNORE, TUMOR
from nnunet_pst.metrics.overlap import measure_case
from nnunet_pst.overlays import (
    CaseView,
    draw_case,
    draw_contact_sheet,
    draw_thumbnail,
    for_display,
)
from nnunet_pst.references import ReferenceCase, References, case_names
from nnunet_pst.scores import Evaluation, evaluate_scores, write_tables
from nnunet_pst.volumes import Volume, read_image, read_voxels

#: What an evaluation consists of; ``overwrite`` replaces a folder only if it holds nothing else.
OUTPUT_NAMES = frozenset(
    ("cases.csv", "patients.csv", "sequences.csv", "summary.json", "overlays", "contact_sheet.png")
)


@dataclass(frozen=True)
class _Job:
    """One case for a worker: ``overlay`` is the picture to write, if any."""

    case: ReferenceCase
    prediction: Path
    window: int
    overlay: Path | None


@dataclass(frozen=True)
class _Outcome:
    """What a worker sends back: either problems or values."""

    name: str
    problems: list[str] = field(default_factory=list)
    values: dict[str, float] = field(default_factory=dict)
    tile: npt.NDArray[np.uint8] | None = None


def evaluate_predictions(
    predictions: Path,
    references: References,
    *,
    output: Path | None = None,
    overlays: bool = True,
    workers: int = 1,
    overwrite: bool = False,
) -> Evaluation:
    """Score a folder of predictions; each worker holds one case in memory.

    Parameters
    ----------
    predictions
        Folder that ``nnUNetv2_predict`` wrote: ``<case><file_ending>``, beside files of other
        kinds, which are left alone.
    references
        From `references.references_of_dataset` or `references.references_in_folder`.
    output
        Folder for ``cases.csv``, ``patients.csv``, ``sequences.csv``, ``summary.json``,
        ``overlays/<case>.png`` and ``contact_sheet.png``. It appears whole or not at all. None
        writes nothing.
    overlays
        Draw the pictures, of cases whose image is known.
    workers
        Number of processes; 1 works in this one.
    overwrite
        Replace an earlier evaluation in ``output``.

    Returns
    -------
    Evaluation
        The rows of the tables and the summary.

    Raises
    ------
    InputError
        With every problem at once: missing or extra predictions, other grids, values that are no
        labels, unreadable files, or ``output`` is in the way. Nothing is written then.
    """
    if output is not None:
        _check_output(output, overwrite)
    problems = _name_problems(predictions, references)
    with _new_folder(output) as folder:
        drawn = folder / "overlays" if folder and overlays and not problems else None
        outcomes = _run(_jobs(predictions, references, drawn), workers)
        problems += [problem for outcome in outcomes for problem in outcome.problems]
        if problems:
            raise InputError(problems)
        values = {outcome.name: outcome.values for outcome in outcomes}
        evaluation = evaluate_scores(references, values, predictions=predictions.resolve().name)
        if folder:
            write_tables(evaluation, folder)
            _write_contact_sheet(outcomes, folder, f"{references.name} {references.split}".strip())
    return evaluation


def _name_problems(predictions: Path, references: References) -> list[str]:
    """Say which predictions are missing and which have no reference."""
    if not predictions.is_dir():
        raise InputError(f"{predictions}: is not a folder; give what nnUNetv2_predict wrote")
    found = set(case_names(predictions, references.file_ending))
    wanted = {case.name for case in references.cases}
    if not found:
        raise InputError(
            f"{predictions}: holds no file that ends in {references.file_ending}; give the folder "
            "that nnUNetv2_predict wrote"
        )
    source = f"{references.name} {references.split}".strip()
    images = f"images{'Ts' if references.split == 'test' else 'Tr'}" if references.split else ""
    where = f" its image in {images}" if images else " it"
    other = "references" if not images else "--dataset or --split"
    missing = [
        f"{name}: has no prediction; predict{where}, or give the folder that holds it"
        for name in sorted(wanted - found)
    ]
    extra = [
        f"{name}: is predicted but not a case of {source}; move it elsewhere, or give other {other}"
        for name in sorted(found - wanted)
    ]
    return missing + extra


def _jobs(predictions: Path, references: References, drawn: Path | None) -> list[_Job]:
    jobs = []
    for case in references.cases:
        prediction = predictions / f"{case.name}{references.file_ending}"
        if prediction.is_file():
            overlay = drawn / f"{case.name}.png" if drawn and case.image else None
            jobs.append(_Job(case, prediction, references.window, overlay))
    if any(job.overlay for job in jobs) and drawn:
        drawn.mkdir()
    return jobs


def _run(jobs: Sequence[_Job], workers: int) -> list[_Outcome]:
    """Score all jobs in order, in this process or in several."""
    progress: dict[str, Any] = {"total": len(jobs), "desc": "evaluate", "disable": None}
    if workers <= 1 or len(jobs) <= 1:
        return list(tqdm(map(_score, jobs), **progress))
    # Spawned, because forking a process that has threads (SimpleITK's, torch's) may deadlock.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context) as pool:
        return list(tqdm(pool.map(_score, jobs), **progress))


def _score(job: _Job) -> _Outcome:
    """Check, measure and draw one case."""
    name = job.case.name
    try:
        reference = read_voxels(job.case.label)
        prediction = read_voxels(job.prediction)
        image = read_image(job.case.image) if job.overlay and job.case.image else None
    except PSTError as error:
        return _Outcome(name, problems=[f"{name}: {problem}" for problem in error.problems])
    problems = _content_problems(reference, prediction, image)
    if problems:
        return _Outcome(name, problems=[f"{name}: {problem}" for problem in problems])
    grid = reference.grid
    values = measure_case(
        reference.array,
        prediction.array,
        voxel_volume_ml=grid.voxel_volume_ml,
        half_width=job.window,
    )
    if job.overlay is None or image is None:
        return _Outcome(name, values=values)
    view = CaseView(
        name=name,
        dice=values["dice"],
        image=for_display(image.array, grid),
        reference=for_display(reference.array, grid),
        prediction=for_display(prediction.array, grid),
        spacing_zyx_mm=grid.spacing_zyx_mm,
        half_width=job.window,
    )
    draw_case(view, job.overlay)
    return _Outcome(name, values=values, tile=draw_thumbnail(view))


def _content_problems(reference: Volume, prediction: Volume, image: Volume | None) -> list[str]:
    """Say what is wrong with the voxels of one case."""
    problems = []
    for what, volume, remedy in (
        ("prediction", prediction, "predict from the image that belongs to this label"),
        ("image", image, "give the image that the label was drawn on"),
    ):
        if volume is not None and not same_grid(reference.grid, volume.grid):
            problems.append(
                f"{what} and reference lie on different grids ({_difference(reference, volume)}); "
                f"{remedy}"
            )
    allowed = {"reference": (BACKGROUND, TUMOR, IGNORE), "prediction": (BACKGROUND, TUMOR)}
    for what, volume in (("reference", reference), ("prediction", prediction)):
        strange = _strange_values(volume.array, allowed[what])
        if strange:
            values = ", ".join(map(str, allowed[what]))
            problems.append(f"{what} holds the values {strange}; expected {values}")
    return problems


def _difference(reference: Volume, other: Volume) -> str:
    """Describe how two grids differ."""
    ours, theirs = reference.grid, other.grid
    if ours.size_xyz != theirs.size_xyz:
        sizes = (" x ".join(map(str, grid.size_xyz)) for grid in (theirs, ours))
        return "sizes {} and {}".format(*sizes)
    return f"up to {corner_distance_voxels(ours, theirs):.3g} voxels apart"


def _strange_values(array: npt.NDArray[Any], allowed: Sequence[int]) -> str:
    """First few values that are no label; empty if there are none."""
    strange = np.unique(array[~np.isin(array, allowed)])
    return ", ".join(f"{value:g}" for value in strange[:5]) + (", ..." if strange.size > 5 else "")


def _write_contact_sheet(outcomes: Sequence[_Outcome], folder: Path, source: str) -> None:
    tiles = [
        (outcome.name, outcome.values["dice"], outcome.tile)
        for outcome in outcomes
        if outcome.tile is not None
    ]
    if tiles:
        title = f"{source}: cases by Dice, lowest first"
        draw_contact_sheet(tiles, folder / "contact_sheet.png", title=title)


def _check_output(output: Path, overwrite: bool) -> None:
    """Refuse to replace what is there, or anything that is not an evaluation."""
    if not output.exists():
        return
    if not output.is_dir():
        raise InputError(f"{output}: is a file; choose another output folder")
    if not overwrite:
        raise InputError(f"{output}: exists; choose another output folder or add --overwrite")
    foreign = sorted({path.name for path in output.iterdir()} - OUTPUT_NAMES)
    if foreign:
        raise InputError(
            f"{output}: holds {foreign[0]}, which no evaluation writes, and is not replaced; "
            "choose another output folder"
        )


@contextmanager
def _new_folder(output: Path | None) -> Iterator[Path | None]:
    """Give a folder to write into, which becomes ``output`` if nothing goes wrong."""
    if output is None:
        yield None
        return
    final = output.absolute()
    draft = final.with_name(f".{final.name}.{os.getpid()}.part")
    shutil.rmtree(draft, ignore_errors=True)  # left by a killed process of the same number
    draft.mkdir(parents=True)
    try:
        yield draft
        if final.exists():
            old = final.with_name(f".{final.name}.{os.getpid()}.old")
            final.rename(old)
            draft.rename(final)
            shutil.rmtree(old)
        else:
            draft.rename(final)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
