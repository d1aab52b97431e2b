"""What a reader must know of compared methods before believing a number: seeds, folds, labels."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from nnunet_pst.comparison.methods import Part
from nnunet_pst.evaluation.averaging import CaseValue, mean, patient_means
from nnunet_pst.evaluation.references import VALIDATION
from nnunet_pst.evaluation.score_tables import Row
from nnunet_pst.io.wording import count, value


def cautions(parts: Sequence[Part], rows: Sequence[Row]) -> list[str]:
    """Warn of what the scores cannot carry.

    Parameters
    ----------
    parts
        Folders of all methods.
    rows
        A row a case, method and repeat: ``method``, ``repeat``, ``case``, ``patient``, measures.
    """
    return [*_folds(parts), *_unbalanced(parts), *_spread(rows), *_labels(rows)]


def dice_of_repeats(rows: Sequence[Row], method: str) -> dict[int, float]:
    """Mean Dice over patients of each repeat (seed) of a method, by its number."""
    own = [row for row in rows if row["method"] == method]
    found = {}
    for repeat in sorted({int(row["repeat"]) for row in own}):
        values = patient_means(
            CaseValue(str(row["patient"]), str(row["case"]), float(row["dice"]))
            for row in own
            if int(row["repeat"]) == repeat
        )
        found[repeat] = mean(values.values())
    return found


def _folds(parts: Sequence[Part]) -> list[str]:
    names = sorted({part.method for part in parts if part.folder.name == VALIDATION})
    if not names:
        return []
    return [
        f"{', '.join(names)}: validation patients of the folds, by whose scores trainings and "
        "settings are chosen; this is no test. Score the test split before you claim anything"
    ]


def _numbers(parts: Sequence[Part]) -> Mapping[str, int]:
    found: dict[str, int] = {}
    for part in parts:
        found[part.method] = max(found.get(part.method, 0), part.repeat)
    return found


def _unbalanced(parts: Sequence[Part]) -> list[str]:
    numbers = _numbers(parts)
    if len(set(numbers.values())) < 2:
        return []
    said = ", ".join(f"{name} {number}" for name, number in numbers.items())
    return [
        f"unequal numbers of trainings ({said}): a mean over seeds is steadier than one training, "
        "and a lucky seed counts for the method that has one"
    ]


def _spread(rows: Sequence[Row]) -> list[str]:
    """Say how far the seeds of each method lie apart."""
    lines = []
    for method in dict.fromkeys(str(row["method"]) for row in rows):
        means = [m for m in dice_of_repeats(rows, method).values() if not math.isnan(m)]
        if len(means) > 1:
            listed = ", ".join(map(value, means))
            lines.append(
                f"{count(len(means), 'training')} of {method}: mean Dice {listed} (SD "
                f"{value(statistics.stdev(means))}); intervals hold for their average, and do not "
                "hold this spread"
            )
    return lines


def _labels(rows: Sequence[Row]) -> list[str]:
    """Ask about methods that agree with every label in every voxel."""
    lines = []
    for method in dict.fromkeys(str(row["method"]) for row in rows):
        own = [row for row in rows if row["method"] == method]
        if all(float(row["dice"]) == 1 for row in own) and any(row["reference_ml"] for row in own):
            lines.append(
                f"{method}: Dice is 1 in all {count(len(own), 'case')}; were labels given as "
                "predictions?"
            )
    return lines
