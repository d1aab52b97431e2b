"""Images of a dataset that show the same under the names of two patients: a leak across splits.

`repeated_voxels` refuses copies of voxels when a cohort is converted. Here are the images of any
raw dataset, also those that were resampled, scaled, cropped, mirrored or saved with other digits.
Images of one patient are not compared with each other: sequences may well look alike.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nnunet_pst.dataset.splits import Splits
from nnunet_pst.io.case_table import cases_of_dataset
from nnunet_pst.io.digests import voxel_digest
from nnunet_pst.io.miniatures import Miniature, alike, miniature
from nnunet_pst.io.volumes import read_image
from nnunet_pst.io.workers import Runner

_SPLIT_OF_FOLDER = {"imagesTr": "train", "imagesTs": "test"}
#: More lines than these are counted only.
_MOST_LINES = 10


@dataclass(frozen=True)
class Image:
    """A channel of a case.

    Parameters
    ----------
    path
        Its file.
    case, patient, split
        Pseudonyms, and ``train``, ``val`` or ``test``.
    """

    path: Path
    case: str
    patient: str
    split: str


@dataclass(frozen=True)
class LookAlike:
    """Two images of two patients that show the same.

    Parameters
    ----------
    first, second
        The images.
    likeness
        Correlation after small shifts and stretches; None where all voxels are the same.
    """

    first: Image
    second: Image
    likeness: float | None

    @property
    def across(self) -> bool:
        """Whether one is a test image, and the other one is not."""
        return (self.first.split == "test") != (self.second.split == "test")

    @property
    def how(self) -> str:
        """How much they agree, in words."""
        if self.likeness is None:
            return "the same voxels"
        return f"nearly the same image (correlation {self.likeness:.3f} after alignment)"


def look_alikes(dataset: Path, *, workers: int = 1) -> list[LookAlike]:
    """Find images of a raw dataset that show the same under two patients, leaks first.

    Time goes into reading every image once. Of several images of the same two patients, a copy of
    all voxels is told, else the first. Images that cannot be read, that hold one value, or of which
    nearly nothing is brighter than the background are left out.

    Parameters
    ----------
    workers
        Number of processes that read.
    """
    images = _images(dataset)
    seen = _read(images, workers)
    pairs = [*_copies(seen), *_similar(seen)]
    found: dict[frozenset[str], LookAlike] = {}
    for one in pairs:
        if one.first.patient != one.second.patient:
            found.setdefault(frozenset((one.first.patient, one.second.patient)), one)
    return sorted(found.values(), key=lambda one: (not one.across, one.first.case, one.second.case))


def said_of(found: Sequence[LookAlike], folds: Splits | None = None) -> list[str]:
    """Say a line a pair, the first ten; names are pseudonyms.

    Parameters
    ----------
    found
        From `look_alikes`.
    folds
        Of the training cases, where they are known.
    """
    lines = [_line(one, folds) for one in found[:_MOST_LINES]]
    more = len(found) - len(lines)
    return lines + ([f"{more} more pairs of images of two patients show the same"] if more else [])


def _line(one: LookAlike, folds: Splits | None) -> str:
    names = f"{one.first.case} ({one.first.split}) and {one.second.case} ({one.second.split})"
    asked = "is it one patient under two names, or a wrong file?"
    if one.across:
        worth = "a method that has learned from one is not tested by the other"
        return f"leak: {names} hold {one.how}; {asked} Until then {worth}"
    apart = [
        str(number)
        for number, fold in enumerate(folds or ())
        if len({_side(fold, image.case) for image in (one.first, one.second)}) == 2
    ]
    where = f"; in fold {', '.join(apart)} one is learned from and the other validated on"
    return f"{names} hold {one.how}{where if apart else ''}; {asked}"


def _side(fold: Mapping[str, Sequence[str]], case: str) -> str:
    return "val" if case in fold["val"] else "train"


def _images(dataset: Path) -> list[Image]:
    """All images of the dataset, by name."""
    described = dataset / "dataset.json"
    said = json.loads(described.read_text(encoding="utf-8")) if described.is_file() else {}
    ending = str(said.get("file_ending", ".nii.gz"))
    rows = {row["case"]: row for row in cases_of_dataset(dataset)}
    found = []
    for folder, split in _SPLIT_OF_FOLDER.items():
        home = dataset / folder
        for path in sorted(home.iterdir()) if home.is_dir() else ():
            case, dash, channel = path.name.removesuffix(ending).rpartition("_")
            if path.name.startswith(".") or not path.name.endswith(ending) or not dash:
                continue
            if channel.isdecimal() and len(channel) == 4:
                row = rows.get(case, {})
                found.append(Image(path, case, row.get("patient", case), row.get("split", split)))
    return found


@dataclass(frozen=True)
class _Seen:
    image: Image
    digest: str
    small: Miniature | None


def _read(images: Sequence[Image], workers: int) -> list[_Seen]:
    with Runner(workers).running() as runner:
        outcomes = {
            image.path: result
            for image, result in runner.run(_look, images, "looking for copies", unit="image")
        }
    kept = [outcomes[image.path] for image in images]
    return [one for one in kept if isinstance(one, _Seen)]


def _look(image: Image) -> _Seen | None:
    array = read_image(image.path).array
    if not np.ptp(array):
        return None
    return _Seen(image, voxel_digest(array), miniature(array))


def _copies(seen: Sequence[_Seen]) -> Iterator[LookAlike]:
    first: dict[str, Image] = {}
    for one in seen:
        earlier = first.setdefault(one.digest, one.image)
        if earlier is not one.image:
            yield LookAlike(earlier, one.image, None)


def _similar(seen: Sequence[_Seen]) -> Iterator[LookAlike]:
    images = [one.image for one in seen if one.small is not None]
    smalls = [one.small for one in seen if one.small is not None]
    patients = [image.patient for image in images]
    for first, second, likeness in alike(smalls, patients):
        yield LookAlike(images[first], images[second], likeness)
