"""The masks of a study's sequences: by their references, by their place, by their grid."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nnunet_pst.dicom.masks.structures import choose_name
from nnunet_pst.dicom.reading.addresses import mask_address, read_mask_file
from nnunet_pst.dicom.reading.files import Origin
from nnunet_pst.dicom.reading.headers import RTSTRUCT, Instance
from nnunet_pst.dicom.reading.stack_geometry import grid_of
from nnunet_pst.dicom.scan.judgments import Judgment
from nnunet_pst.dicom.scan.studies import DicomStudy
from nnunet_pst.errors import Fault, InputError, Problem
from nnunet_pst.io.geometry import Grid, same_grid
from nnunet_pst.io.image_paths import is_image_name
from nnunet_pst.io.volumes import read_header
from nnunet_pst.io.wording import printable


@dataclass(frozen=True)
class MaskFile:
    """A file that may be a mask, such as ITK-SNAP writes: only its grid tells its image."""

    path: Path
    grid: Grid


def mask_files(paths: Iterable[Path]) -> list[MaskFile]:
    """Read the grids of image files; those that are not volumes are left out."""
    files = []
    for path in paths:
        if is_image_name(path):
            try:
                files.append(MaskFile(path, read_header(path)))
            except InputError:
                continue  # it can't be the mask of a volume of this scan
    return files


@dataclass
class FoundMasks:
    """The masks of a study's sequences.

    Parameters
    ----------
    labels
        The label cells by sequence; empty where a sequence has no mask.
    problems
        A line for each mask that could not be attached although it belongs to a sequence.
    guesses
        A line for each mask that was attached by its place, because its references lead nowhere.
    attached
        Files that were attached or are named in a line.
    shown
        The mask file of a sequence, and the name of its structure or segment, for pictures.
    """

    labels: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    guesses: list[Problem] = field(default_factory=list)
    attached: set[Origin] = field(default_factory=set)
    shown: dict[str, tuple[Origin | Path, str | None]] = field(default_factory=dict)


class MaskSearch:
    """Finds the masks of a study's sequences.

    Parameters
    ----------
    files
        Image files that may be masks.
    roi
        Structure or segment that is the mask; None where a file has only one.
    base
        Folder of the table.
    """

    def __init__(self, files: Sequence[MaskFile], roi: str | None, base: Path) -> None:
        self._files = files
        # Each study looks at the files of its own place; looking at all would take time with the
        # square of their number.
        self._in: dict[Path, list[MaskFile]] = defaultdict(list)
        self._below: dict[Path, list[MaskFile]] = defaultdict(list)
        for file in files:
            self._in[file.path.parent].append(file)
            for folder in file.path.parents:
                self._below[folder].append(file)
        self._roi = roi
        self._base = base

    def masks_of(self, study: DicomStudy) -> FoundMasks:
        """Find the mask of each sequence: by references, by its place, by the grid of a file."""
        found = FoundMasks()
        by_grid, found.problems = _masks_by_grid(study, self._near(study))
        for sequence, one in study.chosen.items():
            found.labels[sequence] = ""
            masks = study.masks.get(one.stack.series.uid, ())
            if masks:
                self._attach_referring(sequence, one, masks, found)
        for mask in study.loose:
            self._attach_by_place(mask, study, found)
        for sequence, path in by_grid.items():
            if not found.labels[sequence]:
                label = os.path.relpath(path, self._base)
                found.labels[sequence] = label.replace(os.sep, "/")
                found.shown[sequence] = (path, None)
        return found

    def _near(self, study: DicomStudy) -> list[MaskFile]:
        """Return the files in the study's own place: other folders may be of other patients.

        That is the folder that holds all of its series and everything below; for a study in one
        folder also the folder above, but nothing else below that.
        """
        if not self._files:
            return []
        folders = {s.origin.path.parent for one in study.series for s in one.instances}
        home = Path(os.path.commonpath(folders))
        beside = self._in[home.parent] if len(folders) == 1 else []
        return [*self._below[home], *beside]

    def _attach_referring(
        self, sequence: str, one: Judgment, masks: Sequence[Instance], found: FoundMasks
    ) -> None:
        """Write the cell of the only mask of a series that has the structure."""
        misfits: list[Problem] = []
        named = [(mask, self._name_or_report(mask, misfits)) for mask in masks]
        fitting = [(mask, name) for mask, name in named if name is not None]
        found.attached.update(mask.origin for mask in masks)
        if len(fitting) == 1:
            self._attach(sequence, *fitting[0], found)
            return
        if fitting:
            text = f"{len(fitting)} masks refer to this series"
            misfits = [Problem(text, Fault.AMBIGUOUS)]
        where = printable(f"{one.stack.name}: mask {masks[0].origin.name}")
        text = f"{where} not attached: {'; '.join(misfits)}"
        found.problems.append(Problem(text, InputError(misfits).fault))

    def _name_in(self, mask: Instance) -> str:
        """Return the name of the structure or segment that is the mask; refuse an undrawn one."""
        what = "structure" if mask.modality == RTSTRUCT else "segment"
        index = choose_name(mask.structures, self._roi, what)
        if not mask.drawn[index]:
            text = f"{what} '{mask.structures[index]}' has no closed contours; draw it"
            raise InputError(text, Fault.EMPTY)
        return mask.structures[index]

    def _name_or_report(self, mask: Instance, misfits: list[Problem]) -> str | None:
        try:
            return self._name_in(mask)
        except InputError as error:
            misfits += error.problems
            return None

    def _attach(self, sequence: str, mask: Instance, name: str, found: FoundMasks) -> None:
        only = len(mask.structures) == 1
        found.labels[sequence] = mask_address(mask, None if only else name, self._base)
        found.shown[sequence] = (mask.origin, name)

    def _attach_by_place(self, mask: Instance, study: DicomStudy, found: FoundMasks) -> None:
        """Attach a mask whose references lead nowhere to the only sequence on which it lies."""
        where = printable(f"mask {mask.origin.name}")
        try:
            name = self._name_in(mask)
        except InputError as error:
            found.problems += error.within(f"{where} not attached")
            found.attached.add(mask.origin)
            return
        free = {s: one for s, one in study.chosen.items() if not found.labels[s]}
        fitting = [s for s, one in free.items() if _lies_on(mask, name, one)]
        if not fitting:
            return
        found.attached.add(mask.origin)
        stacks = " and ".join(study.chosen[s].stack.name for s in fitting)
        if len(fitting) > 1:
            text = f"{where} names no series that is here, and fits {stacks}; none attached"
            found.problems.append(Problem(text, Fault.AMBIGUOUS))
            return
        self._attach(fitting[0], mask, name, found)
        text = f"{where} names no series that is here; attached to {stacks}, on which it lies"
        found.guesses.append(Problem(text, Fault.AMBIGUOUS))


def _lies_on(mask: Instance, name: str, one: Judgment) -> bool:
    """Whether a mask is in the space of a stack and on its slices."""
    frames = {mask.frame_of_reference, one.stack.frame_of_reference} - {""}
    # Contours lie on the slices of many images; a segment's frames are on one grid.
    if len(frames) != 1 and mask.modality == RTSTRUCT:
        return False
    try:
        read_mask_file(mask.origin, grid_of(one.stack), name)
    except InputError:
        return False
    return True


def _masks_by_grid(
    study: DicomStudy, files: Sequence[MaskFile]
) -> tuple[dict[str, Path], list[Problem]]:
    """Attach files to the sequence with the same grid, where there is one of each."""
    if not files:
        return {}, []
    grids = {name: grid_of(one.stack) for name, one in study.chosen.items()}
    of_sequence: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        fits = [name for name, grid in grids.items() if same_grid(grid, file.grid)]
        named = [name for name in fits if name.casefold() in file.path.name.casefold()]
        for name in named[:1] or fits:
            of_sequence[name].append(file.path)
    problems = []
    for name, paths in of_sequence.items():
        if len(paths) > 1:
            listed = ", ".join(printable(path.name) for path in paths)
            text = f"{study.chosen[name].stack.name}: {listed} are on its grid; none attached"
            problems.append(Problem(text, Fault.AMBIGUOUS))
    return {name: paths[0] for name, paths in of_sequence.items() if len(paths) == 1}, problems
