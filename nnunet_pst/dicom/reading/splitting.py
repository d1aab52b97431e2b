"""The images of a series to stacks, each of which may be one volume.

What makers use to tell volumes apart that lie in one place: b-values, types, echoes, the temporal
position (Philips), TriggerTime (GE), number or time of the acquisition (Siemens, Canon), the time
of the content, and the order of the images (dcm2niix's notes on GE; DICOM PS3.3 C.7.6.16.2.2).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from nnunet_pst.dicom.reading.headers import Slice
from nnunet_pst.dicom.reading.slice_places import (
    along_normal,
    by_place,
    has_repeats,
    plane_name,
    same_orientation,
)

#: Echo times belong to two scans where one is this many times the other, and this much longer.
#: Those of one scan differ by less, also where places don't repeat.
FAR_ECHOES, FAR_ECHOES_MS = 1.5, 10.0
Key = tuple[tuple[str, str], ...]


def split_slices(slices: Sequence[Slice]) -> tuple[tuple[Key, tuple[Slice, ...]], ...]:
    """Split the images of a series into stacks: by size, plane, b-value, type, echo, and so on.

    Type, echo, dynamic phase, direction and acquisition split a stack only while a position occurs
    in it more than once: an acquisition in two passes stays one stack. Echo times that are far
    apart always do: they are two scans under one UID. What still repeats is split by moments, and
    in the end by the order of the images alone (key ``part``).

    Returns
    -------
    tuple
        For each stack its key, such as ``(("b", "800"),)``, and its images along the normal.
    """
    parts: list[_Part] = [_Part((), list(slices))] if slices else []
    parts = _split_all(parts, "matrix", _matrix, always=True)
    parts = [smaller for part in parts for smaller in _by_orientation(part)]
    parts = _split_all(parts, "b", _b, always=True)
    parts = _split_all(parts, "type", lambda s: s.acquisition.image_type)
    parts = _split_all(parts, "component", lambda s: s.acquisition.component)
    parts = _split_all(parts, "echo", _echo)
    parts = [smaller for part in parts for smaller in _by_echo_time(part)]
    parts = [smaller for part in parts for smaller in _by_description(part)]
    parts = _split_all(parts, "phase", lambda s: s.acquisition.phase)
    parts = _split_all(parts, "direction", lambda s: s.acquisition.direction)
    parts = [smaller for part in parts for smaller in _by_acquisition(part)]
    parts = _split_all(parts, "flip", lambda s: s.acquisition.flip_degrees)
    for moment in (_trigger, _time, _content_time):
        parts = [smaller for part in parts for smaller in _by_moment(part, moment)]
    parts = [smaller for part in parts for smaller in _by_order(part)]
    return tuple((part.key, tuple(along_normal(part.slices))) for part in parts)


@dataclass
class _Part:
    key: Key
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
            if same_orientation(group[0], one):
                group.append(one)
                break
        else:
            groups.append([one])
    if len(groups) == 1:
        return [part]
    names = [plane_name(group[0]) for group in groups]
    return [
        _Part((*part.key, ("plane", _numbered(names, index))), group)
        for index, group in enumerate(groups)
    ]


def _numbered(names: list[str], index: int) -> str:
    """Number planes of one name, such as those of a radial scan."""
    name = names[index]
    return name if names.count(name) == 1 else f"{name}-{names[: index + 1].count(name)}"


def _by_description(part: _Part) -> list[_Part]:
    """Split by SeriesDescription, unless it counts images: several scans may share a UID."""
    groups: dict[str, list[Slice]] = defaultdict(list)
    for one in part.slices:
        groups[one.description].append(one)
    if len(groups) == 1 or 3 * len(groups) > len(part.slices):
        return [part]
    ordered = [groups[description] for description in sorted(groups)]
    return _numbered_parts(part, "scan", ordered)


def _by_acquisition(part: _Part) -> list[_Part]:
    """Split by AcquisitionNumber, unless it counts images rather than volumes."""
    volumes = max(map(len, by_place(part.slices)))
    if len({one.acquisition.number for one in part.slices}) > volumes:
        return [part]
    return _split(part, "acquisition", lambda one: one.acquisition.number, always=False)


def _by_echo_time(part: _Part) -> list[_Part]:
    """Split where echo times are far apart, or where they differ and places repeat."""
    times = sorted({one.acquisition.echo_ms or 0.0 for one in part.slices})
    repeats = len(times) > 1 and has_repeats(part.slices)
    starts = [
        late
        for early, late in pairwise(times)
        if repeats or late > max(early * FAR_ECHOES, early + FAR_ECHOES_MS)
    ]
    if not starts:
        return [part]
    groups: dict[int, list[Slice]] = defaultdict(list)
    for one in part.slices:
        groups[sum((one.acquisition.echo_ms or 0.0) >= start for start in starts)].append(one)
    return [
        _Part((*part.key, ("te", f"{group[0].acquisition.echo_ms or 0.0:g}")), group)
        for _, group in sorted(groups.items())
    ]


def _trigger(one: Slice) -> Hashable:
    return one.acquisition.trigger_ms


def _time(one: Slice) -> Hashable:
    return one.acquisition.time or None


def _content_time(one: Slice) -> Hashable:
    return one.acquisition.content_time or None


def _by_moment(part: _Part, moment: Callable[[Slice], Hashable]) -> list[_Part]:
    """Split by a moment, where each moment then has all positions; the last may be broken off.

    In a two-dimensional scan every slice has its own time, so times alone mean nothing.
    """
    if not has_repeats(part.slices):
        return [part]
    groups: dict[Hashable, list[Slice]] = defaultdict(list)
    for one in part.slices:
        groups[moment(one)].append(one)
    ordered = [groups[value] for value in sorted(groups, key=_sortable)]
    if None in groups or not _are_phases(ordered):
        return [part]
    return _numbered_parts(part, "phase", ordered)


def _are_phases(groups: Sequence[Sequence[Slice]]) -> bool:
    """Whether groups are volumes of the same places, of which the last may be broken off."""
    first, last = len(groups[0]), len(groups[-1])
    whole = len(groups) > 1 and first > 1 and all(len(group) == first for group in groups[:-1])
    # With two groups, one that has a slice or two is a repeated slice rather than a phase.
    enough = last <= first and (len(groups) > 2 or 2 * last >= first)
    return whole and enough and not any(map(has_repeats, groups))


def _by_order(part: _Part) -> list[_Part]:
    """Split by InstanceNumber: the first image at each place, the second, and so on."""
    numbers = [one.instance for one in part.slices]
    if not has_repeats(part.slices) or len(set(numbers)) < len(numbers):
        return [part]
    places = [sorted(place, key=lambda one: one.instance) for place in by_place(part.slices)]
    count = max(map(len, places))
    groups = [[place[n] for place in places if len(place) > n] for n in range(count)]
    return _numbered_parts(part, "part", groups) if _are_phases(groups) else [part]


def _numbered_parts(part: _Part, name: str, groups: Sequence[list[Slice]]) -> list[_Part]:
    return [
        _Part((*part.key, (name, str(number))), group) for number, group in enumerate(groups, 1)
    ]
