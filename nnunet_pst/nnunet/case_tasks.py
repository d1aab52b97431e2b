"""What is done to each case of a conversion: checked, or checked and written."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from nnunet_pst.annotation import LabelRules
from nnunet_pst.case_building import CaseFacts, build_case
from nnunet_pst.layouts import Case
from nnunet_pst.nnunet.raw_dataset import RawDataset, write_case

Task = Callable[[Case], CaseFacts]


def check_task(rules: LabelRules) -> Task:
    """Return a task that builds a case and throws it away: all that could fail before writing."""
    return partial(_check, rules)


def write_task(rules: LabelRules, dataset: RawDataset) -> Task:
    """Return a task that builds a case and writes it."""
    return partial(_write, rules, dataset)


def _check(rules: LabelRules, case: Case) -> CaseFacts:
    return build_case(case, rules).facts


def _write(rules: LabelRules, dataset: RawDataset, case: Case) -> CaseFacts:
    built = build_case(case, rules)
    write_case(dataset, case, built)
    return built.facts
