"""Shapes of the drawn anatomy, as signed distances in millimeters: negative inside.

Points are (..., 3) in LPS millimeters. Distances are exact for capsules and sheets and good enough
near the surface for ellipsoids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float32]
Distances = npt.NDArray[np.float32]
Vector = tuple[float, float, float]


def along(points: Points, vector: npt.ArrayLike) -> Distances:
    """Dot product of points (..., 3) with one vector.

    Not a matrix product: BLAS may round differently with another number of threads, and the same
    seed must give the same bytes.
    """
    x, y, z = np.asarray(vector, dtype=np.float32)
    return np.asarray(points[..., 0] * x + points[..., 1] * y + points[..., 2] * z)


def length(points: Points) -> Distances:
    """Length of vectors (..., 3)."""
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    return np.asarray(np.sqrt(x * x + y * y + z * z))


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid with its axes along the patient's, or turned by ``tilt`` about left-right."""

    center: Vector
    radii: Vector
    tilt_degrees: float = 0.0

    def bounds(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Corners of a box that holds it."""
        reach = np.array([self.radii[0], *[max(self.radii[1:])] * 2])
        return np.asarray(self.center) - reach, np.asarray(self.center) + reach

    def distance(self, points: Points) -> Distances:
        """Signed distance, first order in the distance from the surface."""
        offset = points - np.asarray(self.center, dtype=np.float32)
        if self.tilt_degrees:
            angle = np.deg2rad(self.tilt_degrees)
            cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
            y, z = offset[..., 1].copy(), offset[..., 2].copy()
            offset[..., 1], offset[..., 2] = cos * y + sin * z, cos * z - sin * y
        offset /= np.asarray(self.radii, dtype=np.float32)
        return np.asarray((length(offset) - 1) * np.float32(min(self.radii)))


@dataclass(frozen=True)
class Chain:
    """A tube through points; its radius changes linearly between them."""

    points: Sequence[Vector]
    radii: Sequence[float]

    def bounds(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Corners of a box that holds it."""
        reach = max(self.radii)
        return np.min(self.points, axis=0) - reach, np.max(self.points, axis=0) + reach

    def distance(self, points: Points) -> Distances:
        """Signed distance to the nearest part."""
        nearest = np.full(points.shape[:-1], np.inf, dtype=np.float32)
        for number in range(len(self.points) - 1):
            start = np.asarray(self.points[number], dtype=np.float32)
            step = np.asarray(self.points[number + 1], dtype=np.float32) - start
            offset = points - start
            share = np.clip(along(offset, step) / max(float(np.sum(step**2)), 1e-6), 0, 1)
            offset -= share[..., None] * step
            first, second = self.radii[number : number + 2]
            radius = np.float32(first) + share * np.float32(second - first)
            nearest = np.minimum(nearest, length(offset) - radius)
        return nearest


@dataclass(frozen=True)
class Sheet:
    """A plate of even thickness along a triangle, with rounded rims."""

    corners: tuple[Vector, Vector, Vector]
    half_thickness: float

    def bounds(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Corners of a box that holds it."""
        reach = self.half_thickness
        return np.min(self.corners, axis=0) - reach, np.max(self.corners, axis=0) + reach

    def distance(self, points: Points) -> Distances:
        """Signed distance: to the plane where the foot point is inside, else to the rim."""
        a, b, c = (np.asarray(corner, dtype=np.float32) for corner in self.corners)
        normal = np.cross(b - a, c - a)
        normal /= np.linalg.norm(normal)
        above = np.abs(along(points - a, normal))
        inside = np.ones(points.shape[:-1], dtype=bool)
        for start, end in ((a, b), (b, c), (c, a)):
            inside &= along(points - start, np.cross(normal, end - start)) >= 0
        rim = Chain([self.corners[i] for i in (0, 1, 2, 0)], [0.0] * 4).distance(points)
        distance = np.where(inside, above, rim) - np.float32(self.half_thickness)
        return np.asarray(distance, dtype=np.float32)


@dataclass(frozen=True)
class Shell:
    """A layer ``offset`` millimeters outside another shape, ``half_thickness`` to either side."""

    shape: Ellipsoid | Chain | Sheet
    offset: float
    half_thickness: float

    def bounds(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Corners of a box that holds it."""
        lowest, highest = self.shape.bounds()
        reach = self.offset + self.half_thickness
        return lowest - reach, highest + reach

    def distance(self, points: Points) -> Distances:
        """Signed distance."""
        away = np.abs(self.shape.distance(points) - np.float32(self.offset))
        return np.asarray(away - np.float32(self.half_thickness), dtype=np.float32)


Solid = Ellipsoid | Chain | Sheet
Shape = Solid | Shell


def mirrored(shape: Solid) -> Solid:
    """Return the shape on the other side of the body."""
    if isinstance(shape, Ellipsoid):
        return Ellipsoid(_other_side(shape.center), shape.radii, shape.tilt_degrees)
    if isinstance(shape, Chain):
        return Chain([_other_side(point) for point in shape.points], shape.radii)
    a, b, c = shape.corners
    return Sheet((_other_side(a), _other_side(b), _other_side(c)), shape.half_thickness)


def _other_side(point: Vector) -> Vector:
    return -point[0], point[1], point[2]
