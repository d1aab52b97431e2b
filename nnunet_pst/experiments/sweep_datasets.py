"""The datasets of a sweep, from one cohort: with the same pseudonyms, label rules and folds."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from nnunet_pst.dataset.annotation import LabelRules
from nnunet_pst.dataset.cohort_table import parse_cohort
from nnunet_pst.dataset.conversion import convert_cohort
from nnunet_pst.dataset.conversion_journal import read_key
from nnunet_pst.dataset.conversion_settings import ConversionSettings
from nnunet_pst.dataset.conversion_summary import ConversionSummary
from nnunet_pst.dataset.raw_dataset import OWN_KEY, RawDataset, locate_dataset
from nnunet_pst.dataset.splits import Splits, make_splits, split_patients, splits_like
from nnunet_pst.errors import Fault, HostError, InputError, Problem, PSTError
from nnunet_pst.experiments.sweep_plan import (
    ALL_SEQUENCE,
    DEFAULT_SEED,
    FUSION,
    PLANS,
    Job,
    Strategy,
)
from nnunet_pst.experiments.sweep_record import dataset_digest
from nnunet_pst.io.atomic_files import write_atomically
from nnunet_pst.io.case_table import cases_of_dataset
from nnunet_pst.nnunet.edited_settings import Place, recipe
from nnunet_pst.nnunet.folds import SPLITS_FILE
from nnunet_pst.nnunet.own_configurations import CONFIGURATIONS
from nnunet_pst.nnunet.planning import PlanningSettings, plan_dataset
from nnunet_pst.nnunet.training.settings import PLANS_KEY
from nnunet_pst.registration.policy import RegistrationSettings


@dataclass(frozen=True)
class Source:
    """The cohort of a sweep's datasets, and how they are made from it."""

    table: Path
    base: str
    registration: RegistrationSettings
    workers: int


@dataclass(frozen=True)
class PreparedDatasets:
    """What was made of the datasets of a sweep.

    Attributes
    ----------
    sources
        By dataset a digest of the files that it was converted from.
    flagged
        By dataset, what its conversion could do only by a fallback, such as a pair of sequences
        that was not registered, with the reason.
    """

    sources: dict[str, str]
    flagged: dict[str, dict[str, str]]


def cohort_sequences(table: Path) -> tuple[str, ...]:
    """Return the sequences of a cohort table, in its order; its rows are checked later."""
    return parse_cohort(table)[0].sequences


def prepare_datasets(source: Source, jobs: Sequence[Job], logs: Path) -> PreparedDatasets:
    """Convert and plan the datasets of the jobs; complete and planned datasets are kept.

    The dataset of all sequences is always converted: it gives pseudonyms, label rules and folds.

    Parameters
    ----------
    logs
        Folder for nnU-Net's output while it plans.

    Raises
    ------
    InputError, HostError, PartlyDoneError
        As `conversion.convert_cohort` and `planning.plan_dataset` do; a fold doesn't exist or has
        no patients for one of the datasets; a dataset has other folds or pseudonyms.
    """
    base = locate_dataset(source.base)
    rules = _rules(base)
    flagged = {base.name: dict(_convert(source, base.name, None, rules).flagged)}
    rows = cases_of_dataset(base.folder)
    splits = _base_splits(base, rows)
    sources = {}
    for name, strategy in sorted({job.dataset: job.method.strategy for job in jobs}.items()):
        mine = [job for job in jobs if job.dataset == name]
        place = locate_dataset(name)
        if name != base.name:
            with _shared_key(base, place):
                flagged[name] = dict(_convert(source, name, strategy, rules).flagged)
        own = splits_like(splits, rows, cases_of_dataset(place.folder))
        _refuse_empty_folds(name, own, {job.fold for job in mine})
        _keep_splits(name, own)
        _plan(place, base, {job.method.configuration for job in mine}, source.workers, logs)
        for plans, seed in {(job.plans, job.seed) for job in mine if job.plans != PLANS}:
            _seeded_plans(name, plans, seed)
        sources[name] = dataset_digest(place)
    _refuse_other_recipes({job.dataset for job in jobs})
    return PreparedDatasets(sources, {name: pairs for name, pairs in flagged.items() if pairs})


