"""A pelvis as a map of tissues on a fine grid, drawn from shapes; no two are alike.

Coordinates are LPS millimeters with the origin between the hip joints' upper rims, in the middle of
the body. Later layers cover earlier ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from nnunet_pst.phantom.noise import smooth_noise
from nnunet_pst.phantom.organs import Layer, organs, skeleton, soft_tissue
from nnunet_pst.phantom.patients import PatientFacts
from nnunet_pst.phantom.shapes import Points, Shape, length
from nnunet_pst.phantom.tissues import Tissue
from nnunet_pst.phantom.tumor import Tumor, draw_tumor

#: Half-extent of the drawn region along x, y, z in millimeters.
HALF_EXTENT_MM = (230.0, 170.0, 160.0)
#: Largest shift by the body's irregularity, and the distance over which it changes.
WARP_MM, WARP_LENGTH_MM = 4.0, 45.0
#: Around the tumor, in shares of its reach, where edema may be.
EDEMA_REACH = 1.35
#: Distance between the fatty septa of muscle.
SEPTA_LENGTH_MM = 40.0
#: Size of patches of blood-forming marrow, and their share of all marrow (lowest, highest).
RED_PATCH_MM, RED_SHARE = 22.0, (0.15, 0.6)
#: Over which distance tissue varies in brightness.
TEXTURE_LENGTH_MM = 7.0
#: Thickness of the fat over a bulging tumor, in millimeters.
SKIN_MM = 9.0

#: Distances from the tumor's surface are cut off here.
FARTHEST_MM = 10.0
#: The most parts of one bone.
REMEMBERED_SHAPES = 12

Map = npt.NDArray[np.uint8]
Field = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Anatomy:
    """The tissues of one patient on a regular grid, slices first.

    Attributes
    ----------
    tissue
        (z, y, x) of `Tissue`.
    texture
        (z, y, x) smooth noise of mean 0 and standard deviation 1.
    tumor_mm
        (z, y, x) depth of a voxel below the tumor's surface, along the ray from the center, with
        dead parts and bleeding; negative outside, within `FARTHEST_MM` either way. A distance,
        because interpolation finds its zero far more exactly than the edge of a mask.
    spacing_zyx_mm
        Of the grid.
    first_lps_mm
        Position of the first voxel's center.
    """

    tissue: Map
    texture: Field
    tumor_mm: Field
    spacing_zyx_mm: tuple[float, float, float]
    first_lps_mm: tuple[float, float, float]


class _Canvas:
    """The grid that is painted, with the irregularity of this body."""

    def __init__(
        self, spacing_zyx_mm: tuple[float, float, float], rng: np.random.Generator
    ) -> None:
        half = np.asarray(HALF_EXTENT_MM)
        self.spacing = spacing_zyx_mm
        counts = np.ceil(2 * half[::-1] / np.asarray(spacing_zyx_mm)).astype(int)
        self.shape = (int(counts[0]), int(counts[1]), int(counts[2]))
        self.first = -(counts[::-1] - 1) / 2 * np.asarray(spacing_zyx_mm[::-1])
        axes = [
            (first + step * np.arange(count)).astype(np.float32)
            for first, step, count in zip(
                self.first, spacing_zyx_mm[::-1], self.shape[::-1], strict=True
            )
        ]
        x, y, z = axes
        self._axes = (x, y[:, None], z[:, None, None])
        #: Position of each voxel in a body without irregularity.
        self.points: Points = np.empty((*self.shape, 3), dtype=np.float32)
        for axis, values in enumerate(self._axes):
            warp = smooth_noise(self.shape, spacing_zyx_mm, WARP_LENGTH_MM, rng)
            self.points[..., axis] = values + np.float32(WARP_MM) * warp
        self.tissue: Map = np.full(self.shape, Tissue.AIR, dtype=np.uint8)
        #: Voxels inside the skin; only these are painted.
        self.body = np.zeros(self.shape, dtype=bool)

    def places(self, box: tuple[slice, slice, slice]) -> Points:
        """Positions of the voxels of a box without the warp, (z, y, x, 3) in LPS millimeters."""
        x, y, z = self._axes
        parts = np.broadcast_arrays(x[box[2]], y[box[1]], z[box[0]])
        return np.stack(parts, axis=-1)

    def box(self, lowest: npt.ArrayLike, highest: npt.ArrayLike) -> tuple[slice, slice, slice]:
        """Slices of the grid that hold a box in millimeters, with room for the warp."""
        room = 4 * WARP_MM
        step = np.asarray(self.spacing[::-1])
        start = np.floor((np.asarray(lowest) - room - self.first) / step).astype(int)
        stop = np.ceil((np.asarray(highest) + room - self.first) / step).astype(int) + 1
        start = np.clip(start, 0, self.shape[::-1])
        stop = np.clip(stop, 0, self.shape[::-1])
        z, y, x = (slice(int(a), int(b)) for a, b in zip(start[::-1], stop[::-1], strict=True))
        return z, y, x

    def paint(self, layers: Iterable[Layer]) -> None:
        """Paint layers, each over the earlier ones."""
        # A wall and its content, or a bone and its marrow, need the same distances.
        recent: list[tuple[Shape, Field]] = []
        for layer in layers:
            box = self.box(*layer.shape.bounds())
            distance = next((d for shape, d in recent if shape is layer.shape), None)
            if distance is None:
                distance = layer.shape.distance(self.points[box])
                recent = [*recent[1 - REMEMBERED_SHAPES :], (layer.shape, distance)]
            inside = distance < -layer.shrink_mm
            inside &= self.body[box]
            if layer.over is not None:
                inside &= self.tissue[box] == layer.over
            self.tissue[box][inside] = layer.tissue


def draw_anatomy(
    facts: PatientFacts,
    spacing_zyx_mm: tuple[float, float, float],
    rng: np.random.Generator,
    *,
    cluttered: bool = False,
) -> Anatomy:
    """Draw a patient: body, organs (pushed aside by the tumor), bones (not pushed), tumor.

    A cluttered pelvis has more bowel and nodes, and marrow of two kinds.
    """
    canvas = _Canvas(spacing_zyx_mm, rng)
    tumor = draw_tumor(facts, rng)
    _paint_body(canvas, facts, tumor, rng)
    unpushed = canvas.points
    near = canvas.box(*_bounds(tumor, 2.5))
    canvas.points = unpushed.copy()
    places = canvas.places(near)
    canvas.points[near] += tumor.origin_of(places) - places
    canvas.paint(soft_tissue(facts))
    canvas.paint(organs(facts, rng, cluttered=cluttered))
    canvas.points = unpushed
    canvas.paint(skeleton())
    if cluttered:
        _paint_red_marrow(canvas, rng)
    tumor_mm = _paint_tumor(canvas, tumor, rng)
    x, y, z = canvas.first.tolist()
    return Anatomy(
        tissue=canvas.tissue,
        texture=smooth_noise(canvas.shape, spacing_zyx_mm, TEXTURE_LENGTH_MM, rng),
        tumor_mm=tumor_mm,
        spacing_zyx_mm=spacing_zyx_mm,
        first_lps_mm=(x, y, z),
    )


def _paint_red_marrow(canvas: _Canvas, rng: np.random.Generator) -> None:
    """Turn patches of fatty marrow into blood-forming marrow, which looks like many tumors."""
    patches = smooth_noise(canvas.shape, canvas.spacing, RED_PATCH_MM, rng)
    red = patches > ndtri(1 - rng.uniform(*RED_SHARE))
    canvas.tissue[(canvas.tissue == Tissue.MARROW) & red] = Tissue.RED_MARROW


def _bounds(tumor: Tumor, times: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    reach = times * tumor.longest_reach_mm()
    return tumor.center - reach, tumor.center + reach


def _paint_body(
    canvas: _Canvas, facts: PatientFacts, tumor: Tumor, rng: np.random.Generator
) -> None:
    """Paint the body as fat, the muscle inside its fascia, and the muscle's fatty septa."""
    heavy = facts.habitus
    hips = 6.0 if facts.sex == "F" else 0.0
    width, depth = 168 + 34 * heavy + hips, 104 + 34 * heavy
    front, side, back = 8 + 24 * heavy, 9 + 24 * heavy + hips, 16 + 24 * heavy
    points = canvas.points
    body = _outline(points, width, depth, 0.0) < 1
    canvas.tissue[body] = Tissue.FAT
    inner = _outline(points, width - side, depth - (front + back) / 2, (front - back) / 2) < 1
    canvas.tissue[inner] = Tissue.MUSCLE
    # The zeros of a smooth field are thin sheets that never end inside the muscle.
    septa = smooth_noise(canvas.shape, canvas.spacing, SEPTA_LENGTH_MM, rng)
    canvas.tissue[inner & (np.abs(septa) < 0.02 + 0.04 * heavy)] = Tissue.FAT
    box = canvas.box(*_bounds(tumor, 1.3))
    bulge = tumor.depth(canvas.places(box)) < 1 + SKIN_MM / tumor.longest_reach_mm()
    bulge &= ~body[box]
    canvas.tissue[box][bulge] = Tissue.FAT
    body[box] |= bulge
    canvas.body = body


