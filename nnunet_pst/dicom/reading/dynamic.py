"""Which phases of a dynamic contrast series are enhanced: measured on pixels, not read from names.

The first phases are acquired before the agent arrives, and their headers look like the others'.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from nnunet_pst.dicom.reading.pixels import read_stack_image
from nnunet_pst.dicom.reading.series import Stack
from nnunet_pst.errors import InputError, Problem

#: A phase is enhanced when its mean is this share above the first phase's. Between phases without
#: agent, means of a still patient differ by less than one percent.
ENHANCED = 0.05
#: The phase taken is the last whose enhancement is at least this share of the highest: late, as
#: tumors are read, but not washed out.
NEARLY_HIGHEST = 0.9
#: The mean is over this share of rows and columns around the center, and over half of the slices:
#: the patient, hardly any air.
_CENTER = 3 / 8


@dataclass(frozen=True)
class Phase:
    """A phase of a dynamic series.

    Parameters
    ----------
    number
        In time, from 1.
    count
        Number of phases.
    mean
        Of its center, in the image's units; None when it can't be read.
    enhancement
        Share above the first phase.
    enhanced, taken
        Whether it is enhanced, and whether it is the phase to take.
    after_agent
        Whether it is enhanced, or comes after a phase that is.
    any_enhanced
        Whether any phase of the series is.
    missing
        Number of slices that most phases have and it lacks: it was broken off.
    problem
        Why it can't be read; None where it can.
    """

    number: int
    count: int
    mean: float | None = None
    enhancement: float = 0.0
    enhanced: bool = False
    taken: bool = False
    after_agent: bool = False
    any_enhanced: bool = False
    missing: int = 0
    problem: Problem | None = None


def judge_phases(stacks: Sequence[Stack]) -> dict[int, Phase]:
    """Judge every phase by its pixels, a volume at a time.

    Parameters
    ----------
    stacks
        All stacks that the rules call dynamic; equal matrix, protocol and echo mean one series.

    Returns
    -------
    dict
        By position in ``stacks``.
    """
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for index, stack in enumerate(stacks):
        groups[_protocol(stack)].append(index)
    phases: dict[int, Phase] = {}
    for group in groups.values():
        ordered = sorted(group, key=lambda i: _moment(stacks[i]))
        phases.update(zip(ordered, _judge([stacks[i] for i in ordered]), strict=True))
    return phases


def _protocol(stack: Stack) -> Hashable:
    first, acquisition = stack.first, stack.first.acquisition
    return (
        first.rows,
        first.columns,
        stack.plane,
        acquisition.image_type[2:],
        acquisition.sequence_name,
        acquisition.repetition_ms,
        acquisition.echo_ms,
        acquisition.flip_degrees,
        acquisition.echo,
    )


def _moment(stack: Stack) -> tuple[str, int, int, int]:
    """When a phase was acquired. Times of series are those of their reconstruction."""
    acquisition = stack.first.acquisition
    number = stack.series.first.number
    order = dict(stack.key)
    splits = [int(order[name]) for name in ("phase", "part") if order.get(name, "").isdigit()]
    # Phases of one file or series may share a time; then how it was split says their order.
    phase = next(iter(splits), acquisition.phase or 0)
    return (acquisition.time, phase, acquisition.number or 0, number or 0)


def _judge(stacks: Sequence[Stack]) -> list[Phase]:
    usual = Counter(len(stack.slices) for stack in stacks).most_common(1)[0][0]
    missing = [max(usual - len(stack.slices), 0) for stack in stacks]
    measured = _means(stacks)
    means = [mean for mean, _ in measured]
    known = [mean for mean in means if mean is not None]
    first = known[0] if known else 0.0
    gains = [mean / first - 1 if mean is not None and first > 0 else 0.0 for mean in means]
    enhanced = [gain >= ENHANCED and not missing[i] for i, gain in enumerate(gains)]
    arrival = enhanced.index(True) if any(enhanced) else len(stacks)
    highest = max((gains[i] for i in range(len(stacks)) if not missing[i]), default=0.0)
    late = [i for i, gain in enumerate(gains) if gain >= NEARLY_HIGHEST * highest and enhanced[i]]
    return [
        Phase(
            i + 1,
            len(stacks),
            mean,
            gains[i],
            enhanced[i],
            taken=i == late[-1] if late else False,
            after_agent=i >= arrival,
            any_enhanced=any(enhanced),
            missing=missing[i],
            problem=problem,
        )
        for i, (mean, problem) in enumerate(measured)
    ]


def _means(stacks: Sequence[Stack]) -> list[tuple[float | None, Problem | None]]:
    """Measure every phase: in real-world values where all phases have them, else as displayed."""
    measured = [_mean_or_problem(stack) for stack in stacks]
    real = all(isinstance(one, Problem) or one[1] is not None for one in measured)
    return [
        (None, one) if isinstance(one, Problem) else (one[1] if real else one[0], None)
        for one in measured
    ]


def _mean_or_problem(stack: Stack) -> tuple[float, float | None] | Problem:
    try:
        return _center_mean(stack)
    except InputError as error:
        return error.problems[0]


def _center_mean(stack: Stack) -> tuple[float, float | None]:
    """Mean of the patient's part of a stack as displayed, and in real-world values or None."""
    image = read_stack_image(stack, real_values=True)
    array = image.volume.array
    parts = []
    for size, share in zip(array.shape, (1 / 2, _CENTER, _CENTER), strict=True):
        margin = round(size * (1 - share) / 2)
        parts.append(slice(margin, max(size - margin, margin + 1)))
    center = tuple(parts)
    displayed = float(np.mean(array[center], dtype=np.float64))
    if image.real is None:
        return displayed, None
    slopes, intercepts = (np.asarray(one)[center[0], None, None] for one in image.real)
    return displayed, float(np.mean(array[center] * slopes + intercepts, dtype=np.float64))