def _rules(base: RawDataset) -> LabelRules:
    """Take the label rules of the dataset of all sequences where it exists, else the defaults."""
    if not base.description.is_file():
        return LabelRules()
    ours = json.loads(base.description.read_text(encoding="utf-8")).get(OWN_KEY, {})
    if ours.get("labels_from"):
        raise InputError(
            f"{base.name}: its masks were carried from {ours['labels_from']}; a sweep needs masks "
            "drawn on every sequence: choose another --dataset",
            Fault.UNSUPPORTED,
        )
    known = {field.name for field in fields(LabelRules)}
    return LabelRules(**{name: value for name, value in ours.items() if name in known})


def _convert(
    source: Source, name: str, strategy: Strategy | None, rules: LabelRules
) -> ConversionSummary:
    settings = ConversionSettings(layout=ALL_SEQUENCE, rules=rules)
    if strategy:
        settings = replace(settings, layout=strategy.layout, sequences=strategy.sequences)
        if strategy.layout == FUSION:
            settings = replace(settings, registration=source.registration)
    return convert_cohort(source.table, name, settings, workers=source.workers)


@contextlib.contextmanager
def _shared_key(base: RawDataset, other: RawDataset) -> Iterator[None]:
    """Let a dataset be converted with the pseudonyms of another; a refused one leaves no key."""
    new = not other.key.exists()
    _share_key(base, other)
    try:
        yield
    except PSTError:
        if new and not other.folder.exists():
            other.key.unlink(missing_ok=True)
        raise


def _share_key(base: RawDataset, other: RawDataset) -> None:
    """Give a dataset the pseudonyms of the dataset of all sequences; refuse different ones."""
    ours, theirs = read_key(base.key), read_key(other.key)
    if any(ours.get(patient) != pseudonym for patient, pseudonym in theirs.items()):
        raise InputError(
            f"{other.name} has other pseudonyms than {base.name}; remove {other.name} and its key, "
            "or choose another --dataset",
            Fault.CONTRADICTION,
        )
    if ours != theirs:
        write_atomically(other.key, base.key.read_text(encoding="utf-8"), mode=0o600)


def _base_splits(base: RawDataset, rows: Sequence[Mapping[str, str]]) -> Splits:
    """Read the folds of the dataset of all sequences, or make those that planning would make."""
    training = [row for row in rows if row["split"] != "test"]
    existing = _preprocessed(base.name) / SPLITS_FILE
    if existing.is_file():
        splits: Splits = json.loads(existing.read_text(encoding="utf-8"))
        cases = {case for fold in splits for side in fold.values() for case in side}
        if cases != {row["case"] for row in training}:
            raise InputError(
                f"{base.name}: its {SPLITS_FILE} has other cases than the cohort now; delete it "
                "to make folds anew",
                Fault.CONTRADICTION,
            )
        return splits
    patients = split_patients(training)
    if len(patients) < 2:
        raise InputError(
            f"{base.name}: has one training patient; a fold needs one more", Fault.TOO_FEW
        )
    return make_splits(patients, DEFAULT_SEED)


def _refuse_empty_folds(name: str, splits: Splits, folds: Collection[int]) -> None:
    problems = [
        Problem(
            f"{name}: has no fold {fold}; choose --folds from 0 to {len(splits) - 1}",
            Fault.UNKNOWN_NAME,
        )
        for fold in sorted(folds)
        if fold >= len(splits)
    ]
    problems += [
        Problem(
            f"{name}: fold {fold} has no {what} patients with these sequences; choose other "
            "--folds",
            Fault.TOO_FEW,
        )
        for fold in sorted(folds)
        if fold < len(splits)
        for side, what in (("train", "training"), ("val", "validation"))
        if not splits[fold][side]
    ]
    if problems:
        raise InputError(problems)


def _keep_splits(name: str, splits: Splits) -> None:
    """Write the folds before planning, which keeps existing folds."""
    file = _preprocessed(name) / SPLITS_FILE
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(splits, indent=4) + "\n")
    elif [_as_sets(fold) for fold in json.loads(file.read_text(encoding="utf-8"))] != [
        *map(_as_sets, splits)
    ]:
        raise InputError(
            f"{name}: its {SPLITS_FILE} has other patients in a fold than the dataset of all "
            "sequences, or lacks some; delete it to share the folds",
            Fault.CONTRADICTION,
        )


def _as_sets(fold: Mapping[str, Sequence[str]]) -> dict[str, set[str]]:
    return {side: set(fold[side]) for side in ("train", "val")}


