"""Contours to masks: holes, tilt, pixels that are not square, names, and refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

from nnunet_pst.dicom.masks.polygons import fill_polygons, polygon_area
from nnunet_pst.dicom.masks.structures import choose_name, contours_of, structure_mask
from nnunet_pst.dicom.reading.datasets import read_dataset
from nnunet_pst.dicom.reading.files import Origin, walk
from nnunet_pst.dicom.reading.headers import read_instance
from nnunet_pst.dicom.reading.pixels import read_stack
from nnunet_pst.dicom.reading.series import Series, gather_series
from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.geometry import Grid
from nnunet_pst.io.volumes import read_mask

DATA = Path(__file__).parents[5] / "shared" / "data"
#: Tilted about two axes, pixels of 0.8 x 1.7 mm.
_X = np.array([0.96, 0.28, 0.0])
_Y = np.array([-0.224, 0.768, 0.6])
GRID = Grid(
    (20, 14, 5),
    (0.8, 1.7, 4.0),
    (-30.0, 12.0, 55.0),
    tuple(np.stack([_X, _Y, np.cross(_X, _Y)], axis=1).ravel()),
)
Writer = Callable[..., None]


def on_grid(points: list[tuple[float, float]], z: int) -> np.ndarray:
    """Points in patient coordinates of (column, row) on a slice."""
    index = np.array([[x, y, z, 1] for x, y in points])
    return (index @ GRID.affine_lps_mm.T)[:, :3]


def box(x0: float, y0: float, x1: float, y1: float) -> list[tuple[float, float]]:
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def mask_of(path: Path, roi: str | None = None) -> np.ndarray:
    return structure_mask(pydicom.dcmread(path), GRID, roi).mask


def test_a_box_fills_the_centers_inside():
    filled = fill_polygons([np.array(box(1.5, 0.5, 4.5, 2.5))], (4, 6))
    expected = np.zeros((4, 6), bool)
    expected[1:3, 2:5] = True
    np.testing.assert_array_equal(filled, expected)


def test_neighbors_share_no_center_and_leave_none():
    left, right = np.array(box(0, 0, 3, 4)), np.array(box(3, 0, 6, 4))
    one, other = fill_polygons([left], (5, 7)), fill_polygons([right], (5, 7))
    assert not (one & other).any()
    assert one.sum() + other.sum() == 24


def test_filled_pixels_approach_the_area_of_any_polygon():
    random = np.random.default_rng(3)
    angles = np.sort(random.uniform(0, 2 * np.pi, 30))
    radius = random.uniform(60, 180, 30)
    points = np.stack([200 + radius * np.cos(angles), 200 + radius * np.sin(angles)], axis=1)
    filled = fill_polygons([points], (400, 400)).sum()
    assert filled == pytest.approx(polygon_area(points), rel=0.01)


def test_contours_on_tilted_planes_with_flat_pixels(tmp_path: Path, write_structures: Writer):
    contours = [
        on_grid(box(2.5, 1.5, 12.5, 10.5), 2),
        on_grid(box(4.5, 3.5, 8.5, 6.5), 2),  # within the first one: joined with it
        on_grid(box(14.5, 2.5, 17.5, 4.5), 2),  # a second piece
        on_grid(box(0.5, 0.5, 3.5, 2.5), 4),
    ]
    write_structures(tmp_path / "rs", {"GTV": contours})
    expected = np.zeros(GRID.shape_zyx, bool)
    expected[2, 2:11, 3:13] = True
    expected[2, 3:5, 15:18] = True
    expected[4, 1:3, 1:4] = True
    np.testing.assert_array_equal(mask_of(tmp_path / "rs"), expected)


def test_a_hole_joined_by_a_slit_is_a_hole(tmp_path: Path, write_structures: Writer):
    outer = box(2.5, 1.5, 12.5, 10.5)
    inner = box(4.5, 3.5, 8.5, 6.5)[::-1]
    keyhole = [*outer, outer[0], inner[-1], *inner, outer[0]]
    separate = {"A": [on_grid(outer, 1), on_grid(inner, 1)], "B": [on_grid(keyhole, 1)]}
    write_structures(tmp_path / "rs", separate)
    joined, slit = (mask_of(tmp_path / "rs", name) for name in "AB")
    assert (joined.sum(), slit.sum()) == (90, 90 - 12)
    made = pydicom.dcmread(tmp_path / "rs")
    for contour in made.ROIContourSequence[0].ContourSequence:
        contour.ContourGeometricType = "CLOSEDPLANAR_XOR"
    np.testing.assert_array_equal(structure_mask(made, GRID, "A").mask, slit)


def test_what_is_left_out_or_looks_like_a_hole_is_said(tmp_path: Path, write_structures: Writer):
    contours = [on_grid(box(2.5, 1.5, 12.5, 10.5), 1), on_grid(box(4.5, 3.5, 8.5, 6.5), 1)]
    contours += [on_grid(box(2.5, 1.5, 12.5, 10.5), 2), on_grid([(1, 1)], 3)]
    write_structures(tmp_path / "rs", {"GTV": contours})
    made = pydicom.dcmread(tmp_path / "rs")
    drawn = made.ROIContourSequence[0].ContourSequence
    drawn[2].ContourGeometricType, drawn[3].ContourGeometricType = "OPEN_PLANAR", "POINT"
    placed = structure_mask(made, GRID, "GTV")
    assert placed.mask.sum() == 90
    left_out, inner = placed.remarks
    assert "1 contour OPEN_PLANAR, 1 contour POINT" in left_out
    assert inner.startswith("1 closed contours lie within others")


def test_a_repeated_contour_counts_once(tmp_path: Path, write_structures: Writer):
    contour = on_grid(box(2.5, 1.5, 12.5, 10.5), 1)
    write_structures(tmp_path / "rs", {"GTV": [contour, contour]})
    assert mask_of(tmp_path / "rs").sum() == 90


@pytest.mark.parametrize(
    ("contours", "fault"),
    [
        ([on_grid(box(2, 2, 9, 9), 1) + 1.5 * np.cross(_X, _Y)], Fault.GEOMETRY),
        ([on_grid(box(2, 2, 9, 9), 7)], Fault.GEOMETRY),
        ([on_grid(box(2, 2, 30, 9), 1)], Fault.GEOMETRY),
        ([on_grid(box(2.1, 2.1, 2.4, 2.4), 1)], Fault.EMPTY),
        ([on_grid([(1, 1), (3, 3)], 1)], Fault.EMPTY),
        ([], Fault.EMPTY),
        ([np.full((4, 3), 1e7)], Fault.GEOMETRY),
    ],
)
def test_contours_of_another_place_are_refused(
    tmp_path: Path, write_structures: Writer, contours: list, fault: Fault
):
    write_structures(tmp_path / "rs", {"GTV": contours})
    with pytest.raises(InputError) as caught:
        mask_of(tmp_path / "rs")
    assert caught.value.fault is fault


NAMES = ["GTV_Mass_MR_T1", "GTV_Edema", "Skin", "skin 2"]


@pytest.mark.parametrize(
    ("roi", "index"),
    [("GTV_Mass", 0), ("gtv mass", 0), ("EDEMA", 1), ("Skin", 2), ("skin", 2), ("skin-2", 3)],
)
def test_names_are_matched_loosely(roi: str, index: int):
    assert choose_name(NAMES, roi) == index


@pytest.mark.parametrize(
    ("names", "roi", "fault"),
    [
        (NAMES, "GTV", Fault.AMBIGUOUS),
        (NAMES, "bone", Fault.UNKNOWN_NAME),
        (NAMES, None, Fault.AMBIGUOUS),
        (NAMES, "--", Fault.UNKNOWN_NAME),
        ([], "GTV", Fault.EMPTY),
    ],
)
def test_names_that_dont_fit_get_the_list(names: list[str], roi: str | None, fault: Fault):
    with pytest.raises(InputError) as caught:
        choose_name(names, roi)
    (line,) = caught.value.problems
    assert line.fault is fault
    assert all(f"'{name}'" in line for name in names)


def read_real(name: str) -> list[Series]:
    return gather_series(read_instance(origin) for origin in walk(DATA / name).dicom)


def real_mask(origin: Origin, image: Series) -> tuple:
    (stack,) = image.stacks
    grid = read_stack(stack).grid
    uids = {one.sop_uid for one in stack.slices}
    dataset = read_dataset(origin, pixels=False)
    return dataset, grid, structure_mask(dataset, grid, "GTV_Mass", images=uids)


def test_the_sarcoma_patients_contours_give_the_sources_mask():
    series = read_real("sts-001-dicom")
    image = next(s for s in series if s.first.modality == "MR")
    structures = next(s for s in series if image.uid in s.first.references)
    _, grid, placed = real_mask(structures.first.origin, image)
    source = read_mask(DATA / "sts" / "STS_001_label.nii.gz")
    assert placed.mask.sum() == 117145
    np.testing.assert_array_equal(placed.mask, source.array)
    np.testing.assert_allclose(grid.affine_lps_mm, source.grid.affine_lps_mm, atol=1e-3)
    assert placed.remarks == (
        "32 of 32 contours refer to no image of this series; all were placed by position",
    )


def test_the_raw_sarcoma_contours_have_their_polygons_volume():
    series = read_real("sts-001-raw")
    images = {s.uid: s for s in series if s.first.modality == "MR"}
    structures = [s for s in series if s.first.modality == "RTSTRUCT"]
    assert len(structures) == len(images) == 2
    for one in structures:
        dataset, grid, placed = real_mask(one.first.origin, images[one.first.references[0]])
        to_index = np.linalg.inv(grid.affine_lps_mm)[:3, :3]
        areas = [
            polygon_area((contour.points_lps_mm @ to_index.T)[:, :2])
            for contour in contours_of(dataset, 1)
        ]
        assert placed.mask.sum() == pytest.approx(sum(areas), rel=0.01)
        assert placed.remarks == ()
