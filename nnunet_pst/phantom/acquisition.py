"""Scanners, protocols and signal equations: from tissues to the four sequences.

Signal equations are the textbook ones (Bernstein, King & Zhou, Handbook of MRI Pulse Sequences,
2004, chapters 14 and 17). Protocols follow the paper's Methods where it states them: axial,
4-7 mm slices, fields of view of 36-44 cm, matrices of 288-320 (128-160 for diffusion).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from nnunet_pst.phantom.patients import PatientFacts
from nnunet_pst.phantom.tissues import Tissue

Sequence = Literal["T1", "T2", "DWI", "CET1"]
SEQUENCES: tuple[Sequence, ...] = ("T1", "T2", "DWI", "CET1")
Size = Literal["small", "paper"]
#: Pixels along each side of the paper's images, and of images for quick tests.
MATRICES: dict[Size, tuple[int, ...]] = {"small": (80, 96), "paper": (288, 320)}
DWI_MATRICES: dict[Size, tuple[int, ...]] = {"small": (80,), "paper": (128, 160)}
#: Smallest slice spacing; thinner slices of small images would be thinner than their pixels.
THINNEST_SLICE_MM: dict[Size, float] = {"small": 6.0, "paper": 4.0}
#: Grid on which anatomy is drawn, (z, y, x).
FINE_SPACING_MM: dict[Size, tuple[float, float, float]] = {
    "small": (3.5, 3.0, 3.0),
    "paper": (2.0, 1.5, 1.5),
}
#: Share of fat's signal that remains after suppression.
FAT_LEFT = 0.06
#: Relaxivity of a common gadolinium agent at 3 T, per second and mmol/l (Rohrer 2005, doi
#: 10.1097/01.rli.0000184756.66360.d3).
RELAXIVITY = 3.7


@dataclass(frozen=True)
class Scanner:
    """The properties of one scanner.

    Attributes
    ----------
    gain
        Image value of the brightest tissue.
    noise
        Standard deviation of the noise, as a share of muscle on T2.
    shading
        Standard deviation of the coil's shading, relative.
    slice_mm
        Slice spacings in use.
    t2_fat_suppressed
        Share of patients whose T2 is fat-suppressed, as is usual for tumors of bone.
    """

    gain: float
    noise: float
    shading: float
    slice_mm: tuple[float, ...]
    t1_fat_suppressed: bool
    t1_gradient_echo: bool
    t2_fat_suppressed: float


SCANNERS: dict[str, Scanner] = {
    "A": Scanner(900, 0.06, 0.15, (5.0, 6.0), False, False, 0.9),
    "B": Scanner(3200, 0.04, 0.25, (6.0, 7.0), True, True, 0.85),
    "C": Scanner(420, 0.09, 0.20, (4.0, 5.0), True, False, 0.95),
}


@dataclass(frozen=True)
class Protocol:
    """One sequence as it is acquired in one patient.

    Attributes
    ----------
    matrix, field_mm
        Pixels and millimeters along each side of a slice.
    slice_mm
        Distance between slices, without gaps.
    tr_ms, te_ms, flip_degrees
        Repetition time, echo time, flip angle.
    """

    sequence: Sequence
    matrix: int
    field_mm: float
    slice_mm: float
    tr_ms: float
    te_ms: float
    flip_degrees: float = 90.0
    fat_suppressed: bool = False
    gradient_echo: bool = False
    b_value: float = 0.0


def draw_protocols(
    facts: PatientFacts, size: Size, rng: np.random.Generator
) -> dict[Sequence, Protocol]:
    """Draw a patient's protocols; all sequences share the field of view, as in one session."""
    scanner = SCANNERS[facts.scanner]
    field = float(rng.choice([360.0, 380.0, 400.0, 420.0, 440.0]))
    # Heavier patients get a larger field of view.
    field = min(440.0, max(field, 340 + 90 * facts.habitus))
    matrix = int(rng.choice(MATRICES[size]))
    thickness = max(float(rng.choice(scanner.slice_mm)), THINNEST_SLICE_MM[size])
    suppressed = bool(rng.random() < scanner.t2_fat_suppressed)
    shared = Protocol(
        sequence="T2",
        matrix=matrix,
        field_mm=field,
        slice_mm=thickness,
        tr_ms=float(rng.uniform(3200, 5000)),
        te_ms=float(rng.uniform(80, 105)),
    )
    t1 = replace(
        shared,
        sequence="T1",
        tr_ms=float(rng.uniform(450, 650)),
        te_ms=float(rng.uniform(9, 13)),
        fat_suppressed=scanner.t1_fat_suppressed,
    )
    if scanner.t1_gradient_echo:
        t1 = replace(t1, tr_ms=4.2, te_ms=1.9, flip_degrees=12.0, gradient_echo=True)
    return {
        "T1": t1,
        "T2": replace(shared, fat_suppressed=suppressed),
        "DWI": replace(
            shared,
            sequence="DWI",
            matrix=int(rng.choice(DWI_MATRICES[size])),
            tr_ms=float(rng.uniform(4500, 6500)),
            te_ms=float(rng.uniform(65, 80)),
            fat_suppressed=True,
            b_value=1000.0,
        ),
        "CET1": replace(t1, sequence="CET1", fat_suppressed=True),
    }


