"""Pictures: right size, both contours there, upright, and the same bytes every time."""

from __future__ import annotations

import os
from pathlib import Path

import matplotlib
import matplotlib.image
import numpy as np
import pytest

from nnunet_pst.evaluation.overlays import (
    PREDICTION_COLOR,
    REFERENCE_COLOR,
    CaseView,
    crop_box,
    draw_case,
    draw_contact_sheet,
    draw_thumbnail,
    for_display,
    gray_window,
    shown_slices,
)
from nnunet_pst.io.geometry import Grid
from nnunet_pst.io.volumes import read_image, read_mask

STS = Path(
    os.environ.get("NNUNET_PST_TEST_DATA", Path(__file__).parents[4] / "shared" / "data")
).joinpath("sts")


def view(reference: np.ndarray, prediction: np.ndarray, **changes: object) -> CaseView:
    ramp = np.arange(reference.size, dtype=float).reshape(reference.shape)
    settings: dict[str, object] = {
        "name": "PST_0001_T2",
        "dice": 0.5,
        "image": ramp,
        "spacing_zyx_mm": (5.0, 1.0, 1.0),
        "half_width": 1,
    }
    return CaseView(reference=reference, prediction=prediction, **(settings | changes))


def box(shape: tuple[int, int, int], *corners: slice) -> np.ndarray:
    mask = np.zeros(shape, dtype=np.uint8)
    mask[corners] = 1
    return mask


SHAPE = (8, 60, 80)
REFERENCE = box(SHAPE, slice(2, 6), slice(20, 40), slice(30, 55))
PREDICTION = box(SHAPE, slice(3, 7), slice(24, 46), slice(26, 50))


def pixels_of(color: str, picture: np.ndarray) -> int:
    """Pixels of nearly that color; ``picture`` is (row, column, RGB) in 0..1."""
    wanted = np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return int((np.abs(picture[..., :3] - wanted).max(axis=-1) < 0.02).sum())


def test_an_overlay_shows_both_contours(tmp_path: Path):
    draw_case(view(REFERENCE, PREDICTION), tmp_path / "case.png")
    picture = matplotlib.image.imread(tmp_path / "case.png")
    assert picture.shape == (572, 1430, 4)
    assert pixels_of(REFERENCE_COLOR, picture) > 500
    assert pixels_of(PREDICTION_COLOR, picture) > 500


def test_the_same_case_gives_the_same_bytes(tmp_path: Path):
    settings = dict(matplotlib.rcParams)
    for name in ("one.png", "two.png"):
        draw_case(view(REFERENCE, PREDICTION), tmp_path / name)
        matplotlib.rcParams["font.size"] = 20  # a user's own settings change nothing
    matplotlib.rcParams["font.size"] = settings["font.size"]
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert dict(matplotlib.rcParams) == settings
    assert b"Software" not in (tmp_path / "one.png").read_bytes()


@pytest.mark.parametrize(
    ("reference", "prediction"),
    [
        (np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)),
        (REFERENCE, np.zeros(SHAPE, np.uint8)),
        (np.zeros(SHAPE, np.uint8), PREDICTION),
        (np.full(SHAPE, 2, np.uint8), PREDICTION),
        (np.ones(SHAPE, np.uint8), np.ones(SHAPE, np.uint8)),
        (np.ones((2, 3, 4), np.uint8), np.zeros((2, 3, 4), np.uint8)),
    ],
    ids=["both empty", "no prediction", "no reference", "nothing known", "all tumor", "tiny"],
)
def test_extreme_cases_are_drawn(tmp_path: Path, reference: np.ndarray, prediction: np.ndarray):
    case = view(reference, prediction, image=np.zeros(reference.shape))
    draw_case(case, tmp_path / "case.png")
    assert draw_thumbnail(case).shape == (240, 240, 3)
    assert (tmp_path / "case.png").stat().st_size > 5000


def test_shown_slices_are_the_lesions_ends_and_its_largest():
    reference = REFERENCE.copy()
    reference[4, 41, 30:50] = 1
    assert shown_slices(view(reference, PREDICTION)) == (2, 4, 5)
    assert shown_slices(view(np.zeros_like(reference), PREDICTION)) == (3, 4, 6)
    assert shown_slices(view(np.zeros_like(reference), np.zeros_like(reference))) == (4, 4, 4)


