"""The page at the end of the demo: one HTML file that needs no other file and no network."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nnunet_pst.io.templates import render


@dataclass(frozen=True)
class MethodRow:
    """A line of the table.

    Attributes
    ----------
    dice
        Mean over patients by sequence, and under ``all``.
    """

    method: str
    training_s: float
    prediction_s: float
    dice: Mapping[str, float]


@dataclass(frozen=True)
class DemoFacts:
    """The content of the page.

    Attributes
    ----------
    pictures
        Title and PNG file.
    commands
        Lines to type.
    """

    date: str
    version: str
    host_version: str
    seed: int
    machine: str
    patients: int
    training: int
    test: int
    window: int
    weights: str
    sequences: Sequence[str]
    rows: Sequence[MethodRow]
    pictures: Sequence[tuple[str, Path]]
    commands: Sequence[str]


def render_demo_page(facts: DemoFacts) -> str:
    """Return the page as HTML; every text is escaped."""
    values: dict[str, Any] = asdict(facts)
    values["pictures"] = [
        {"title": title, "base64": base64.b64encode(file.read_bytes()).decode("ascii")}
        for title, file in facts.pictures
    ]
    return render("nnunet_pst.experiments", "demo.html", values).removesuffix("\n")
