"""The body's position in the scanner, by sequence, and the distortion of echo-planar images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

#: Standard deviations of the motion between sequences.
SHIFT_MM, TURN_DEGREES = 2.5, 1.2
#: Standard deviations of a body's position on the table.
POSE_SHIFT_MM, POSE_TURN_DEGREES = 6.0, 2.5
#: Largest shift of echo-planar images along the phase axis that one bump makes.
DISTORTION_MM = 5.0


@dataclass(frozen=True)
class Rigid:
    """A rigid motion of points in LPS millimeters: ``rotation @ point + shift``."""

    rotation: npt.NDArray[np.float64]
    shift: npt.NDArray[np.float64]

    def matrix(self) -> npt.NDArray[np.float64]:
        """4 x 4 matrix."""
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = self.rotation, self.shift
        return matrix

    def after(self, first: Rigid) -> Rigid:
        """Return the motion that does ``first`` and then this one."""
        return Rigid(self.rotation @ first.rotation, self.rotation @ first.shift + self.shift)

    def inverse(self) -> Rigid:
        """Return the motion that undoes this one."""
        return Rigid(self.rotation.T, -self.rotation.T @ self.shift)


def draw_rigid(shift_mm: float, turn_degrees: float, rng: np.random.Generator) -> Rigid:
    """Draw a motion with normally distributed shifts and turns about each axis."""
    turns = np.clip(rng.normal(0, turn_degrees, 3), -3 * turn_degrees, 3 * turn_degrees)
    rotation = Rotation.from_euler("xyz", turns, degrees=True).as_matrix()
    return Rigid(rotation, np.clip(rng.normal(0, shift_mm, 3), -3 * shift_mm, 3 * shift_mm))


@dataclass(frozen=True)
class Distortion:
    """A smooth shift along y (the phase axis): bumps, as air in the bowel and the skin cause them.

    A point at ``y`` appears at ``y' = y + shift(x, y', z)``. The shift is a function of the
    position in the image, so that neither making an image nor undoing its distortion needs a
    solver.

    Attributes
    ----------
    centers_lps_mm, heights_mm, widths_mm
        (n, 3), (n,), (n,) of Gaussian bumps in the scanner's space.
    """

    centers_lps_mm: npt.NDArray[np.float64]
    heights_mm: npt.NDArray[np.float64]
    widths_mm: npt.NDArray[np.float64]

    def shift_mm(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Shift along y of what appears at points (..., 3)."""
        shift = np.zeros(points.shape[:-1])
        for center, height, width in zip(
            self.centers_lps_mm, self.heights_mm, self.widths_mm, strict=True
        ):
            square = np.square(points - center).sum(-1)
            shift += height * np.exp(-square / (2 * width**2))
        return shift

    def as_json(self) -> dict[str, Any]:
        """Return the content of the truth file."""
        return {
            "axis": "y",
            "centers_lps_mm": self.centers_lps_mm.tolist(),
            "heights_mm": self.heights_mm.tolist(),
            "widths_mm": self.widths_mm.tolist(),
        }


def draw_distortion(rng: np.random.Generator) -> Distortion:
    """Draw a distortion of a few millimeters, strongest near the rectum and the front."""
    centers = np.array([[0, 45, -40], [0, -90, 40], [60, 0, 0], [-60, 0, 60]], dtype=float)
    centers += rng.normal(0, 15, centers.shape)
    heights = rng.uniform(-1, 1, 4) * DISTORTION_MM
    return Distortion(centers, heights, rng.uniform(40, 70, 4))
