"""The page of a study: one HTML file that needs no other file and no network."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnunet_pst.calibration.fitting import COVERAGE
from nnunet_pst.io.templates import render
from nnunet_pst.io.viewer_labels import class_color
from nnunet_pst.segmentation.agreement import alignment_words, coverage_words, dice_words
from nnunet_pst.segmentation.doubt_picture import LEVELS
from nnunet_pst.segmentation.measures import volume_text


def render_study_page(report: Mapping[str, Any], folder: Path) -> str:
    """Return the page as HTML; every text is escaped.

    Parameters
    ----------
    report
        Content of ``report.json``.
    folder
        Folder of the report's pictures.
    """
    pictures, doubts = (
        {
            result["name"]: _embedded(folder / result["files"][kind])
            for result in report["results"]
            if kind in result["files"]
        }
        for kind in ("picture", "doubt")
    )
    values = {
        "report": report,
        "pictures": pictures,
        "doubts": doubts,
        "levels": LEVELS,
        "several": any(result["classes"] for result in report["results"]),
        "color": _css_color,
        "warned": _has_warnings,
        "volume": volume_text,
        "dice": dice_words,
        "alignment": alignment_words,
        "coverage": coverage_words,
        "coverage_level": COVERAGE,
        "coarse": any(result["trust"]["known_voxels"] for result in report["results"]),
        "uncalibrated": any(
            model["used"] and not model["calibrated"] for model in report["models"]
        ),
    }
    return render("nnunet_pst.segmentation", "segment.html", values).removesuffix("\n")


def _embedded(picture: Path) -> str:
    return base64.b64encode(picture.read_bytes()).decode("ascii")


def _has_warnings(result: Mapping[str, Any]) -> bool:
    return bool(result["warnings"] or any(part["warnings"] for part in result["classes"]))


def _css_color(value: int) -> str:
    return "rgb({}, {}, {})".format(*class_color(value))
