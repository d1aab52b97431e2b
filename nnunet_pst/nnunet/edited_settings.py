"""What a user has edited in our configurations of the plans: found, kept when planning again, said.

Beside a configuration's values stand those that were generated (`GENERATED_KEY`); the difference is
the user's. Plans of earlier versions have no such record: there, values that do not depend on the
cohort are compared with today's defaults.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from nnunet_pst.nnunet.training.settings import PLANS_KEY

#: Key of a configuration with the values as they were generated.
GENERATED_KEY = "pst_generated"

#: Where a value is in nested dictionaries, such as ``("pst", "crop")``.
Place: TypeAlias = tuple[str, ...]

#: Values that follow from the cohort; they differ between cohorts without being edited.
OF_THE_COHORT: tuple[Place, ...] = (
    ("patch_size",),
    ("architecture", "arch_kwargs", "canvas"),
    (PLANS_KEY, "crop"),
    ("use_mask_for_norm",),
    ("data_identifier",),
)
_ABSENT = object()


def edits_of(configuration: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[Place, Any]:
    """Return the values of a configuration that a user has edited.

    Parameters
    ----------
    configuration
        As it is in the plans.
    defaults
        As it would be generated today; used where the plans do not say how it was generated.
    """
    generated = configuration.get(GENERATED_KEY)
    reference = dict(_leaves(generated if isinstance(generated, dict) else defaults))
    values = dict(_leaves({k: v for k, v in configuration.items() if k != GENERATED_KEY}))
    if not isinstance(generated, dict):
        for place in OF_THE_COHORT:
            values.pop(place, None)
            reference.pop(place, None)
    return {
        place: value for place, value in values.items() if value != reference.get(place, _ABSENT)
    }


def with_edits(made: Mapping[str, Any], edits: Mapping[Place, Any]) -> dict[str, Any]:
    """Return a generated configuration with edited values, and the record of how it was made."""
    result = copy.deepcopy(dict(made))
    for place, value in edits.items():
        part = result
        for key in place[:-1]:
            part = part.setdefault(key, {})
        part[place[-1]] = value
    result[GENERATED_KEY] = copy.deepcopy(dict(made))
    return result


def deleted_from(configuration: Mapping[str, Any] | None) -> list[Place]:
    """Return the values that were generated and are no longer in a configuration."""
    generated = (configuration or {}).get(GENERATED_KEY)
    if not configuration or not isinstance(generated, dict):
        return []
    there = dict(_leaves(configuration))
    return [place for place, _ in _leaves(generated) if place not in there]


def described(
    name: str, made: Mapping[str, Any], edits: Mapping[Place, Any], deleted: Sequence[Place]
) -> list[str]:
    """Say which edits of a configuration were kept, and which deleted values are there again."""
    defaults = dict(_leaves(made))
    lines = []
    if edits:
        values = [
            f"{'.'.join(place)} {value!r}"
            + (f" (default {defaults[place]!r})" if place in defaults else "")
            for place, value in edits.items()
        ]
        lines.append(f"{name}: edited settings kept: {', '.join(values)}")
    if deleted:
        again = ", ".join(f"{'.'.join(place)} {defaults.get(place)!r}" for place in deleted)
        lines.append(f"{name}: deleted settings are there again: {again}")
    return lines


def recipe(configuration: Mapping[str, Any]) -> dict[Place, Any]:
    """Return the values of a configuration that make its recipe: all but those of the cohort."""
    values = dict(_leaves({k: v for k, v in configuration.items() if k != GENERATED_KEY}))
    return {place: value for place, value in values.items() if place not in OF_THE_COHORT}


def _leaves(values: Mapping[str, Any], place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Give every value that is not a dictionary, with its place."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, (*place, key))
        else:
            yield (*place, key), value
