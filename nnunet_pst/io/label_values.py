"""Which values the labels of a dataset have, and what they mean: ``labels`` of ``dataset.json``.

Datasets that `nnunet_pst convert` made have one class, tumor, and the ignore value 2. Others may
have several classes and another ignore value, or none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.wording import printable
from nnunet_pst.labels import BACKGROUND, IGNORE, LABEL_VALUES, TUMOR

_IGNORE_NAME = "ignore"
#: Characters of all labels in a message.
_LONGEST = 120


@dataclass(frozen=True)
class LabelValues:
    """The values of a dataset's labels.

    Parameters
    ----------
    classes
        Value by name, without background and ignore, in the order of the values 1, 2, ...
    ignore
        Value of unknown voxels; None where all are known.
    """

    classes: Mapping[str, int]
    ignore: int | None

    @property
    def reference_values(self) -> tuple[int, ...]:
        """All values that a reference may hold."""
        ignore = () if self.ignore is None else (self.ignore,)
        return (*self.predicted_values, *ignore)

    @property
    def predicted_values(self) -> tuple[int, ...]:
        """All values that a prediction may hold."""
        return (BACKGROUND, *self.classes.values())

    def three_states(
        self, label: npt.NDArray[np.integer], name: str | None = None
    ) -> npt.NDArray[np.integer]:
        """Write a label of this dataset with our three values.

        Parameters
        ----------
        label
            (z, y, x) of `reference_values` (or nnU-Net's -1, which is background).
        name
            The class that becomes `TUMOR`; None for all classes together.
        """
        if self == OUR_LABELS:
            return label
        tumor = is_foreground(label, self.ignore) if name is None else label == self.classes[name]
        states = np.where(tumor, TUMOR, BACKGROUND).astype(np.uint8)
        if self.ignore is not None:
            states[label == self.ignore] = IGNORE
        return states


def is_foreground(label: npt.NDArray[np.integer], ignore: int | None) -> npt.NDArray[np.bool_]:
    """Flag the voxels of any class."""
    foreground: npt.NDArray[np.bool_] = label > BACKGROUND
    return foreground if ignore is None else foreground & (label != ignore)


def read_label_values(description: Mapping[str, Any], where: str) -> LabelValues:
    """Read the values of a dataset's labels.

    Parameters
    ----------
    description
        Content of ``dataset.json``.
    where
        What messages call it.

    Raises
    ------
    InputError
        In one line: there are no labels; they are regions, such as ``"whole": [1, 2]``; or the
        values are not 0 for background, then 1, 2, ... for the classes, and the highest for ignore.
    """
    labels = description.get("labels")
    if not isinstance(labels, Mapping) or not labels:
        raise InputError(f"{where}: dataset.json names no labels; add them", Fault.MISSING)
    regions = sorted(name for name, value in labels.items() if isinstance(value, list | tuple))
    if regions:
        raise InputError(
            f"{where}: labels {_shown(regions)} are regions of several values, which our "
            "configurations do not learn; give each class one value, or train nnU-Net's own "
            "configurations and trainers",
            Fault.UNSUPPORTED,
        )
    # Compared by type, because Python takes true for 1.
    whole = all(type(value) is int for value in labels.values())
    kept = {n: v for n, v in labels.items() if n not in ("background", _IGNORE_NAME)}
    ignore = labels.get(_IGNORE_NAME)
    values = sorted(kept.values()) if whole else []
    ends = ignore is None or ignore == len(values) + 1
    if (
        labels.get("background") != BACKGROUND
        or values != list(range(1, len(kept) + 1))
        or not ends
    ):
        shown = _shown([f"{name} {value}" for name, value in labels.items()])
        raise InputError(
            f"{where}: labels are {shown}; expected background 0, then 1, 2, ... for the classes, "
            "then ignore if there is one",
            Fault.MALFORMED,
        )
    if not kept:
        raise InputError(f"{where}: dataset.json names no class to segment", Fault.EMPTY)
    return LabelValues(dict(sorted(kept.items(), key=lambda item: item[1])), ignore)


def _shown(names: Sequence[str]) -> str:
    """List names of a stranger's file in a line of a message."""
    text = printable(", ".join(names))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


#: The labels that `nnunet_pst convert` writes.
OUR_LABELS = read_label_values({"labels": LABEL_VALUES}, "")
