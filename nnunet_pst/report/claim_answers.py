"""The items of CLAIM that the data answer; what they don't show is left to the authors."""

from __future__ import annotations

import math

from nnunet_pst.comparison.results import Comparison
from nnunet_pst.io.wording import count
from nnunet_pst.report.dataset_facts import DatasetFacts
from nnunet_pst.report.inputs import Sources


def claim_answers(sources: Sources) -> dict[int, str]:
    """Answer what can be answered, by CLAIM's number; a half answer says what is missing.

    Parameters
    ----------
    sources
        What the page is made from.
    """
    answers = _from_comparison(sources)
    if sources.dataset is not None:
        answers |= _from_dataset(sources.dataset)
    if sources.curves:
        models = sorted({curve.model for curve in sources.curves})
        longest = max(len(curve.epochs) for curve in sources.curves)
        answers[25] = (
            f"In part: {count(len(models), 'model')}, {count(len(sources.curves), 'training')}, at "
            f"most {count(longest, 'epoch')} (see the learning curves); nnU-Net's plans hold the "
            "hyperparameters."
        )
    if sources.paper_tables and sources.paper_tables[0].table is not None:
        answers[36] = "Table 1."
    return answers


def _from_comparison(sources: Sources) -> dict[int, str]:
    comparison = sources.comparison
    measured = count(len(comparison.measures), "measure")
    strata = sorted({row.stratum for row in comparison.intervals} - {"all"})
    answers = {
        7: "In part: the dataset's name stands above; where it comes from is for the authors.",
        11: "In part: conversion writes pseudonyms and leaves identifying columns out; how the "
        "images themselves were de-identified is for the authors.",
        22: "In part: the methods' names stand above; nnU-Net's plans describe the networks.",
        23: "Versions stand under “Versions, seeds and how to repeat this”.",
        28: f"{measured}; those with a best value are defined under “Definitions”.",
        29: "Intervals and tests over patients, Holm's correction: see “How this was analyzed”.",
        37: f"In part: the {comparison.facts.get('split') or 'evaluated'} cases, and groups of "
        "them.",
        38: _intervals(comparison),
        39: "In part: the cases of every method are ordered by Dice; why the worst failed is for "
        "the authors.",
        43: "In part: code under Apache-2.0; protocol, models and data are for the authors.",
    }
    if comparison.facts.get("split") == "test":
        answers[32] = "In part: the test split of the dataset."
        patients = count(len(comparison.patients), "test patient")
        answers[21] = f"In part: {patients}; how many were intended is for the authors."
    if strata:
        answers[30] = f"In part: groups by {', '.join(s.replace('_', ' ') for s in strata)}."
    return answers


def _intervals(comparison: Comparison) -> str:
    """Say how many means and differences have an interval."""
    lows = [row.low for row in comparison.intervals]
    lows += [row.low for row in comparison.differences]
    known = sum(not math.isnan(low) for low in lows)
    return f"In part: {known} of {len(lows)} means and differences have an interval."


def _from_dataset(dataset: DatasetFacts) -> dict[int, str]:
    answers = {9: "In part: label rules stand above; nnU-Net's plans hold resampling and norms."}
    numbers = dataset.numbers()
    if not numbers:
        return answers
    split = "; ".join(
        f"{row['split']}: {count(row['patients'], 'patient')}, {count(row['cases'], 'case')}"
        for row in numbers
    )
    labels = "; ".join(f"{row['split']}: {row['labels']}" for row in numbers)
    answers |= {
        12: _missing_sequences(dataset),
        14: f"In part: kinds of label are known ({labels}); what was drawn on is for the authors.",
        19: f"In part: {split}; how they were assigned is for the authors.",
        35: f"In part: included are {split}; see the flow of patients. Why who was left out is for "
        "the authors.",
    }
    broken = dataset.patients_in_several_splits
    answers[20] = (
        "Patients: no patient is in two splits (checked)."
        if not broken
        else f"BROKEN: {count(len(broken), 'patient')} in more than one split: {broken[0]}, ..."
    )
    return answers


def _missing_sequences(dataset: DatasetFacts) -> str:
    """Say how many patients lack a case of a sequence that others have."""
    found: dict[str, set[str]] = {}
    for row in dataset.cases:
        found.setdefault(row["patient"], set()).add(row["sequence"])
    every = set().union(*found.values())
    short = sum(sequences != every for sequences in found.values())
    if not short:
        return "In part: every patient has every sequence; missing covariates stay empty."
    return (
        f"In part: {short} of {count(len(found), 'patient')} lack a sequence and count with "
        "those that they have; missing covariates stay empty."
    )
