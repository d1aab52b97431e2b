"""Where a point of the reference is in the moving image: in memory and as files.

There is one direction and it is ITK's: to resample the moving image onto the reference's grid, each
point of the reference is mapped *to the moving image*, where the intensity is looked up. Points are
LPS millimeters throughout. To carry a point that was marked on the moving image to the reference,
use the inverse.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813 - its usual name

from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.atomic_files import write_atomically, written_whole
from nnunet_pst.io.volumes import write_itk_image

#: Endings of a linear transform's file and of the two of a deformable one.
LINEAR, FORWARD, BACKWARD = ".tfm", "_to_moving.nii.gz", "_to_reference.nii.gz"
_HEAD = "#Insight Transform File V1.0"
_TYPES = ("AffineTransform_double_3_3", "MatrixOffsetTransformBase_double_3_3")
_DIRECTION_NOTE = (
    "# Maps points of the reference (LPS, mm) to the moving image, as resampling does."
)
#: A linear transform takes some 500 bytes.
_MOST_BYTES = 65536


@dataclass(frozen=True, eq=False)
class SpatialTransform:
    """A map between the spaces of two images, with its inverse.

    Attributes
    ----------
    to_moving
        Maps a point of the reference (LPS mm) to the moving image: the direction in which ITK
        resamples the moving image onto the reference's grid.
    to_reference
        Its inverse, for points that were marked on the moving image.
    """

    to_moving: sitk.Transform
    to_reference: sitk.Transform

    @classmethod
    def identity(cls) -> SpatialTransform:
        """Keep the scanner's coordinates."""
        return cls.from_matrix(np.eye(4))

    @classmethod
    def from_matrix(cls, to_moving: npt.NDArray[np.float64]) -> SpatialTransform:
        """Make a linear transform from its 4 x 4 matrix, which maps reference to moving."""
        matrix = np.asarray(to_moving, dtype=np.float64)
        inverse = np.linalg.inv(matrix).astype(np.float64)
        return cls(_affine(matrix), _affine(inverse))

    @property
    def matrix(self) -> npt.NDArray[np.float64] | None:
        """4 x 4, from a point of the reference to the moving image; None for a deformable one."""
        if not isinstance(self.to_moving, sitk.AffineTransform):
            return None
        matrix = np.eye(4)
        matrix[:3, :3] = np.reshape(self.to_moving.GetMatrix(), (3, 3))
        # Its center is the origin, so that the translation is the whole offset.
        matrix[:3, 3] = self.to_moving.GetTranslation()
        return matrix

    def inverse(self) -> SpatialTransform:
        """Swap the roles of reference and moving image."""
        return SpatialTransform(self.to_reference, self.to_moving)

    def then(self, following: SpatialTransform) -> SpatialTransform:
        """Return the map from this one's reference through its moving image to a third image."""
        first, second = self.matrix, following.matrix
        if first is not None and second is not None:
            return SpatialTransform.from_matrix(second @ first)
        # ITK applies the last one first.
        return SpatialTransform(
            sitk.CompositeTransform([following.to_moving, self.to_moving]),
            sitk.CompositeTransform([self.to_reference, following.to_reference]),
        )

    def map_points(self, points_lps_mm: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Map points of the reference, (n, 3), to the moving image."""
        points = np.asarray(points_lps_mm, dtype=np.float64)
        matrix = self.matrix
        if matrix is not None:
            return np.asarray(points @ matrix[:3, :3].T + matrix[:3, 3], dtype=np.float64)
        mapped = [self.to_moving.TransformPoint(point) for point in points.tolist()]
        return np.asarray(mapped, dtype=np.float64).reshape(-1, 3)


def _affine(matrix: npt.NDArray[np.float64]) -> sitk.Transform:
    """Return an affine transform whose center is the origin."""
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(matrix[:3, :3].ravel().tolist())
    transform.SetTranslation(matrix[:3, 3].tolist())
    return transform


def linear_part(transform: sitk.Transform) -> npt.NDArray[np.float64]:
    """Return the 4 x 4 matrix of a linear ITK transform of any class and center.

    It is made from the images of four points, which is exact up to rounding.
    """
    ends = np.asarray(
        [transform.TransformPoint(point) for point in [(0.0, 0.0, 0.0), *np.eye(3).tolist()]]
    )
    matrix = np.eye(4)
    matrix[:3, :3] = (ends[1:] - ends[0]).T
    matrix[:3, 3] = ends[0]
    return matrix


def write_transform(stem: Path, transform: SpatialTransform) -> list[Path]:
    """Write a transform; each file is whole or absent, and the same transform gives the same bytes.

    A linear one becomes ``<stem>.tfm``, an ITK text file that SimpleITK, ANTs and 3D Slicer read;
    a comment in it states the direction. A deformable one becomes two displacement fields (LPS mm),
    ``<stem>_to_moving.nii.gz`` on the grid of the reference and ``<stem>_to_reference.nii.gz``,
    each the whole transform. Files of an earlier transform of the same name are removed.

    Returns
    -------
    list
        The files.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    linear = stem.with_name(stem.name + LINEAR)
    fields = [stem.with_name(stem.name + ending) for ending in (FORWARD, BACKWARD)]
    matrix = transform.matrix
    if matrix is not None:
        write_atomically(linear, _linear_text(matrix))
        for path in fields:
            path.unlink(missing_ok=True)
        return [linear]
    both = (transform.to_moving, transform.to_reference)
    images = [_field(direction).GetDisplacementField() for direction in both]
    for path, image in zip(fields, images, strict=True):
        with written_whole(path) as partial:
            write_itk_image(partial, sitk.Cast(image, sitk.sitkVectorFloat32))
    linear.unlink(missing_ok=True)
    return fields


def _linear_text(matrix: npt.NDArray[np.float64]) -> str:
    # `+ 0.0` turns -0 into 0; repr is the shortest text that reads back as the same number.
    values = [*matrix[:3, :3].ravel(), *matrix[:3, 3]]
    parameters = " ".join(repr(float(value) + 0.0) for value in values)
    return (
        f"{_HEAD}\n{_DIRECTION_NOTE}\n#Transform 0\nTransform: {_TYPES[0]}\n"
        f"Parameters: {parameters}\nFixedParameters: 0 0 0\n"
    )


def _field(transform: sitk.Transform) -> sitk.DisplacementFieldTransform:
    if not isinstance(transform, sitk.DisplacementFieldTransform):
        raise TypeError(f"{transform.GetName()} is neither affine nor a displacement field")
    return transform


def read_transform(stem: Path) -> SpatialTransform:
    """Read what `write_transform` wrote, and nothing else.

    Raises
    ------
    InputError
        When there is no such transform, or its files hold something else.
    """
    linear = stem.with_name(stem.name + LINEAR)
    if linear.is_file():
        return SpatialTransform.from_matrix(_read_linear(linear))
    fields = [stem.with_name(stem.name + ending) for ending in (FORWARD, BACKWARD)]
    missing = [path.name for path in fields if not path.is_file()]
    if missing:
        raise InputError(
            f"there is no transform {stem.name}: neither {linear.name} nor {' and '.join(missing)}",
            Fault.MISSING,
        )
    return SpatialTransform(*(_read_field(path) for path in fields))


def _read_linear(path: Path) -> npt.NDArray[np.float64]:
    """Read a text file of one affine transform; ITK's own reader would load any class it names."""
    wrong = InputError(
        f"{path.name} is not an ITK text file with one invertible affine transform; write it again",
        Fault.DAMAGED,
    )
    if path.stat().st_size > _MOST_BYTES:
        raise wrong
    try:
        lines = path.read_text("ascii").splitlines()
        entries = [line.split(":", 1) for line in lines if line.strip() and line[0] != "#"]
        kinds = [key for key, _ in entries]
        if lines[0] != _HEAD or kinds != ["Transform", "Parameters", "FixedParameters"]:
            raise wrong
        if entries[0][1].strip() not in _TYPES:
            raise wrong
        values = np.array(entries[1][1].split(), dtype=np.float64)
        center = np.array(entries[2][1].split(), dtype=np.float64)
        matrix = np.eye(4)
        matrix[:3, :3] = values[:9].reshape(3, 3)
        matrix[:3, 3] = values[9:] + center - matrix[:3, :3] @ center
    except (ValueError, IndexError) as error:
        raise wrong from error
    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-6:
        raise wrong
    return matrix


def _read_field(path: Path) -> sitk.Transform:
    wrong = InputError(
        f"{path.name} is not a displacement field of a volume; write it again", Fault.DAMAGED
    )
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        if reader.GetDimension() != 3 or reader.GetNumberOfComponents() != 3:
            raise wrong
        if np.prod(reader.GetSize(), dtype=np.float64) > 2**27:
            raise wrong
        image = sitk.Cast(reader.Execute(), sitk.sitkVectorFloat64)
    except RuntimeError as error:
        raise wrong from error
    if not np.isfinite(sitk.GetArrayViewFromImage(image)).all():
        raise wrong
    return sitk.DisplacementFieldTransform(image)