def test_the_crop_is_a_square_in_millimeters():
    left, right, top, bottom = crop_box(view(REFERENCE, PREDICTION, spacing_zyx_mm=(5, 2, 1)))
    assert (bottom - top) * 2 == pytest.approx(right - left)
    assert (left + right) / 2 == pytest.approx(42)
    assert (top + bottom) / 2 == pytest.approx(29.5)


def test_gray_levels_ignore_air_and_single_bright_voxels():
    image = np.zeros((10, 100, 100))
    image[:, :50] = np.linspace(100, 200, 50)[None, :, None]
    image[0, 0, 0] = 1e6
    low, high = gray_window(image)
    assert 100 <= low < 110
    assert 190 < high <= 200
    assert gray_window(np.zeros((2, 2, 2))) == (0.0, 1.0)


def test_wide_pixels_are_drawn_wide():
    disc_rows, disc_columns = np.mgrid[:60, :80]
    disc = (((disc_rows - 30) ** 2 + ((disc_columns - 40) * 2) ** 2) < 20**2).astype(np.uint8)
    reference = np.stack([disc] * 3)
    tile = draw_thumbnail(
        view(
            reference,
            np.zeros_like(reference),
            image=np.zeros(reference.shape),
            spacing_zyx_mm=(5.0, 1.0, 2.0),
        )
    )
    rows, columns = np.nonzero(tile[..., 0] > 150)
    assert np.ptp(rows) == pytest.approx(np.ptp(columns), abs=4)


@pytest.mark.parametrize(
    ("direction", "flipped"),
    [
        ((1, 0, 0, 0, 1, 0, 0, 0, 1), (False, False)),  # axial as radiologists look at it
        ((1, 0, 0, 0, -1, 0, 0, 0, 1), (True, False)),  # rows from posterior to anterior
        ((-1, 0, 0, 0, -1, 0, 0, 0, 1), (True, True)),
        ((1, 0, 0, 0, 0, 1, 0, -1, 0), (False, False)),  # coronal, head up
        ((1, 0, 0, 0, 0, 1, 0, 1, 0), (True, False)),  # coronal, head down
        ((0, 0, 1, 1, 0, 0, 0, -1, 0), (False, False)),  # sagittal, head up, facing left
        ((0.98, 0, 0.17, 0, -1, 0, -0.17, 0, 0.98), (True, False)),  # oblique
    ],
)
def test_patients_are_shown_upright(direction: tuple[float, ...], flipped: tuple[bool, bool]):
    array = np.arange(24).reshape(2, 3, 4)
    grid = Grid((4, 3, 2), (1.0, 1.0, 5.0), (0.0, 0.0, 0.0), direction)
    expected = array[:, :: -1 if flipped[0] else 1, :: -1 if flipped[1] else 1]
    np.testing.assert_array_equal(for_display(array, grid), expected)


def test_the_contact_sheet_holds_every_case(tmp_path: Path):
    gray = [np.full((20, 20, 3), level, np.uint8) for level in (51, 102, 153, 204, 255)]
    tiles = [(f"PST_{place:04d}", place / 10, tile) for place, tile in enumerate(gray[:4])]
    draw_contact_sheet(tiles, tmp_path / "sheet.png", title="DatasetPST test")
    picture = matplotlib.image.imread(tmp_path / "sheet.png")
    assert all(
        pixels_of(f"#{level:02x}{level:02x}{level:02x}", picture) > 10_000
        for level in (51, 102, 153, 204)
    )
    # The lowest Dice stands first: its gray is left of the highest one's.
    columns = [np.nonzero(np.abs(picture[..., 0] - level / 255) < 0.01)[1] for level in (51, 204)]
    assert np.median(columns[0]) < np.median(columns[1])


@pytest.mark.skipif(not STS.is_dir(), reason="the sarcoma patients are not on this machine")
def test_a_real_patient(tmp_path: Path):
    image = read_image(STS / "STS_001_T1.nii.gz")
    mask = read_mask(STS / "STS_001_label.nii.gz").array.astype(np.uint8)
    case = view(
        mask,
        np.roll(mask, 4, axis=2),
        image=image.array,
        spacing_zyx_mm=image.grid.spacing_zyx_mm,
        half_width=5,
    )
    draw_case(case, tmp_path / "case.png")
    picture = matplotlib.image.imread(tmp_path / "case.png")
    assert pixels_of(REFERENCE_COLOR, picture) > 1000
    assert pixels_of(PREDICTION_COLOR, picture) > 1000
