"""Images of an anatomy under a protocol: sampling, shading, noise, artifacts, and exact labels."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from nnunet_pst.io.geometry import Grid
from nnunet_pst.io.volumes import Volume
from nnunet_pst.phantom.acquisition import Protocol, Scanner, returning_fat, tissue_signals
from nnunet_pst.phantom.anatomy import Anatomy
from nnunet_pst.phantom.motion import Distortion, Rigid
from nnunet_pst.phantom.noise import smooth_noise
from nnunet_pst.phantom.tissues import Tissue

#: The two other axes of each axis of a (z, y, x) array.
FACES = ((1, 2), (0, 2), (0, 1))
#: Odds of a ghosted series and of one bad slice in a series.
GHOST_ODDS, BAD_SLICE_ODDS = 0.08, 0.08
#: Distance over which the field, and with it fat suppression, changes; and from which value of a
#: smooth noise on suppression begins to fail, and fails wholly.
FIELD_LENGTH_MM, FAILING, FAILED = 160.0, 0.5, 1.3
#: Share of fat's signal that returns at most. Of diffusion images little: those
#: were chosen so that fat does not outshine everything else, which it rarely does there.
MOST_FAT, MOST_FAT_DWI = 0.8, 0.2


@dataclass(frozen=True)
class Scan:
    """One acquired sequence and the body's position during it.

    Attributes
    ----------
    pose
        From the body's coordinates to the scanner's.
    distortion
        None unless the sequence is echo-planar.
    """

    protocol: Protocol
    grid: Grid
    pose: Rigid
    distortion: Distortion | None


def scan_grid(protocol: Protocol, lowest_z_mm: float, highest_z_mm: float) -> Grid:
    """Grid of axial slices around the scanner's center that covers a range of z."""
    pixel = protocol.field_mm / protocol.matrix
    slices = int(np.ceil((highest_z_mm - lowest_z_mm) / protocol.slice_mm))
    first = -(protocol.matrix - 1) / 2 * pixel
    middle = (lowest_z_mm + highest_z_mm) / 2
    return Grid(
        size_xyz=(protocol.matrix, protocol.matrix, slices),
        spacing_xyz_mm=(pixel, pixel, protocol.slice_mm),
        origin_lps_mm=(first, first, middle - (slices - 1) / 2 * protocol.slice_mm),
        direction=(1, 0, 0, 0, 1, 0, 0, 0, 1),
    )


def make_image(
    anatomy: Anatomy,
    scan: Scan,
    scanner: Scanner,
    properties: dict[str, npt.NDArray[np.float64]],
    rng: np.random.Generator,
    *,
    fat_returns: bool = False,
) -> Volume:
    """Image the anatomy; int16, Rician noise included.

    Parameters
    ----------
    fat_returns
        Fat suppression fails in parts of the body.
    """
    protocol = scan.protocol
    signals = tissue_signals(protocol, properties)
    texture = (properties["texture"] * rng.uniform(0.7, 1.3)).astype(np.float32)
    texture *= rng.choice([-1, 1])
    fine = signals[anatomy.tissue] * (1 + texture[anatomy.tissue] * anatomy.texture)
    if fat_returns and protocol.fat_suppressed:
        field = smooth_noise(fine.shape, anatomy.spacing_zyx_mm, FIELD_LENGTH_MM, rng)
        most = MOST_FAT_DWI if protocol.sequence == "DWI" else MOST_FAT
        failure = most * np.clip((field - FAILING) / np.float32(FAILED - FAILING), 0, 1)
        fine += failure * returning_fat(protocol, properties)[anatomy.tissue]
    # The part of a pixel's signal that comes from its neighbors.
    blur = 0.4 * scan.grid.spacing_xyz_mm[0] / anatomy.spacing_zyx_mm[1]
    fine = ndimage.gaussian_filter(fine, (0, blur, blur), truncate=2.5)
    image = sample(anatomy, fine, scan)
    length = protocol.field_mm / 1.5
    shading = smooth_noise(image.shape, scan.grid.spacing_zyx_mm, length, rng)
    image *= np.exp(np.float32(scanner.shading) * shading)
    _spoil(image, rng)
    # As a share of muscle, with a minimum so that dark images are noisy too.
    sigma = scanner.noise * max(float(signals[Tissue.MUSCLE]), 0.12)
    real = image + sigma * rng.standard_normal(image.shape, dtype=np.float32)
    imaginary = sigma * rng.standard_normal(image.shape, dtype=np.float32)
    magnitude = np.sqrt(real**2 + imaginary**2) * scanner.gain
    return Volume(np.rint(magnitude).clip(0, 32767).astype(np.int16), scan.grid)


def make_label(anatomy: Anatomy, scan: Scan) -> Volume:
    """Label the voxels that are inside on average over the slice's thickness; uint8."""
    label = np.zeros(scan.grid.shape_zyx, dtype=np.uint8)
    box, inner = _tumor_box(anatomy, scan)
    label[box] = sample(anatomy, anatomy.tumor_mm, inner) > 0
    return Volume(label, scan.grid)


