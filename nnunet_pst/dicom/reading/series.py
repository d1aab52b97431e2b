"""Files to series, and a series to the stacks of parallel images that it holds.

A stack can become one volume: its images have one size and orientation and differ only in their
place. A diffusion series holds a stack for each b-value, a dynamic series one for each phase, a
localizer one for each plane.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nnunet_pst.dicom.reading.headers import Instance, Slice
from nnunet_pst.dicom.reading.slice_places import PLANES, normal_of
from nnunet_pst.dicom.reading.splitting import split_slices


@dataclass(frozen=True)
class Series:
    """The files that share a SeriesInstanceUID.

    Parameters
    ----------
    instances
        Each file once, in a fixed order.
    copies
        Number of files that repeat an instance, and were left out.
    shared_uids
        Number of files that show different images under a SOPInstanceUID that others have too.
    """

    instances: tuple[Instance, ...]
    copies: int = 0
    shared_uids: int = 0

    @property
    def first(self) -> Instance:
        """The file whose header is used for the series."""
        return self.instances[0]

    @property
    def uid(self) -> str:
        """SeriesInstanceUID."""
        return self.first.series

    @cached_property
    def slices(self) -> tuple[Slice, ...]:
        """All images."""
        return tuple(s for instance in self.instances for s in instance.slices)

    @cached_property
    def stacks(self) -> tuple[Stack, ...]:
        """The stacks of its images."""
        return tuple(Stack(self, key, slices) for key, slices in split_slices(self.slices))


@dataclass(frozen=True)
class Stack:
    """Images of a series that may form one volume; `stack_geometry` says whether they do.

    Parameters
    ----------
    series
        The series of the images.
    key
        Distinguishes this stack from the others of its series, such as ``(("b", "800"),)``.
    slices
        Ordered along the normal where they have a place.
    """

    series: Series
    key: tuple[tuple[str, str], ...]
    slices: tuple[Slice, ...]

    @property
    def first(self) -> Slice:
        """The slice whose acquisition is used for the stack."""
        return self.slices[0]

    @property
    def name(self) -> str:
        """Such as ``series 8, b=800``; holds nothing private."""
        number = self.series.first.number
        parts = [f"series {number if number is not None else 'without a number'}"]
        return ", ".join([*parts, *(f"{name}={value}" for name, value in self.key)])

    @property
    def description(self) -> str:
        """SeriesDescription of its images; may hold anything."""
        return self.first.description

    @property
    def frame_of_reference(self) -> str:
        """FrameOfReferenceUID; private. Stacks of different ones have unrelated coordinates."""
        return self.series.first.frame_of_reference

    @property
    def plane(self) -> str:
        """One of `PLANES`, or empty."""
        normal = normal_of(self.first)
        return "" if normal is None else PLANES[int(np.argmax(np.abs(normal)))]

    @property
    def tilt_degrees(self) -> float:
        """Angle between the normal and the axis that gives the plane its name."""
        normal = normal_of(self.first)
        if normal is None:
            return 0.0
        return float(np.degrees(np.arccos(min(1.0, float(np.abs(normal).max())))))


def gather_series(instances: Iterable[Instance]) -> list[Series]:
    """Group files by patient, study and series; a copy of a file is taken once.

    Files that share a SOPInstanceUID and show different images are all taken: some anonymizers give
    one UID to several images.
    """
    groups: dict[tuple[str, str, str], dict[str, list[Instance]]] = defaultdict(
        lambda: defaultdict(list)
    )
    copies: Counter[tuple[str, str, str]] = Counter()
    for instance in instances:
        place = (instance.patient, instance.study, instance.series)
        alike = groups[place][instance.sop_uid]
        if any(_is_copy(instance, other) for other in alike):
            copies[place] += 1
        else:
            alike.append(instance)
    series = []
    for place, group in groups.items():
        every = [instance for alike in group.values() for instance in alike]
        shared = sum(len(alike) for alike in group.values() if len(alike) > 1)
        series.append(Series(tuple(sorted(every, key=_file_order)), copies[place], shared))
    return sorted(series, key=lambda s: (s.first.patient, s.first.study, _number(s), s.uid))


def _is_copy(one: Instance, other: Instance) -> bool:
    """Whether two files of one SOPInstanceUID show the same images, wherever they are."""
    if len(one.slices) != len(other.slices):
        return False
    return all(_content(a) == _content(b) for a, b in zip(one.slices, other.slices, strict=True))


def _content(one: Slice) -> Hashable:
    return (
        one.instance,
        one.rows,
        one.columns,
        one.position_lps_mm,
        one.orientation,
        one.acquisition,
    )


def _number(series: Series) -> int:
    return -1 if series.first.number is None else series.first.number


def _file_order(instance: Instance) -> tuple[int, str]:
    return (instance.slices[0].instance if instance.slices else 0, instance.sop_uid)
