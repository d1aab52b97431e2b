"""A path in a table cell: which file it means, and what keeps that from being an image."""

from __future__ import annotations

from pathlib import Path

IMAGE_SUFFIXES = (".nii.gz", ".nii", ".mha", ".nrrd")
DICOM_SUFFIXES = (".dcm", ".ima")
#: What people and spreadsheets put around a path.
_AROUND = " \"'`\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb"
#: Files of a folder that are looked at to see whether it holds a DICOM series.
_LOOKED_AT = 20


def is_image_name(path: Path) -> bool:
    """Whether the name ends as that of a file we read."""
    return path.name.casefold().endswith(IMAGE_SUFFIXES)


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
        if path.is_dir():
            series = any(map(_is_dicom, sorted(path.iterdir())[:_LOOKED_AT]))
            return f"{cell} is a folder{_DICOM if series else '; give an image file'}"
        if not path.is_file():
            return _missing(cell, path)
        if is_image_name(path):
            return None
        if _is_dicom(path):
            return f"{cell} is a DICOM file{_DICOM}"
    except (OSError, ValueError):  # a name that no file can have, or one that can't be looked at
        return _missing(cell, path)
    return f"{cell} is not one of {', '.join(IMAGE_SUFFIXES)}; convert it"


_DICOM = "; DICOM series are not read yet: convert this one to .nii.gz with dcm2niix or 3D Slicer"


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
