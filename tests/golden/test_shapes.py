"""New studies are never quite like the cohort: more slices, other matrices, other spacings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

pytestmark = pytest.mark.slow

#: Case to shape and spacing; the cohort has up to 11 slices of 56 x 64 pixels of 1 mm.
STUDIES = {
    "many": ((21, 56, 64), (2.5, 1.0, 1.0)),
    "one": ((1, 56, 64), (5.0, 1.0, 1.0)),
    "fine": ((4, 512, 512), (5.0, 0.125, 0.125)),
    "coarse": ((4, 32, 40), (5.0, 2.0, 2.0)),
    "wide": ((3, 128, 128), (5.0, 1.0, 1.0)),
    "oblong": ((4, 320, 200), (6.0, 0.3, 0.3)),
}


@pytest.fixture(scope="module")
def outputs(
    trained, tmp_path_factory: pytest.TempPathFactory, write_image: Callable, make_patient: Callable
) -> tuple[Path, Path]:
    """Folders of images and of the masks that ``nnUNetv2_predict`` makes of them."""
    images, masks = tmp_path_factory.mktemp("studies"), tmp_path_factory.mktemp("masks")
    for name, (shape, spacing) in STUDIES.items():
        image, _ = make_patient(5, shape, spacing)
        write_image(images / f"{name}_0000.nii.gz", image, spacing)
    trained.call(
        "nnUNetv2_predict", "-i", images, "-o", masks, "-d", "DatasetPST", "-c", "2d_5",
        "-tr", "nnUNetTrainerPST25D_tiny", "-f", "0", "-device", "cpu", "-npp", "0", "-nps", "0",
    )  # fmt: skip
    return images, masks


@pytest.mark.parametrize("name", STUDIES)
def test_masks_have_the_grid_of_their_image(outputs: tuple[Path, Path], name: str):
    images, masks = outputs
    image = sitk.ReadImage(str(images / f"{name}_0000.nii.gz"))
    mask = sitk.ReadImage(str(masks / f"{name}.nii.gz"))
    assert mask.GetSize() == image.GetSize()
    for grid in ("GetSpacing", "GetOrigin", "GetDirection"):
        assert np.allclose(getattr(mask, grid)(), getattr(image, grid)(), atol=1e-5)
    assert set(np.unique(sitk.GetArrayFromImage(mask))) <= {0, 1}


@pytest.mark.parametrize("name", ["many", "fine", "wide"])
def test_the_lesion_is_found_at_its_place(
    outputs: tuple[Path, Path], name: str, voxels: Callable, make_patient: Callable
):
    found = voxels(outputs[1] / f"{name}.nii.gz").astype(bool)
    _, lesion = make_patient(5, *STUDIES[name])
    # A flipped axis, a shifted tile or a lost slice leaves hardly any overlap.
    assert 2 * (found & (lesion > 0)).sum() / (found.sum() + lesion.sum()) > 0.3
