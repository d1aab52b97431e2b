"""Names and colors of the labels for ITK-SNAP and 3D Slicer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

#: Okabe and Ito's colors (jfly.uni-koeln.de/color); the first, sky blue, is that of the pictures.
CLASS_RGB = (
    *((86, 180, 233), (230, 159, 0), (0, 158, 115), (240, 228, 66)),
    *((0, 114, 178), (213, 94, 0), (204, 121, 167)),
)
ITKSNAP_FILE, SLICER_FILE = "itksnap_labels.txt", "slicer_colors.ctbl"


def class_color(value: int) -> tuple[int, int, int]:
    """Return the color of a class: red, green and blue, 0 to 255.

    Parameters
    ----------
    value
        Of the class, from 1; colors repeat after the seventh.
    """
    return CLASS_RGB[(value - 1) % len(CLASS_RGB)]


def itksnap_description(classes: Sequence[str]) -> str:
    """Return a label description file for ITK-SNAP (Segmentation, Import Label Descriptions).

    Parameters
    ----------
    classes
        Names of the values 1, 2, ...
    """
    rows = "".join(
        f"{value:5d}   {red:3d}  {green:3d}  {blue:3d}        1  1  1    "
        f'"{name.replace(chr(34), "_")}"\n'
        for value, name, (red, green, blue) in _rows(classes)
    )
    return (
        "################################################\n"
        "# ITK-SnAP Label Description File\n"
        "# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL\n"
        "################################################\n"
        '    0     0    0    0        0  0  0    "Clear Label"\n' + rows
    )


def slicer_colors(classes: Sequence[str]) -> str:
    """Return a color table for 3D Slicer (Add Data, description Color).

    Parameters
    ----------
    classes
        Names of the values 1, 2, ...; blanks become underscores, as Slicer writes them.
    """
    rows = "".join(
        f"{value} {'_'.join(name.split())} {red} {green} {blue} 255\n"
        for value, name, (red, green, blue) in _rows(classes)
    )
    return f"# Color table file: index name R G B A\n0 background 0 0 0 0\n{rows}"


def _rows(classes: Sequence[str]) -> Iterator[tuple[int, str, tuple[int, int, int]]]:
    for value, name in enumerate(classes, start=1):
        yield value, name, class_color(value)
