"""The properties of each tissue in a scanner: relaxation, water, diffusion, contrast uptake.

Times are in milliseconds at 3 T, diffusion in 1e-3 mm²/s, uptake in mmol/l of gadolinium a few
minutes after injection. Sources, by the letter behind each row:

A  de Bazelaire 2004, abdominal and pelvic tissues at 3 T (doi 10.1148/radiol.2303021331)
B  Gold 2004, musculoskeletal tissue at 3 T (doi 10.2214/ajr.183.2.1830343)
C  Stanisz 2005, tissue and blood at 3 T (doi 10.1002/mrm.20605)
D  Pai 2008, muscle, fat and marrow in fast spin echo, whose fat is long (doi
   10.1016/j.mri.2008.02.017)
E  Yeom 2013, diffusion of chordoma and chondrosarcoma (doi 10.3174/ajnr.A3333)
F  no number was found or the tissue is a mixture; chosen so that the order of brightness against
   muscle and fat is the usual one

Water content and uptake are always F: relative numbers, because reports differ in their units. A
patient's numbers differ from these by a few percent.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt


class Tissue(IntEnum):
    """Values of the anatomy's voxels."""

    AIR = 0
    FAT = 1
    MUSCLE = 2
    CORTEX = 3
    MARROW = 4
    CARTILAGE = 5
    DISC = 6
    FLUID = 7
    URINE = 8
    ORGAN_WALL = 9
    PROSTATE = 10
    MYOMETRIUM = 11
    ENDOMETRIUM = 12
    BOWEL_FLUID = 13
    STOOL = 14
    ARTERY = 15
    VEIN = 16
    NODE = 17
    TUMOR = 18
    NECROSIS = 19
    HEMORRHAGE = 20
    EDEMA = 21
    MARROW_EDEMA = 22
    # Only in a cluttered pelvis.
    RED_MARROW = 23
    COLLAPSED_BOWEL = 24


@dataclass(frozen=True)
class Properties:
    """Mean values of a tissue.

    Attributes
    ----------
    t1_ms, t2_ms
        Relaxation times at 3 T; ``t2_ms`` in a fast spin echo.
    water
        Proton density, relative to urine.
    adc
        Apparent diffusion coefficient in 1e-3 mm²/s.
    uptake
        Gadolinium in mmol/l when the contrast-enhanced images are taken.
    texture
        Standard deviation of the signal inside the tissue, relative.
    is_fat
        Share of the signal that is fat's, which suppression removes.
    """

    t1_ms: float
    t2_ms: float
    water: float
    adc: float
    uptake: float
    texture: float
    is_fat: float = 0.0


