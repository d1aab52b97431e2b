"""Which covariates of a cohort table may be shared: those that look like identifiers may not.

No rules recognize every identifier; these find the usual ones by the column's name and by its
values, and leave a column out when in doubt. The user is told which columns were left out.
"""

from __future__ import annotations

import re
from collections import Counter

from nnunet_pst.dataset.cohort import Cohort
from nnunet_pst.errors import Problem, few_of_each_kind
from nnunet_pst.io.case_table import CASE_COLUMNS
from nnunet_pst.io.number_columns import number_problem, odd_cells

_IDENTIFYING_WORDS = re.compile(
    r"\b(names?|surname|forename|firstname|lastname|initials|birth|dob|birthday|mrn|ids?|pid|uid|"
    r"guid|accession|ssn|nhs|address|street|phone|telephone|mobile|e?mail|date|datetime|timestamp|"
    r"insurance|zip|postcode|comments?|notes?|remarks?|report|text|path|file|filename|folder|url|"
    r"physician|doctor|radiologist)\b"
)
#: Also inside compounds such as ``patientname`` or ``birthdate``.
_IDENTIFYING_PARTS = re.compile(
    r"birth|patient.?(id|n)|surname|accession|(study|scan|exam|series).?(date|id|uid)|"
    r"e.?mail|phone|address|medical.?record"
)
_DATE = re.compile(
    r"\d{4}([-/.])\d{1,2}\1\d{1,2}([ T].*)?|\d{1,2}([-/.])\d{1,2}\3\d{2,4}|(19|20)\d\d[-/]\d{1,2}|"
    r"(19|20)\d{6}|"
    r".*\b(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\b.*\d.*",
    re.IGNORECASE,
)
_LONGEST_TEXT = 40
_MOST_WORDS = 4
#: From this number of rows on, words that all differ are names rather than a category.
_ROWS_FOR_NAMES = 6
#: Letters of an identifier, or of a word in it, that no other text holds by chance.
_LONG = 4
_WORD = re.compile(r"[^\W\d_]{4,}")


def screen_covariates(cohort: Cohort) -> tuple[tuple[str, ...], list[str]]:
    """Choose the covariates that may go into the dataset folder.

    Returns
    -------
    tuple
        The columns to keep, and a line for each column that is left out, without its values.
    """
    kept, dropped = [], []
    for column in cohort.covariates:
        reason = _reason_to_drop(column, cohort)
        if reason is None:
            kept.append(column)
        else:
            dropped.append(f"column '{column}' is not copied: {reason}")
    return tuple(kept), dropped


def number_problems_of_cohort(cohort: Cohort) -> list[Problem]:
    """Name the cells that are not numbers in shared columns of numbers, a line for each."""
    kept, _ = screen_covariates(cohort)
    return few_of_each_kind(
        (f"{cohort.table.name}, row {patient.row}, column {column}", number_problem(cells[place]))
        for column in kept
        for cells in [[patient.covariates[column] for patient in cohort.patients]]
        for place in odd_cells(cells)
        for patient in [cohort.patients[place]]
    )


def _reason_to_drop(column: str, cohort: Cohort) -> str | None:
    """Say why a column might identify someone, or return None."""
    if column.casefold() in CASE_COLUMNS:
        return "cases.csv has a column of that name; rename it to keep it"
    if _name_identifies(column):
        return "its name says that it may identify a patient"
    pairs = [(p.identifier, p.covariates[column]) for p in cohort.patients if p.covariates[column]]
    values = [value for _, value in pairs]
    if any(_DATE.fullmatch(value) for value in values):
        return "it holds dates"
    if any("/" in value or "\\" in value or "@" in value for value in values):
        return "it holds paths or addresses"
    if any(len(value) > _LONGEST_TEXT or len(value.split()) > _MOST_WORDS for value in values):
        return "it holds free text"
    if _repeats_identifiers(pairs, cohort):
        return "it holds patient identifiers"
    if _looks_like_names(values):
        return "every patient has another word or number in it, as names and record numbers do"
    return None


def _name_identifies(column: str) -> bool:
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", column)
    words = " ".join(re.findall(r"[a-z]+", spaced.casefold()))
    return bool(_IDENTIFYING_WORDS.search(words) or _IDENTIFYING_PARTS.search(column.casefold()))


def _repeats_identifiers(pairs: list[tuple[str, str]], cohort: Cohort) -> bool:
    """Whether values are, or contain, identifiers of the table or telling parts of them.

    Upper and lower case count as equal. A part is a word of four letters or more that not many
    patients share, such as a family name in ``mueller_anna``.
    """
    folded = [(one.casefold().strip(), value.casefold().strip()) for one, value in pairs]
    own = sum(identifier == value for identifier, value in folded)
    # Numbers from 1 to n may equal an age now and then, but not in half of all rows.
    if own and (own * 2 >= len(folded) or any(a == b and not a.isdigit() for a, b in folded)):
        return True
    identifiers = [p.identifier.casefold() for p in cohort.patients]
    words = Counter(word for one in identifiers for word in set(_WORD.findall(one)))
    # Short identifiers (1, 2, 3, ...) would be found in any number.
    telling = {one for one in identifiers if len(one) >= _LONG}
    telling |= {word for word, patients in words.items() if patients * 2 <= len(identifiers)}
    return any(part in value for part in telling for _, value in folded)


def _looks_like_names(values: list[str]) -> bool:
    """Whether all values differ and are words, or whole numbers as long as a record number."""
    if len(values) < _ROWS_FOR_NAMES or len(set(values)) < len(values):
        return False
    return all(re.search(r"[^\W\d_]{2,}", value) for value in values) or all(
        re.fullmatch(r"\d{6,}", value) for value in values
    )
