"""The Checklist for AI in Medical Imaging, filled where the page knows the answer.

Numbers and order are those of CLAIM's update of 2024 (Tejani et al., Radiology: Artificial
Intelligence 2024, doi 10.1148/ryai.240300), in our own words. Only what the data show is answered;
intentions, settings and judgments are the authors'.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: Number, section, what is asked.
_ITEMS: tuple[tuple[int, str, str], ...] = (
    (1, "Title and abstract", "title names the kind of AI"),
    (2, "Title and abstract", "structured abstract"),
    (3, "Introduction", "background, intended use and clinical role"),
    (4, "Introduction", "aims, objectives and hypotheses"),
    (5, "Study design", "prospective or retrospective"),
    (6, "Study design", "goal of the study"),
    (7, "Data", "sources of the data"),
    (8, "Data", "who was included and excluded"),
    (9, "Data", "preprocessing"),
    (10, "Data", "subsets that were selected"),
    (11, "Data", "de-identification"),
    (12, "Data", "missing data"),
    (13, "Data", "protocol of image acquisition"),
    (14, "Reference standard", "how it was obtained"),
    (15, "Reference standard", "why this one"),
    (16, "Reference standard", "who drew it, and their qualification"),
    (17, "Reference standard", "how the test set was annotated"),
    (18, "Reference standard", "variability between and within readers"),
    (19, "Data partitions", "how data were assigned to partitions"),
    (20, "Data partitions", "level at which partitions are disjoint"),
    (21, "Testing data", "intended sample size and how it was found"),
    (22, "Model", "description of the model, inputs and outputs"),
    (23, "Model", "software and versions"),
    (24, "Model", "how parameters were initialized"),
    (25, "Training", "procedure, augmentation, hyperparameters, number of models"),
    (26, "Training", "how the final model was chosen"),
    (27, "Training", "ensembling"),
    (28, "Evaluation", "measures of performance"),
    (29, "Evaluation", "significance and uncertainty"),
    (30, "Evaluation", "robustness or sensitivity analysis"),
    (31, "Evaluation", "explainability"),
    (32, "Evaluation", "testing on internal data"),
    (33, "Evaluation", "testing on external data"),
    (34, "Evaluation", "registration of the clinical trial"),
    (35, "Results: data", "flow of patients, included and excluded"),
    (36, "Results: data", "characteristics of the patients in each partition"),
    (37, "Results: performance", "performance in every partition and subgroup"),
    (38, "Results: performance", "estimates with their precision"),
    (39, "Results: performance", "analysis of failures"),
    (40, "Discussion", "limitations"),
    (41, "Discussion", "implications for practice"),
    (42, "Other information", "where the full protocol is"),
    (43, "Other information", "availability of software, models and data"),
    (44, "Other information", "funding and its role"),
)


@dataclass(frozen=True)
class Item:
    """A line of the checklist; ``answer`` is empty where only the authors know."""

    number: int
    section: str
    asked: str
    answer: str


def filled_checklist(answers: Mapping[int, str]) -> list[Item]:
    """Put answers beside the items, in CLAIM's order.

    Parameters
    ----------
    answers
        By CLAIM's number (2024); items without one are left to the authors.

    Raises
    ------
    ValueError
        An answer has a number that CLAIM does not.
    """
    strangers = set(answers) - {number for number, _, _ in _ITEMS}
    if strangers:
        raise ValueError(f"CLAIM has no item {min(strangers)}")
    return [
        Item(number, section, asked, answers.get(number, "")) for number, section, asked in _ITEMS
    ]
