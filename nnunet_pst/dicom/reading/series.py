"""Files to series, and a series to the stacks of parallel images that it holds.

A stack can become one volume: its images have one size and orientation and differ only in their
place. A diffusion series holds a stack for each b-value, a dynamic series one for each phase, a
localizer one for each plane.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from nnunet_pst.dicom.reading.headers import Instance, Slice

#: Orientations are the same up to this difference of a component: headers are rounded.
SAME_ORIENTATION = 1e-3
#: Positions along the normal are the same up to this.
SAME_POSITION_MM = 0.01
#: Below 45 degrees of tilt, a plane is called after the axis that its normal is closest to.
PLANES = ("sagittal", "coronal", "axial")


@dataclass(frozen=True)
class Series:
    """The files that share a SeriesInstanceUID.

    Parameters
    ----------
    instances
        Each SOP instance once, in a fixed order.
    copies
        Number of files that repeat an instance, and were left out.
    """

    instances: tuple[Instance, ...]
    copies: int = 0

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
        return split_series(self)


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


def normal_of(one: Slice) -> npt.NDArray[np.float64] | None:
    """(3,) LPS unit vector at right angles to row and column; None without an orientation."""
    if one.orientation is None:
        return None
    normal = np.cross(one.orientation[:3], one.orientation[3:])
    length = float(np.linalg.norm(normal))
    return np.asarray(normal / length, dtype=np.float64) if length > 0.5 else None


def depth_mm(one: Slice, normal: npt.NDArray[np.float64]) -> float:
    """Position along a normal; 0 for an image without a place."""
    return 0.0 if one.position_lps_mm is None else float(np.dot(one.position_lps_mm, normal))


def gather_series(instances: Iterable[Instance]) -> list[Series]:
    """Group files by patient, study and series; a repeated instance is taken once."""
    groups: dict[tuple[str, str, str], dict[str, Instance]] = defaultdict(dict)
    copies: Counter[tuple[str, str, str]] = Counter()
    for instance in instances:
        place = (instance.patient, instance.study, instance.series)
        if groups[place].setdefault(instance.sop_uid, instance) is not instance:
            copies[place] += 1
    series = [
        Series(tuple(sorted(group.values(), key=_file_order)), copies[place])
        for place, group in groups.items()
    ]
    return sorted(series, key=lambda s: (s.first.patient, s.first.study, _number(s), s.uid))


def _number(series: Series) -> int:
    return -1 if series.first.number is None else series.first.number


def _file_order(instance: Instance) -> tuple[int, str]:
    return (instance.slices[0].instance if instance.slices else 0, instance.sop_uid)


def split_series(series: Series) -> tuple[Stack, ...]:
    """Split a series into stacks: by size, plane and b-value, then by type, echo and phase.

    Type, echo, dynamic phase and acquisition split a stack only while a position occurs in it more
    than once: an acquisition in two passes stays one stack.
    """
    parts: list[_Part] = [_Part((), list(series.slices))] if series.slices else []
    parts = _split_all(parts, "matrix", _matrix, always=True)
    parts = [smaller for part in parts for smaller in _by_orientation(part)]
    parts = _split_all(parts, "b", _b, always=True)
    parts = _split_all(parts, "type", lambda s: s.acquisition.image_type)
    parts = _split_all(parts, "echo", _echo)
    parts = _split_all(parts, "phase", lambda s: s.acquisition.phase)
    parts = _split_all(parts, "acquisition", lambda s: s.acquisition.number)
    parts = [smaller for part in parts for smaller in _by_time(part)]
    return tuple(Stack(series, part.key, tuple(_ordered(part.slices))) for part in parts)


@dataclass
class _Part:
    key: tuple[tuple[str, str], ...]
    slices: list[Slice]


def _split_all(
    parts: list[_Part], name: str, value: Callable[[Slice], Hashable], *, always: bool = False
) -> list[_Part]:
    return [smaller for part in parts for smaller in _split(part, name, value, always=always)]


def _split(
    part: _Part, name: str, value: Callable[[Slice], Hashable], *, always: bool
) -> list[_Part]:
    if not always and not has_repeats(part.slices):
        return [part]
    groups: dict[Hashable, list[Slice]] = defaultdict(list)
    for one in part.slices:
        groups[value(one)].append(one)
    if len(groups) == 1:
        return [part]
    ordered = sorted(groups, key=_sortable)
    shown = _shown(ordered)
    return [
        _Part((*part.key, (name, text)), groups[group])
        for group, text in zip(ordered, shown, strict=True)
    ]


def _sortable(value: object) -> tuple[int, float, str]:
    """Numbers in their order before all other things; None first."""
    number = float(value) if isinstance(value, int | float) else 0.0
    return (0 if value is None else 1, number, str(value))


def _shown(values: Sequence[Hashable]) -> list[str]:
    """Write the values that distinguish stacks; of image types, the parts that not all share."""
    tuples = [value for value in values if isinstance(value, tuple)]
    common = set.intersection(*map(set, tuples)) if tuples else set()
    shown = []
    for value in values:
        if isinstance(value, tuple):
            text = "-".join(str(part) for part in value if part not in common)
        else:
            text = f"{value:g}" if isinstance(value, int | float) else str(value or "")
        shown.append(text or "none")
    # Types that differ in their order only would get one name.
    twice = len(set(shown)) < len(shown)
    return [f"{text}-{n}" for n, text in enumerate(shown, 1)] if twice else shown


def _matrix(one: Slice) -> Hashable:
    spacing = one.pixel_spacing_mm or ()
    size = f"{one.columns}x{one.rows}"
    return size + "".join(f"x{value:.4g}" for value in spacing)


def _b(one: Slice) -> Hashable:
    return None if one.acquisition.b is None else one.acquisition.b.value


def _echo(one: Slice) -> Hashable:
    acquisition = one.acquisition
    return acquisition.echo if acquisition.echo is not None else acquisition.echo_ms


def _by_orientation(part: _Part) -> list[_Part]:
    groups: list[list[Slice]] = []
    for one in part.slices:
        for group in groups:
            if _same_orientation(group[0], one):
                group.append(one)
                break
        else:
            groups.append([one])
    if len(groups) == 1:
        return [part]
    names = [_plane_name(group[0]) for group in groups]
    return [
        _Part((*part.key, ("plane", _numbered(names, index))), group)
        for index, group in enumerate(groups)
    ]


def _plane_name(one: Slice) -> str:
    normal = normal_of(one)
    return "unknown" if normal is None else PLANES[int(np.argmax(np.abs(normal)))]


def _numbered(names: list[str], index: int) -> str:
    """Number planes of one name, such as those of a radial scan."""
    name = names[index]
    return name if names.count(name) == 1 else f"{name}-{names[: index + 1].count(name)}"


def _same_orientation(one: Slice, other: Slice) -> bool:
    if one.orientation is None or other.orientation is None:
        return one.orientation == other.orientation
    return bool(np.allclose(one.orientation, other.orientation, rtol=0, atol=SAME_ORIENTATION))


def _by_time(part: _Part) -> list[_Part]:
    """Split by the time of acquisition, where each time then has all positions.

    In a two-dimensional scan every slice has its own time, so times alone mean nothing.
    """
    if not has_repeats(part.slices):
        return [part]
    groups: dict[str, list[Slice]] = defaultdict(list)
    for one in part.slices:
        groups[one.acquisition.time].append(one)
    places = {len(group) for group in groups.values()}
    if "" in groups or len(places) != 1 or any(map(has_repeats, groups.values())):
        return [part]
    if places == {1}:
        return [part]
    return [
        _Part((*part.key, ("phase", str(number))), groups[time])
        for number, time in enumerate(sorted(groups), 1)
    ]


def has_repeats(slices: Sequence[Slice]) -> bool:
    """Whether a place along the normal occurs more than once."""
    depths = _depths(slices)
    return bool((np.diff(np.sort(depths)) < SAME_POSITION_MM).any())


def _depths(slices: Sequence[Slice]) -> npt.NDArray[np.float64]:
    normal = normal_of(slices[0])
    if normal is None:
        return np.arange(len(slices), dtype=np.float64)
    return np.array([depth_mm(one, normal) for one in slices])


def _ordered(slices: Sequence[Slice]) -> list[Slice]:
    order = np.argsort(_depths(slices), kind="stable")
    return [slices[int(index)] for index in order]
