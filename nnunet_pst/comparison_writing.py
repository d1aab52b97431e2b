"""The folder of a comparison, which is whole or absent, and the sentences that belong to it."""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from nnunet_pst import __version__
from nnunet_pst.cohort_statistics import INTERVAL_KIND, LEVEL, MINIMUM_PATIENTS, TIE
from nnunet_pst.comparison import Settings, Tables
from nnunet_pst.comparison_strata import ALL, Strata
from nnunet_pst.errors import InputError
from nnunet_pst.scores import Row
from nnunet_pst.whole_files import PARTIAL, refusals_in_one_line

DESCRIPTION = "comparison.json"
#: What a comparison consists of; ``overwrite`` replaces a folder only if it holds nothing else but
#: a report about it.
OUTPUT_NAMES = frozenset(
    ("cases.csv", "patients.csv", "intervals.csv", "differences.csv", DESCRIPTION, "methods")
) | {"differences.png", "patients.png"}
#: How the family of the corrected p-values is called wherever they are printed.
FAMILY = "every method against the baseline in every measure named, over all patients"


@contextmanager
def whole_folder(output: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a folder to write into, which becomes ``output`` if nothing goes wrong.

    What was begun stays hidden beside it when the process is interrupted, so that evaluations go
    on from there; a refusal removes it.

    Raises
    ------
    InputError
        ``output`` is in the way and may not be replaced.
    """
    if output.exists():
        _check_replaceable(output, overwrite)
    final = output.absolute()
    draft = final.with_name(f"{PARTIAL}{final.name}")
    with refusals_in_one_line(output):
        draft.mkdir(parents=True, exist_ok=True)
        try:
            yield draft
        except InputError:
            shutil.rmtree(draft)
            raise
        old = final.with_name(f"{PARTIAL}old-{final.name}")
        shutil.rmtree(old, ignore_errors=True)  # left by a killed process
        if final.exists():
            final.rename(old)
        draft.rename(final)
        shutil.rmtree(old, ignore_errors=True)


def write_comparison(
    folder: Path, tables: Tables, cases: Sequence[Row], description: Mapping[str, Any]
) -> None:
    """Write the four tables and ``comparison.json``; an undefined value is an empty cell."""
    for name, rows in (
        ("cases", cases),
        ("patients", tables.patients),
        ("intervals", tables.intervals),
        ("differences", tables.differences),
    ):
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(rows[0])
            writer.writerows([_cell(value) for value in row.values()] for row in rows)
    text = json.dumps(description, indent=2, allow_nan=False)
    (folder / DESCRIPTION).write_text(text + "\n", encoding="utf-8")


def describe(
    settings: Settings, strata: Strata, *, dataset: str, split: str, methods: Mapping[str, Any]
) -> dict[str, Any]:
    """Say how a comparison was made: the content of ``comparison.json`` without its warnings."""
    levels: dict[str, dict[str, int]] = {}
    for part in strata.parts:
        levels.setdefault(part.name, {})[part.level] = len(part.patients)
    return {
        "dataset": dataset,
        "split": split,
        "methods": dict(methods),
        "baseline": settings.baseline,
        "measures": {m.name: {"unit": m.unit, "best": m.best} for m in settings.measures},
        "seed": settings.seed,
        "resamples": settings.resamples,
        "interval": INTERVAL_KIND,
        "level": LEVEL,
        "minimum_patients": MINIMUM_PATIENTS,
        "tie": TIE,
        "test": "two-sided Wilcoxon signed-rank over the patients that differ",
        "effect": "matched-pairs rank-biserial correlation, above 0 where the method is better",
        "family": FAMILY,
        "margin": settings.margin,
        "strata": {
            name: {
                "patients": sizes,
                "cut_points": list(strata.cut_points.get(name, ())),
                "missing": strata.missing.get(name, 0),
            }
            for name, sizes in levels.items()
        },
        "versions": {"nnunet_pst": __version__}
        | {name: metadata.version(name) for name in ("nnunetv2", "numpy", "scipy", "SimpleITK")},
    }


def conclusion(row: Row, margin: float | None) -> str:
    """Say in plain words what a difference over all patients does and doesn't show."""
    method, baseline = str(row["method"]), str(row["baseline"])
    start = f"{row['measure']}, {method} against {baseline}: "
    low, high = float(row["low"]), float(row["high"])
    if math.isnan(low):
        if int(row["patients"]) < MINIMUM_PATIENTS:
            return start + f"fewer than {MINIMUM_PATIENTS} patients; nothing can be concluded"
        return start + "every patient differs by the same, so there is no interval to conclude from"
    if low <= 0 <= high:
        text = "the interval of the difference includes 0; neither is shown to be better, which "
        text += "does not show that they are equal"
    else:
        better = method if float(row["effect"]) > 0 else baseline
        text = f"the interval of the difference excludes 0, in favour of {better}"
        if not float(row["p_holm"]) < 1 - LEVEL:
            text += ", but the corrected test does not confirm it: no conclusion"
    if margin is not None and row["noninferior"]:
        verdict = "is not" if row["noninferior"] == "yes" else "is not shown not to be"
        text += f"; {method} {verdict} worse by {margin:g} or more"
    return start + text


def ranking_warning(ours: Mapping[str, float], host: Mapping[str, float]) -> str | None:
    """Say where nnU-Net's own mean Dice ranks methods otherwise than Dice over patients does."""
    both = [name for name in ours if name in host and not math.isnan(ours[name])]
    by_ours = sorted(both, key=lambda name: -ours[name])
    by_host = sorted(both, key=lambda name: -host[name])
    if by_ours == by_host:
        return None
    orders = [
        " > ".join(f"{name} {values[name]:.3f}" for name in order)
        for order, values in ((by_host, host), (by_ours, ours))
    ]
    return (
        f"nnU-Net's own mean Dice (cases, annotated voxels) ranks {orders[0]}; "
        f"Dice over patients on these labels ranks {orders[1]}"
    )


def overall(rows: Sequence[Row]) -> list[Row]:
    """Rows of a table that are about all patients."""
    return [row for row in rows if row["stratum"] == ALL]


def _cell(value: str | int | float) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return str(value)


def _check_replaceable(output: Path, overwrite: bool) -> None:
    if not output.is_dir():
        raise InputError(f"{output}: is a file; choose another output folder")
    if not overwrite:
        raise InputError(f"{output}: exists; choose another output folder or add --overwrite")
    names = {path.name for path in output.iterdir()}
    foreign = sorted(n for n in names - OUTPUT_NAMES if not n.startswith("report"))
    if foreign:
        raise InputError(
            f"{output}: holds {foreign[0]}, which no comparison writes, and is not replaced; "
            "choose another output folder"
        )
