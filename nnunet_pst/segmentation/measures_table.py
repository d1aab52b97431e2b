"""The table of all masks in a folder of segmented studies, each class in a row of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nnunet_pst.io.atomic_files import write_atomically
from nnunet_pst.io.csv_text import csv_text
from nnunet_pst.segmentation.model_interface import OUR_CLASSES, weights_name

TABLE = "measures.csv"
#: In column class: all classes together, of a model that segments several.
ALL_CLASSES = "all"


def write_measures(path: Path, reports: Sequence[dict[str, Any]]) -> list[str]:
    """Write a row for each mask of every study and for each of its classes.

    Parameters
    ----------
    path
        Of the table.
    reports
        Contents of ``report.json``, also of earlier versions.

    Returns
    -------
    list of str
        A note for each model's name that several trainings have.
    """
    rows = [
        {
            "study": report["study"],
            "sequence": result["name"],
            "class": part["name"],
            "model": result["model"],
            "weights": _weights(report, result),
            **part["measures"],
            **_trust_cells(result, whole=part["name"] not in _class_names(result)),
            "warnings": "; ".join(part["warnings"]),
        }
        for report in reports
        for result in report["results"]
        for part in _parts(result)
    ]
    if not rows:
        return []
    columns = list(rows[0])
    cells = ([row[column] for column in columns] for row in rows)
    write_atomically(path, csv_text([columns, *cells]))
    trainings: dict[str, set[str]] = {}
    for row in rows:
        trainings.setdefault(row["model"], set()).add(row["weights"])
    return [
        f"{path.name}: {len(weights)} trainings have the name {name}; column weights tells them "
        "apart"
        for name, weights in trainings.items()
        if len(weights) > 1
    ]


def _class_names(result: dict[str, Any]) -> list[str]:
    return [one["name"] for one in result.get("classes", [])]


def _trust_cells(result: dict[str, Any], *, whole: bool) -> dict[str, Any]:
    """Columns about whether to believe a mask; empty in reports of earlier versions.

    Numbers are of the whole mask: a class of several has the flag alone.
    """
    trust = result.get("trust", {})
    if not whole:
        trust = {name: trust[name] for name in ("flag", "reasons") if name in trust}
    dice, volume = (trust.get(name) or ("", "") for name in ("dice_interval", "volume_interval_ml"))
    expected = trust.get("expected_dice")
    return {
        "flag": trust.get("flag", ""),
        "flag_reasons": "; ".join(trust.get("reasons", ())),
        "expected_dice": "" if expected is None else expected,
        "dice_low": dice[0],
        "dice_high": dice[1],
        "volume_low_ml": volume[0],
        "volume_high_ml": volume[1],
    }


def _weights(report: dict[str, Any], result: dict[str, Any]) -> str:
    """Tell trainings of one name apart, also in reports of earlier versions."""
    if "weights" in result:
        return str(result["weights"])
    models = {model["name"]: weights_name(model["sha256"]) for model in report["models"]}
    return str(models.get(result["model"], "+".join(models.values())))


def _parts(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what is measured of a mask: the whole, then every class where there are several."""
    classes = result.get("classes", [])  # reports of earlier versions know one class
    whole = ALL_CLASSES if classes else result.get("what", OUR_CLASSES[0])
    return [{**result, "name": whole}, *classes]
