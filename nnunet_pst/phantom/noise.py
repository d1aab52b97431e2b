"""Smooth random fields."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

#: Knots of the field per correlation length; more make no visible difference.
_KNOTS_PER_LENGTH = 1.5


def smooth_noise(
    shape: tuple[int, ...],
    spacing_mm: tuple[float, ...],
    length_mm: float,
    rng: np.random.Generator,
) -> npt.NDArray[np.float32]:
    """Return a random field of mean 0 and standard deviation 1 on a grid of any dimension.

    White noise on coarse knots, smoothed by Gaussians of ``length_mm / 2``, axis by axis. Sparse
    matrices, because a dense product may round differently with more threads.

    Parameters
    ----------
    shape, spacing_mm
        Of the grid, in the same order.
    length_mm
        Distance over which the field changes.
    """
    step = length_mm / _KNOTS_PER_LENGTH
    kernels = [
        _kernel(count, spacing, step, length_mm / 2)
        for count, spacing in zip(shape, spacing_mm, strict=True)
    ]
    field = rng.standard_normal([kernel.shape[1] for kernel in kernels]).astype(np.float32)
    for kernel in kernels:
        # The first axis is smoothed and becomes the last; after all axes the order is restored.
        rest = field.shape[1:]
        smoothed = np.asarray(kernel @ field.reshape(field.shape[0], -1))
        field = smoothed.reshape(-1, *rest)
        field = np.ascontiguousarray(np.moveaxis(field, 0, -1))
    return field


def _kernel(
    count: int, spacing: float, step: float, sigma: float
) -> sparse.csr_array[np.float32, tuple[int, int]]:
    """(count, knots) matrix whose rows have unit length, so that white noise keeps its variance."""
    place = np.arange(count) * spacing
    knots = np.arange(-3 * sigma, place[-1] + 3 * sigma + step, step)
    weight = np.exp(-0.5 * ((place[:, None] - knots) / sigma) ** 2)
    weight[weight < 1e-3] = 0
    weight /= np.linalg.norm(weight, axis=1, keepdims=True)
    return sparse.csr_array(weight.astype(np.float32))
