"""Which covariates of a cohort table may be shared: those that look like identifiers may not.

No rules recognize every identifier; these find the usual ones by the column's name and by its
values, and leave a column out when in doubt. The user is told which columns were left out.
"""

from __future__ import annotations

import re

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
    """Whether values are, or contain, the identifiers of the table."""
    if pairs and all(identifier == value for identifier, value in pairs):
        return True
    # Short ones (1, 2, 3, ...) would be found in any number.
    long = [p.identifier.casefold() for p in cohort.patients if len(p.identifier) >= 4]
    return any(identifier in value.casefold() for identifier in long for _, value in pairs)


def _looks_like_names(values: list[str]) -> bool:
    """Whether all values differ and are words, or whole numbers as long as a record number."""
    if len(values) < _ROWS_FOR_NAMES or len(set(values)) < len(values):
        return False
    return all(re.search(r"[^\W\d_]{2,}", value) for value in values) or all(
        re.fullmatch(r"\d{6,}", value) for value in values
    )
