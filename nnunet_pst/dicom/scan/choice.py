"""Which stack of a study to take for each sequence, and why not the others."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

from nnunet_pst.dicom.reading.dynamic import Phase, judge_phases
from nnunet_pst.dicom.reading.files import printable
from nnunet_pst.dicom.reading.series import Stack
from nnunet_pst.dicom.reading.stack_geometry import grid_of
from nnunet_pst.dicom.scan.sequence_rules import DYNAMIC, NONE, Rule, Verdict, judge
from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.sequence_columns import USUAL_SEQUENCES

#: The b-value closest to this is taken, in s/mm2.
PREFERRED_B = 1000.0
#: Rules in the table of series for stacks that a sequence's rule fits, but that can't be used.
_NO_VOLUME_RULE, _CUT_OFF_RULE = "no volume", "cut off"


class Outcome(Enum):
    """What was decided about a stack."""

    CANDIDATE = auto()  #: not decided yet
    TAKEN = auto()  #: taken for its sequence
    OUTRANKED = auto()  #: another stack is better
    NOT_AXIAL = auto()  #: of another plane
    NOT_A_SEQUENCE = auto()  #: none of the sequences by the rules
    NOT_A_VOLUME = auto()  #: its places or its values make no volume; the reason names the stack
    CUT_OFF = auto()  #: files lack pixels
    UNREADABLE = auto()  #: a file can't be decoded


#: Outcomes that the verdict's reason explains; the others say more.
_EXPLAINED_BY_VERDICT = (
    Outcome.NOT_A_SEQUENCE,
    Outcome.NOT_A_VOLUME,
    Outcome.CUT_OFF,
    Outcome.UNREADABLE,
)


@dataclass(frozen=True)
class Judgment:
    """What a stack is, and what was decided about it.

    Parameters
    ----------
    stack
        The images.
    verdict
        What they are.
    outcome
        What was decided.
    candidates
        Of a stack that is taken: how many were compared.
    advantage
        Of a stack that is outranked: the better one, and its advantage.
    phase
        Of a dynamic series.
    """

    stack: Stack
    verdict: Verdict
    outcome: Outcome = Outcome.CANDIDATE
    candidates: int = 1
    advantage: str = ""
    phase: Phase | None = None

    @property
    def sequence(self) -> str:
        """T1, T2, DWI, CET1, or none."""
        return self.verdict.sequence

    @property
    def chosen(self) -> bool:
        """Whether it is taken for its sequence."""
        return self.outcome is Outcome.TAKEN

    @property
    def decision(self) -> str:
        """Why it was taken, or why not."""
        if self.outcome is Outcome.TAKEN:
            return "taken" if self.candidates == 1 else f"taken, the best of {self.candidates}"
        if self.outcome is Outcome.OUTRANKED:
            return self.advantage
        if self.outcome is Outcome.NOT_AXIAL:
            return f"not axial but {self.stack.plane}"
        return self.verdict.reason

    @property
    def reason(self) -> str:
        """What the stack is, and what was decided about it."""
        if self.outcome in _EXPLAINED_BY_VERDICT:
            return self.verdict.reason
        return f"{self.verdict.reason}; {self.decision}"

    def rejected(self, outcome: Outcome, reason: str, rule: str | None = None) -> Judgment:
        """Return the judgment that the stack can't be used for any sequence."""
        rule = self.verdict.rule if rule is None else rule
        verdict = replace(self.verdict, sequence=NONE, rule=rule, reason=reason)
        return replace(self, verdict=verdict, outcome=outcome)


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
    for sequence in USUAL_SEQUENCES:
        places = [i for i, one in enumerate(judged) if one.sequence == sequence]
        for i in [i for i in places if judged[i].stack.plane != "axial"]:
            judged[i] = replace(judged[i], outcome=Outcome.NOT_AXIAL)
            places.remove(i)
        _choose_one(judged, places, _ranks(sequence, annotated))
    return judged


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
    if phase.problem is not None:
        if lacking := _lacking_pixels(one.stack):
            return one.rejected(Outcome.CUT_OFF, lacking, _CUT_OFF_RULE)
        # Values are a problem of the whole stack; all others are problems of a file.
        of_stack = phase.problem.fault is Fault.VALUES
        outcome = Outcome.NOT_A_VOLUME if of_stack else Outcome.UNREADABLE
        return one.rejected(outcome, phase.problem)
    value = f"mean {phase.mean:.1f}, {phase.enhancement:+.0%} against the first phase"
    if phase.count == 1 and one.stack.first.acquisition.agent:
        verdict = replace(one.verdict, sequence="CET1", reason="one phase with an agent named")
    elif phase.count == 1:
        reason = "one phase of a dynamic series: nothing tells whether it is enhanced"
        return one.rejected(Outcome.NOT_A_SEQUENCE, reason)
    else:
        what = "enhanced" if phase.enhanced else "not enhanced: before the agent arrives"
        verdict = Verdict(
            "CET1" if phase.enhanced else "T1",
            one.verdict.rule,
            f"{which} of a dynamic series, {what}",
            tag=f"{one.verdict.tag}; pixels",
            value=f"{one.verdict.value}; {value}",
        )
    return replace(one, verdict=verdict)


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
        "DWI": [_Criterion(f"has a b-value closer to {PREFERRED_B:g}", _b_closeness)],
    }
    return [
        _Criterion("has a mask that was drawn on it", lambda j: j.stack.series.uid in annotated),
        *own.get(sequence, []),
        _Criterion("has more slices", lambda j: len(j.stack.slices)),
        _Criterion("has smaller pixels", _pixel_smallness),
        _Criterion("has a larger flip angle", _flip),
        _Criterion("has a later acquisition", lambda j: j.stack.first.acquisition.time),
        _Criterion("has a higher number", lambda j: j.stack.series.first.number or 0),
        _Criterion("has a UID that comes later", lambda j: j.stack.series.uid),
        _Criterion("has a key that comes later", lambda j: str(j.stack.key)),
    ]


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
