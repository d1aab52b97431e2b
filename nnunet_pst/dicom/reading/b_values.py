"""The b-value of a diffusion-weighted image, in the tags of every maker.

Sources: DICOM PS3.3 C.8.13.5.9 (0018,9087); the private tags are those of pydicom's dictionary of
private tags, GE's with an offset of 10^9 that its newer scanners add.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydicom.dataset import Dataset

from nnunet_pst.dicom.reading.values import number, private_value, text

#: Maker, creator of the private block, group, element within the block.
_PRIVATE = (
    ("Siemens", "SIEMENS MR HEADER", 0x0019, 0x0C),
    ("GE", "GEMS_PARM_01", 0x0043, 0x39),
    ("Philips", "PHILIPS IMAGING DD 001", 0x2001, 0x03),
    ("United Imaging", "IMAGE PRIVATE HEADER", 0x0065, 0x09),
)
#: What GE adds to the b-value in (0043,1039).
_GE_OFFSET = 10**9
#: ``ep_b800t``, ``*ep_b1000#3``; not ``ep_b0_800``, which names a map made from two b-values.
_IN_SEQUENCE_NAME = re.compile(r"(?:^|[_*a-z])b(\d{1,5})(?:t|#\d+)?$", re.IGNORECASE)
#: No scanner goes higher; a larger number is not a b-value.
_HIGHEST = 20_000


@dataclass(frozen=True)
class BValue:
    """A b-value and its tag.

    Parameters
    ----------
    value
        In s/mm2.
    source
        Such as ``(0019,100c)``.
    """

    value: float
    source: str


def b_value(dataset: Dataset, frame: Dataset | None = None) -> BValue | None:
    """Find the b-value of an image, or of a frame of an enhanced one.

    The standard's tag comes first, then the makers' private tags, then Siemens's sequence name.
    """
    for place in (frame, dataset):
        standard = None if place is None else number(place, "DiffusionBValue")
        if standard is not None and 0 <= standard <= _HIGHEST:
            return BValue(standard, "(0018,9087)")
    for _, creator, group, element in _PRIVATE:
        for place in (frame, dataset):
            raw = None if place is None else private_value(place, creator, group, element)
            value = None if raw is None else _plain(raw)
            if value is not None:
                return BValue(value, f"({group:04x},10{element:02x})")
    match = _IN_SEQUENCE_NAME.search(text(dataset, "SequenceName"))
    if match and int(match[1]) <= _HIGHEST:
        return BValue(float(match[1]), "SequenceName")
    return None


def _plain(values: tuple[float, ...]) -> float | None:
    value = values[0] if values else -1.0
    if value >= _GE_OFFSET:
        value -= _GE_OFFSET
    return value if 0 <= value <= _HIGHEST else None
