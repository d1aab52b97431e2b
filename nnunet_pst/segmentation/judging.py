"""Judgement of each mask of a study, by the calibration of the model that made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nnunet_pst.calibration.calibration import Calibration
from nnunet_pst.calibration.familiar import Familiarity, familiarity, profile
from nnunet_pst.calibration.judgement import Judgement, disagreement_lines, judge
from nnunet_pst.calibration.signs import Signs
from nnunet_pst.io.volumes import Volume
from nnunet_pst.segmentation.model_interface import ModelFacts

_NEVER = "nothing was calibrated: run `nnunet_pst calibrate` on the model's dataset"
_CONSENSUS = "a consensus is not calibrated; see its sequences"


def calibration_of(facts: ModelFacts) -> tuple[Calibration | None, str]:
    """Return a model's calibration where it holds for these masks; else why there is none."""
    found = facts.calibration
    if found is None:
        return None, _NEVER
    checkpoints = {digest for name, digest in facts.sha256.items() if name.endswith(".pth")}
    if not set(found.checkpoints) <= checkpoints:
        return None, "the calibration is of other weights: run `nnunet_pst calibrate` again"
    if found.mirroring != facts.mirroring:
        option = "without" if facts.mirroring else "with"
        return None, (
            f"the calibration is of other masks: run `nnunet_pst calibrate` {option} --no-mirroring"
        )
    return found, ""


@dataclass(frozen=True)
class MadeBy:
    """How a mask was made.

    Attributes
    ----------
    facts
        The model.
    sequences
        Its input, spelled as a case table does: the channels that are there, joined by ``+``.
    image
        The first channel.
    """

    facts: ModelFacts
    signs: Signs | None
    sequences: str
    image: Volume


def judge_masks(
    volumes_ml: Mapping[str, float],
    made_by: Mapping[str, MadeBy],
    agreement: Mapping[str, Any] | None,
) -> dict[str, Judgement]:
    """Judge the masks of a study.

    Parameters
    ----------
    volumes_ml
        Of each mask by name, also of a consensus.
    made_by
        By name, without the consensus.
    agreement
        See `segmentation.agreement.agreement`.
    """
    disagreements = disagreement_lines(agreement)
    judged = {}
    for name, volume_ml in volumes_ml.items():
        lines = disagreements.get(name, [])
        if name not in made_by:
            judged[name] = judge(
                None, name, volume_ml, None, why_not=_CONSENSUS, disagreements=lines
            )
            continue
        one = made_by[name]
        facts, image = one.facts, one.image
        calibration, why_not = calibration_of(facts)
        familiar: Familiarity | None = None
        if facts.calibration is not None and facts.calibration.familiar is not None:
            # Images don't depend on weights or mirroring.
            familiar = familiarity(profile(image.array), name, facts.calibration.familiar)
        judged[name] = judge(
            one.signs,
            one.sequences,
            volume_ml,
            calibration,
            image_ml=image.array.size * image.grid.voxel_volume_ml,
            why_not=why_not,
            familiar=familiar,
            disagreements=lines,
        )
    return judged
