"""A cell of a cohort table that means DICOM: which stack, which structure.

``FOLDER`` where it holds one stack, otherwise ``FOLDER#series=8&b=800``: a SeriesNumber (or UID)
and the key of the stack among those of its series. A mask is ``FILE`` or ``FILE#roi=GTV_Mass``. The
folder may be a zip. `nnunet_pst.io.image_paths` splits such a cell.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from pathlib import Path

from nnunet_pst.dicom.masks.segments import segment_mask
from nnunet_pst.dicom.masks.structures import PlacedMask, structure_mask
from nnunet_pst.dicom.reading.datasets import read_dataset, translated
from nnunet_pst.dicom.reading.files import Origin, walk
from nnunet_pst.dicom.reading.headers import RTSTRUCT, SEG, Instance, read_instance
from nnunet_pst.dicom.reading.pixels import read_stack
from nnunet_pst.dicom.reading.series import Series, Stack, gather_series
from nnunet_pst.dicom.reading.stack_geometry import grid_of
from nnunet_pst.dicom.reading.values import text
from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.geometry import Grid
from nnunet_pst.io.image_paths import is_image_name, join_address, split_address
from nnunet_pst.io.volumes import Volume
from nnunet_pst.io.wording import printable

_SHOWN = 12


def read_addressed_image(address: Path) -> Volume:
    """Read the stack that a cell means.

    Raises
    ------
    InputError
        When it means no stack or several, with their list, or the stack is not a volume.
    """
    return read_stack(find_stack(address))


def read_addressed_grid(address: Path) -> Grid:
    """Return the grid of a stack, without decoding it; raises as `read_addressed_image`."""
    return grid_of(find_stack(address))


def find_stack(address: Path) -> Stack:
    """Find the stack that a cell means, from headers alone; raises as `read_addressed_image`."""
    place, key = split_address(address)
    series = [one for one in gather_series(_images(place)) if _is_series(one, key.get("series"))]
    needed = {name: value.casefold() for name, value in key.items() if name != "series"}
    stacks = [
        stack
        for one in series
        for stack in one.stacks
        if needed.items() <= {k: v.casefold() for k, v in stack.key}.items()
    ]
    if len(stacks) == 1:
        return stacks[0]
    name = printable(address.name)
    if stacks:
        listed = ", ".join(_key_text(stack) for stack in stacks[:_SHOWN])
        more = f" and {len(stacks) - _SHOWN} more" if len(stacks) > _SHOWN else ""
        raise InputError(
            f"{name} holds {len(stacks)} stacks of images; say which, such as "
            f"{printable(place.name)}{_key_text(stacks[0])} (there are {listed}{more})",
            Fault.AMBIGUOUS,
        )
    if not series and not key:
        raise InputError(f"{name} holds no DICOM images", Fault.EMPTY)
    raise InputError(
        f"{name}: there are no such images in {printable(place.name)}", Fault.UNKNOWN_NAME
    )


def _dicom_files(place: Path) -> list[Origin]:
    """Return the DICOM files of a place in which everything can be read."""
    tree = walk(place)
    if tree.problems:
        raise InputError(tree.problems)
    return tree.dicom


def _images(place: Path) -> list[Instance]:
    return [instance for instance in map(read_instance, _dicom_files(place)) if instance.slices]


def _is_series(series: Series, name: str | None) -> bool:
    """Whether a series has a number or UID; None: any series."""
    return name is None or name in (series.uid, str(series.first.number))


def _key_text(stack: Stack, *, by_uid: bool = False) -> str:
    number = stack.series.first.number
    which = stack.series.uid if by_uid or number is None else str(number)
    return join_address("", {"series": which, **dict(stack.key)})


class SeriesByPlace:
    """The series that have files in a folder or archive, at any depth.

    Parameters
    ----------
    every
        All series of a scan. They are gone through once; asking each of them for each address would
        take time with the square of their number.
    """

    def __init__(self, every: Iterable[Series]) -> None:
        self._series: dict[Path, list[Series]] = {}
        for series in every:
            if not series.slices:
                continue
            # Inside an archive, folders continue its path, so the archive is among the parents.
            folders = {one.origin.folder for one in series.instances}
            for place in folders.union(*(folder.parents for folder in folders)):
                self._series.setdefault(place, []).append(series)

    def below(self, place: Path) -> list[Series]:
        """Return the series with a file in a place."""
        return self._series.get(place, [])


def address_of(stack: Stack, places: SeriesByPlace, base: Path) -> str:
    """Write the shortest cell that means a stack.

    Parameters
    ----------
    places
        All series of the scan, to see which are in the same folder.
    base
        Folder of the table.
    """
    place = _place(one.origin for one in stack.slices)
    beside = places.below(place)
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
    """Return the archive, or the folder that holds all files."""
    files = list(origins)
    if files[0].member:
        return files[0].path
    return Path(os.path.commonpath([origin.folder for origin in files]))


def read_addressed_mask(address: Path, image: Path, grid: Grid) -> PlacedMask:
    """Read the structure or segment that a cell means, onto its image's grid.

    Parameters
    ----------
    image
        Cell of the image; where it is DICOM too, the mask's references are compared with it.

    Raises
    ------
    InputError
        As `structure_mask` and `segment_mask`, with the file's name.
    """
    place, key = split_address(address)
    header = _find_mask(place, key.get("file"))
    uids = () if header.modality == SEG else _uids(image)
    return read_mask_file(header.origin, grid, key.get("roi"), images=uids)


def read_mask_file(
    origin: Origin, grid: Grid, roi: str | None, *, images: Collection[str] = ()
) -> PlacedMask:
    """Read a structure or segment of a file onto an image's grid.

    Parameters
    ----------
    images
        SOPInstanceUIDs of the image's files, to compare the references of structures with.

    Raises
    ------
    InputError
        As `structure_mask` and `segment_mask`, with the file's name.
    """
    dataset = read_dataset(origin, pixels=True)
    with translated(origin):
        try:
            if text(dataset, "Modality").upper() == SEG:
                return segment_mask(dataset, grid, roi)
            return structure_mask(dataset, grid, roi, images=images)
        except InputError as error:
            raise InputError(error.within(printable(origin.name), separator=" ")) from error


def _find_mask(place: Path, member: str | None) -> Instance:
    """Return the header of the only RTSTRUCT or SEG in a file, folder or zip."""
    files = [o for o in _dicom_files(place) if member is None or o.member == member]
    headers = [read_instance(origin) for origin in files]
    masks = [header for header in headers if header.modality in (RTSTRUCT, SEG)]
    if len(masks) == 1:
        return masks[0]
    if masks:
        names = ", ".join(printable(mask.origin.name) for mask in masks[:_SHOWN])
        raise InputError(
            f"{printable(place.name)} holds {len(masks)} masks ({names}); name one", Fault.AMBIGUOUS
        )
    kinds = sorted({printable(header.modality) for header in headers})
    raise InputError(
        f"{printable(place.name)} holds {', '.join(kinds) or 'no DICOM'}; expected an RTSTRUCT or "
        "SEG",
        Fault.WRONG_TYPE,
    )


def _uids(image: Path) -> Collection[str]:
    if is_image_name(image):
        return ()
    return {one.sop_uid for one in find_stack(image).slices}
