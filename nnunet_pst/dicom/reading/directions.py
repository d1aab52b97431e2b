"""Whether a diffusion-weighted image shows one direction of the gradient, or their trace.

Sources: DICOM PS3.3 C.8.13.5.9 (DiffusionDirectionality and the gradient's orientation); the
private tags are those of pydicom's dictionary of private tags and of dcm2niix's notes.
"""

from __future__ import annotations

from pydicom.dataset import Dataset

from nnunet_pst.dicom.reading.values import item, numbers, private_text, private_value, text

ISOTROPIC, DIRECTIONAL, GRADIENT = "ISOTROPIC", "DIRECTIONAL", "GRADIENT"
#: Creators of private blocks; of a vector also its group, and its element or the first of three.
_SIEMENS = "SIEMENS MR HEADER"
_PHILIPS = "PHILIPS IMAGING DD 001"
_PHILIPS_GRADIENT = ("PHILIPS MR IMAGING DD 001", 0x2005, 0xB0)
_GE_GRADIENT = ("GEMS_ACQU_01", 0x0019, 0xBB)
_UNITED_IMAGING = ("IMAGE PRIVATE HEADER", 0x0065, 0x37)
#: Values of Philips's (2001,1004): along one axis, oblique, or isotropic.
_PHILIPS_WAYS = {"P": DIRECTIONAL, "M": DIRECTIONAL, "S": DIRECTIONAL, "O": DIRECTIONAL}


def direction_of(dataset: Dataset, diffusion: Dataset) -> str:
    """Say how an image is weighted by diffusion.

    Parameters
    ----------
    dataset
        Header of the file.
    diffusion
        The frame's diffusion group; the header itself for a file of one image.

    Returns
    -------
    str
        `ISOTROPIC`, `DIRECTIONAL`, or `DIRECTIONAL` with the gradient; `GRADIENT` with it where
        nothing but a private tag names one, which GE's trace images may do too; or empty.
    """
    kind = text(diffusion, "DiffusionDirectionality").upper()
    # BMATRIX means that a matrix describes one image of many directions.
    kind = DIRECTIONAL if kind in (DIRECTIONAL, "BMATRIX") else kind
    if kind in (ISOTROPIC, "NONE"):
        return ISOTROPIC if kind == ISOTROPIC else ""
    gradient = numbers(
        item(diffusion, "DiffusionGradientDirectionSequence"), "DiffusionGradientOrientation", 3
    )
    if gradient is None:
        gradient = numbers(diffusion, "DiffusionGradientOrientation", 3)
    standard = gradient is not None or kind == DIRECTIONAL
    for place in (diffusion, dataset):
        private_kind, private_gradient = _private(place)
        kind = kind or private_kind
        gradient = gradient if gradient is not None else private_gradient
    if kind == ISOTROPIC:
        return ISOTROPIC
    if gradient is not None and any(abs(value) > 1e-6 for value in gradient):
        name = DIRECTIONAL if standard or kind == DIRECTIONAL else GRADIENT
        return f"{name} " + " ".join(f"{value:.2f}" for value in gradient)
    return kind


def _private(place: Dataset) -> tuple[str, tuple[float, ...] | None]:
    """Read the makers' own tags: a kind, and a gradient."""
    kind = private_text(place, _SIEMENS, 0x0019, 0x0D).upper()
    way = private_text(place, _PHILIPS, 0x2001, 0x04).upper()
    if way:
        kind = kind or (ISOTROPIC if way == "I" else _PHILIPS_WAYS.get(way, ""))
    gradient = private_value(place, _SIEMENS, 0x0019, 0x0E)
    for creator, group, element in (_PHILIPS_GRADIENT, _GE_GRADIENT):
        if gradient is None:
            parts = [private_value(place, creator, group, element + i) for i in range(3)]
            found = tuple(part[0] for part in parts if part)
            gradient = found if len(found) == 3 else None
    if gradient is None:
        gradient = private_value(place, *_UNITED_IMAGING)
    return kind if kind in (ISOTROPIC, DIRECTIONAL) else "", gradient
