"""Of all stacks of a study, the one to take for each sequence, and why not the others."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from nnunet_pst.dicom.reading.dynamic import Phase, judge_phases
from nnunet_pst.dicom.reading.files import printable
from nnunet_pst.dicom.reading.series import Stack
from nnunet_pst.dicom.reading.stack_geometry import grid_of
from nnunet_pst.dicom.scan.sequence_rules import DYNAMIC, NONE, Rule, Verdict, judge
from nnunet_pst.errors import InputError
from nnunet_pst.io.sequence_columns import USUAL_SEQUENCES

#: Of several b-values the one closest to this is taken, in s/mm2.
WANTED_B = 1000.0
#: Rule of a stack that would be taken for a sequence, but lacks pixels.
CUT_OFF = "cut off"


@dataclass(frozen=True)
class Judgment:
    """What was found out and decided about a stack.

    Parameters
    ----------
    stack
        The images.
    verdict
        What they are.
    chosen
        Whether they are taken for that sequence.
    decision
        Why, or why not.
    phase
        Of a dynamic series.
    """

    stack: Stack
    verdict: Verdict
    chosen: bool = False
    decision: str = ""
    phase: Phase | None = None

    @property
    def sequence(self) -> str:
        """T1, T2, DWI, CET1, or none."""
        return self.verdict.sequence


def choose_sequences(
    stacks: Sequence[Stack], rules: tuple[Rule, ...], drawn: Collection[str] = ()
) -> list[Judgment]:
    """Decide for every stack of one study.

    Parameters
    ----------
    stacks
        All of the study.
    rules
        What a stack is.
    drawn
        SeriesInstanceUIDs of series that masks refer to; they are preferred.

    Returns
    -------
    list
        In the order of ``stacks``; for each sequence one is chosen at most.
    """
    judged = [_usable(Judgment(stack, judge(stack, rules))) for stack in stacks]
    dynamic = [i for i, one in enumerate(judged) if one.sequence == DYNAMIC]
    phases = judge_phases([judged[i].stack for i in dynamic])
    for place, phase in phases.items():
        judged[dynamic[place]] = _with_phase(judged[dynamic[place]], phase)
    for sequence in USUAL_SEQUENCES:
        places = [i for i, one in enumerate(judged) if one.sequence == sequence and _open(one)]
        for i in [i for i in places if judged[i].stack.plane != "axial"]:
            plane = judged[i].stack.plane
            judged[i] = replace(judged[i], decision=f"not axial but {plane}")
            places.remove(i)
        _choose_one(judged, places, _ranks(sequence, drawn))
    return judged


def _open(one: Judgment) -> bool:
    return not one.decision


def _usable(one: Judgment) -> Judgment:
    """Give what is no sequence, or no volume, its decision."""
    if one.sequence == NONE:
        return replace(one, decision=one.verdict.reason)
    try:
        grid_of(one.stack)
    except InputError as error:
        rule, problem = "no volume", str(error.problems[0])
    else:
        # Phases are numbered before any is left out, and all are read.
        rule, problem = CUT_OFF, "" if one.sequence == DYNAMIC else _cut_off(one.stack)
    if not problem:
        return one
    verdict = replace(one.verdict, sequence=NONE, rule=rule, reason=problem)
    return replace(one, verdict=verdict, decision=problem)


def _cut_off(stack: Stack) -> str:
    """Say that images lack pixels; empty when none does."""
    faulty = [s for s in stack.slices if s.fault]
    if not faulty:
        return ""
    first = faulty[0]
    count, verb = len(faulty), "lack" if len(faulty) > 1 else "lacks"
    return (
        f"{count} of {len(stack.slices)} images {verb} pixels, the first "
        f"{printable(first.origin.name)}: {first.fault}; copy the series again"
    )


def _with_phase(one: Judgment, phase: Phase) -> Judgment:
    which = f"phase {phase.number} of {phase.count}"
    if phase.mean is None:
        cut = _cut_off(one.stack)
        rule, problem = (CUT_OFF, cut) if cut else (one.verdict.rule, phase.problem)
        verdict = replace(one.verdict, sequence=NONE, rule=rule, reason=problem)
        return replace(one, verdict=verdict, decision=problem, phase=phase)
    value = f"mean {phase.mean:.1f}, {phase.enhancement:+.0%} against the first phase"
    if phase.count == 1 and one.stack.first.acquisition.agent:
        verdict = replace(one.verdict, sequence="CET1", reason="one phase with an agent named")
    elif phase.count == 1:
        reason = "one phase of a dynamic series: nothing tells whether it is enhanced"
        verdict = replace(one.verdict, sequence=NONE, reason=reason)
        return replace(one, verdict=verdict, decision=reason, phase=phase)
    else:
        what = "enhanced" if phase.enhanced else "not enhanced: before the agent arrives"
        verdict = Verdict(
            "CET1" if phase.enhanced else "T1",
            one.verdict.rule,
            f"{which} of a dynamic series, {what}",
            tag=f"{one.verdict.tag}; pixels",
            value=f"{one.verdict.value}; {value}",
        )
    return replace(one, verdict=verdict, phase=phase)


Rank = tuple[str, Callable[[Judgment], float | str]]


def _ranks(sequence: str, drawn: Collection[str]) -> list[Rank]:
    """What makes one stack better than another, the weightiest first."""
    own: Mapping[str, list[Rank]] = {
        "T1": [
            ("spin echo rather than gradient echo", lambda j: "GR" not in _scanning(j)),
            ("no phase of a dynamic series", lambda j: j.phase is None),
        ],
        "CET1": [
            ("no phase of a dynamic series", lambda j: j.phase is None),
            (
                "the last phase with nearly the highest enhancement",
                lambda j: j.phase is not None and j.phase.taken,
            ),
        ],
        "DWI": [(f"a b-value closer to {WANTED_B:g}", _b_closeness)],
    }
    return [
        ("a mask that was drawn on it", lambda j: j.stack.series.uid in drawn),
        *own.get(sequence, []),
        ("more slices", lambda j: len(j.stack.slices)),
        ("smaller pixels", lambda j: -round(max(j.stack.first.pixel_spacing_mm or (0.0,)), 3)),
        ("a larger flip angle", _flip),
        ("a later acquisition", lambda j: j.stack.first.acquisition.time),
        ("a higher number", lambda j: j.stack.series.first.number or 0),
        ("a UID that comes later", lambda j: j.stack.series.uid),
        ("a key that comes later", lambda j: str(j.stack.key)),
    ]


def _scanning(one: Judgment) -> tuple[str, ...]:
    return one.stack.first.acquisition.scanning


def _flip(one: Judgment) -> float:
    """Of gradient echoes, a larger angle is more T1-weighted; of spin echoes it says nothing."""
    angle = one.stack.first.acquisition.flip_degrees
    return angle if angle is not None and one.sequence == "T1" and "GR" in _scanning(one) else 0.0


def _b_closeness(one: Judgment) -> float:
    b = one.stack.first.acquisition.b
    return -abs(b.value - WANTED_B) if b is not None else -1e9


def _choose_one(judged: list[Judgment], places: list[int], ranks: Sequence[Rank]) -> None:
    if not places:
        return

    def key(i: int) -> tuple[float | str, ...]:
        return tuple(rank(judged[i]) for _, rank in ranks)

    best = max(places, key=key)
    for i in places:
        if i == best:
            extra = "" if len(places) == 1 else f", the best of {len(places)}"
            judged[i] = replace(judged[i], chosen=True, decision=f"taken{extra}")
            continue
        name = next(name for name, rank in ranks if rank(judged[i]) != rank(judged[best]))
        judged[i] = replace(judged[i], decision=f"{judged[best].stack.name} has {name}")
        if name.startswith(("spin", "no ", "the last")):
            judged[i] = replace(judged[i], decision=f"{judged[best].stack.name} is {name}")
