"""A cell of a cohort table that means DICOM: which stack, which structure.

``FOLDER`` where it holds one stack, else ``FOLDER#series=8&b=800``: a SeriesNumber (or its UID)
and what tells the stack from the others of its series. A mask is ``FILE`` or ``FILE#roi=GTV_Mass``.
The folder may be a zip. `nnunet_pst.io.image_paths` takes such a cell apart.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from nnunet_pst.dicom.masks.segments import segment_mask
from nnunet_pst.dicom.masks.structures import PlacedMask, structure_mask
from nnunet_pst.dicom.reading.files import Origin, printable, walk
from nnunet_pst.dicom.reading.headers import (
    RTSTRUCT,
    SEG,
    Instance,
    read_dataset,
    read_instance,
    translated,
)
from nnunet_pst.dicom.reading.pixels import read_stack
from nnunet_pst.dicom.reading.series import Series, Stack, gather_series
from nnunet_pst.dicom.reading.stack_geometry import grid_of
from nnunet_pst.errors import InputError
from nnunet_pst.io.geometry import Grid
from nnunet_pst.io.image_paths import is_image_name, join_address, split_address
from nnunet_pst.io.volumes import Volume

_SHOWN = 12


def read_addressed_image(address: Path) -> Volume:
    """Read the stack that a cell means.

    Raises
    ------
    InputError
        When it means none or several, with their list, or they are no volume.
    """
    return read_stack(find_stack(address))


def read_addressed_grid(address: Path) -> Grid:
    """Return where the voxels of a stack lie, without decoding them; raises as above."""
    return grid_of(find_stack(address))


def find_stack(address: Path) -> Stack:
    """Find the stack that a cell means, from headers alone; raises as `read_addressed_image`."""
    place, key = split_address(address)
    series = [one for one in gather_series(_images(place)) if _is_series(one, key.get("series"))]
    wanted = {name: value.casefold() for name, value in key.items() if name != "series"}
    stacks = [
        stack
        for one in series
        for stack in one.stacks
        if wanted.items() <= {k: v.casefold() for k, v in stack.key}.items()
    ]
    if len(stacks) == 1:
        return stacks[0]
    name = printable(address.name)
    if stacks:
        listed = ", ".join(_key_text(stack) for stack in stacks[:_SHOWN])
        more = f" and {len(stacks) - _SHOWN} more" if len(stacks) > _SHOWN else ""
        raise InputError(
            f"{name} holds {len(stacks)} stacks of images; say which, such as "
            f"{printable(place.name)}{_key_text(stacks[0])} (there are {listed}{more})"
        )
    if not series and not key:
        raise InputError(f"{name} holds no DICOM images")
    raise InputError(f"{name}: there are no such images in {printable(place.name)}")


def _images(place: Path) -> list[Instance]:
    found = walk(place)
    if found.problems:
        raise InputError(found.problems)
    return [one for one in map(read_instance, found.dicom) if one.slices]


def _is_series(series: Series, wanted: str | None) -> bool:
    return wanted is None or wanted in (series.uid, str(series.first.number))


def _key_text(stack: Stack, *, by_uid: bool = False) -> str:
    number = stack.series.first.number
    which = stack.series.uid if by_uid or number is None else str(number)
    return join_address("", {"series": which, **dict(stack.key)})


def address_of(stack: Stack, every: Sequence[Series], base: Path) -> str:
    """Write the cell that means a stack, as short as it can be.

    Parameters
    ----------
    every
        All series that were found, to see which lie in the same folder.
    base
        Folder of the table.
    """
    place = _place(one.origin for one in stack.slices)
    beside = [one for one in every if one.slices and _has_files_below(one, place)]
    key = dict(stack.key)
    if len(beside) > 1:
        number = stack.series.first.number
        alike = [one for one in beside if one.first.number == number]
        unique = number is not None and len(alike) == 1
        key = {"series": str(number) if unique else stack.series.uid, **key}
    return join_address(os.path.relpath(place, base).replace(os.sep, "/"), key)


def mask_address(mask: Instance, roi: str | None, base: Path) -> str:
    """Write the cell that means a structure or segment of a file."""
    place = mask.origin.path
    cell = os.path.relpath(place, base).replace(os.sep, "/")
    key = {"file": mask.origin.member} if mask.origin.member else {}
    return join_address(cell, {**key, **({"roi": roi} if roi else {})})


def _place(origins: Iterable[Origin]) -> Path:
    """The archive, or the folder that holds all files."""
    found = list(origins)
    if found[0].member:
        return found[0].path
    return Path(os.path.commonpath([origin.folder for origin in found]))


def _has_files_below(series: Series, place: Path) -> bool:
    return any(one.origin.path.is_relative_to(place) for one in series.instances)


def read_addressed_mask(address: Path, image: Path, grid: Grid) -> PlacedMask:
    """Read the structure or segment that a cell means, onto its image's grid.

    Parameters
    ----------
    image
        Cell of the image; when that is DICOM too, references are held against it.

    Raises
    ------
    InputError
        As `structure_mask` and `segment_mask`, with the file's name.
    """
    place, key = split_address(address)
    drawn = _find_mask(place, key.get("file"))
    origin, modality = drawn.origin, drawn.modality
    try:
        with translated(origin):
            if modality == SEG:
                return segment_mask(read_dataset(origin, pixels=True), grid, key.get("roi"))
            dataset = read_dataset(origin, pixels=False)
            return structure_mask(dataset, grid, key.get("roi"), images=_uids(image))
    except InputError as error:
        name = printable(origin.name)
        lines = [p if p.startswith(name) else f"{name} {p}" for p in error.problems]
        raise InputError(lines) from error


def _find_mask(place: Path, member: str | None) -> Instance:
    """Return the header of the only RTSTRUCT or SEG in a file, folder or zip."""
    found = walk(place)
    if found.problems:
        raise InputError(found.problems)
    files = [o for o in found.dicom if member is None or o.member == member]
    headers = [read_instance(origin) for origin in files]
    masks = [header for header in headers if header.modality in (RTSTRUCT, SEG)]
    if len(masks) == 1:
        return masks[0]
    if masks:
        names = ", ".join(printable(mask.origin.name) for mask in masks[:_SHOWN])
        raise InputError(f"{printable(place.name)} holds {len(masks)} masks ({names}); name one")
    kinds = sorted({printable(header.modality) for header in headers})
    raise InputError(
        f"{printable(place.name)} holds {', '.join(kinds) or 'no DICOM'}; expected an RTSTRUCT or "
        "SEG"
    )


def _uids(image: Path) -> Collection[str]:
    if is_image_name(image):
        return ()
    return {one.sop_uid for one in find_stack(image).slices}
