"""The tumor: one lobulated body around a center, always in one piece.

Its surface is at the distance ``reach_mm(direction)`` from the center: an ellipsoid with lobes.
This star shape makes three things exact: the tumor has one component, its largest diameter is the
covariate's, and displaced tissue moves along the ray from the center.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from nnunet_pst.phantom.patients import Location, PatientFacts
from nnunet_pst.phantom.shapes import Distances, Points, Vector, along, length

#: Origins of tumors, in LPS millimeters of an average body (x toward the tumor's side).
ORIGINS: dict[Location, tuple[Vector, ...]] = {
    "sacrum": ((8.0, 48.0, 35.0), (5.0, 66.0, 0.0), (0.0, 72.0, -25.0), (38.0, 55.0, 20.0)),
    "iliac": ((75.0, 20.0, 65.0), (105.0, -5.0, 70.0), (100.0, -25.0, 35.0)),
    "acetabulum": ((85.0, 0.0, 0.0), (72.0, 5.0, -25.0)),
    "pubis-ischium": ((50.0, -58.0, -45.0), (66.0, 30.0, -85.0), (25.0, -68.0, -52.0)),
    "multi-zone": ((58.0, 48.0, 30.0), (80.0, 15.0, -20.0), (62.0, 20.0, -60.0)),
}
#: Standard deviation of a tumor's center around its origin.
ORIGIN_SPREAD_MM = 6.0
#: Half-extent of every scan's field of view, along x, y, z.
FIELD_MM = (165.0, 115.0, 140.0)
#: Share of the tumor's depth by which organs are pushed aside; in the rest they are invaded.
GIVES_WAY = 0.6


@dataclass(frozen=True)
class Tumor:
    """One tumor.

    Attributes
    ----------
    center
        LPS millimeters in the body.
    axes
        (3, 3) rows are the ellipsoid's axes divided by their half lengths in millimeters.
    lobe_directions
        (n, 3) unit vectors.
    lobe_heights, lobe_widths
        (n,) share that a lobe adds to the reach, and its breadth.
    necrosis, hemorrhage, edema
        Shares of the inside (edema: of the surroundings), in [0, 1].
    """

    center: npt.NDArray[np.float64]
    axes: npt.NDArray[np.float64]
    lobe_directions: npt.NDArray[np.float64]
    lobe_heights: npt.NDArray[np.float64]
    lobe_widths: npt.NDArray[np.float64]
    necrosis: float
    hemorrhage: float
    edema: float

    def reach_mm(self, directions: Points) -> Distances:
        """Distance of the surface from the center along unit vectors (..., 3)."""
        squares = sum(along(directions, axis) ** 2 for axis in self.axes)
        reach = 1 / np.sqrt(squares)
        swelling = np.ones(directions.shape[:-1], dtype=np.float32)
        for lobe, height, width in zip(
            self.lobe_directions, self.lobe_heights, self.lobe_widths, strict=True
        ):
            closeness = along(directions, lobe) - 1
            swelling += np.float32(height) * np.exp(closeness * np.float32(1 / width))
        return np.asarray(reach * swelling, dtype=np.float32)

    def depth(self, points: Points) -> Distances:
        """Distance from the center as a share of the surface's: below 1 is inside."""
        offset = points - self.center.astype(np.float32)
        distance = length(offset)
        offset /= np.maximum(distance, np.float32(1e-3))[..., None]
        return np.asarray(distance / self.reach_mm(offset), dtype=np.float32)

    def longest_reach_mm(self) -> float:
        """Largest distance of the surface from the center."""
        return float(self.reach_mm(even_directions(1000)).max())

    def origin_of(self, points: Points) -> Points:
        """Positions of the tissue at ``points`` before the tumor pushed it aside.

        Along each ray, the tissue beyond `GIVES_WAY` of the surface is squeezed into the space
        outside the tumor; inside the tumor the map continues.
        """
        depth = self.depth(points)
        shrink = np.float32(1 - GIVES_WAY) * np.exp(-2 * np.maximum(depth - 1, 0))
        return np.asarray(
            points - (points - self.center.astype(np.float32)) * shrink[..., None],
            dtype=np.float32,
        )


def draw_tumor(facts: PatientFacts, rng: np.random.Generator) -> Tumor:
    """Draw a tumor of exactly the patient's size and at the patient's location."""
    origins = ORIGINS[facts.location]
    center = np.asarray(origins[rng.integers(len(origins))]) + rng.normal(0, ORIGIN_SPREAD_MM, 3)
    center[0] *= rng.choice([-1, 1])
    # A large tumor fills the pelvis rather than growing out of the field of view.
    room = np.maximum(np.asarray(FIELD_MM) - 0.4 * facts.size_cm * 10, 0)
    center = np.clip(center, -room, room)
    malignant = facts.malignancy == "malignant"
    lobes = int(rng.integers(6, 11))
    directions = rng.standard_normal((lobes, 3))
    tumor = Tumor(
        center=center,
        axes=_random_rotation(rng) / np.array([1.0, rng.uniform(0.7, 1), rng.uniform(0.55, 0.9)]),
        lobe_directions=directions / np.linalg.norm(directions, axis=1, keepdims=True),
        lobe_heights=rng.uniform(0.1, 0.55 if malignant else 0.3, lobes),
        lobe_widths=rng.uniform(0.04, 0.2, lobes),
        necrosis=float(rng.uniform(0.05, 0.5) if malignant else rng.uniform(0, 0.15)),
        hemorrhage=float(rng.uniform(0, 0.12)),
        edema=float(rng.uniform(0.2, 0.7) if malignant else rng.uniform(0, 0.25)),
    )
    scale = facts.size_cm * 10 / largest_diameter_mm(tumor)
    return Tumor(**{**tumor.__dict__, "axes": tumor.axes / scale})


def largest_diameter_mm(tumor: Tumor, directions: int = 3000) -> float:
    """Largest distance between two points of the surface."""
    rays = even_directions(directions)
    surface = rays * tumor.reach_mm(rays)[:, None]
    return float(pdist(surface[ConvexHull(surface).vertices]).max())


def even_directions(count: int) -> Points:
    """Unit vectors spread evenly over the sphere (a Fibonacci lattice), (count, 3)."""
    height = 1 - (2 * np.arange(count) + 1) / count
    angle = np.pi * (1 + 5**0.5) * np.arange(count)
    radius = np.sqrt(1 - height**2)
    directions = np.stack([radius * np.cos(angle), radius * np.sin(angle), height], axis=1)
    return directions.astype(np.float32)


def _random_rotation(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    rotation, upper = np.linalg.qr(rng.standard_normal((3, 3)))
    return np.asarray(rotation * np.sign(np.diag(upper)), dtype=np.float64)
