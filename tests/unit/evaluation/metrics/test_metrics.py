"""Measures of a case: what is declared is what is done, and what published programs say."""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from scipy import ndimage

from nnunet_pst.evaluation.metrics.case import measure_case
from nnunet_pst.evaluation.metrics.extent import measure_size
from nnunet_pst.evaluation.metrics.lesions import components, detection
from nnunet_pst.evaluation.metrics.measures import MEASURES, by_name, measures, where_found
from nnunet_pst.evaluation.metrics.surface import (
    average_distance_mm,
    hausdorff_mm,
    surface_dice,
    surface_distances,
)
from nnunet_pst.io.volumes import read_mask

SHAPE, SPACING = (4, 5, 6), (5.0, 0.8, 1.1)
DIAGONAL = math.hypot(3 * 5.0, 4 * 0.8, 5 * 1.1)
NOTHING = np.zeros(SHAPE, np.uint8)
SOMETHING = NOTHING.copy()
SOMETHING[1:3, 1:3, 2:4] = 1
UNKNOWN = np.full(SHAPE, 2, np.uint8)

SARCOMAS = Path(__file__).parents[5] / "shared" / "data" / "sts"
#: Small ones, and what a model might make of them; shifts are in voxels.
NAMES = ("STS_002", "STS_019", "STS_025")
CHANGES = {
    "shifted": lambda mask: ndimage.shift(mask, (1, 3, -2), order=0),
    "dilated": lambda mask: ndimage.binary_dilation(mask, iterations=2),
    "eroded": lambda mask: ndimage.binary_erosion(mask, iterations=1),
}


@pytest.fixture(params=[(name, change) for name in NAMES for change in CHANGES], ids="-".join)
def sarcoma(request) -> tuple[np.ndarray, np.ndarray, tuple[float, float, float]]:
    """A real mask of thick slices, a changed copy, and the spacing."""
    name, change = request.param
    path = SARCOMAS / f"{name}_label.nii.gz"
    if not path.is_file():
        pytest.skip("the sarcoma masks are not here")
    mask = read_mask(path)
    return mask.array, CHANGES[change](mask.array), mask.grid.spacing_zyx_mm


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.name)
@pytest.mark.parametrize(
    ("case", "reference", "prediction"),
    [
        ("without_reference", NOTHING, SOMETHING),
        ("without_prediction", SOMETHING, NOTHING),
        ("without_both", NOTHING, NOTHING),
        ("without_both", UNKNOWN, SOMETHING),  # nothing known is nothing there
    ],
)
def test_empty_masks_are_worth_what_is_declared(measure, case, reference, prediction):
    value = measure_case(reference, prediction, spacing_zyx_mm=SPACING)[measure.name]
    rule = getattr(measure, case)
    if rule == "measured":
        # Numbers and errors of sizes, counted; the other mask's, where the one is empty.
        assert not math.isnan(value) or "not defined" in measure.empty
    else:
        expected = {None: math.nan, "diagonal": DIAGONAL}.get(rule, rule)
        assert value == pytest.approx(expected, nan_ok=True)


def test_a_tumor_is_found_by_a_voxel_of_it():
    aside, touching = NOTHING.copy(), NOTHING.copy()
    aside[0, 0, 0] = 1
    touching[0:2, 1, 2] = 1
    lost = measure_case(SOMETHING, aside, spacing_zyx_mm=SPACING)
    assert (lost["found"], lost["dice"]) == (0, 0)
    assert math.isnan(lost["hd95_found_mm"])
    assert lost["hd95_mm"] > 0
    found = measure_case(SOMETHING, touching, spacing_zyx_mm=SPACING)
    assert found["found"] == 1
    for name in ("dice", "hd95_mm", "assd_mm"):
        assert found[where_found(name)] == found[name]
    assert math.isnan(found["specificity"])
    assert math.isnan(found["false_alarms"])


def test_an_alarm_without_a_tumor_is_counted():
    two = NOTHING.copy()
    two[0, 0, 0] = two[3, 4, 5] = 1
    values = measure_case(NOTHING, two, spacing_zyx_mm=SPACING)
    assert (values["false_alarms"], values["specificity"]) == (2, 0)
    quiet = measure_case(NOTHING, NOTHING, spacing_zyx_mm=SPACING)
    assert (quiet["false_alarms"], quiet["specificity"]) == (0, 1)
    assert math.isnan(quiet["found"])


def test_an_empty_mask_measures_nothing():
    values = measure_case(NOTHING, SOMETHING, spacing_zyx_mm=SPACING)
    assert values["volume_error_ml"] == values["predicted_ml"] == pytest.approx(8 * 4.4 / 1000)
    assert values["extent_error_slices"] == 2
    assert values["false_positive_lesions"] == 1
    values = measure_case(SOMETHING, NOTHING, spacing_zyx_mm=SPACING)
    assert values["volume_error_percent"] == 100
    assert values["dice_in_window"] == 0
    assert values["false_positive_lesions"] == 0


def test_declarations_are_whole():
    names = [measure.name for measure in MEASURES]
    assert len(set(names)) == len(names)
    assert list(measure_case(SOMETHING, SOMETHING, spacing_zyx_mm=SPACING)) == names
    json.dumps([asdict(measure) for measure in MEASURES], allow_nan=False)
    assert all(measure.worst is None for measure in MEASURES if measure.best is None)
    assert by_name()["dice"].larger_is_better
    assert by_name()["hd95_mm"].larger_is_better is False
    assert by_name()["reference_ml"].larger_is_better is None


