"""How sequences of a study are registered: as the model's training data, or as told."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from nnunet_pst.registration.policy import Engine, Model, RegistrationSettings
from nnunet_pst.registration.resampling import Interpolation
from nnunet_pst.segmentation.model_interface import ModelChoice


@dataclass(frozen=True)
class RegistrationWish:
    """What a user wants of a registration; None: as the fusion model's training data.

    Attributes
    ----------
    engine, model, interpolation
        As in `nnunet_pst.registration.policy.RegistrationSettings`.
    """

    engine: Engine | None = None
    model: Model | None = None
    interpolation: Interpolation | None = None


class SettingsOrigin(Enum):
    """Who decided how sequences are registered."""

    USER = "as given"
    TRAINING = "as the fusion model's training data"
    DEFAULT = "the default"
    PARTLY = "partly as given, the rest as the fusion model's training data"


@dataclass(frozen=True)
class ChosenRegistration:
    """The settings of a run.

    Attributes
    ----------
    training
        Those of the fusion model's training data; None when unknown.
    """

    settings: RegistrationSettings
    origin: SettingsOrigin
    training: RegistrationSettings | None = None

    @property
    def note(self) -> str:
        """Which settings are used and why, for readers of the masks."""
        note = f"registration: {_named(self.settings)}; {self.origin.value}"
        if self.training is None or _named(self.training) == _named(self.settings):
            return note
        return f"{note}; the channels of its training data: {_named(self.training)}"


def choose_registration(
    wish: RegistrationWish | RegistrationSettings, models: ModelChoice
) -> ChosenRegistration:
    """Take the user's settings, else those of the fusion model's training data, else SimpleITK's.

    An engine or transform, where given, replaces that one setting.
    """
    training = models.fusion.facts.registration if models.fusion is not None else None
    if isinstance(wish, RegistrationSettings):
        return ChosenRegistration(wish, SettingsOrigin.USER, training)
    given = {
        name: value
        for name, value in (
            ("engine", wish.engine),
            ("model", wish.model),
            ("interpolation", wish.interpolation),
        )
        if value is not None
    }
    settings = replace(training or RegistrationSettings(engine="simpleitk"), **given)  # type: ignore[arg-type]
    if training is None:
        origin = SettingsOrigin.USER if given else SettingsOrigin.DEFAULT
    else:
        origin = SettingsOrigin.PARTLY if given else SettingsOrigin.TRAINING
    return ChosenRegistration(settings, origin, training)


def _named(settings: RegistrationSettings) -> str:
    if settings.engine == "none":
        return f"none, the scanner's coordinates, {settings.interpolation} interpolation"
    return f"{settings.engine}, {settings.model}, {settings.interpolation} interpolation"