def _outline(points: Points, width: float, depth: float, middle: float) -> Field:
    """1 on the outline, less inside: a rounded box with a waist above, two thighs below."""
    x, y, z = points[..., 0], points[..., 1] - np.float32(middle), points[..., 2]
    waist = 1 - 0.10 * np.clip((z - 20) / 120, 0, 1)
    across, along_ = np.abs(x) / (np.float32(width) * waist), np.abs(y) / np.float32(depth)
    # An exponent of 2.5, cheaply.
    trunk = across * across * np.sqrt(across) + along_ * along_ * np.sqrt(along_)
    thigh_middle, thigh_width = np.float32(0.52 * width), np.float32(0.47 * width)
    thigh = ((np.abs(x) - thigh_middle) / thigh_width) ** 2 + (y / np.float32(0.92 * depth)) ** 2
    # From the trunk to the thighs over a few centimeters.
    share = np.clip((z + 110) / 50, 0, 1)
    return np.asarray(share * trunk + (1 - share) * thigh, dtype=np.float32)


def _paint_tumor(canvas: _Canvas, tumor: Tumor, rng: np.random.Generator) -> Field:
    """Paint the tumor with its parts and the edema around; return the depth of voxels in it."""
    box = canvas.box(*_bounds(tumor, EDEMA_REACH))
    places = canvas.places(box)
    depth = tumor.depth(places)
    tissue = canvas.tissue[box]
    inside = depth < 1
    dead, bleeding, watery, bony = (
        smooth_noise(depth.shape, canvas.spacing, length, rng) for length in (30.0, 25.0, 35.0, 8.0)
    )
    around = ~inside & (depth < EDEMA_REACH) & (watery > ndtri(1 - tumor.edema))
    tissue[around & (tissue == Tissue.MUSCLE)] = Tissue.EDEMA
    marrow = (tissue == Tissue.MARROW) | (tissue == Tissue.RED_MARROW)
    tissue[around & marrow] = Tissue.MARROW_EDEMA
    # Splinters of destroyed bone remain near the rim.
    splinters = (tissue == Tissue.CORTEX) & (depth > 0.8) & (bony > 0.5)
    tissue[inside & ~splinters] = Tissue.TUMOR
    tissue[inside & (depth < 0.88) & (dead > ndtri(1 - tumor.necrosis))] = Tissue.NECROSIS
    tissue[inside & (depth < 0.95) & (bleeding > ndtri(1 - tumor.hemorrhage))] = Tissue.HEMORRHAGE
    tumor_mm = np.full(canvas.shape, -FARTHEST_MM, dtype=np.float32)
    distance = length(places - tumor.center.astype(np.float32))
    inwards = distance / np.maximum(depth, np.float32(1e-3)) - distance
    tumor_mm[box] = np.clip(inwards, -FARTHEST_MM, FARTHEST_MM)
    return tumor_mm
