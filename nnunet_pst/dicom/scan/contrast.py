"""Whether a stack was acquired before or after contrast: by words, times, agents, in this order.

The agent's name is the weakest: where it is typed in at registration, native scans carry it too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from nnunet_pst.dicom.reading.series import Stack
from nnunet_pst.dicom.scan.contrast_words import Contrast, contrast_in_words


@dataclass(frozen=True)
class Evidence:
    """What a header says about contrast.

    Parameters
    ----------
    contrast
        What it says.
    reason
        What says so, for the tables; empty where nothing does.
    agent_only
        Whether nothing but an agent's name says that it is enhanced.
    """

    contrast: Contrast
    reason: str = ""
    agent_only: bool = False


def contrast_of(stack: Stack) -> Evidence:
    """Judge a stack by its own header; a study's order can say more.

    SeriesDescription comes before ProtocolName. Where words and times contradict each other, the
    evidence is contradictory.
    """
    words, timing = _by_words(stack), timing_of(stack)
    known = [one for one in (words, timing) if one.contrast is not Contrast.UNKNOWN]
    if len({one.contrast for one in known}) == 2:
        reason = "; ".join(one.reason for one in known)
        return Evidence(Contrast.CONTRADICTORY, reason)
    if known:
        return replace(known[0], reason="; ".join(one.reason for one in known))
    agent = stack.first.acquisition.agent
    if agent:
        return Evidence(Contrast.ENHANCED, "an agent is named", agent_only=True)
    return Evidence(Contrast.UNKNOWN)


def _by_words(stack: Stack) -> Evidence:
    for name in (stack.description, stack.series.first.protocol):
        contrast, words = contrast_in_words(name)
        if contrast is not Contrast.UNKNOWN:
            return Evidence(contrast, f"called {words}")
    return Evidence(Contrast.UNKNOWN)


def timing_of(stack: Stack) -> Evidence:
    """Compare when it was acquired with when the bolus began, where both are known."""
    acquisition = stack.first.acquisition
    if acquisition.administered in ("YES", "NO"):
        given = acquisition.administered == "YES"
        contrast = Contrast.ENHANCED if given else Contrast.NATIVE
        return Evidence(contrast, "the agent was " + ("given" if given else "not given yet"))
    start, time = acquisition.bolus_time, start_time(stack)[-len("HHMMSS.FFFFFF") :]
    if not start or not time:
        return Evidence(Contrast.UNKNOWN)
    if time < start:
        return Evidence(Contrast.NATIVE, "acquired before the bolus began")
    return Evidence(Contrast.ENHANCED, "acquired after the bolus began")


def start_time(stack: Stack) -> str:
    """Return when the first image of a stack was acquired, as text that sorts; or empty."""
    return min((one.acquisition.time for one in stack.slices if one.acquisition.time), default="")
