"""A path in a table cell: which file it means, and what keeps that from being an image.

What follows a `#` tells DICOM images or structures in one place apart: ``study#series=8&b=800``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, unquote

IMAGE_SUFFIXES = (".nii.gz", ".nii", ".mha", ".nrrd")
DICOM_SUFFIXES = (".dcm", ".ima")
#: What people and spreadsheets put around a path.
_AROUND = " \"'`\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb"
#: Files of a folder that are looked at to see whether it holds a DICOM series.
_LOOKED_AT = 20
_KEY = re.compile(r"[a-z]+=[^&#]*(&[a-z]+=[^&#]*)*", re.DOTALL)
#: What stays as it is in values; names of structures hold blanks, dots and letters of all tongues.
_PLAIN = " .,:;+*()[]{}!'-_~@$^|<>"


def is_image_name(path: Path) -> bool:
    """Whether the name ends as that of a file we read."""
    return path.name.casefold().endswith(IMAGE_SUFFIXES)


def split_address(path: Path) -> tuple[Path, dict[str, str]]:
    """Take a cell apart: the place, and what tells DICOM images or structures in it apart.

    Such as ``study``, ``study#series=8&b=800``, ``RS.dcm#roi=GTV_Mass``. In values, ``%26`` stands
    for ``&``, and so on as in web addresses. A file whose name looks so is that file.
    """
    place, mark, parts = str(path).rpartition("#")
    if not mark or not _KEY.fullmatch(parts) or path.exists():
        return path, {}
    pairs = (part.partition("=") for part in parts.split("&"))
    return Path(place), {name: unquote(value) for name, _, value in pairs}


def join_address(place: str, key: Mapping[str, str]) -> str:
    """Write what `split_address` takes apart."""
    parts = "&".join(f"{name}={quote(value, safe=_PLAIN)}" for name, value in key.items())
    return f"{place}#{parts}" if parts else place


def source_files(path: Path) -> list[Path]:
    """List the files behind a cell in a fixed order: the file, or all of a folder."""
    place, _ = split_address(path)
    if place.is_dir():
        return sorted(file for file in place.rglob("*") if file.is_file())
    return [place]


def image_path_problem(cell: str, path: Path) -> str | None:
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
                return None  # what it holds is found out when it is read
            return f"{cell} is a folder without DICOM images; give an image file, or their folder"
        if not path.is_file():
            return _missing(cell, path)
        if is_image_name(path) or _is_dicom(path) or path.name.casefold().endswith(".zip"):
            return None
    except (OSError, ValueError):  # a name that no file can have, or one that can't be looked at
        return _missing(cell, path)
    return f"{cell} is not one of {', '.join(IMAGE_SUFFIXES)}; convert it"


def _is_dicom(path: Path) -> bool:
    """Whether a file is DICOM: by its name, or by the letters that stand after its preamble."""
    if path.name.casefold().endswith(DICOM_SUFFIXES):
        return True
    if not path.is_file() or is_image_name(path):
        return False
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _missing(cell: str, path: Path) -> str:
    relative = "" if Path(cell.strip(_AROUND)).is_absolute() else " (relative to the table)"
    return f"no such file: {cell}{relative}{_hint(cell, path)}"


def _hint(cell: str, path: Path) -> str:
    """Name the usual reason why a file that exists isn't found, if one is to be seen."""
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