def tissue_signals(
    protocol: Protocol, properties: dict[str, npt.NDArray[np.float64]]
) -> npt.NDArray[np.float32]:
    """Signal of every tissue under a protocol, (len(Tissue),), on an arbitrary scale.

    Spin echo ``PD (1 - exp(-TR/T1)) exp(-TE/T2)``; spoiled gradient echo
    ``PD sin a (1 - E1) / (1 - E1 cos a) exp(-TE/T2)``; diffusion times ``exp(-b ADC)``; contrast
    adds ``r1 C`` to the rate ``1/T1``.
    """
    signal = _unsuppressed(protocol, properties) * _left_of_fat(protocol, properties)
    return np.asarray(signal / _brightest(signal), dtype=np.float32)


def returning_fat(
    protocol: Protocol, properties: dict[str, npt.NDArray[np.float64]]
) -> npt.NDArray[np.float32]:
    """Signal that each tissue gains where fat suppression fails, as `tissue_signals` scales it."""
    full, left = _unsuppressed(protocol, properties), _left_of_fat(protocol, properties)
    return np.asarray(full * (1 - left) / _brightest(full * left), dtype=np.float32)


def _brightest(signal: npt.NDArray[np.float64]) -> float:
    """Of the tissues of every pelvis, cluttered or not."""
    return float(signal[: Tissue.RED_MARROW].max())


def _left_of_fat(
    protocol: Protocol, properties: dict[str, npt.NDArray[np.float64]]
) -> npt.NDArray[np.float64]:
    share = properties["is_fat"] if protocol.fat_suppressed else 0 * properties["is_fat"]
    return np.asarray(1 - (1 - FAT_LEFT) * share)


def _unsuppressed(
    protocol: Protocol, properties: dict[str, npt.NDArray[np.float64]]
) -> npt.NDArray[np.float64]:
    rate = 1000 / properties["t1_ms"]
    if protocol.sequence == "CET1":
        rate = rate + RELAXIVITY * properties["uptake"]
    e1 = np.exp(-protocol.tr_ms / 1000 * rate)
    angle = np.deg2rad(protocol.flip_degrees)
    signal = properties["water"] * np.exp(-protocol.te_ms / properties["t2_ms"])
    if protocol.gradient_echo:
        signal = signal * np.sin(angle) * (1 - e1) / (1 - e1 * np.cos(angle))
    else:
        signal = signal * (1 - e1)
    signal = signal * np.exp(-protocol.b_value / 1000 * properties["adc"])
    if protocol.sequence == "CET1":
        # Enhanced blood is bright even where it flows: fast gradient echoes refresh it.
        signal[[Tissue.ARTERY, Tissue.VEIN]] *= 2.0
    return np.asarray(signal)
