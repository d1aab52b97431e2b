"""A table of the page as LaTeX, to be copied into a manuscript (it needs the package booktabs)."""

from __future__ import annotations

from nnunet_pst.report.tables import Cell, Table

_ESCAPED = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\N{MINUS SIGN}": "$-$",
    "\N{EN DASH}": "--",
}


def as_latex(table: Table) -> str:
    """Write a table with a heading, a line a row, and its caption.

    Small texts stand in brackets behind the cell's own; every text is escaped.
    """
    columns = "l" * len(table.head) if table.texts else "l" + "r" * (len(table.head) - 1)
    lines = [
        r"\begin{table}",
        rf"\caption{{{escaped(f'{table.title}. {table.caption}')}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        _row([Cell(name) for name in table.head]),
        r"\midrule",
        *(_row(list(row)) for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Write a text so that LaTeX prints it as it is."""
    return "".join(_ESCAPED.get(sign, sign) for sign in text)


def _row(cells: list[Cell]) -> str:
    texts = [f"{cell.text} ({cell.small})" if cell.small else cell.text for cell in cells]
    return " & ".join(map(escaped, texts)) + r" \\"
