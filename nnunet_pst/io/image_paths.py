"""A path in a table cell: which file it means, and why that file can't be an image.

What follows a `#` selects DICOM images or structures in one place: ``study#series=8&b=800``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, unquote

from nnunet_pst.errors import Fault, Problem

IMAGE_SUFFIXES = (".nii.gz", ".nii", ".mha", ".nrrd")
DICOM_SUFFIXES = (".dcm", ".ima")
#: What people and spreadsheets put around a path.
_AROUND = " \"'`\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb"
#: Number of files in a folder that are checked to see whether it holds a DICOM series.
_LOOKED_AT = 20
_KEY = re.compile(r"[a-z]+=[^&#]*(&[a-z]+=[^&#]*)*", re.DOTALL)
#: What stays as it is in values; names of structures hold blanks, dots and letters of any language.
_PLAIN = " .,:;+*()[]{}!'-_~@$^|<>"


def is_image_name(path: Path) -> bool:
    """Whether the name has one of `IMAGE_SUFFIXES`."""
    return path.name.casefold().endswith(IMAGE_SUFFIXES)


def split_address(path: Path) -> tuple[Path, dict[str, str]]:
    """Split a cell into the place and the key that selects DICOM images or structures in it.

    Such as ``study``, ``study#series=8&b=800``, ``RS.dcm#roi=GTV_Mass``. In values, ``%26`` means
    ``&``, and so on as in web addresses. Where a file of the whole name exists, the cell means that
    file and the key is empty.
    """
    place, mark, parts = str(path).rpartition("#")
    if not mark or not _KEY.fullmatch(parts) or path.exists():
        return path, {}
    pairs = (part.partition("=") for part in parts.split("&"))
    return Path(place), {name: unquote(value) for name, _, value in pairs}


def join_address(place: str, key: Mapping[str, str]) -> str:
    """Join a place and a key to a cell, as `split_address` splits it."""
    parts = "&".join(f"{name}={quote(value, safe=_PLAIN)}" for name, value in key.items())
    return f"{place}#{parts}" if parts else place


def source_files(path: Path) -> list[Path]:
    """List the files behind a cell in a fixed order: the file, or all of a folder."""
    place, _ = split_address(path)
    if place.is_dir():
        return sorted(file for file in place.rglob("*") if file.is_file())
    return [place]


def image_path_problem(cell: str, path: Path) -> Problem | None:
    """Say in one line why a cell names no image file and what to do, or return None.

    Parameters
    ----------
    cell
        As written in the table.
    path
        The file that it means.
    """
    try:
        path, key = split_address(path)
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.is_file())
            series = any(map(_is_dicom, files[:_LOOKED_AT]))
            if series or key:
                return None  # its content is checked when it is read
            text = f"{cell} is a folder without DICOM images; give an image file, or their folder"
            return Problem(text, Fault.WRONG_TYPE)
        if not path.is_file():
            return _missing(cell, path)
        if is_image_name(path) or _is_dicom(path) or path.name.casefold().endswith(".zip"):
            return None
    except (OSError, ValueError):  # a name that no file can have, or a folder that can't be listed
        return _missing(cell, path)
    return wrong_format(cell)


def wrong_format(name: str) -> Problem:
    """Say that a file has none of `IMAGE_SUFFIXES`."""
    text = f"{name} is not one of {', '.join(IMAGE_SUFFIXES)}; convert it"
    return Problem(text, Fault.WRONG_TYPE)


def _is_dicom(path: Path) -> bool:
    """Whether a file is DICOM: by its name, or by the letters after its preamble."""
    if path.name.casefold().endswith(DICOM_SUFFIXES):
        return True
    if not path.is_file() or is_image_name(path):
        return False
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _missing(cell: str, path: Path) -> Problem:
    relative = "" if Path(cell.strip(_AROUND)).is_absolute() else " (relative to the table)"
    return Problem(f"no such file: {cell}{relative}{_hint(cell, path)}", Fault.MISSING)


def _hint(cell: str, path: Path) -> str:
    """Name the likely reason why an existing file isn't found; empty where there is none."""
    if os.path.islink(path):  # never raises, whatever the name
        return "; it is a link that leads nowhere: mend it"
    bare = cell.strip(_AROUND)
    if bare != cell:
        return f"; write {bare}, without quotes and spaces around it"
    if "\\" in cell:
        return "; write / instead of \\"
    try:
        names = [file.name for file in path.parent.iterdir()]
    except (OSError, ValueError):
        return ""
    padded = next((name for name in names if name.strip() == path.name), None)
    if padded is not None:
        return f"; there is '{padded}' with spaces around its name: rename the file"
    spelled = next((name for name in names if name.casefold() == path.name.casefold()), None)
    return f"; there is {spelled}: capitals count" if spelled is not None else ""
