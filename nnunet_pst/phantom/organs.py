"""The shapes of a pelvis: their tissues, positions and order.

Positions are those of an average adult, drawn by eye from anatomical atlases; sizes vary with sex,
habitus and chance. Every list is painted from its first entry to its last.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nnunet_pst.phantom.patients import PatientFacts
from nnunet_pst.phantom.shapes import Chain, Ellipsoid, Shape, Sheet, Shell, Solid, Vector, mirrored
from nnunet_pst.phantom.tissues import Tissue

#: Thickness of the bones' shell and of hollow organs' walls.
CORTEX_MM, WALL_MM = 2.6, 3.0


@dataclass(frozen=True)
class Layer:
    """One stroke: a tissue inside a shape shrunk by some millimeters.

    Attributes
    ----------
    over
        Paint only over this tissue; None: over everything.
    """

    tissue: Tissue
    shape: Shape
    shrink_mm: float = 0.0
    over: Tissue | None = None


HIP: Vector = (90.0, -5.0, -28.0)
_ILIAC_WING: tuple[Solid, ...] = (
    Sheet(((50, 48, 28), (58, 62, 72), (118, 8, 98)), 5.5),
    Sheet(((50, 48, 28), (118, 8, 98), (88, -2, 8)), 6.0),
    Sheet(((88, -2, 8), (118, 8, 98), (122, -52, 42)), 5.0),
    Chain([(58, 62, 72), (90, 42, 95), (118, 8, 98), (128, -28, 78), (122, -52, 42)], [7.0] * 5),
)
_HIP_BONE: tuple[Solid, ...] = (
    *_ILIAC_WING,
    Ellipsoid((84, -3, -20), (30, 36, 38)),
    Chain([(84, 16, -40), (72, 38, -75), (62, 36, -100)], [17, 15, 14]),
    Chain([(78, -30, -25), (45, -62, -42), (14, -72, -52)], [11, 9, 12]),
    Chain([(14, -70, -58), (45, -12, -95), (62, 30, -100)], [8, 7, 8]),
)
_FEMUR: tuple[Solid, ...] = (
    Ellipsoid(HIP, (23.5, 23.5, 23.5)),
    Chain([HIP, (128, 6, -48)], [15, 17]),
    Ellipsoid((134, 12, -40), (17, 18, 20)),
    Chain([(130, 8, -50), (126, 4, -180)], [17, 15]),
)
_SACRUM: tuple[Solid, ...] = (
    Ellipsoid((0, 35, 45), (28, 20, 18), -25),
    Ellipsoid((0, 54, 20), (24, 17, 17), -20),
    Ellipsoid((0, 67, -5), (20, 13, 16), -5),
    Ellipsoid((0, 72, -28), (16, 10, 15), 10),
    Ellipsoid((0, 67, -48), (12, 8, 13), 25),
    Chain([(0, 62, -58), (0, 48, -72), (0, 36, -80)], [7, 5, 3]),
    *(
        Chain([(side * 36, 42, 42), (side * 40, 58, 12), (side * 24, 70, -22)], [19, 16, 8])
        for side in (-1, 1)
    ),
    Chain([(0, 78, 45), (0, 92, 12), (0, 92, -20)], [9, 8, 5]),
)
_FIFTH_LUMBAR: tuple[Solid, ...] = (
    Ellipsoid((0, 8, 92), (27, 19, 17), -10),
    Ellipsoid((0, 2, 130), (26, 18, 16)),
    Chain([(0, 55, 96), (0, 62, 135)], [9, 8]),
)
_SACRAL_CANAL = Chain(
    [(0, 36, 140), (0, 38, 96), (0, 60, 52), (0, 80, 18), (0, 84, -15)], [9, 9, 9, 6, 3]
)


def _both_sides(shapes: tuple[Solid, ...]) -> Iterator[tuple[Solid, ...]]:
    yield shapes
    yield tuple(mirrored(shape) for shape in shapes)


def _bone(shapes: tuple[Solid, ...]) -> Iterator[Layer]:
    """A shell around all parts together, then marrow in all of them."""
    yield from (Layer(Tissue.CORTEX, shape) for shape in shapes)
    yield from (Layer(Tissue.MARROW, shape, CORTEX_MM) for shape in shapes)


def skeleton() -> Iterator[Layer]:
    """Bones with their joints, discs and the spinal canal."""
    yield from _bone(_SACRUM)
    yield from _bone(_FIFTH_LUMBAR)
    yield Layer(Tissue.DISC, Ellipsoid((0, 20, 69), (25, 17, 7), -22))
    yield Layer(Tissue.DISC, Ellipsoid((0, 4, 111), (24, 16, 5)))
    yield Layer(Tissue.FAT, _SACRAL_CANAL, -1.5)
    yield Layer(Tissue.FLUID, _SACRAL_CANAL, 1.0)
    for side in (-1, 1):
        # Fat surrounds the nerve roots in the sacral foramina.
        for y, z in ((47, 30), (62, 6), (69, -18)):
            yield Layer(Tissue.FAT, Ellipsoid((side * 24, y, z), (5, 6, 5)))
    for hip_bone in _both_sides(_HIP_BONE):
        yield from _bone(hip_bone)
    for side in (-1, 1):
        joint = (side * (HIP[0] + 3), HIP[1], HIP[2] - 2)
        yield Layer(Tissue.CARTILAGE, Ellipsoid(joint, (27, 27, 27)))
        # The socket is open to the side and below.
        yield Layer(Tissue.MUSCLE, Ellipsoid((side * 124, -8, -48), (24, 30, 30)))
        yield Layer(
            Tissue.CARTILAGE,
            Sheet(((side * 55, 50, 45), (side * 56, 56, 20), (side * 50, 62, 5)), 1.4),
        )
    for femur in _both_sides(_FEMUR):
        yield from _bone(femur)
    yield Layer(Tissue.CARTILAGE, Ellipsoid((0, -72, -54), (4, 9, 15)))


def soft_tissue(facts: PatientFacts) -> Iterator[Layer]:
    """Cavities with their fat, single muscles in them, and the planes of fat between muscles."""
    room = 1 + 0.25 * facts.habitus
    yield Layer(Tissue.FAT, Ellipsoid((0, -28 * room, 95), (112 * room, 62 * room, 105)))
    yield Layer(Tissue.FAT, Ellipsoid((0, -4, -15), (60, 62, 72)))
    for side in (-1, 1):
        yield Layer(Tissue.FAT, Ellipsoid((side * 32, 48, -88), (22, 30, 34)))
    yield Layer(Tissue.FAT, Ellipsoid((0, 120, -75), (16, 46, 75)))
    for muscles in _both_sides(
        (
            Chain(
                [(38, 15, 150), (48, 8, 90), (78, -38, 10), (84, -40, -30), (98, -20, -80)],
                [22, 24, 21, 18, 12],
            ),
            Chain([(95, 5, 85), (95, -25, 20)], [15, 14]),
            Chain([(22, 70, 2), (70, 58, -8), (118, 25, -25)], [12, 13, 8]),
            Chain([(60, 8, -25), (56, 22, -55), (52, 25, -88)], [10, 11, 9]),
            Chain([(14, 62, 140), (18, 84, 70), (14, 98, 20)], [22, 18, 8]),
        )
    ):
        for muscle in muscles:
            yield Layer(Tissue.FAT, muscle, -2.0)
            yield Layer(Tissue.MUSCLE, muscle)
    thickness = 0.8 + 1.2 * facts.habitus
    for planes in _both_sides(
        (
            Sheet(((60, 82, 62), (142, 22, 75), (138, 45, -45)), thickness),
            Sheet(((74, 54, 50), (134, -2, 78), (126, 22, -15)), thickness),
            Sheet(((40, 70, 150), (95, 45, 150), (60, 66, 75)), thickness),
            Sheet(((60, 20, -180), (60, -20, -60), (80, 20, -70)), thickness),
        )
    ):
        for plane in planes:
            yield Layer(Tissue.FAT, plane, over=Tissue.MUSCLE)
    for femur in _both_sides(_FEMUR[3:]):
        yield Layer(Tissue.FAT, Shell(femur[0], 24, thickness), over=Tissue.MUSCLE)


def organs(
    facts: PatientFacts, rng: np.random.Generator, *, cluttered: bool = False
) -> Iterator[Layer]:
    """Hollow and solid organs, vessels, and structures that look like a tumor."""
    if cluttered:
        yield from _crowded_bowel(rng)
    yield from _bowel(rng)
    if facts.sex == "F":
        yield from _uterus(rng)
    else:
        yield Layer(Tissue.PROSTATE, Ellipsoid((0, -28, -62), (23, 17, 19)))
    yield from _bladder(rng)
    yield from _rectum(rng)
    yield from _vessels(rng)
    yield from _mimics(facts, rng)
    if cluttered:
        yield from _nodes(int(rng.integers(4, 9)), rng)


def _hollow(shape: Solid, content: Tissue) -> Iterator[Layer]:
    yield Layer(Tissue.ORGAN_WALL, shape)
    yield Layer(content, shape, WALL_MM)


def _bladder(rng: np.random.Generator) -> Iterator[Layer]:
    full = rng.uniform(0.6, 1.3)
    shape = Ellipsoid((rng.normal(0, 4), -42, -30 + 12 * full), (42 * full, 28 * full, 30 * full))
    yield from _hollow(shape, Tissue.URINE)


def _uterus(rng: np.random.Generator) -> Iterator[Layer]:
    tilt = rng.uniform(-50, 30)
    size = rng.uniform(0.75, 1.25)
    center = (rng.normal(0, 8), -2.0, 12.0)
    yield Layer(Tissue.MYOMETRIUM, Ellipsoid(center, (28 * size, 22 * size, 36 * size), tilt))
    yield Layer(Tissue.ENDOMETRIUM, Ellipsoid(center, (12 * size, 4 * size, 22 * size), tilt))


def _rectum(rng: np.random.Generator) -> Iterator[Layer]:
    bend = rng.normal(0, 10, 3)
    points: list[Vector] = [
        (0, 42, -95), (0, 46, -70), (bend[0], 44, -35), (bend[1], 34, 5), (18 + bend[2], 14, 40),
        (55, -10, 60),
    ]  # fmt: skip
    radii = [10, 15, *rng.uniform(12, 19, 3), 13]
    content = rng.choice([Tissue.STOOL, Tissue.STOOL, Tissue.AIR, Tissue.BOWEL_FLUID])
    yield from _hollow(Chain(points, radii), Tissue(int(content)))


def _bowel(rng: np.random.Generator) -> Iterator[Layer]:
    contents = [Tissue.BOWEL_FLUID, Tissue.BOWEL_FLUID, Tissue.STOOL, Tissue.AIR]
    for _ in range(int(rng.integers(9, 15))):
        yield from _loop(contents, 35, rng)


def _crowded_bowel(rng: np.random.Generator) -> Iterator[Layer]:
    """More loops, down to the bladder; many are collapsed and as bright as a tumor."""
    contents = [Tissue.BOWEL_FLUID, Tissue.STOOL, *(Tissue.COLLAPSED_BOWEL,) * 3]
    for _ in range(int(rng.integers(17, 26))):
        yield from _loop(contents, -5, rng)


def _loop(contents: list[Tissue], lowest: float, rng: np.random.Generator) -> Iterator[Layer]:
    """One loop of bowel that begins no lower than ``lowest`` (z in millimeters)."""
    place = np.array([rng.uniform(-80, 80), rng.uniform(-75, -15), rng.uniform(lowest, 150)])
    points = [place]
    for _ in range(4):
        place = np.clip(place + rng.normal(0, 22, 3), (-95, -85, lowest - 7), (95, 5, 165))
        points.append(place)
    chain = Chain([(p[0], p[1], p[2]) for p in points], list(rng.uniform(9, 15, 5)))
    yield from _hollow(chain, contents[int(rng.integers(len(contents)))])


def _vessels(rng: np.random.Generator) -> Iterator[Layer]:
    for side in (-1, 1):
        path = [
            (6, -8, 160),
            (14, -2, 110),
            (38, 12, 62),
            (60, -10, 30),
            (72, -48, -8),
            (78, -66, -60),
            (82, -66, -150),
        ]
        jitter = rng.normal(0, 3, (len(path), 3))
        artery = [
            (side * (x + a), y + b, z + c)
            for (x, y, z), (a, b, c) in zip(path, jitter, strict=True)
        ]
        vein = [(x - side * 9, y + 9, z) for x, y, z in artery]
        # Slow blood is as bright as fluid: one more structure that looks like a tumor.
        blood = Tissue.FLUID if rng.random() < 0.15 else Tissue.VEIN
        yield Layer(blood, Chain(vein, [8.0] * len(vein)))
        yield Layer(Tissue.ARTERY, Chain(artery, [6.0] * len(artery)))
        inner: list[Vector] = [(side * 40, 14, 60), (side * 46, 36, 35), (side * 48, 48, 0)]
        yield Layer(Tissue.VEIN, Chain(inner, [5, 4.5, 4]))


def _mimics(facts: PatientFacts, rng: np.random.Generator) -> Iterator[Layer]:
    yield from _nodes(int(rng.integers(3, 9)), rng)
    for _ in range(int(rng.integers(0, 3))):
        center = (rng.uniform(-55, 55), rng.uniform(-30, 35), rng.uniform(-30, 40))
        radius = rng.uniform(8, 24 if facts.sex == "F" else 15)
        cyst = Ellipsoid(center, (radius, radius * rng.uniform(0.7, 1), radius))
        yield Layer(Tissue.ORGAN_WALL, cyst)
        yield Layer(Tissue.FLUID, cyst, 1.5)


def _nodes(count: int, rng: np.random.Generator) -> Iterator[Layer]:
    """Lymph nodes along the pelvic walls."""
    for _ in range(count):
        side = rng.choice([-1, 1])
        center = (side * rng.uniform(50, 72), rng.uniform(-40, 35), rng.uniform(-20, 60))
        yield Layer(Tissue.NODE, Ellipsoid(center, tuple(rng.uniform(3, 9, 3))))
