"""Which model segments which sequence of a study, and why a model segments none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nnunet_pst.errors import Fault, InputError
from nnunet_pst.segmentation.model_interface import Model, ModelChoice


@dataclass(frozen=True)
class Role:
    """A model's input for one sequence.

    Attributes
    ----------
    inputs
        The study's sequence for each channel; None for a channel that is filled with zeros.
    filled
        Names of the filled channels.
    apart
        Of the filled channels, those that the study has but that cannot be placed on the first
        one, with the reason.
    """

    model: Model
    inputs: tuple[str | None, ...]
    filled: tuple[str, ...] = ()
    apart: Mapping[str, str] = field(default_factory=dict)

    @property
    def channels(self) -> tuple[str, ...]:
        """The sequences of the study that are used."""
        return tuple(name for name in self.inputs if name is not None)

    @property
    def warnings(self) -> list[str]:
        """A warning for each filled channel."""
        return [
            f"{_why(name, self.apart)}: zeros in its place, as for patients without it in the "
            "model's training"
            for name in self.filled
        ]


@dataclass(frozen=True)
class Roles:
    """The role of a model for each sequence that is segmented, and notes for readers."""

    by_sequence: dict[str, Role]
    notes: tuple[str, ...]


def assign_models(
    models: ModelChoice, names: Sequence[str], apart: Mapping[str, str] | None = None
) -> Roles:
    """Decide which model segments which sequence of a study.

    The fusion model segments its first channel if the study has all of its channels, or if it was
    trained with zeros in place of missing ones; the all-sequence model segments the others.

    Parameters
    ----------
    names
        Of the study's sequences.
    apart
        Sequences that cannot be placed on the fusion model's first channel, with the reason: they
        count as missing there.

    Raises
    ------
    InputError
        When no model can segment any of them.
    """
    notes: list[str] = []
    apart = apart or {}
    fused = _fusion_role(models, names, apart)
    roles = {} if fused is None else {fused.channels[0]: fused}
    if models.fusion is not None and fused is None:
        lacking = _lacking(models.fusion, names, apart)
        why = " and ".join(_why(name, apart) for name in lacking)
        if models.single is None:
            raise InputError(
                f"the study has {', '.join(names)}, but the fusion model needs "
                f"{' and '.join(models.fusion.facts.channels)}: {why}; give an all-sequence "
                "model too",
                Fault.GEOMETRY if set(lacking) & set(apart) else Fault.MISSING,
            )
        notes.append(
            f"{models.fusion.facts.name} was not used, because {why}; "
            f"{models.single.facts.name} segmented each sequence by itself"
        )
    if fused is not None and fused.filled:
        notes.append(
            f"{' and '.join(_why(name, apart) for name in fused.filled)}: "
            f"{fused.model.facts.name} segmented {fused.channels[0]} with zeros in place, as in "
            "its training"
        )
    if models.single is not None:
        single = models.single
        roles |= {name: Role(single, (name,)) for name in names if name not in roles}
        if not any(role.model is single for role in roles.values()):
            assert fused is not None
            notes.append(
                f"{single.facts.name} was not used: {fused.model.facts.name} segmented the only "
                "sequence"
            )
    return Roles({name: roles[name] for name in names if name in roles}, tuple(notes))


def _fusion_role(
    models: ModelChoice, names: Sequence[str], apart: Mapping[str, str]
) -> Role | None:
    """Return the fusion model's role; None if it cannot segment the study."""
    if models.fusion is None:
        return None
    facts = models.fusion.facts
    folded = {name.casefold(): name for name in names if name not in apart}
    inputs = tuple(folded.get(channel.casefold()) for channel in facts.channels)
    filled = tuple(_lacking(models.fusion, names, apart))
    if filled and (inputs[0] is None or not facts.serves_missing):
        return None
    return Role(models.fusion, inputs, filled, apart)


def _lacking(fusion: Model, names: Sequence[str], apart: Mapping[str, str]) -> list[str]:
    """Names of the fusion model's channels that the study lacks, as the study spells them."""
    usable = {name.casefold() for name in names if name not in apart}
    spelled = {name.casefold(): name for name in names}
    return [
        spelled.get(channel.casefold(), channel)
        for channel in fusion.facts.channels
        if channel.casefold() not in usable
    ]


def _why(name: str, apart: Mapping[str, str]) -> str:
    return f"{name} cannot be a channel ({apart[name]})" if name in apart else f"{name} is missing"
