"""Groups of cases that a comparison looks at one by one: sequences, and covariates of the cohort.

Words are taken as they are. Numbers are cut into thirds of the patients, as the paper stratifies
by tumor size; equal numbers stay together, so thirds may differ in size.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from nnunet_pst.io.case_table import CASE_COLUMNS, rows_by_patient
from nnunet_pst.io.number_columns import as_number, is_numeric, terciles, third_of
from nnunet_pst.io.rounding import short, short_between

#: More groups than this are too small to look at, or no groups at all.
MOST_LEVELS = 8
SEQUENCE = "sequence"


@dataclass(frozen=True)
class Stratum:
    """A way to group cases.

    Parameters
    ----------
    name
        Column of the case table.
    levels
        Level of each case, by case name; cases without a value are in none.
    order
        The levels, in the order of tables.
    cuts
        Where numbers were cut; empty for words.
    """

    name: str
    levels: Mapping[str, str]
    order: tuple[str, ...]
    cuts: tuple[float, ...] = ()


def strata(rows: Sequence[Mapping[str, str]]) -> list[Stratum]:
    """Find the groups that the rows of a case table (`case_table`) allow: two levels or more.

    Parameters
    ----------
    rows
        Of the cases that are compared, and no others: thirds are theirs.
    """
    names = [SEQUENCE, *(name for name in (rows[0] if rows else ()) if name not in CASE_COLUMNS)]
    patients = len(rows_by_patient(rows))
    found = [_stratum(name, rows) for name in names]
    # A level for every patient does not group them.
    return [one for one in found if 2 <= len(one.order) <= min(MOST_LEVELS, patients - 1)]


def _stratum(name: str, rows: Sequence[Mapping[str, str]]) -> Stratum:
    values = {row["case"]: row.get(name, "").strip() for row in rows}
    given = {case: value for case, value in values.items() if value}
    if is_numeric(list(given.values())):
        numbers = {case: as_number(value) for case, value in given.items()}
        firsts = [own[0]["case"] for own in rows_by_patient(rows).values()]
        return _thirds(name, numbers, [numbers[case] for case in firsts if case in numbers])
    return Stratum(name, given, tuple(sorted(set(given.values()))))


def _thirds(name: str, numbers: Mapping[str, float], patients: Sequence[float]) -> Stratum:
    """Cut at the patients' terciles.

    Levels are called by cuts with few digits, which lie between the same two patients.
    """
    cuts = terciles(patients)
    first, second = (_spelled(cut, numbers.values()) for cut in cuts)
    order = (f"to {first}", f"{first} to {second}", f"above {second}")
    levels = {case: order[third_of(number, cuts)] for case, number in numbers.items()}
    return Stratum(name, levels, tuple(o for o in order if o in levels.values()), cuts)


def _spelled(cut: float, values: Collection[float]) -> str:
    below = [value for value in values if value <= cut]
    above = [value for value in values if value > cut]
    return short_between(max(below), min(above), cut) if above else short(cut)
