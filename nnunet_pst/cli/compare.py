"""``nnunet_pst compare``: several methods on the same patients, with intervals and paired tests."""

from __future__ import annotations

import argparse
import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunet_pst.cli.argument_types import count, positive
from nnunet_pst.errors import InputError

if TYPE_CHECKING:
    from nnunet_pst.compared_predictions import Part, Scored
    from nnunet_pst.comparison import Settings, Tables
    from nnunet_pst.comparison_strata import Strata
    from nnunet_pst.references import References
    from nnunet_pst.scores import Row


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "predictions",
        nargs="*",
        metavar="NAME=PREDICTIONS",
        help="a method and its folder of predictions or nnU-Net validation folder; the same name "
        "again is another seed, or another fold of a cross-validation",
    )
    parser.add_argument(
        "--results",
        help="compare what is trained on a dataset, by its validation folders: a name in "
        "nnUNet_results, or the folder",
    )
    parser.add_argument("--dataset", help="raw dataset with the labels: a name, or its folder")
    parser.add_argument(
        "--references", type=Path, help="folder of labels, instead of the dataset's"
    )
    parser.add_argument("--cases", type=Path, help="cases.csv with patients, with --references")
    parser.add_argument(
        "--split",
        choices=("test", "train", "val", "cross-validation"),
        help="which cases of the dataset (default: test; with --results cross-validation)",
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("comparison"))
    parser.add_argument("--baseline", help="method to compare with (default: the first)")
    parser.add_argument(
        "--measures",
        nargs="+",
        default=["dice", "iou"],
        help="columns of evaluate's tables that have a best value (default: dice iou)",
    )
    parser.add_argument(
        "--margin", type=_margin, help="by how much a ratio may be worse and not be inferior"
    )
    parser.add_argument("--seed", type=count, default=0, help="of the resamples (default: 0)")
    parser.add_argument("--resamples", type=positive, default=10_000, help="(default: 10000)")
    parser.add_argument("--no-overlays", action="store_true", help="no pictures of cases")
    parser.add_argument("--workers", type=positive, help="processes (default: one per core, max 8)")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier comparison")
    parser.add_argument("--json", action="store_true", help="print comparison.json and differences")


def run(arguments: argparse.Namespace) -> int:
    """Collect, score, compare, write, and print a short table."""
    from nnunet_pst.compared_predictions import predicted_cases, score_parts
    from nnunet_pst.comparison import same_cases
    from nnunet_pst.comparison_writing import whole_folder
    from nnunet_pst.nnunet.environment import usable_cores

    parts, remarks = _parts(arguments)
    same_cases(predicted_cases(parts))
    references = _references(arguments)
    methods = list(dict.fromkeys(part.method for part in parts))
    baseline = arguments.baseline or methods[0]
    if baseline not in methods:
        raise InputError(f"--baseline {baseline}: is none of {', '.join(methods)}")
    with whole_folder(arguments.output, overwrite=arguments.overwrite) as folder:
        workers = arguments.workers or min(8, usable_cores())
        scored = score_parts(
            parts,
            references,
            folder,
            workers=workers,
            overlays=not arguments.no_overlays,
        )
        settings = _settings(arguments, scored, baseline)
        tables, description = _compare(arguments, parts, references, scored, settings)
        description["warnings"] = [*remarks, *description["warnings"]]
        _write(folder, tables, scored, settings, description)
    if arguments.json:
        # JSON has no NaN: what is not defined is null.
        rows = [{key: None if value != value else value for key, value in row.items()}
                for row in tables.differences]  # fmt: skip
        print(json.dumps({**description, "differences": rows}, indent=2))
    else:
        print("\n".join(_report(tables, settings, description)))
        print(f"written to {arguments.output}")
    return 0


