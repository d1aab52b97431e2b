"""The masks of a study's sequences: by their references, by their grid."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunet_pst.dicom.masks.structures import choose_name
from nnunet_pst.dicom.reading.addresses import mask_address
from nnunet_pst.dicom.reading.files import printable
from nnunet_pst.dicom.reading.headers import RTSTRUCT, Instance
from nnunet_pst.dicom.reading.stack_geometry import grid_of
from nnunet_pst.dicom.scan.judgments import Judgment
from nnunet_pst.dicom.scan.studies import DicomStudy
from nnunet_pst.errors import Fault, InputError, Problem
from nnunet_pst.io.geometry import Grid, same_grid
from nnunet_pst.io.image_paths import is_image_name
from nnunet_pst.io.volumes import read_header


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

    def labels_of(self, study: DicomStudy) -> tuple[dict[str, str], list[Problem]]:
        """Write the label cells of a study's sequences; empty where a sequence has no mask.

        Returns
        -------
        tuple
            The cells by sequence, and a line for each mask that could not be attached.
        """
        labels: dict[str, str] = {}
        by_grid, problems = _masks_by_grid(study, self._near(study))
        for sequence, one in study.chosen.items():
            masks = study.masks.get(one.stack.series.uid, ())
            labels[sequence] = self._referring_label(one, masks, problems) if masks else ""
            if not labels[sequence] and sequence in by_grid:
                path = os.path.relpath(by_grid[sequence], self._base)
                labels[sequence] = path.replace(os.sep, "/")
        return labels, problems

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

    def _referring_label(
        self, one: Judgment, masks: Sequence[Instance], problems: list[Problem]
    ) -> str:
        """Write the cell of the only mask of a series that has the structure."""
        fitting: list[tuple[Instance, str]] = []
        misfits: list[Problem] = []
        for mask in masks:
            what = "structure" if mask.modality == RTSTRUCT else "segment"
            try:
                names = mask.structures
                fitting.append((mask, names[choose_name(names, self._roi, what)]))
            except InputError as error:
                misfits += error.problems
        if len(fitting) == 1:
            mask, name = fitting[0]
            return mask_address(mask, name if len(mask.structures) > 1 else None, self._base)
        if fitting:
            text = f"{len(fitting)} masks refer to this series"
            misfits = [Problem(text, Fault.AMBIGUOUS)]
        where = printable(f"{one.stack.name}: mask {masks[0].origin.name}")
        text = f"{where} not attached: {'; '.join(misfits)}"
        problems.append(Problem(text, InputError(misfits).fault))
        return ""


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
