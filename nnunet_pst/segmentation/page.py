"""The page of a study: one HTML file that needs no other file and no network."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnunet_pst.io.templates import render
from nnunet_pst.io.viewer_labels import class_color
from nnunet_pst.segmentation.agreement import alignment_words, coverage_words, dice_words
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
    pictures = {
        result["name"]: base64.b64encode((folder / result["files"]["picture"]).read_bytes()).decode(
            "ascii"
        )
        for result in report["results"]
    }
    values = {
        "report": report,
        "pictures": pictures,
        "several": any(result["classes"] for result in report["results"]),
        "color": _css_color,
        "warned": _has_warnings,
        "volume": volume_text,
        "dice": dice_words,
        "alignment": alignment_words,
        "coverage": coverage_words,
    }
    return render("nnunet_pst.segmentation", "segment.html", values).removesuffix("\n")


def _has_warnings(result: Mapping[str, Any]) -> bool:
    return bool(result["warnings"] or any(part["warnings"] for part in result["classes"]))


def _css_color(value: int) -> str:
    return "rgb({}, {}, {})".format(*class_color(value))
