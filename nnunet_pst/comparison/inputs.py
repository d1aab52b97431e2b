"""What is compared, and how: declared before anything is scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nnunet_pst.comparison.methods import Method, Part, parts_of
from nnunet_pst.comparison.readers import check_second_reader
from nnunet_pst.comparison.tables import Design
from nnunet_pst.dataset.training_record import learned_warnings
from nnunet_pst.errors import Fault, InputError, Problem
from nnunet_pst.evaluation.metrics.measures import MEASURES
from nnunet_pst.evaluation.references import (
    TRAINING,
    VALIDATION,
    References,
    images_of,
    references_of_dataset,
)
from nnunet_pst.io.case_table import cases_of_dataset, number_problems

#: What is tested unless something else is declared: overlap, and the surface where it is worst.
FAMILY = ("dice", "hd95_mm")


@dataclass(frozen=True)
class ComparisonSettings:
    """What a user may decide about a comparison.

    Parameters
    ----------
    baseline
        The method that all others are compared with; None for the first.
    split
        Cases that are scored; None for ``test``, or all of ``labelsTr`` where a folder is a fold's
        validation.
    measures
        The family that is tested and corrected; ``dice`` first, from which is concluded.
    margin
        Largest loss of mean Dice that would not matter, in (0, 1); None for none.
    seed
        Of the bootstrap.
    second_reader
        Folder with a second reader's mask for every case; the labels are the first reader's.
    """

    baseline: str | None = None
    split: str | None = None
    measures: tuple[str, ...] = FAMILY
    margin: float | None = None
    seed: int = 0
    second_reader: Path | None = None


@dataclass(frozen=True)
class ComparisonInputs:
    """What is compared, and how.

    Parameters
    ----------
    methods
        In the order of the tables.
    parts
        Their folders, from `methods.parts_of`.
    references
        Labels of all cases.
    design
        What is tested.
    covariates
        Rows of the dataset's case table; empty where there is none.
    warnings
        What a reader must know, beside what is found here.
    dataset
        The raw dataset, whose images are searched for copies; None for none.
    second_reader
        As in the settings.
    """

    methods: Sequence[Method]
    parts: Sequence[Part]
    references: References
    design: Design
    covariates: Sequence[Mapping[str, str]] = ()
    warnings: tuple[str, ...] = ()
    dataset: Path | None = None
    second_reader: Path | None = None

    @property
    def compared(self) -> References:
        """The references of the cases that are compared, which may be those of some folds."""
        names = {case.name for part in self.parts for case in part.references.cases}
        cases = tuple(case for case in self.references.cases if case.name in names)
        return replace(self.references, cases=cases)


def gather_inputs(
    methods: Sequence[Method],
    dataset: Path,
    settings: ComparisonSettings,
    warnings: tuple[str, ...] = (),
) -> ComparisonInputs:
    """Find the labels, sort the folders of masks, and declare what is tested.

    Parameters
    ----------
    methods
        From `methods.check_methods` or `trained_methods.trained_methods`.
    dataset
        Raw dataset that holds the labels.
    warnings
        What a reader must know of how the methods were chosen.

    Raises
    ------
    InputError
        The baseline or a measure is unknown, the margin is impossible, labels are missing, a
        covariate of the case table has a slip, or the methods have predicted different cases.
    """
    design = _design(tuple(method.name for method in methods), settings)
    validated = any(path.name == VALIDATION for method in methods for path in method.folders)
    split = settings.split or (TRAINING if validated else "test")
    references, table = references_of_dataset(dataset, split), cases_of_dataset(dataset)
    if problems := number_problems(table):
        raise InputError(problems)
    if not table:
        warnings += (
            "the dataset has no cases.csv: every case counts as a patient of its own, and "
            "intervals and p hold only if that is so",
        )
    if split == "test":
        patients = {case.patient for case in references.cases}
        warnings += tuple(learned_warnings(references.name, patients, images_of(references.cases)))
    inputs = ComparisonInputs(
        methods,
        parts_of(methods, references),
        references,
        design,
        table,
        warnings,
        dataset,
        settings.second_reader,
    )
    if settings.second_reader is not None:
        check_second_reader(settings.second_reader, inputs.compared)
    return inputs


def _design(names: tuple[str, ...], settings: ComparisonSettings) -> Design:
    """Declare what is tested; refuse an unknown baseline or measure, or an impossible margin."""
    baseline = settings.baseline or names[0]
    if baseline not in names:
        raise InputError(
            f"--baseline {baseline}: is not one of the methods {', '.join(names)}",
            Fault.UNKNOWN_NAME,
        )
    if settings.margin is not None and len(names) < 2 and settings.second_reader is None:
        raise InputError(
            "a margin is about a difference; give a second method, a second reader, or no margin",
            Fault.TOO_FEW,
        )
    family = check_family(settings.measures)
    if settings.margin is not None and not 0 < settings.margin < 1:
        raise InputError(
            f"margin {settings.margin:g}: must lie above 0 and below 1, the largest loss of Dice",
            Fault.VALUES,
        )
    return Design(
        methods=names,
        baseline=baseline,
        measures=MEASURES,
        family=family,
        margin=settings.margin,
        seed=settings.seed,
    )


def check_family(names: Sequence[str]) -> tuple[str, ...]:
    """Check the names of the family.

    Raises
    ------
    InputError
        With a line for each that is not a measure, or has no best value.
    """
    known = {measure.name: measure for measure in MEASURES}
    problems = [
        f"'{name}' is not a measure; known are {', '.join(known)}"
        for name in names
        if name not in known
    ]
    if names[0] != "dice":
        text = f"'{names[0]}' comes first; put dice there, from which a comparison concludes"
        problems.append(Problem(text, Fault.MALFORMED))
    problems += [
        Problem(
            f"'{name}' describes the case and has no best value; it cannot be tested",
            Fault.UNSUPPORTED,
        )
        for name in names
        if name in known and known[name].best is None
    ]
    if problems:
        raise InputError(problems)
    return tuple(dict.fromkeys(names))
