"""Directive ``{declared} NAME``: a table of what the code declares, so that both agree."""

from __future__ import annotations

from collections.abc import Sequence

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from nnunet_pst.evaluation.metrics.measures import MEASURES
from nnunet_pst.io.wording import measure_words


def measures() -> list[Sequence[str]]:
    """Return the rows of all measures of a case, with a heading."""
    rows: list[Sequence[str]] = [("column", "meaning", "unit", "best", "where something is empty")]
    for one in MEASURES:
        best = "—" if one.best is None else f"{one.best:g}"
        unit = "share" if one.unit == "1" else one.unit
        rows.append((one.name, measure_words(one.name, one.unit), unit, best, one.empty))
    return rows


TABLES = {"measures": measures}


class Declared(SphinxDirective):
    """A table whose first column is code."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Make the table."""
        heading, *rows = TABLES[self.arguments[0]]()
        group = nodes.tgroup("", cols=len(heading))
        group += [nodes.colspec("", colwidth=1) for _ in heading]
        group += nodes.thead("", self._row(heading, code=False))
        group += nodes.tbody("", *(self._row(row, code=True) for row in rows))
        return [nodes.table("", group)]

    def _row(self, cells: Sequence[str], *, code: bool) -> nodes.row:
        made = nodes.row()
        for number, cell in enumerate(cells):
            kind = nodes.literal if code and number == 0 else nodes.inline
            made += nodes.entry("", nodes.paragraph("", "", kind(cell, cell)))
        return made


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("declared", Declared)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
