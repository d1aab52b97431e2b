"""Names and values of the three label states (background, tumor, unknown)."""

from __future__ import annotations

BACKGROUND = 0
TUMOR = 1
#: Unknown: nobody has said what these voxels are. nnU-Net's own ignore label, which must be the
#: highest value and carry the name ``ignore``
#: (nnunetv2/utilities/label_handling/label_handling.py).
IGNORE = 2

#: The ``labels`` entry of ``dataset.json``.
LABEL_VALUES: dict[str, int] = {"background": BACKGROUND, "tumor": TUMOR, "ignore": IGNORE}