def _plan(
    place: RawDataset, base: RawDataset, wanted: Collection[str], workers: int, logs: Path
) -> None:
    """Plan and preprocess a dataset with the recipe of the base, unless that is done already."""
    stock = sorted({"2d", *wanted} - set(CONFIGURATIONS))
    edited = _preprocessed(base.name) / f"{PLANS}.json"
    edits_from = edited if place.name != base.name and edited.is_file() else None
    if _is_planned(place, wanted) and not (
        edits_from and _recipes(place.name) != _recipes(base.name)
    ):
        return
    logs.mkdir(parents=True, exist_ok=True)
    with (
        (logs / f"plan_{place.name}.txt").open("w", encoding="utf-8") as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
    ):
        settings = PlanningSettings(configurations=stock, edits_from=edits_from)
        plan_dataset(place.name, settings, workers=workers)
    for stale in _preprocessed(place.name).glob(f"{PLANS}_seed*.json"):
        stale.unlink()


def _recipes(name: str) -> dict[str, dict[Place, Any]]:
    """Return the recipe of each of our configurations of a planned dataset."""
    configurations = json.loads(
        (_preprocessed(name) / f"{PLANS}.json").read_text(encoding="utf-8")
    )["configurations"]
    return {own: recipe(configurations[own]) for own in CONFIGURATIONS if own in configurations}


def _refuse_other_recipes(names: Collection[str]) -> None:
    """Refuse to compare trainings of different settings in one table."""
    first, *others = sorted(names)
    ours = _recipes(first)
    problems = [
        Problem(
            f"{other}: its plans train {own} with {'.'.join(place)} {theirs.get(place)!r}, those "
            f"of {first} with {ours[own].get(place)!r}; give all datasets of a sweep the same "
            "settings",
            Fault.CONTRADICTION,
        )
        for other in others
        for own, theirs in _recipes(other).items()
        for place in sorted({*theirs, *ours[own]})
        if theirs.get(place) != ours[own].get(place)
    ]
    if problems:
        raise InputError(problems)


def _is_planned(place: RawDataset, wanted: Collection[str]) -> bool:
    """Whether plans and preprocessed cases are there, of the same cases and not older."""
    folder = _preprocessed(place.name)
    file = folder / f"{PLANS}.json"
    raw = sorted(place.folder.glob("*Tr/*.nii.gz"))
    # As in make, a newer file counts as changed.
    if not file.is_file() or file.stat().st_mtime_ns < max(p.stat().st_mtime_ns for p in raw):
        return False
    configurations = json.loads(file.read_text(encoding="utf-8"))["configurations"]
    if not {*CONFIGURATIONS, *wanted} <= set(configurations):
        return False
    cases = {row["case"] for row in cases_of_dataset(place.folder) if row["split"] != "test"}
    folders = [folder / _data_identifier(configurations, name) for name in wanted]
    # A case's properties are written after its voxels, and the labels are copied last of all.
    return all(
        {path.name.partition(".")[0] for path in place.glob(pattern)} == cases
        for place, pattern in [(folder / "gt_segmentations", "*"), *((f, "*.pkl") for f in folders)]
    )


def _data_identifier(configurations: Mapping[str, Any], name: str) -> str:
    """Name the folder of a configuration's data, which may be inherited."""
    content = configurations[name]
    if "data_identifier" in content:
        return str(content["data_identifier"])
    return _data_identifier(configurations, content["inherits_from"])


def _seeded_plans(name: str, plans: str, seed: int) -> None:
    """Write plans that differ in name and seed only, on the same preprocessed data."""
    folder = _preprocessed(name)
    content = json.loads((folder / f"{PLANS}.json").read_text(encoding="utf-8"))
    content["plans_name"] = plans
    for configuration in content["configurations"].values():
        if PLANS_KEY in configuration:
            configuration[PLANS_KEY]["seed"] = seed
    text = json.dumps(content, indent=4) + "\n"
    file = folder / f"{plans}.json"
    if not file.is_file() or file.read_text(encoding="utf-8") != text:
        write_atomically(file, text)


def _preprocessed(name: str) -> Path:
    root = os.environ.get("nnUNet_preprocessed")  # noqa: SIM112 - the host's own spelling
    if not root:
        raise HostError(
            'nnUNet_preprocessed is not set; run: eval "$(nnunet_pst env FOLDER)"', Fault.NOT_SET
        )
    return Path(root) / name