def test_other_tolerances():
    values = measure_case(SOMETHING, SOMETHING, spacing_zyx_mm=SPACING, tolerances_mm=(0.5, 4))
    assert [measure.name for measure in measures((0.5, 4))] == list(values)
    assert "nsd_0.5mm" in values
    assert "nsd_2mm" not in values


def test_a_moved_block_by_hand():
    moved = np.roll(SOMETHING, 1, axis=0)
    distances = surface_distances(SOMETHING == 1, moved == 1, SPACING)
    assert hausdorff_mm(distances, 100) == 5.0
    assert 0 < average_distance_mm(distances) < 5.0
    assert surface_dice(distances, 5.0) == 1.0
    with pytest.raises(ValueError):
        surface_distances(NOTHING == 1, moved == 1, SPACING)


def test_surfaces_agree_with_their_authors(sarcoma):
    """Within 0.1 mm (HD95), 0.01 mm (average) and 0.002 (NSD).

    The authors' table gives other areas where a cell's tumor corners touch only crosswise.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of SciPy's old names
        theirs = pytest.importorskip("surface_distance")
        found = theirs.compute_surface_distances(*sarcoma)
    ours = surface_distances(*sarcoma)
    sides = (
        ("distances_gt_to_pred", "surfel_areas_gt"),
        ("distances_pred_to_gt", "surfel_areas_pred"),
    )
    total = sum(float(np.dot(found[mm], found[area])) for mm, area in sides)
    average = total / sum(found[area].sum() for _, area in sides)
    assert hausdorff_mm(ours) == pytest.approx(theirs.compute_robust_hausdorff(found, 95), abs=0.1)
    assert average_distance_mm(ours) == pytest.approx(average, abs=0.01)
    for tolerance in (2, 3):
        expected = theirs.compute_surface_dice_at_tolerance(found, tolerance)
        assert surface_dice(ours, tolerance) == pytest.approx(expected, abs=0.002)


def test_everything_else_agrees_with_simpleitk(sarcoma):
    reference, prediction, spacing = sarcoma
    values = measure_case(
        reference.astype(np.uint8), prediction.astype(np.uint8), spacing_zyx_mm=spacing
    )
    images = [sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in (reference, prediction)]
    for image in images:
        image.SetSpacing(spacing[::-1])
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(*images)
    assert values["dice"] == pytest.approx(overlap.GetDiceCoefficient())
    assert values["iou"] == pytest.approx(overlap.GetJaccardCoefficient())
    hausdorff = sitk.HausdorffDistanceImageFilter()
    hausdorff.Execute(*images)
    distances = surface_distances(reference, prediction, spacing)
    # Between masks, not surfaces: as far apart, up to half a voxel.
    assert hausdorff_mm(distances, 100) == pytest.approx(
        hausdorff.GetHausdorffDistance(), abs=math.hypot(*spacing) / 2
    )
    for image, which in zip(images, ("reference", "predicted"), strict=True):
        check_sizes(image, {key: values[f"{which}_{key}"] for key in SIZES}, spacing)


SIZES = ("ml", "lesions", "extent_slices", "diameter_mm")


def check_sizes(image: sitk.Image, values: dict[str, float], spacing: tuple) -> None:
    """Compare the sizes of one mask."""
    lesions = sitk.ConnectedComponent(image, True)
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(image)
    assert values["ml"] == pytest.approx(shape.GetPhysicalSize(1) / 1000)
    assert values["extent_slices"] == shape.GetBoundingBox(1)[5]
    farthest = 0.0
    flat = sitk.LabelShapeStatisticsImageFilter()
    flat.ComputeFeretDiameterOn()
    for z in range(image.GetDepth()):
        flat.Execute(lesions[:, :, z])
        farthest = max([farthest, *(flat.GetFeretDiameter(label) for label in flat.GetLabels())])
    # Theirs runs between pixel centers, ours between outer edges.
    assert farthest <= values["diameter_mm"] <= farthest + math.hypot(*spacing[1:]) + 1e-6
    assert values["lesions"] == sitk.GetArrayViewFromImage(lesions).max()


def test_a_lesion_is_found_by_a_tenth_of_it():
    reference = np.zeros((1, 3, 20), bool)
    reference[0, 0, :10] = True
    prediction = np.zeros_like(reference)
    prediction[0, 0, 9:19] = True  # one voxel in common
    found = detection(components(reference), components(prediction))
    assert (found.found, found.right, found.invented) == (1, 1, 0)
    prediction[0, 0, 19] = True  # a larger prediction, of which this is less than a tenth
    prediction[0, 2, 0] = True  # a voxel of its own
    found = detection(components(reference), components(prediction))
    assert (found.found, found.predicted, found.right, found.invented) == (1, 2, 0, 2)
    assert (found.recall, found.precision, found.f1) == (1.0, 0.0, 0.0)


def test_a_diameter_never_spans_two_lesions():
    mask = np.zeros((3, 5, 30), bool)
    mask[1, 2, 0:3] = mask[1, 2, 25] = True
    size = measure_size(components(mask), (4.0, 1.0, 2.0))
    assert size.diameter_mm == pytest.approx(math.hypot(6, 1))
    assert size.extent_slices == 1
    assert size.volume_ml == pytest.approx(4 * 8 / 1000)
