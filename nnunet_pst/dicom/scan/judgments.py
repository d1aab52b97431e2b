"""What was decided about a stack, and why."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto

from nnunet_pst.dicom.reading.dynamic import Phase
from nnunet_pst.dicom.reading.series import Stack
from nnunet_pst.dicom.scan.sequence_rules import NONE, Verdict


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
    computed
        Whether it was computed from acquired images, and is taken for want of them.
    """

    stack: Stack
    verdict: Verdict
    outcome: Outcome = Outcome.CANDIDATE
    candidates: int = 1
    advantage: str = ""
    phase: Phase | None = None
    computed: bool = False

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
