"""What the order of a study's scans says about contrast: once an agent is given, it stays.

A scan that is known to be enhanced (by words, times or pixels) divides a study. What was acquired
after it can't be a native scan; what names an agent and was acquired before it may be one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nnunet_pst.dicom.reading.series import Stack
from nnunet_pst.dicom.scan.contrast import Evidence, contrast_of, start_time
from nnunet_pst.dicom.scan.contrast_words import Contrast
from nnunet_pst.dicom.scan.judgments import Judgment, Outcome
from nnunet_pst.dicom.scan.sequence_rules import NONE

_RULE = "order of the study"


def settle_by_order(judged: Sequence[Judgment]) -> list[Judgment]:
    """Compare every T1-weighted stack with those whose contrast is known.

    Parameters
    ----------
    judged
        All stacks of one study; those of sequences T1 and CET1 may change.
    """
    weighted = [one for one in judged if one.sequence in ("T1", "CET1")]
    enhanced = [one for one in weighted if _known(one) is Contrast.ENHANCED]
    native = [one for one in weighted if _known(one) is Contrast.NATIVE]
    first = min((one for one in enhanced if _time(one)), key=_time, default=None)
    last = max((one for one in native if _time(one)), key=_time, default=None)
    return [
        one
        if one.sequence not in ("T1", "CET1") or _is_enhanced_phase(one) or not _time(one)
        else _settled(one, contrast_of(one.stack), first, last)
        for one in judged
    ]


def _is_enhanced_phase(one: Judgment) -> bool:
    return one.phase is not None and one.phase.after_agent


def _known(one: Judgment) -> Contrast:
    """What is known of a stack for certain: by words, times, or the pixels of its phases."""
    if one.phase is not None:
        return Contrast.ENHANCED if one.phase.enhanced else Contrast.UNKNOWN
    evidence = contrast_of(one.stack)
    return Contrast.UNKNOWN if evidence.agent_only else evidence.contrast


def _time(one: Judgment) -> str:
    return start_time(one.stack)


def _is_later(one: Judgment, other: Judgment) -> bool:
    """Whether a stack was acquired after another; False where the dates are known of one only."""
    return len(_time(one)) == len(_time(other)) and _time(one) > _time(other)


def _settled(
    one: Judgment, evidence: Evidence, enhanced: Judgment | None, native: Judgment | None
) -> Judgment:
    after = enhanced is not None and _is_later(one, enhanced)
    if one.sequence == "T1":
        if not after or enhanced is None:
            return one
        known = "called native" if evidence.contrast is Contrast.NATIVE else "not called enhanced"
        return _unclear(
            one, f"{known}, but acquired after {enhanced.stack.name}, which is enhanced"
        )
    if not evidence.agent_only or after:
        return one
    if native is not None and _is_later(native, one):
        return _as_native(one, f"{native.stack.name}, which is native, was acquired later")
    if enhanced is None or not _is_later(enhanced, one):
        return one
    if _technique(one.stack) == _technique(enhanced.stack):
        return _as_native(one, f"{enhanced.stack.name} is the same scan, later and enhanced")
    return _unclear(
        one,
        f"an agent is named, but {enhanced.stack.name}, the first that is known to be enhanced, "
        "was acquired later",
    )


def _technique(stack: Stack) -> tuple[object, ...]:
    """What two scans have in common that differ in contrast only."""
    a = stack.first.acquisition
    return (a.scanning, a.echo_ms, a.repetition_ms, a.flip_degrees, stack.plane, len(stack.slices))


def _unclear(one: Judgment, reason: str) -> Judgment:
    reason = f"native or enhanced is unclear: {reason}"
    verdict = replace(one.verdict, sequence=NONE, rule=_RULE, reason=reason)
    return replace(one, verdict=verdict, outcome=Outcome.NOT_A_SEQUENCE)


def _as_native(one: Judgment, reason: str) -> Judgment:
    reason = f"T1-weighted; an agent is named, but {reason}"
    return replace(one, verdict=replace(one.verdict, sequence="T1", rule=_RULE, reason=reason))
