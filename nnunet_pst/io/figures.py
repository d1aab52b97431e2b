"""Pictures of matplotlib as files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunet_pst.io.atomic_files import write_bytes_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_png(path: Path, figure: Figure, **options: Any) -> None:  # noqa: ANN401
    """Draw a figure in memory, and write it as a PNG that is whole or absent.

    The same figure gives the same bytes: the file names no software.

    Parameters
    ----------
    path
        Replaced when it exists.
    figure
        Drawn.
    options
        Of ``Figure.savefig``, such as ``dpi`` and ``pil_kwargs``.
    """
    picture = io.BytesIO()
    figure.savefig(picture, format="png", metadata={"Software": None}, **options)
    write_bytes_atomically(path, picture.getvalue())
