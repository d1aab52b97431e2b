"""From folders to the page and its figures: read everything, draw everything, then write."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from nnunet_pst.comparison.figure_style import Picture
from nnunet_pst.errors import Fault, InputError, Problem
from nnunet_pst.io.atomic_files import file_draft, fill, folder_draft, refusals_in_one_line
from nnunet_pst.io.claims import Claim, broken_off, claimed
from nnunet_pst.report.galleries import make_galleries
from nnunet_pst.report.inputs import Sources
from nnunet_pst.report.page import draw_figures, render_page

_ENDINGS = {".svg", ".png"}


def figure_folder(page: Path) -> Path:
    """Return the folder of a page's figures: ``report_figures`` beside ``report.html``."""
    return page.with_name(f"{page.stem}_figures")


def check_output(page: Path, claim: Claim, *, overwrite: bool) -> None:
    """Refuse to replace what is there, or a folder that holds more than figures.

    What a report that was broken off has left is replaced.

    Raises
    ------
    InputError
        The page or its figures are there and may not be replaced.
    """
    figures = figure_folder(page)
    problems = []
    if page.suffix.casefold() not in {".html", ".htm"}:
        text = f"{page}: a report is an HTML file; give a name that ends in .html"
        problems.append(Problem(text, Fault.MALFORMED))
    if page.is_dir():
        problems.append(Problem(f"{page}: is a folder; give the name of a file", Fault.EXISTS))
    if not page.parent.is_dir():
        text = f"{page.parent}: is not a folder; make it, or choose another place"
        problems.append(Problem(text, Fault.MISSING))
    problems += [
        Problem(f"{path}: exists; choose another name or add --overwrite", Fault.EXISTS)
        for path in (page, figures)
        if not claim.may_replace(path, overwrite=overwrite)
    ]
    if figures.is_dir():
        foreign = sorted(p.name for p in figures.iterdir() if p.suffix not in _ENDINGS)
        problems += [
            Problem(
                f"{figures}: holds {name}, which no report writes, and is not replaced; choose "
                "another name",
                Fault.EXISTS,
            )
            for name in foreign[:1]
        ]
    elif figures.exists():
        text = f"{figures}: is a file; choose another name for the report"
        problems.append(Problem(text, Fault.EXISTS))
    if problems:
        raise InputError(problems)


def write_report(sources: Sources, page: Path, *, overwrite: bool = False) -> list[Path]:
    """Draw and write a report; the page appears when everything else is there.

    Parameters
    ----------
    sources
        What it is made from.
    page
        The HTML file. Its figures go into `figure_folder` beside it, as SVG and as PNG.
    overwrite
        Replace an earlier report of this name.

    Returns
    -------
    list of Path
        The page, then the files of its figures.

    Raises
    ------
    InputError
        Something is in the way, or the file system refuses.
    """
    place = page.absolute()
    if not broken_off(place.parent, page.name):
        # A refusal leaves even the folder's time as it was.
        check_output(page, Claim(), overwrite=overwrite)
    claiming = (
        claimed(place.parent, "report", page.name)
        if place.parent.is_dir()
        else nullcontext(Claim())
    )
    with claiming as claim:
        check_output(page, claim, overwrite=overwrite)
        figures = draw_figures(sources)
        html = render_page(sources, figures, make_galleries(sources.comparison))
        folder = figure_folder(place)
        with (
            refusals_in_one_line(page.parent),
            folder_draft(folder) as drawn,
            file_draft(place) as written,
        ):
            _fill_figures(figures.pictures, drawn)
            fill(written, html.encode())
            claim.publish([(drawn, folder), (written, place)])
    return [page, *sorted(folder.iterdir())]


def _fill_figures(pictures: Sequence[Picture], folder: Path) -> None:
    for picture in pictures:
        fill(folder / f"{picture.name}.svg", picture.svg)
        fill(folder / f"{picture.name}.png", picture.png)
