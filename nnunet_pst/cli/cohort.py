"""``nnunet_pst cohort``: the patients of each split (the paper's Table 1)."""

from __future__ import annotations

import argparse
from pathlib import Path

from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.dataset_folders import dataset_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("table", nargs="?", type=Path, help="cohort table, as for convert")
    source.add_argument("-d", "--dataset", help="raw dataset: a name, a number, or its folder")
    parser.add_argument(
        "-o", "--output", type=Path, help="folder for cohort.csv, cohort.md and cohort.html"
    )
    parser.add_argument(
        "--categories",
        nargs="+",
        default=[],
        metavar="COLUMN",
        help="columns whose numbers are codes, such as a grade; of the others, more than two "
        "different numbers are measurements",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace earlier tables")


def run(arguments: argparse.Namespace) -> int:
    """Describe the cohort, print the table as Markdown, and write it where asked."""
    from nnunet_pst.io.atomic_files import refusals_in_one_line
    from nnunet_pst.io.claims import claimed
    from nnunet_pst.report.cohort_description import (
        as_csv,
        as_html,
        as_markdown,
        as_text,
        describe_cohort,
        few_numbers,
    )

    rows, notes = _rows(arguments)
    unknown = [name for name in arguments.categories if not any(name in row for row in rows)]
    if unknown:
        raise InputError(
            [f"--categories {name}: is not a column of the table" for name in unknown],
            Fault.UNKNOWN_NAME,
        )
    notes += [
        f"{name} has few different numbers, which are taken as measurements; if they are codes, "
        f"add --categories {name}"
        for name in few_numbers(rows)
        if name not in arguments.categories
    ]
    splits, lines = describe_cohort(rows, arguments.categories)
    texts = {
        "cohort.csv": as_csv(splits, lines),
        "cohort.md": as_markdown(splits, lines),
        "cohort.html": as_html(splits, lines),
    }
    output = arguments.output
    if output is not None:
        with refusals_in_one_line(output), claimed(output, "cohort") as claim:
            places = {output / name: text for name, text in texts.items()}
            for place in places:
                if not claim.may_replace(place, overwrite=arguments.overwrite):
                    raise InputError(
                        f"{output}: has {place.name} already; add --overwrite", Fault.EXISTS
                    )
            claim.write(places)
    print(as_text(splits, lines), end="")
    print("smd: the largest standardized mean difference between two splits, and its 95 % interval")
    print("\n".join(f"note: {note}" for note in notes), end="\n" if notes else "")
    return 0


def _rows(arguments: argparse.Namespace) -> tuple[list[dict[str, str]], list[str]]:
    """Rows with patient, split and covariates, and which columns were left out."""
    from nnunet_pst.dataset.cohort_table import parse_cohort
    from nnunet_pst.dataset.covariates import number_problems_of_cohort, screen_covariates
    from nnunet_pst.io.case_table import CASE_TABLE, number_problems, read_case_table

    if arguments.dataset is not None:
        folder = dataset_folder(arguments.dataset, holds=CASE_TABLE)
        rows = read_case_table(folder / CASE_TABLE)
        if not rows:
            raise InputError(f"{folder.name}/{CASE_TABLE}: has no cases", Fault.EMPTY)
        if odd := number_problems(rows):
            raise InputError(odd)
        return rows, []
    cohort, problems = parse_cohort(arguments.table)
    if problems := [*problems, *number_problems_of_cohort(cohort)]:
        raise InputError(problems)
    kept, notes = screen_covariates(cohort)
    return [
        {
            "patient": str(number),
            "split": patient.split,
            **{name: patient.covariates[name] for name in kept},
        }
        for number, patient in enumerate(cohort.patients)
    ], notes
