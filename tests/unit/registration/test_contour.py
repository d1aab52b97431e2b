"""A contour of one real sequence, carried to another, lands on that sequence's own contour."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from matplotlib.path import Path as Outline

from nnunet_pst.dataset.carried_labels import carry
from nnunet_pst.io.geometry import Grid
from nnunet_pst.io.volumes import Volume
from nnunet_pst.registration.policy import RegistrationSettings, register

THIGH = Path(__file__).parents[3].parent / "shared" / "data" / "sts-001-raw"


def image(folder: Path) -> Volume:
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    series = sitk.Cast(sitk.ReadImage(names), sitk.sitkInt16)
    grid = Grid(series.GetSize(), series.GetSpacing(), series.GetOrigin(), series.GetDirection())
    return Volume(sitk.GetArrayFromImage(series), grid)


def contour_mask(path: Path, name: str, grid: Grid) -> np.ndarray:
    """Voxels of a grid with their center inside a structure's closed contours, as uint8."""
    study = pydicom.dcmread(path)
    numbers = {roi.ROIName: roi.ROINumber for roi in study.StructureSetROISequence}
    (drawn,) = (roi for roi in study.ROIContourSequence if roi.ReferencedROINumber == numbers[name])
    mask = np.zeros(grid.shape_zyx, dtype=np.uint8)
    inverse = np.linalg.inv(grid.affine_lps_mm)
    for contour in drawn.ContourSequence:
        points = np.reshape(np.asarray(contour.ContourData, dtype=float), (-1, 3))
        index_xyz = points @ inverse[:3, :3].T + inverse[:3, 3]
        (z,) = set(np.rint(index_xyz[:, 2]).astype(int).tolist())
        low, high = (edge(index_xyz[:, :2], axis=0) for edge in (np.min, np.max))
        x, y = (np.arange(int(a), int(b) + 2) for a, b in zip(low, high, strict=True))
        centers = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        inside = Outline(index_xyz[:, :2]).contains_points(centers).reshape(len(y), len(x))
        # A hole is drawn as a contour within another one.
        mask[z, y[0] : y[-1] + 1, x[0] : x[-1] + 1] ^= inside.astype(np.uint8)
    return mask


def dice(first: np.ndarray, second: np.ndarray) -> float:
    return 2 * float((first & second).sum()) / float(first.sum() + second.sum())


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["ants", "simpleitk"])
def test_a_tumor_drawn_on_t1_lands_on_the_one_drawn_on_t2(engine):
    if not THIGH.is_dir():
        pytest.skip("the shared images are not on this machine")
    reference, moving = (image(THIGH / f"MR_{name}" / "image") for name in ("T2", "T1"))
    own, drawn = (
        contour_mask(THIGH / f"MR_{name}" / "mask" / "1-1.dcm", "GTV_Mass", volume.grid)
        for name, volume in (("T2", reference), ("T1", moving))
    )
    registration = register(reference, moving, RegistrationSettings(engine=engine))
    # The scanner aligned these two: they stay where they are.
    assert registration.displacement_mm < 1.0
    assert registration.after.mutual_information >= registration.before.mutual_information
    carried = carry(Volume(drawn, moving.grid), reference.grid, registration.transform)
    assert not carried.problems
    assert own.sum() > 10_000
    assert dice(carried.label == 1, own == 1) >= 0.9
