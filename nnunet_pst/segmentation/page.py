"""The page of a study: one HTML file that needs no other file and no network."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

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
    import jinja2

    source = (
        resources.files("nnunet_pst.segmentation")
        .joinpath("templates/segment.html")
        .read_text("utf-8")
    )
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    pictures = {
        one["name"]: base64.b64encode((folder / one["files"]["picture"]).read_bytes()).decode(
            "ascii"
        )
        for one in report["results"]
    }
    environment.filters["volume"] = volume_text
    return environment.from_string(source).render(report=report, pictures=pictures)