def _tumor_box(anatomy: Anatomy, scan: Scan) -> tuple[tuple[slice, slice, slice], Scan]:
    """Part of a scan that holds the tumor, as slices of its array and as a scan."""
    inside = anatomy.tumor_mm > 0
    corners = [np.flatnonzero(inside.any(axis=axes))[[0, -1]] for axes in FACES]
    index = np.array(list(itertools.product(*corners)), dtype=float)[:, ::-1]
    points = index * np.asarray(anatomy.spacing_zyx_mm[::-1]) + np.asarray(anatomy.first_lps_mm)
    grid = scan.grid
    origin, step = np.asarray(grid.origin_lps_mm), np.asarray(grid.spacing_xyz_mm)
    place = (points @ scan.pose.rotation.T + scan.pose.shift - origin) / step
    room = 2 + (0 if scan.distortion is None else np.abs(scan.distortion.heights_mm).sum() / step)
    first = np.clip(np.floor(place.min(0) - room), 0, grid.size_xyz).astype(int)
    last = np.clip(np.ceil(place.max(0) + room) + 1, 0, grid.size_xyz).astype(int)
    (x0, y0, z0), (x1, y1, z1) = first.tolist(), last.tolist()
    new_x, new_y, new_z = (origin + first * step).tolist()
    part = replace(grid, size_xyz=(x1 - x0, y1 - y0, z1 - z0), origin_lps_mm=(new_x, new_y, new_z))
    return (slice(z0, z1), slice(y0, y1), slice(x0, x1)), replace(scan, grid=part)


def sample(
    anatomy: Anatomy, values: npt.NDArray[np.float32], scan: Scan
) -> npt.NDArray[np.float32]:
    """Average a fine map (z, y, x) over the voxels of a scan, linearly interpolated."""
    total = np.zeros(scan.grid.shape_zyx, dtype=np.float32)
    # One sample for each plane of the fine map that a slice runs through.
    count = int(np.ceil(scan.protocol.slice_mm / anatomy.spacing_zyx_mm[0]))
    for offset in (np.arange(count) + 0.5) / count - 0.5:
        if scan.distortion is None:
            total += _sample_rigid(anatomy, values, scan, offset)
        else:
            total += _sample_distorted(anatomy, values, scan, offset)
    total /= np.float32(count)
    return total


def _to_fine_index(
    anatomy: Anatomy, scan: Scan
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Matrix and offset from a scanner's point (x, y, z) to an index (z, y, x) of the fine map."""
    back = scan.pose.inverse()
    step = np.asarray(anatomy.spacing_zyx_mm[::-1])
    matrix = back.rotation / step[:, None]
    offset = (back.shift - np.asarray(anatomy.first_lps_mm)) / step
    return matrix[::-1], offset[::-1]


def _sample_rigid(
    anatomy: Anatomy, values: npt.NDArray[np.float32], scan: Scan, offset: float
) -> npt.NDArray[np.float32]:
    matrix, shift = _to_fine_index(anatomy, scan)
    affine = scan.grid.affine_lps_mm
    origin = affine[:3, 3] + affine[:3, 2] * offset
    # Columns reversed: affine_transform hands over indices as (z, y, x).
    to_index = (matrix @ affine[:3, :3])[:, ::-1]
    sampled = ndimage.affine_transform(
        values, to_index, matrix @ origin + shift, output_shape=scan.grid.shape_zyx, order=1
    )
    return np.asarray(sampled, dtype=np.float32)


def _sample_distorted(
    anatomy: Anatomy, values: npt.NDArray[np.float32], scan: Scan, offset: float
) -> npt.NDArray[np.float32]:
    assert scan.distortion is not None
    matrix, shift = _to_fine_index(anatomy, scan)
    index = np.indices(scan.grid.shape_zyx, dtype=np.float64)[::-1]
    index[2] += offset
    affine = scan.grid.affine_lps_mm
    points = np.moveaxis(index, 0, -1) * np.diag(affine)[:3] + affine[:3, 3]
    points[..., 1] -= scan.distortion.shift_mm(points)
    places = (
        np.stack([np.sum(points * row, axis=-1) for row in matrix]) + shift[:, None, None, None]
    )
    return np.asarray(ndimage.map_coordinates(values, places, order=1), dtype=np.float32)


def _spoil(image: npt.NDArray[np.float32], rng: np.random.Generator) -> None:
    """Add a ghost along the phase axis, or darken and blur one slice, in some series."""
    ghost, bad, slice_number = rng.random(), rng.random(), int(rng.integers(len(image)))
    if ghost < GHOST_ODDS:
        image += np.float32(rng.uniform(0.04, 0.10)) * np.roll(image, image.shape[1] // 2, axis=1)
    if bad < BAD_SLICE_ODDS:
        image[slice_number] = 0.6 * ndimage.uniform_filter(image[slice_number], (7, 1))