#: One row for each tissue; the letters name the sources above for (t1, t2; adc).
PROPERTIES: dict[Tissue, Properties] = {
    Tissue.AIR: Properties(1000, 10, 0.0, 1.0, 0.0, 0.0),
    Tissue.FAT: Properties(382, 133, 0.90, 0.05, 0.01, 0.05, is_fat=1.0),  # A, B; F
    Tissue.MUSCLE: Properties(1100, 40, 0.80, 1.5, 0.10, 0.08),  # between A 898, 29 and C 1412, 50
    Tissue.CORTEX: Properties(500, 5, 0.10, 0.3, 0.0, 0.1),  # F
    Tissue.MARROW: Properties(586, 80, 0.70, 0.4, 0.04, 0.12, is_fat=0.75),  # A, D; F
    Tissue.CARTILAGE: Properties(1240, 37, 0.75, 1.3, 0.05, 0.05),  # B; F
    Tissue.DISC: Properties(1200, 70, 0.75, 1.4, 0.03, 0.10),  # F
    Tissue.FLUID: Properties(3620, 767, 1.0, 2.9, 0.0, 0.02),  # B (synovial); F
    Tissue.URINE: Properties(4000, 1200, 1.0, 3.0, 0.0, 0.02),  # F
    Tissue.ORGAN_WALL: Properties(1500, 55, 0.80, 1.5, 0.35, 0.08),  # F
    Tissue.PROSTATE: Properties(1597, 74, 0.85, 1.6, 0.35, 0.12),  # A; F
    Tissue.MYOMETRIUM: Properties(1514, 79, 0.85, 1.5, 0.45, 0.10),  # A; F
    Tissue.ENDOMETRIUM: Properties(1453, 130, 0.88, 1.4, 0.20, 0.08),  # A (T1); F
    Tissue.BOWEL_FLUID: Properties(2500, 250, 0.95, 2.5, 0.0, 0.20),  # F
    Tissue.STOOL: Properties(700, 45, 0.60, 1.0, 0.0, 0.30),  # F
    # Flowing blood loses its signal in spin echo: the values are below those of C, of still blood.
    Tissue.ARTERY: Properties(1932, 15, 0.35, 3.0, 0.9, 0.05),  # C (T1); F
    Tissue.VEIN: Properties(1932, 90, 0.60, 2.5, 0.8, 0.10),  # C (T1); F
    Tissue.NODE: Properties(1400, 80, 0.85, 1.1, 0.35, 0.05),  # F
    Tissue.TUMOR: Properties(1350, 105, 0.88, 1.4, 0.40, 0.14),  # F; E (chordoma 1.47)
    Tissue.NECROSIS: Properties(2200, 190, 0.92, 2.1, 0.03, 0.12),  # F; E (chondroid 2.05)
    Tissue.HEMORRHAGE: Properties(550, 60, 0.85, 1.0, 0.05, 0.15),  # F
    Tissue.EDEMA: Properties(1400, 58, 0.85, 1.9, 0.20, 0.10),  # F
    Tissue.MARROW_EDEMA: Properties(1000, 75, 0.78, 1.3, 0.15, 0.12, is_fat=0.2),  # F
    Tissue.RED_MARROW: Properties(900, 72, 0.78, 0.8, 0.20, 0.18, is_fat=0.3),  # F
    Tissue.COLLAPSED_BOWEL: Properties(1400, 85, 0.85, 1.3, 0.40, 0.20),  # F
}
#: The tumor of a cluttered pelvis: between prostate and vein on T2, so that tissue of its
#: brightness is several times as much as the tumor, and lobulated.
HIDDEN_TUMOR = Properties(1350, 80, 0.88, 1.5, 0.36, 0.26)

#: Spread of a patient's own values around the table, as the sigma of a log-normal draw.
PATIENT_SPREAD = 0.06
#: Tumors differ far more from one patient to the next than healthy tissue does.
TUMOR_SPREAD, HIDDEN_TUMOR_SPREAD = 0.15, 0.25
#: Share of fat in a patient's blood-forming marrow (lowest, highest).
RED_MARROW_FAT = 0.1, 0.5


def draw_properties(
    rng: np.random.Generator, *, cluttered: bool = False
) -> dict[str, npt.NDArray[np.float64]]:
    """Draw a patient's own values: an array of `len(Tissue)` for each field of `Properties`."""
    rows = {**PROPERTIES, **({Tissue.TUMOR: HIDDEN_TUMOR} if cluttered else {})}
    spread = np.full(len(Tissue), PATIENT_SPREAD)
    spread[[Tissue.TUMOR, Tissue.NECROSIS]] = HIDDEN_TUMOR_SPREAD if cluttered else TUMOR_SPREAD
    # What only a cluttered pelvis has draws no numbers, so that others stay as they were.
    common = slice(Tissue.RED_MARROW)
    names = list(Properties.__dataclass_fields__)
    table = {
        name: np.array([getattr(rows[tissue], name) for tissue in Tissue], dtype=float)
        for name in names
    }
    for name in ("t1_ms", "t2_ms", "adc", "uptake"):
        table[name][common] *= np.exp(spread[common] * rng.standard_normal(len(spread[common])))
    if cluttered:
        table["is_fat"][Tissue.RED_MARROW] = rng.uniform(*RED_MARROW_FAT)
    return table
