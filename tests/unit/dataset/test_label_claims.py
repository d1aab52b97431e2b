"""What the labels of a conversion claim, from files to files, and what is said about it."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from nnunet_pst.dataset.annotation import LabelRules
from nnunet_pst.dataset.conversion import convert_cohort
from nnunet_pst.dataset.conversion_settings import ConversionSettings
from nnunet_pst.errors import Fault, InputError
from nnunet_pst.labels import BACKGROUND, IGNORE, TUMOR

ORIGIN = (-12.0, 7.0, 30.0)


def label_of(raw: Path, case: str, folder: str = "labelsTr") -> np.ndarray:
    return sitk.GetArrayFromImage(
        sitk.ReadImage(str(raw / "DatasetPST" / folder / f"{case}.nii.gz"))
    )


def slice_values(label: np.ndarray) -> list[list[int]]:
    return [np.unique(image).tolist() for image in label]


def long_lesion() -> np.ndarray:
    """A fine mask on the cohort's grid, with tumor on slices 2 to 13."""
    mask = np.zeros((16, 18, 20), dtype=np.uint8)
    mask[2:14, 6:12, 6:12] = 1
    return mask


def with_rules(**rules: object) -> ConversionSettings:
    return ConversionSettings(rules=LabelRules(**rules))


@pytest.mark.parametrize("clicks", [True, False])
def test_undrawn_slices_within_the_window_are_unknown(cohort_files, raw: Path, clicks: bool):
    cells = {"T2_first": 2, "T2_last": 13} if clicks else {}
    cohort_files.add("a", label_kind="coarse", **cells)
    drawn = long_lesion()
    drawn[:7] = drawn[10:] = 0
    cohort_files.image("a_T2_label.nii.gz", drawn)
    summary = convert_cohort(cohort_files.table, "DatasetPST")
    free = [[BACKGROUND]] if clicks else [[IGNORE]]
    beyond, between = free * 2, [[IGNORE]]
    assert slice_values(label_of(raw, "PST_0001_T2")) == (
        beyond + between * 5 + [[BACKGROUND, TUMOR]] * 3 + between * 4 + beyond
    )
    assert summary.known == 3
    assert any("no slice without tumor" in note for note in summary.notes) != clicks
    assert any("--coarse-slices 1 fits" in note for note in summary.notes)


def test_several_lesions_are_told_of_and_ranges_keep_them_apart(cohort_files, raw: Path):
    two = np.zeros((16, 18, 20), dtype=np.uint8)
    two[2:5, 2:5, 2:5] = 1
    two[7:10, 10:14, 10:16] = 1
    cohort_files.add("a", label_kind="coarse")
    cohort_files.image("a_T2_label.nii.gz", two)
    notes = convert_cohort(cohort_files.table, "DatasetPST").notes
    assert any(n.startswith("PST_0001_T2 (row 2): 2 separate parts") for n in notes)
    cohort_files.rows[0]["T2_extent"] = "2-8;6-12"
    notes = convert_cohort(cohort_files.table, "DatasetPST").notes
    assert any("on slices 7-8 a lesion is not drawn" in n for n in notes)
    assert slice_values(label_of(raw, "PST_0001_T2")) == (
        [[0]] * 2 + [[0, 1]] * 3 + [[2]] * 2 + [[1, 2]] * 2 + [[0, 1]] + [[2]] * 3 + [[0]] * 3
    )
    cases = (raw / "DatasetPST" / "cases.csv").read_text().splitlines()
    assert cases[1].startswith('PST_0001_T2,PST_0001,T2,train,coarse,"2-4,7-9",2,12,')


def fine_stack(mask: np.ndarray, factor: int) -> sitk.Image:
    """The mask on slices that many times thinner, in the same place."""
    image = sitk.GetImageFromArray(np.repeat(mask, factor, axis=0))
    spacing = 5.0 / factor
    image.SetSpacing((1.5, 1.5, spacing))
    image.SetOrigin((*ORIGIN[:2], ORIGIN[2] - 2.5 + spacing / 2))
    return image


@pytest.mark.parametrize("drawn_thin", [(22, 29), (24, 26), (12, 37)])
def test_a_mask_on_thinner_slices_claims_only_what_was_drawn(cohort_files, raw: Path, drawn_thin):
    cohort_files.add("a", label_kind="coarse")
    thin = fine_stack(long_lesion(), 3)
    array = sitk.GetArrayFromImage(thin)
    array[: drawn_thin[0]] = array[drawn_thin[1] :] = 0
    coarse = sitk.GetImageFromArray(array)
    coarse.CopyInformation(thin)
    sitk.WriteImage(coarse, str(cohort_files.folder / "a_T2_label.nii.gz"))
    convert_cohort(cohort_files.table, "DatasetPST")
    label, truth = label_of(raw, "PST_0001_T2"), long_lesion().astype(bool)
    assert not (label[truth] == BACKGROUND).any()
    assert not (label[~truth] == TUMOR).any()
    drawn = [z for z in range(16) if drawn_thin[0] <= 3 * z + 1 < drawn_thin[1]]
    assert [z for z in range(16) if (label[z] != IGNORE).any()] == drawn


def test_a_mask_on_thicker_slices_and_whose_slices_are_counted(cohort_files, raw: Path):
    cohort_files.add("a", label_kind="coarse", T2_first=2, T2_last=13)
    thick = sitk.GetImageFromArray(long_lesion()[::2])
    thick.SetSpacing((1.5, 1.5, 10.0))
    thick.SetOrigin((*ORIGIN[:2], ORIGIN[2] + 2.5))
    sitk.WriteImage(thick, str(cohort_files.folder / "a_T2_label.nii.gz"))
    summary = convert_cohort(cohort_files.table, "DatasetPST")
    assert any("slices of the image (16), not of the mask (8)" in n for n in summary.notes)


