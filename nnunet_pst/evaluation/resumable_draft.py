"""The hidden folder beside an evaluation's output, from which an interrupted one goes on.

    .partial-NAME/cases/<case>.json, <case>.npy    scores of a case, its tile
    .partial-NAME/result/                          becomes the output in one step

What a case scored is kept under a digest of all that it depends on: the bytes of its files, the
settings, the versions. So a changed file or setting scores anew what it concerns, and the result
doesn't tell whether it was interrupted.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Collection
from dataclasses import astuple, dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path

import numpy as np

from nnunet_pst import __version__
from nnunet_pst.evaluation.case_scoring import CaseScore, ScoringJob
from nnunet_pst.evaluation.metrics.window_distance import AtDistance
from nnunet_pst.io.atomic_files import (
    hidden_beside,
    write_atomically,
    write_bytes_atomically,
)
from nnunet_pst.io.digests import file_digest
from nnunet_pst.io.label_values import OUR_LABELS
from nnunet_pst.io.leftovers import sweep

#: Raised when the same files and settings would give other scores or pictures than before.
_FORMAT = 2
_LIBRARIES = ("numpy", "scipy", "SimpleITK", "matplotlib")


@dataclass(frozen=True)
class Draft:
    """Where an evaluation grows.

    Parameters
    ----------
    output
        Where it will stand.
    """

    output: Path

    @property
    def folder(self) -> Path:
        """The hidden folder."""
        return hidden_beside(self.output)

    @property
    def cases(self) -> Path:
        """Scores of cases."""
        return self.folder / "cases"

    @property
    def result(self) -> Path:
        """What becomes the output."""
        return self.folder / "result"

    @property
    def overlays(self) -> Path:
        """Pictures of cases."""
        return self.result / "overlays"

    def scored(self) -> int:
        """Count the cases that an earlier evaluation has scored."""
        return len(list(self.cases.glob("*.json")))

    def open(self, names: Collection[str], drawn: Collection[str]) -> None:
        """Make the folders, without what an earlier evaluation left that this one doesn't write.

        Parameters
        ----------
        names
            Cases that are scored.
        drawn
            Those of them that are drawn.
        """
        sweep(self.folder, deep=True)
        for folder, kept in ((self.cases, names), (self.overlays, drawn)):
            folder.mkdir(parents=True, exist_ok=True)
            for path in folder.iterdir():
                if path.stem not in kept:
                    path.unlink()
        if not drawn:
            self.overlays.rmdir()

    def close(self) -> None:
        """Remove the folder if no case was scored; else the next evaluation goes on from it."""
        if not self.scored():
            shutil.rmtree(self.folder, ignore_errors=True)

    def remove(self) -> None:
        """Remove what is not needed any more."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def keep(self, name: str, key: str, score: CaseScore) -> None:
        """Write what a case scored; the entry is there only once it is whole."""
        if score.tile is not None:
            tile = io.BytesIO()
            np.save(tile, score.tile)
            write_bytes_atomically(self.cases / f"{name}.npy", tile.getvalue())
        entry = {
            "key": key,
            "values": score.values,
            "distances": [astuple(row) for row in score.distances],
            "classes": dict(score.classes),
        }
        write_atomically(self.cases / f"{name}.json", json.dumps(entry))

    def kept(self, job: ScoringJob, key: str) -> CaseScore | None:
        """Read what a case scored before, if all it depends on is as it was; without its tile."""
        name = job.case.name
        path = self.cases / f"{name}.json"
        pictures = [job.overlay, self.cases / f"{name}.npy"] if job.overlay else []
        if not all(part.is_file() for part in (path, *pictures)):
            return None
        entry = json.loads(path.read_text(encoding="utf-8"))
        if entry["key"] != key:
            return None
        distances = [AtDistance(*row) for row in entry["distances"]]
        return CaseScore(entry["values"], distances, classes=entry.get("classes", {}))


def case_key(job: ScoringJob) -> str:
    """Digest of all that the scores and the picture of a case depend on."""
    files = [job.case.label, job.prediction]
    if job.overlay and job.case.image:
        files.append(job.case.image)
    said = [
        job.case.name,
        job.window,
        job.tolerances_mm,
        job.overlay is not None,
        _versions(),
        [file_digest(path) for path in files],
    ]
    if job.labels != OUR_LABELS:
        said.append([*job.labels.classes.items(), job.labels.ignore])
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


@lru_cache(maxsize=1)
def _versions() -> tuple[str, ...]:
    return (str(_FORMAT), __version__, *(metadata.version(name) for name in _LIBRARIES))
