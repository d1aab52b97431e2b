"""What each column of a cohort table means, and which names are probably typing errors."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from nnunet_pst.errors import Fault, Problem

#: Sequences that are recognized without a label column (the paper's four).
USUAL_SEQUENCES = ("T1", "T2", "DWI", "CET1")
#: What may follow ``<SEQ>_``.
SUFFIXES = ("label", "first", "last", "extent", "annotated")
FIXED_COLUMNS = ("patient", "label_kind", "split")
#: A sequence's name becomes part of a case name; the underscore separates the parts there.
SEQUENCE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,31}")


@dataclass(frozen=True)
class Columns:
    """The columns of a table by meaning.

    Parameters
    ----------
    sequences
        Names of the sequences, in table order.
    covariates
        All other columns, in table order.
    problems
        Columns that can't stay as they are: name of the column, and what is wrong with it.
    """

    sequences: tuple[str, ...]
    covariates: tuple[str, ...]
    problems: tuple[tuple[str, Problem], ...]

    @property
    def of_sequences(self) -> list[str]:
        """All columns that a sequence may have, its own included."""
        return [*self.sequences, *(f"{n}_{s}" for n in self.sequences for s in SUFFIXES)]


def edit_distance(word: str, other: str) -> int:
    """Count the insertions, deletions, replacements and swaps of neighbors between two words."""
    rows = [list(range(len(other) + 1))]
    for i, letter in enumerate(word, start=1):
        row = [i]
        for j, other_letter in enumerate(other, start=1):
            cost = min(
                row[j - 1] + 1, rows[i - 1][j] + 1, rows[i - 1][j - 1] + (letter != other_letter)
            )
            swapped = i > 1 and j > 1 and letter == other[j - 2] and word[i - 2] == other_letter
            row.append(min(cost, rows[i - 2][j - 2] + 1) if swapped else cost)
        rows.append(row)
    return rows[-1][-1]


def near_miss(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that ``name`` was probably meant to be, if there is one.

    Case and separators never matter; beyond that, a long name may have two typing errors, a shorter
    one may have one, and a short one none (``T2`` and ``T3`` are different sequences).
    """
    folded = re.sub(r"[^a-z0-9]", "", name.casefold())
    best: tuple[int, str] | None = None
    for candidate in known:
        target = re.sub(r"[^a-z0-9]", "", candidate.casefold())
        distance = edit_distance(folded, target)
        allowed = 2 if len(target) >= 7 else 1 if len(target) >= 5 else 0
        if distance <= allowed and (best is None or distance < best[0]):
            best = (distance, candidate)
    return None if best is None else best[1]


def sequence_columns(header: Iterable[str]) -> tuple[str, ...]:
    """Return the columns that hold image paths: those with a ``_label`` partner or a usual name."""
    names = list(header)
    return tuple(
        name
        for name in names
        if name not in FIXED_COLUMNS and (f"{name}_label" in names or name in USUAL_SEQUENCES)
    )


def classify_columns(header: Iterable[str]) -> Columns:
    """Sort the columns of a table into sequences, their companions, and covariates."""
    names = list(header)
    sequences = sequence_columns(names)
    companions = {f"{sequence}_{suffix}" for sequence in sequences for suffix in SUFFIXES}
    usual = {name.casefold(): name for name in USUAL_SEQUENCES}
    known = [*FIXED_COLUMNS, *sequences, *sorted(companions)]
    bad_name = Problem(
        "a sequence's name may hold only letters, digits and '-'; rename it", Fault.MALFORMED
    )
    problems = [(name, bad_name) for name in sequences if not SEQUENCE_NAME.fullmatch(name)]
    for name in sequences:
        if (meant := usual.get(name.casefold(), name)) != name:
            text = f"did you mean '{meant}'? Write '{meant}', '{meant}_label', ...: capitals count"
            problems.append((name, Problem(text, Fault.UNKNOWN_NAME)))
    covariates = []
    for name in names:
        if name in known:
            continue
        problem = _unknown_column_problem(name, names, known)
        if problem is None:
            covariates.append(name)
        else:
            problems.append((name, problem))
    return Columns(sequences, tuple(covariates), tuple(problems))


def _unknown_column_problem(name: str, names: list[str], known: list[str]) -> Problem | None:
    """Say why a column that is not known can't be a covariate either, or return None."""
    meant = near_miss(name, [*known, *USUAL_SEQUENCES])
    if meant is None and (parts := re.fullmatch(r"(.+)[ _.-]([^ _.-]+)", name)):
        # The typing error may have hidden the only sign that the first part is a sequence.
        prefix, suffix = parts.groups()
        owner = next((n for n in [*names, *USUAL_SEQUENCES] if n == prefix), None)
        meant_suffix = near_miss(suffix, SUFFIXES) if owner else None
        if meant_suffix is not None and suffix != meant_suffix:
            meant = f"{prefix}_{meant_suffix}"
    if meant is not None:
        text = f"unknown column; did you mean '{meant}'? Rename it (or, if not, more distinctly)"
        return Problem(text, Fault.UNKNOWN_NAME)
    if name.endswith("_label") and name != "_label":
        image = name.removesuffix("_label")
        other = next((n for n in names if n.casefold() == image.casefold()), None)
        if other is None:
            text = f"there is no image column '{image}' for these labels; add or rename it"
            return Problem(text, Fault.MISSING)
        if near_miss(other, USUAL_SEQUENCES) is None:  # otherwise that column is reported
            text = f"unknown column; did you mean '{other}_label'? Capitals count"
            return Problem(text, Fault.UNKNOWN_NAME)
    return None
