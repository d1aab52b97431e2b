"""The tasks of a conversion for each case: check it, or check and write it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from nnunet_pst.dataset.annotation import LabelRules
from nnunet_pst.dataset.case_building import Alignment, CaseFacts, build_case, check_case
from nnunet_pst.dataset.layouts import Case
from nnunet_pst.dataset.pair_registration import transforms_of
from nnunet_pst.dataset.raw_dataset import RawDataset, write_case
from nnunet_pst.registration.resampling import Interpolation

Task = Callable[[Case], CaseFacts]


@dataclass(frozen=True)
class Registered:
    """Where the transforms of a cohort are, and how channels are resampled with them."""

    folder: Path
    interpolation: Interpolation


def check_task(rules: LabelRules) -> Task:
    """Return a task that finds all problems of a case before anything is written."""
    return partial(_check, rules)


def write_task(rules: LabelRules, dataset: RawDataset, registered: Registered | None) -> Task:
    """Return a task that builds a case and writes it."""
    return partial(_write, rules, dataset, registered)


def _check(rules: LabelRules, case: Case) -> CaseFacts:
    return check_case(case, rules)


def _write(
    rules: LabelRules, dataset: RawDataset, registered: Registered | None, case: Case
) -> CaseFacts:
    alignment = None
    if registered is not None:
        transforms = transforms_of(case, registered.folder)
        alignment = Alignment(transforms, registered.interpolation)
    built = build_case(case, rules, alignment)
    write_case(dataset, case, built)
    return built.facts
