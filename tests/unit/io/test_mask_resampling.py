"""Masks on another grid: which are resampled and which are refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.geometry import Grid
from nnunet_pst.io.mask_resampling import place_mask, slices_across
from nnunet_pst.io.volumes import Volume

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
IMAGE = Grid((20, 18, 12), (1.0, 1.0, 4.0), (-10.0, 20.0, 5.0), IDENTITY)


def lesion(grid: Grid = IMAGE) -> np.ndarray:
    mask = np.zeros(grid.shape_zyx, dtype=bool)
    mask[4:7, 6:11, 5:12] = True
    return mask


def rotated(degrees: float) -> tuple[float, ...]:
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return (c, -s, 0.0, s, c, 0.0, 0.0, 0.0, 1.0)


def test_the_same_grid_is_left_alone():
    wobbly = replace(IMAGE, spacing_xyz_mm=(1.0, 1.0, 4.00001))
    placed, report = place_mask(Volume(lesion(), wobbly), IMAGE)
    assert report is None
    assert (placed == lesion()).all()


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "RAI", "LSA", "PIR"])
def test_a_reoriented_copy_is_the_same_mask(orientation: str):
    image = sitk.GetImageFromArray(lesion().astype(np.uint8))
    image.SetSpacing(IMAGE.spacing_xyz_mm)
    image.SetOrigin(IMAGE.origin_lps_mm)
    turned = sitk.DICOMOrient(image, orientation)
    grid = Grid(turned.GetSize(), turned.GetSpacing(), turned.GetOrigin(), turned.GetDirection())
    placed, _ = place_mask(Volume(sitk.GetArrayFromImage(turned) != 0, grid), IMAGE)
    assert (placed == lesion()).all()


def test_a_cropped_mask_returns_to_its_place():
    box = Grid((10, 9, 6), IMAGE.spacing_xyz_mm, (-7.0, 24.0, 13.0), IDENTITY)
    placed, report = place_mask(Volume(lesion()[2:8, 4:13, 3:13], box), IMAGE)
    assert (placed == lesion()).all()
    assert "resampled from 10 x 9 x 6 to the image's 20 x 18 x 12" in str(report)


def test_a_finer_mask_keeps_its_volume():
    fine = Grid((40, 36, 12), (0.5, 0.5, 4.0), (-10.25, 19.75, 5.0), IDENTITY)
    doubled = lesion().repeat(2, axis=1).repeat(2, axis=2)
    placed, report = place_mask(Volume(doubled, fine), IMAGE)
    assert (placed == lesion()).all()
    assert "0.42 ml before, 0.42 ml after" in str(report)


@pytest.mark.parametrize(
    "changes",
    [
        {"direction": rotated(20)},
        {"direction": (1.0, 0, 0, 0, 0.9, -0.43589, 0, 0.43589, 0.9)},
        {"origin_lps_mm": (300.0, 20.0, 5.0)},
        {"origin_lps_mm": (-10.0, 20.0, 25.0)},
        # The header of a tool that loses the geometry.
        {"spacing_xyz_mm": (1.0, 1.0, 1.0), "origin_lps_mm": (0.0, 0.0, 0.0)},
    ],
    ids=["oblique", "other planes", "far away", "other slices", "lost header"],
)
def test_another_frame(changes: dict[str, tuple[float, ...]]):
    with pytest.raises(InputError) as caught:
        place_mask(Volume(lesion(), replace(IMAGE, **changes)), IMAGE)
    assert caught.value.fault is Fault.GEOMETRY


def test_a_small_shift_of_the_same_matrix_is_resampled():
    shifted = replace(IMAGE, origin_lps_mm=(-9.8, 20.0, 5.0))
    placed, report = place_mask(Volume(lesion(), shifted), IMAGE)
    assert report is not None
    assert (placed == lesion()).all()


def test_tumor_outside_the_image():
    larger = Grid((40, 36, 12), IMAGE.spacing_xyz_mm, IMAGE.origin_lps_mm, IDENTITY)
    mask = np.zeros(larger.shape_zyx, dtype=bool)
    mask[4:7, 10:25, 10:25] = True
    with pytest.raises(InputError) as caught:
        place_mask(Volume(mask, larger), IMAGE)
    assert caught.value.fault is Fault.GEOMETRY


def test_tumor_that_falls_between_voxels():
    fine = Grid((40, 36, 12), (0.5, 0.5, 4.0), (-10.2, 19.8, 5.0), IDENTITY)
    mask = np.zeros(fine.shape_zyx, dtype=bool)
    mask[4, 11, 11] = True
    with pytest.raises(InputError) as caught:
        place_mask(Volume(mask, fine), IMAGE)
    assert caught.value.fault is Fault.VALUES


def test_a_mask_that_is_coarser_within_the_slices():
    coarse = Grid((5, 6, 12), (4.0, 3.0, 4.0), (-8.5, 21.0, 5.0), IDENTITY)
    mask = np.zeros(coarse.shape_zyx, dtype=bool)
    mask[4:7, 2:4, 1:3] = True
    placed, report = place_mask(Volume(mask, coarse), IMAGE)
    assert (placed == mask.repeat(3, axis=1).repeat(4, axis=2)).all()
    assert report is not None


def test_slices_are_counted_along_the_images_axis():
    sagittal = Grid((9, 18, 10), (4.0, 1.0, 2.0), (0.0, 0.0, 0.0), (0, 0, 1, 0, 1, 0, 1, 0, 0))
    assert slices_across(sagittal, IMAGE) == 9
    assert slices_across(IMAGE, IMAGE) == 12