def _margin(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError("must lie between 0 and 1")
    return value


def _parts(arguments: argparse.Namespace) -> tuple[list[Part], list[str]]:
    """Find all folders of predictions, and what was skipped."""
    from nnunet_pst.compared_predictions import named_parts, numbered_repeats, trained_parts

    parts = named_parts(arguments.predictions)
    remarks: list[str] = []
    if arguments.results is not None:
        found, remarks = trained_parts(_folder(arguments.results, "nnUNet_results"))
        parts += found
        remarks = [f"{part.method}: took {part.shown}" for part in found] + remarks
    if len({part.method for part in parts}) < 2:
        found_names = ", ".join(dict.fromkeys(part.method for part in parts)) or "none"
        raise InputError(
            [
                f"methods: {found_names}; give two or more as NAME=FOLDER or --results "
                "(evaluate is for one)",
                *remarks,
            ]
        )
    return numbered_repeats(parts), remarks


def _references(arguments: argparse.Namespace) -> References:
    """Find the labels that the arguments name."""
    from nnunet_pst.compared_predictions import CROSS_VALIDATION, labelled_references
    from nnunet_pst.references import references_in_folder

    if arguments.references is not None:
        table = arguments.cases
        if table is None and arguments.dataset is not None:
            table = _folder(arguments.dataset, "nnUNet_raw") / "cases.csv"
        return references_in_folder(arguments.references, table=table)
    dataset = arguments.dataset
    if dataset is None and arguments.results is not None:
        dataset = Path(arguments.results).name
    if dataset is None:
        raise InputError("no labels: give --dataset, or a folder of labels as --references")
    split = arguments.split or (CROSS_VALIDATION if arguments.results else "test")
    return labelled_references(_folder(dataset, "nnUNet_raw"), split)


def _folder(name: str, variable: str) -> Path:
    """Folder that is given by path, or by its name in one of nnU-Net's folders."""
    if Path(name).name != name or Path(name).is_dir():
        return Path(name)
    root = os.environ.get(variable)
    if not root:
        raise InputError(
            f'{name}: {variable} is not set; run eval "$(nnunet_pst env ROOT)" or give the folder'
        )
    return Path(root) / name


def _settings(arguments: argparse.Namespace, scored: Scored, baseline: str) -> Settings:
    """Check the measures and put the settings together."""
    from nnunet_pst.comparison import Compared, Settings

    known = {n: m for n, m in scored.measures.items() if isinstance(m["best"], int | float)}
    unknown = [name for name in arguments.measures if name not in known]
    if unknown:
        raise InputError(
            [f"--measures {name}: expected any of {', '.join(known)}" for name in unknown]
        )
    measures = tuple(
        Compared(name, str(known[name]["unit"]), float(str(known[name]["best"])))
        for name in dict.fromkeys(arguments.measures)
    )
    return Settings(baseline, measures, arguments.margin, arguments.seed, arguments.resamples)


def _compare(
    arguments: argparse.Namespace,
    parts: list[Part],
    references: References,
    scored: Scored,
    settings: Settings,
) -> tuple[Tables, dict[str, Any]]:
    """Make the tables and the description with its warnings."""
    from nnunet_pst.compared_predictions import host_dice
    from nnunet_pst.comparison import compare_methods, patient_column
    from nnunet_pst.comparison_writing import describe, ranking_warning
    from nnunet_pst.scores import mean

    strata = _strata(arguments, scored)
    tables = compare_methods(scored.rows, strata, settings)
    methods: dict[str, Any] = {}
    for part, home in zip(parts, scored.evaluations, strict=True):
        entry = methods.setdefault(part.method, {"folders": [], "repeats": 0, "evaluations": []})
        entry["folders"].append(part.shown)
        entry["evaluations"].append(home)
        entry["repeats"] = max(entry["repeats"], part.repeat)
    description = describe(
        settings, strata, dataset=references.name, split=references.split, methods=methods
    )
    dice = {
        name: mean(patient_column(scored.rows, name, "dice", strata.parts[0]).values())
        for name in methods
    }
    disagreement = ranking_warning(dice, host_dice(parts))
    unscored = len({case.name for case in references.cases} - {str(r["case"]) for r in scored.rows})
    warnings = [*strata.warnings, *([disagreement] if disagreement else [])]
    if unscored:
        warnings.append(f"{unscored} of {len(references.cases)} labelled cases: no method has them")
    if any(float(row["known_share"]) < 1 for row in scored.rows):
        warnings.append("some labels hold unknown voxels: scores are over annotated voxels only")
    description["warnings"] = warnings
    return tables, description


def _strata(arguments: argparse.Namespace, scored: Scored) -> Strata:
    """Divide the scored patients by the dataset's case table, where there is one."""
    from nnunet_pst.case_table import read_case_table
    from nnunet_pst.comparison_strata import strata_of

    name = arguments.dataset
    if name is None and arguments.results is not None and arguments.references is None:
        name = Path(arguments.results).name
    table = arguments.cases or (_folder(name, "nnUNet_raw") / "cases.csv" if name else None)
    listed = read_case_table(table) if table is not None and table.is_file() else []
    known = {row["case"]: row for row in listed}
    cases = {str(row["case"]): row for row in scored.rows}
    return strata_of(
        [
            {**known.get(case, {}), **{key: str(row[key]) for key in ("patient", "sequence")}}
            for case, row in sorted(cases.items())
        ]
    )


def _write(
    folder: Path,
    tables: Tables,
    scored: Scored,
    settings: Settings,
    description: dict[str, Any],
) -> None:
    from nnunet_pst.comparison_figures import draw_differences, draw_patients
    from nnunet_pst.comparison_writing import write_comparison

    draw_differences(tables, settings, folder / "differences.png")
    draw_patients(tables, settings, folder / "patients.png")
    write_comparison(folder, tables, scored.rows, description)


def _report(tables: Tables, settings: Settings, description: dict[str, Any]) -> list[str]:
    """Lay out what is known about all patients, and what may be concluded."""
    from nnunet_pst.comparison_writing import conclusion, overall

    heads = ["measure", "method", "n", "mean [95 %]", "difference [95 %]", "p (Holm)", "W/T/L"]
    differences = {(r["measure"], r["method"]): r for r in overall(tables.differences)}
    lines = [heads]
    for row in overall(tables.intervals):
        against = differences.get((row["measure"], row["method"]))
        cells = [str(row[key]) for key in ("measure", "method", "patients")]
        cells += [_with_interval(row, "mean", "")]
        if against is None:
            lines.append([*cells, "baseline", "", ""])
            continue
        p = float(against["p_holm"])
        shown = "-" if math.isnan(p) else "<0.001" if p < 0.001 else f"{p:.3f}"
        score = "/".join(str(against[key]) for key in ("wins", "ties", "losses"))
        lines.append([*cells, _with_interval(against, "difference", "+"), shown, score])
    widths = [max(len(line[place]) for line in lines) for place in range(len(heads))]
    text = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in lines]
    text = [line.rstrip() for line in text]
    text += ["", *(conclusion(row, settings.margin) for row in differences.values())]
    text.append(
        f"over patients; {description['interval']}, {settings.resamples} resamples; p: Wilcoxon "
        f"signed-rank, Holm over {description['family']}; the intervals "
        "are about other patients, not other trainings"
    )
    return text + [f"note: {line}" for line in description["warnings"]]


def _with_interval(row: Row, key: str, sign: str) -> str:
    value, low, high = (float(row[name]) for name in (key, "low", "high"))
    if math.isnan(value):
        return "-"
    if math.isnan(low):
        return f"{value:{sign}.3f} [none]"
    return f"{value:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"
