"""A page of the report, parsed: headings, paragraphs and tables, for tests that recompute them."""

from __future__ import annotations

import csv
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd

MINUS = "\N{MINUS SIGN}"
NUMBER = rf"[+{MINUS}-]?\d+(?:\.\d+)?"


class Page(HTMLParser):
    """Headings with what follows them: paragraphs, and tables as rows of cells."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[list[str]]]] = {}
        self.paragraphs: dict[str, list[str]] = {}
        self.under = ""
        self.open = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"h1", "h2", "h3"}:
            self.open, self.under = "h", ""
        elif tag == "p":
            self.open = "p"
            self.paragraphs.setdefault(self.under, []).append("")
        elif tag == "table":
            self.tables[self.under] = []
        elif tag == "tr":
            self.tables[self.under].append([])
        elif tag in {"td", "th"}:
            self.open = "cell"
            self.tables[self.under][-1].append([])

    def handle_endtag(self, tag: str) -> None:
        if tag in {"h1", "h2", "h3", "p", "td", "th"}:
            self.open = ""

    def handle_data(self, data: str) -> None:
        if self.open == "h":
            self.under += data
        elif self.open == "p":
            self.paragraphs[self.under][-1] += data
        elif self.open == "cell" and data.strip():
            self.tables[self.under][-1][-1].append(data)


def number(text: str) -> float:
    return float(text.replace(MINUS, "-"))


def close(text: str, value: float) -> bool:
    """Whether a written number is this value, rounded as it is written."""
    digits = len(text.partition(".")[2])
    return abs(number(text) - value) <= 0.5001 * 10**-digits + 1e-9


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def patients(output: Path, measure: str) -> pd.DataFrame:
    """A row a patient, a column a method: means over repeats and cases, by pandas."""
    cases = pd.read_csv(output / "cases.csv")
    by_case = cases.groupby(["method", "patient", "case"])[measure].mean()
    return by_case.groupby(["method", "patient"]).mean().unstack("method")
