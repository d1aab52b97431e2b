"""Pages from templates: one environment, in which every text is escaped and no name may be missing.

A room keeps its templates in a folder ``templates`` of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources


def render(package: str, template: str, values: Mapping[str, object]) -> str:
    """Fill a template of a room; see `render_text`.

    Parameters
    ----------
    package
        Import name of the room, such as ``nnunet_pst.report``.
    template
        Name of a file in its folder ``templates``.
    values
        What the template's names stand for.
    """
    place = resources.files(package).joinpath("templates").joinpath(template)
    return render_text(place.read_text(encoding="utf-8"), values)


def render_text(template: str, values: Mapping[str, object]) -> str:
    """Fill a template that is given as text; HTML in values is escaped.

    Raises
    ------
    jinja2.UndefinedError
        The template uses a name that is not in ``values``.
    """
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    return environment.from_string(template).render(values)
