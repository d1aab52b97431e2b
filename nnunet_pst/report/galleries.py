"""The best, the middle and the worst cases of every method, from the overlays of its evaluation."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from nnunet_pst.comparison.results import CaseRow, Comparison
from nnunet_pst.comparison.results_folder import evaluation_files
from nnunet_pst.io.checked_tables import is_plain_name

#: Pixels of the pictures in the page; the overlays themselves are about 1430 wide.
_WIDTH_PIXELS = 1000
_QUALITY = 82
#: What all pictures of a page may take together: it stays below 10 MB with its figures.
_PAGE_BYTES = 5 * 2**20
#: An overlay has less than 1 MB and 1 megapixel; anything else was not drawn here.
_MOST_BYTES, _MOST_PIXELS = 20 * 2**20, 30_000_000


@dataclass(frozen=True)
class GalleryPicture:
    """A case in the page.

    Parameters
    ----------
    role
        ``worst``, ``median`` or ``best``.
    dice
        The case's Dice.
    jpeg
        The picture.
    """

    role: str
    case: str
    sequence: str
    dice: float
    jpeg: bytes


@dataclass(frozen=True)
class Gallery:
    """Pictures of one method; ``missing`` says what could not be shown."""

    method: str
    pictures: Sequence[GalleryPicture]
    missing: str = ""


def make_galleries(comparison: Comparison) -> list[Gallery]:
    """Choose and shrink the pictures of every method.

    As many cases as fit: two of each kind if their pictures take less than `_PAGE_BYTES`, else one.
    """
    for each in (2, 1):
        galleries = [_gallery(comparison, method, each) for method in comparison.methods]
        total = sum(len(one.jpeg) for gallery in galleries for one in gallery.pictures)
        if total <= _PAGE_BYTES:
            break
    return galleries


def _gallery(comparison: Comparison, method: str, each: int) -> Gallery:
    scores = first_repeat(comparison, method)
    pictures, lost = [], 0
    for role, score in chosen(scores, each):
        found = _overlay(comparison, score)
        if found is None:
            lost += 1
        else:
            dice = score.values["dice"]
            pictures.append(GalleryPicture(role, score.case, score.sequence, dice, found))
    if not pictures:
        return Gallery(method, (), "no overlays in the comparison folder")
    return Gallery(method, pictures, f"{lost} overlays are missing" if lost else "")


def first_repeat(comparison: Comparison, method: str) -> list[CaseRow]:
    """Scores of the first training of a method, by Dice, the lowest first."""
    scores = [score for score in comparison.cases if score.method == method]
    first = min((score.repeat for score in scores), default="")
    kept = [s for s in scores if s.repeat == first and not math.isnan(s.values["dice"])]
    return sorted(kept, key=lambda score: (score.values["dice"], score.case))


def chosen(scores: Sequence[CaseRow], each: int) -> list[tuple[str, CaseRow]]:
    """Choose the worst, the middle and the best of scores that are sorted; no case twice."""
    n = len(scores)
    middle = max(0, (n - each) // 2)
    wanted = [
        *(("worst", place) for place in range(each)),
        *(("median", middle + place) for place in range(each)),
        *(("best", n - each + place) for place in range(each)),
    ]
    seen: set[int] = set()
    result = []
    for role, place in wanted:
        if 0 <= place < n and place not in seen:
            seen.add(place)
            result.append((role, scores[place]))
    return result


def _overlay(comparison: Comparison, score: CaseRow) -> bytes | None:
    """Return the shrunken overlay of a case; None where there is none that can be used."""
    if not is_plain_name(score.case):
        return None
    for path in evaluation_files(comparison.folder, score.method, f"overlays/{score.case}.png"):
        shrunk = shrunken(path)
        if shrunk is not None:
            return shrunk
    return None


def shrunken(path: Path) -> bytes | None:
    """Return a PNG as a JPEG of at most `_WIDTH_PIXELS`; None if it was not drawn here.

    The size is read from the header before anything is decoded.
    """
    if path.stat().st_size > _MOST_BYTES:
        return None
    try:
        with Image.open(path, formats=["PNG"]) as image:
            if image.width * image.height > _MOST_PIXELS:
                return None
            picture = image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    if picture.width > _WIDTH_PIXELS:
        height = max(1, round(picture.height * _WIDTH_PIXELS / picture.width))
        picture = picture.resize((_WIDTH_PIXELS, height), Image.Resampling.LANCZOS)
    target = io.BytesIO()
    picture.save(target, format="JPEG", quality=_QUALITY, optimize=True)
    return target.getvalue()
