"""Names and colors of the labels for ITK-SNAP and 3D Slicer."""

from __future__ import annotations

from nnunet_pst.labels import LABEL_VALUES, TUMOR

#: Okabe and Ito's sky blue, as in the pictures.
TUMOR_RGB = (86, 180, 233)
ITKSNAP_FILE, SLICER_FILE = "itksnap_labels.txt", "slicer_colors.ctbl"
_TUMOR_NAME = next(name for name, value in LABEL_VALUES.items() if value == TUMOR)


def itksnap_description() -> str:
    """Return a label description file for ITK-SNAP (Segmentation, Import Label Descriptions)."""
    red, green, blue = TUMOR_RGB
    return (
        "################################################\n"
        "# ITK-SnAP Label Description File\n"
        "# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL\n"
        "################################################\n"
        '    0     0    0    0        0  0  0    "Clear Label"\n'
        f'    {TUMOR}   {red:3d}  {green:3d}  {blue:3d}        1  1  1    "{_TUMOR_NAME}"\n'
    )


def slicer_colors() -> str:
    """Return a color table for 3D Slicer (Add Data, description Color)."""
    red, green, blue = TUMOR_RGB
    return (
        "# Color table file: index name R G B A\n"
        "0 background 0 0 0 0\n"
        f"{TUMOR} {_TUMOR_NAME} {red} {green} {blue} 255\n"
    )