def test_slices_that_a_fine_mask_does_not_reach_are_told_of(cohort_files, raw: Path):
    cohort_files.add("a", label_kind="fine")
    path = str(cohort_files.folder / "a_T2_label.nii.gz")
    sitk.WriteImage(sitk.ReadImage(path)[:, :, 4:13], path)
    summary = convert_cohort(cohort_files.table, "DatasetPST")
    assert any("does not reach slices 0-3,13-15" in n for n in summary.notes)


@pytest.mark.parametrize("split", ["test", "val"])
@pytest.mark.parametrize("rules", [{"unknown": "background"}, {"far_negatives": True}])
def test_ablations_leave_the_labels_of_references(cohort_files, raw: Path, split: str, rules):
    for patient, its_split in (("a", "train"), ("b", split)):
        cohort_files.add(patient, label_kind="coarse", split=its_split)
    folder = "labelsTs" if split == "test" else "labelsTr"
    written = []
    for settings in (with_rules(), with_rules(**rules)):
        summary = convert_cohort(cohort_files.table, "DatasetPST", settings, overwrite=True)
        written.append(
            (label_of(raw, "PST_0001_T2"), label_of(raw, "PST_0002_T2", folder), summary.notes)
        )
    assert (written[0][0] != written[1][0]).any()
    assert (written[0][1] == written[1][1]).all()
    assert (written[1][1] == IGNORE).any()
    if "unknown" in rules:
        assert any("--unknown background" in note for note in written[1][2])


def test_an_ablation_leaves_carried_references_too(cohort_files, raw: Path):
    cohort_files.add("a", ("T1", "T2"), label_kind="coarse")
    cohort_files.add("b", ("T1", "T2"), label_kind="coarse", split="test")
    for row in cohort_files.rows:
        row["T1_label"] = ""
    from nnunet_pst.registration.policy import RegistrationSettings

    settings = ConversionSettings(
        labels_from="T2",
        rules=LabelRules(unknown="background"),
        registration=RegistrationSettings(engine="none"),
    )
    convert_cohort(cohort_files.table, "DatasetPST", settings)
    assert IGNORE not in label_of(raw, "PST_0001_T1")
    assert IGNORE in label_of(raw, "PST_0002_T1", "labelsTs")


def test_empty_label_kinds_are_told_of(cohort_files, raw: Path):
    cohort_files.add("a", label_kind="")
    cohort_files.add("b", label_kind="", T2_first=3, T2_last=12)
    cohort_files.add("c", label_kind="fine")
    notes = convert_cohort(cohort_files.table, "DatasetPST").notes
    assert (
        "label_kind is empty for 2 masks: 1 count as fine, drawn on every slice, 1 as coarse"
        in notes
    )


def test_a_test_mask_that_contradicts_its_clicks_is_refused(cohort_files, raw: Path):
    cohort_files.add("a")
    cohort_files.add("b", split="test", T2_first=3, T2_last=15)
    with pytest.raises(InputError) as caught:
        convert_cohort(cohort_files.table, "DatasetPST")
    assert caught.value.fault is Fault.CONTRADICTION
    assert "label_kind" in str(caught.value)


@pytest.mark.parametrize("inverted", [False, True])
def test_masks_of_everything_are_refused(cohort_files, raw: Path, inverted: bool):
    cohort_files.add("a")
    mask = np.ones((16, 18, 20), dtype=np.uint8) if not inverted else 1 - long_lesion()
    cohort_files.image("a_T2_label.nii.gz", mask)
    with pytest.raises(InputError) as caught:
        convert_cohort(cohort_files.table, "DatasetPST")
    assert caught.value.fault is Fault.VALUES
    assert "row 2, column T2_label: a_T2_label.nii.gz" in str(caught.value)


@pytest.mark.parametrize(
    ("cells", "fault"),
    [
        ({"T2_extent": "6-9;x"}, Fault.MALFORMED),
        ({"T2_extent": "9-6"}, Fault.MALFORMED),
        ({"T2_extent": "19-Jun"}, Fault.MALFORMED),
        ({"T2_extent": "6-9", "T2_first": 6, "T2_last": 9}, Fault.CONTRADICTION),
        ({"T2_extent": "7-10"}, Fault.CONTRADICTION),
        ({"T2_extent": "6-16"}, Fault.OUT_OF_RANGE),
    ],
)
def test_ranges_of_lesions_that_are_refused(cohort_files, raw: Path, cells, fault: Fault):
    cohort_files.add("a", label_kind="coarse", **cells)
    mask = long_lesion()
    mask[:6] = mask[10:] = 0
    cohort_files.image("a_T2_label.nii.gz", mask)
    with pytest.raises(InputError) as caught:
        convert_cohort(cohort_files.table, "DatasetPST")
    assert fault in caught.value.faults


def test_an_image_without_orientation_is_told_of(cohort_files, raw: Path):
    cohort_files.add("a")
    path = cohort_files.folder / "a_T2.nii.gz"
    data = bytearray(gzip.decompress(path.read_bytes()))
    data[252:256] = bytes(4)
    path.write_bytes(gzip.compress(bytes(data)))
    mask = cohort_files.folder / "a_T2_label.nii.gz"
    label = sitk.ReadImage(str(mask))
    label.CopyInformation(sitk.ReadImage(str(path)))
    sitk.WriteImage(label, str(mask))
    notes = convert_cohort(cohort_files.table, "DatasetPST").notes
    assert any("a_T2.nii.gz does not say where the image is" in note for note in notes)
