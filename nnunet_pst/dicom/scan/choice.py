"""Which stack of a study to take for each sequence, and why not the others."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from nnunet_pst.dicom.reading.directions import GRADIENT, ISOTROPIC
from nnunet_pst.dicom.reading.dynamic import Phase, judge_phases
from nnunet_pst.dicom.reading.series import Stack
from nnunet_pst.dicom.reading.stack_geometry import grid_of
from nnunet_pst.dicom.scan.contrast import contrast_of, timing_of
from nnunet_pst.dicom.scan.contrast_order import settle_by_order
from nnunet_pst.dicom.scan.contrast_words import Contrast
from nnunet_pst.dicom.scan.judgments import Judgment, Outcome
from nnunet_pst.dicom.scan.sequence_rules import COMPUTED, DYNAMIC, NONE, Rule, Verdict, judge
from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.sequence_columns import USUAL_SEQUENCES
from nnunet_pst.io.wording import printable

#: The b-value closest to this is taken, in s/mm2.
PREFERRED_B = 1000.0
#: Rules in the table of series for stacks that a sequence's rule fits, but that can't be used.
_NO_VOLUME_RULE, _CUT_OFF_RULE, _BROKEN_OFF_RULE = "no volume", "cut off", "broken off"


def choose_sequences(
    stacks: Sequence[Stack], rules: tuple[Rule, ...], annotated: Collection[str] = ()
) -> list[Judgment]:
    """Decide for every stack of one study.

    Parameters
    ----------
    stacks
        All of the study.
    rules
        What a stack is.
    annotated
        SeriesInstanceUIDs of series that masks refer to; they are preferred.

    Returns
    -------
    list
        In the order of ``stacks``; at most one is chosen for each sequence.
    """
    judged = [_without_unusable(Judgment(stack, judge(stack, rules))) for stack in stacks]
    dynamic = [i for i, one in enumerate(judged) if one.sequence == DYNAMIC]
    phases = judge_phases([judged[i].stack for i in dynamic])
    for place, phase in phases.items():
        judged[dynamic[place]] = _with_phase(judged[dynamic[place]], phase)
    judged = settle_by_order(judged)
    for sequence in USUAL_SEQUENCES:
        _choose(judged, sequence, annotated)
    _settle_computed(judged, annotated)
    return judged


def _choose(judged: list[Judgment], sequence: str, annotated: Collection[str]) -> None:
    """Take the best axial stack of a sequence."""
    places = [i for i, one in enumerate(judged) if one.sequence == sequence]
    for i in [i for i in places if judged[i].stack.plane != "axial"]:
        judged[i] = replace(judged[i], outcome=Outcome.NOT_AXIAL)
        places.remove(i)
    _choose_one(judged, places, _ranks(sequence, annotated))


def _settle_computed(judged: list[Judgment], annotated: Collection[str]) -> None:
    """Take a computed diffusion image only where no acquired one is taken."""
    computed = [i for i, one in enumerate(judged) if one.sequence == COMPUTED]
    acquired = next((one for one in judged if one.chosen and one.sequence == "DWI"), None)
    for i in computed:
        reason = judged[i].verdict.reason
        if acquired is not None:
            reason = f"{reason}; {acquired.stack.name} was acquired"
            judged[i] = judged[i].rejected(Outcome.NOT_A_SEQUENCE, reason)
        else:
            verdict = replace(judged[i].verdict, sequence="DWI")
            judged[i] = replace(judged[i], verdict=verdict, computed=True)
    if computed and acquired is None:
        _choose(judged, "DWI", annotated)


def _without_unusable(one: Judgment) -> Judgment:
    """Reject a stack that is not a sequence, not a volume, or lacks pixels."""
    if one.sequence == NONE:
        return replace(one, outcome=Outcome.NOT_A_SEQUENCE)
    try:
        grid_of(one.stack)
    except InputError as error:
        return one.rejected(Outcome.NOT_A_VOLUME, error.problems[0], _NO_VOLUME_RULE)
    # Phases are numbered before any is left out, and all are read.
    if one.sequence != DYNAMIC and (lacking := _lacking_pixels(one.stack)):
        return one.rejected(Outcome.CUT_OFF, lacking, _CUT_OFF_RULE)
    return one


def _lacking_pixels(stack: Stack) -> str:
    """Say how many images lack pixels; empty where none does."""
    lacking = [(one, one.pixel_problem) for one in stack.slices if one.pixel_problem]
    if not lacking:
        return ""
    first, problem = lacking[0]
    count, verb = len(lacking), "lack" if len(lacking) > 1 else "lacks"
    return (
        f"{count} of {len(stack.slices)} images {verb} pixels, the first "
        f"{printable(first.origin.name)}: {problem}; copy the series again"
    )


def _with_phase(one: Judgment, phase: Phase) -> Judgment:
    which = f"phase {phase.number} of {phase.count}"
    one = replace(one, phase=phase)
    if phase.missing:
        reason = f"{which} of a dynamic series, broken off: {phase.missing} slices are missing"
        return one.rejected(Outcome.NOT_A_VOLUME, reason, _BROKEN_OFF_RULE)
    if phase.problem is not None:
        if lacking := _lacking_pixels(one.stack):
            return one.rejected(Outcome.CUT_OFF, lacking, _CUT_OFF_RULE)
        # Values are a problem of the whole stack; all others are problems of a file.
        of_stack = phase.problem.fault is Fault.VALUES
        outcome = Outcome.NOT_A_VOLUME if of_stack else Outcome.UNREADABLE
        return one.rejected(outcome, phase.problem)
    if phase.count == 1:
        return _with_one_phase(one)
    value = f"mean {phase.mean:.1f}, {phase.enhancement:+.0%} against the first phase"
    verdict = Verdict(
        "CET1" if phase.after_agent else "T1",
        one.verdict.rule,
        f"{which} of a dynamic series, {_phase_words(phase)}",
        tag=f"{one.verdict.tag}; pixels",
        value=f"{one.verdict.value}; {value}",
    )
    one = replace(one, verdict=verdict)
    timing = timing_of(one.stack)
    if not phase.after_agent and timing.contrast is Contrast.ENHANCED:
        reason = f"{which} of a dynamic series, not brighter than the first, but {timing.reason}"
        return one.rejected(Outcome.NOT_A_SEQUENCE, reason)
    evidence = contrast_of(one.stack)
    # A series named after contrast of which no phase is brighter may have begun after the bolus.
    unclear = not phase.any_enhanced and evidence.contrast is Contrast.ENHANCED
    if not unclear or (evidence.agent_only and not phase.after_agent and phase.number == 1):
        return one
    reason = f"{which} of a dynamic series without enhancement, but {evidence.reason}"
    return one.rejected(Outcome.NOT_A_SEQUENCE, reason)


def _phase_words(phase: Phase) -> str:
    if phase.enhanced:
        return "enhanced"
    if phase.after_agent:
        return "after the enhanced ones, washed out"
    return "not enhanced: before the agent arrives"


def _with_one_phase(one: Judgment) -> Judgment:
    """Judge a dynamic series of which only one phase is there: by what its header says."""
    evidence = contrast_of(one.stack)
    sequence = {Contrast.ENHANCED: "CET1", Contrast.NATIVE: "T1"}.get(evidence.contrast)
    if sequence is None:
        reason = "one phase of a dynamic series: nothing tells whether it is enhanced"
        return one.rejected(Outcome.NOT_A_SEQUENCE, reason)
    reason = f"one phase of a dynamic series, {evidence.reason}"
    return replace(one, verdict=replace(one.verdict, sequence=sequence, reason=reason))


@dataclass(frozen=True)
class _Criterion:
    """A reason to prefer one stack to another.

    Parameters
    ----------
    advantage
        What the better stack is or has, as it is written behind its name.
    value
        Larger is better.
    """

    advantage: str
    value: Callable[[Judgment], float | str]


#: Written into the table of series, where it must stay as it is.
_NOT_DYNAMIC = _Criterion("is not a phase of a dynamic series", lambda j: j.phase is None)


def _ranks(sequence: str, annotated: Collection[str]) -> list[_Criterion]:
    """Return the criteria for the stacks of a sequence, the most important first."""
    own: Mapping[str, list[_Criterion]] = {
        "T1": [
            _Criterion(
                "is spin echo rather than gradient echo", lambda j: "GR" not in _scanning(j)
            ),
            _NOT_DYNAMIC,
        ],
        "CET1": [
            _NOT_DYNAMIC,
            _Criterion(
                "is the last phase with nearly the highest enhancement",
                lambda j: j.phase is not None and j.phase.taken,
            ),
        ],
        "DWI": [
            _Criterion("names no gradient", lambda j: not _has_gradient(j)),
            _Criterion(f"has a b-value closer to {PREFERRED_B:g}", _b_closeness),
        ],
    }
    return [
        _Criterion("has a mask that was drawn on it", lambda j: j.stack.series.uid in annotated),
        _Criterion("was acquired, not made from other images", _is_acquired),
        *own.get(sequence, []),
        _Criterion("has more slices", lambda j: len(j.stack.slices)),
        _Criterion("has smaller pixels", _pixel_smallness),
        _Criterion("has a larger flip angle", _flip),
        _Criterion("has a later acquisition", lambda j: j.stack.first.acquisition.time),
        _Criterion("has a higher number", lambda j: j.stack.series.first.number or 0),
        _Criterion("has a UID that comes later", lambda j: j.stack.series.uid),
        _Criterion("has a key that comes later", lambda j: str(j.stack.key)),
    ]


def _is_acquired(one: Judgment) -> bool:
    """Whether no other image was needed. Of a diffusion scan, scanners keep the trace images."""
    acquisition = one.stack.first.acquisition
    trace = acquisition.direction == ISOTROPIC or any("TRACE" in t for t in acquisition.image_type)
    return (trace and not one.computed) or "DERIVED" not in acquisition.image_type[:1]


def _has_gradient(one: Judgment) -> bool:
    return one.stack.first.acquisition.direction.startswith(GRADIENT)


def _pixel_smallness(one: Judgment) -> float:
    return -round(max(one.stack.first.pixel_spacing_mm or (0.0,)), 3)


def _scanning(one: Judgment) -> tuple[str, ...]:
    return one.stack.first.acquisition.scanning


def _flip(one: Judgment) -> float:
    """Flip angle of a T1 gradient echo: a larger one is more T1-weighted. 0 for other stacks."""
    angle = one.stack.first.acquisition.flip_degrees
    return angle if angle is not None and one.sequence == "T1" and "GR" in _scanning(one) else 0.0


def _b_closeness(one: Judgment) -> float:
    b = one.stack.first.acquisition.b
    return -abs(b.value - PREFERRED_B) if b is not None else -1e9


def _choose_one(judged: list[Judgment], places: list[int], criteria: Sequence[_Criterion]) -> None:
    """Take the best of the stacks at some places, and say what it has over the others."""
    if not places:
        return

    def key(i: int) -> tuple[float | str, ...]:
        return tuple(criterion.value(judged[i]) for criterion in criteria)

    best = max(places, key=key)
    taken = judged[best]
    for i in places:
        if i == best:
            judged[i] = replace(taken, outcome=Outcome.TAKEN, candidates=len(places))
            continue
        first = next(c for c in criteria if c.value(judged[i]) != c.value(taken))
        advantage = f"{taken.stack.name} {first.advantage}"
        judged[i] = replace(judged[i], outcome=Outcome.OUTRANKED, advantage=advantage)
