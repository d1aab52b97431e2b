"""One patient under two names, and one image under two patients."""

from __future__ import annotations

import gzip
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from nnunet_pst.dataset.cohort_table import parse_cohort
from nnunet_pst.dataset.conversion import convert_cohort
from nnunet_pst.dataset.conversion_journal import read_key, write_key
from nnunet_pst.dataset.identity import name_notes, patient_key
from nnunet_pst.errors import Fault, InputError

SAME = [
    ("M\u00fcller", "Mu\u0308ller"),
    ("Anna B", "Anna\u00a0B"),
    ("Anna B", "Anna  B"),
    ("anna", "an\u200bna"),
    ("anna", "\ufeffanna"),
    ("anna", "ANNA"),
    ("Stra\u00dfe", "STRASSE"),
    ("anna", "\uff41nna"),
    ("1", "1.0"),
    ("1", "01"),
    ("1", "1.00"),
    ("007", "7,0"),
]


def two_patients(cohort_files, first: str, second: str, split: str = "train") -> Path:
    for file_name, patient in (("one", first), ("two", second)):
        cohort_files.add(file_name)
        cohort_files.rows[-1]["patient"] = patient
    cohort_files.rows[1]["split"] = split
    return cohort_files.table


@pytest.mark.parametrize(("first", "second"), SAME)
@pytest.mark.parametrize(("split", "fault"), [("train", Fault.REPEATED), ("test", Fault.LEAK)])
def test_one_patient_in_two_spellings(cohort_files, first, second, split: str, fault: Fault):
    _, problems = parse_cohort(two_patients(cohort_files, first, second, split))
    (problem,) = problems
    assert problem.fault is fault
    assert "row 3, column patient" in problem


@pytest.mark.parametrize(
    ("first", "second"), [("1", "2"), ("1.5", "15"), ("10", "1"), ("anna", "anne"), ("0", "00x")]
)
def test_two_patients(cohort_files, first: str, second: str):
    assert parse_cohort(two_patients(cohort_files, first, second))[1] == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        *(("p1", "p01"), ("p 1", "p-1"), ("A_1", "a1"), ("O1", "01"), ("PST-l1", "PST-11")),
        *(("Anna Berg", "Berg, Anna"), ("\u0420ST-1", "PST-1"), ("Andr\u00e9", "Andre")),
    ],
)
def test_names_that_look_alike_are_told_of_by_row(cohort_files, first: str, second: str):
    cohort, problems = parse_cohort(two_patients(cohort_files, first, second))
    assert problems == []
    (note,) = name_notes(cohort.patients)
    assert "rows 2 and 3" in note
    assert first not in note


@pytest.mark.parametrize(("first", "second"), SAME[:8])
def test_a_patient_keeps_its_pseudonym_in_another_spelling(first: str, second: str, tmp_path: Path):
    write_key(tmp_path / "key.csv", {patient_key(first): "PST_0001"}, [])
    assert read_key(tmp_path / "key.csv") == {patient_key(second): "PST_0001"}


def other_compression(source: Path, target: Path) -> None:
    target.write_bytes(gzip.compress(gzip.decompress(source.read_bytes()), 1))


def other_format(source: Path, target: Path) -> None:
    image = sitk.ReadImage(str(source))
    sitk.WriteImage(
        sitk.Cast(image, sitk.sitkFloat32), str(target.with_suffix("").with_suffix(".mha"))
    )
    target.unlink()


@pytest.mark.parametrize("copy", [shutil.copyfile, other_compression, other_format])
@pytest.mark.parametrize("column", ["T2", "T2_label"])
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_copies_under_two_patients(cohort_files, raw: Path, copy, column: str, split: str):
    two_patients(cohort_files, "anna", "bert", split)
    source, target = (cohort_files.folder / str(row[column]) for row in cohort_files.rows)
    copy(source, target)
    if not target.exists():
        cohort_files.rows[1][column] = target.with_suffix("").with_suffix(".mha").name
    place = f"row 3, column {column}"
    if split == "train":
        notes = convert_cohort(cohort_files.table, "DatasetPST").notes
        assert any("same voxels" in note and place in note for note in notes)
        assert any(
            "same voxels" in n for n in convert_cohort(cohort_files.table, "DatasetPST").notes
        )
        return
    with pytest.raises(InputError) as caught:
        convert_cohort(cohort_files.table, "DatasetPST")
    (problem,) = caught.value.problems
    assert problem.fault is Fault.LEAK
    assert place in problem
    assert "row 2" in problem
    assert not (raw / "DatasetPST").exists()


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize(
    "change",
    [
        lambda array: array[:, :, ::-1],
        lambda array: array[::-1],
        lambda array: array[1:],
        lambda array: np.pad(array, ((0, 0), (3, 3), (0, 5))),
        lambda array: array[:, ::-1, ::-1],
    ],
)
def test_near_copies_under_two_patients(cohort_files, raw: Path, change, split: str):
    two_patients(cohort_files, "anna", "bert", split)
    source, target = (cohort_files.folder / str(row["T2"]) for row in cohort_files.rows)
    drawn = cohort_files.folder / str(cohort_files.rows[1]["T2_label"])
    image = sitk.ReadImage(str(source))
    changed = sitk.GetImageFromArray(np.ascontiguousarray(change(sitk.GetArrayFromImage(image))))
    changed.SetSpacing(image.GetSpacing())
    mask = sitk.Image(changed.GetSize(), sitk.sitkUInt8)
    mask.CopyInformation(changed)
    mask[5, 5, 3] = 1
    sitk.WriteImage(changed, str(target))
    sitk.WriteImage(mask, str(drawn))
    if split == "train":
        notes = convert_cohort(cohort_files.table, "DatasetPST").notes
        assert any("the same values on" in note and "row 3, column T2" in note for note in notes)
        return
    with pytest.raises(InputError) as caught:
        convert_cohort(cohort_files.table, "DatasetPST")
    assert caught.value.fault is Fault.LEAK
    assert "row 3, column T2" in caught.value.problems[0]


def test_a_copy_of_an_earlier_run_is_seen(cohort_files, raw: Path):
    cohort_files.add("anna")
    convert_cohort(cohort_files.table, "DatasetPST")
    cohort_files.add("bert", split="test")
    shutil.copyfile(cohort_files.folder / "anna_T2.nii.gz", cohort_files.folder / "bert_T2.nii.gz")
    with pytest.raises(InputError) as caught:
        convert_cohort(cohort_files.table, "DatasetPST")
    assert caught.value.fault is Fault.LEAK


def test_a_copy_for_two_sequences_of_a_patient_is_refused(cohort_files, raw: Path):
    cohort_files.add("anna", ("T1", "T2"))
    shutil.copyfile(cohort_files.folder / "anna_T1.nii.gz", cohort_files.folder / "anna_T2.nii.gz")
    with pytest.raises(InputError) as caught:
        convert_cohort(cohort_files.table, "DatasetPST")
    (problem,) = caught.value.problems
    assert problem.fault is Fault.REPEATED
    assert "row 2, column T2" in problem


@pytest.mark.parametrize("column", ["T2", "T2_label"])
def test_hard_links_are_the_same_file(cohort_files, column: str):
    two_patients(cohort_files, "anna", "bert")
    source, target = (cohort_files.folder / str(row[column]) for row in cohort_files.rows)
    target.unlink()
    os.link(source, target)
    _, (problem,) = parse_cohort(cohort_files.table)
    assert problem.fault is Fault.REPEATED
    assert f"row 3, column {column}" in problem


def test_values_and_shape_make_the_digest():
    from nnunet_pst.io.digests import voxel_digest

    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    assert voxel_digest(array) == voxel_digest(array.astype(np.float64))
    assert voxel_digest(array) != voxel_digest(array.reshape(2, 4, 3))
    assert voxel_digest(np.zeros((1, 2, 2))) == voxel_digest(-np.zeros((1, 2, 2)))


def test_slices_are_known_by_their_values_wherever_they_are():
    from nnunet_pst.io.digests import slice_digests

    array = np.random.default_rng(1).integers(1, 900, (4, 12, 10))
    digests = slice_digests(array)
    assert len(set(digests)) == 4
    assert slice_digests(array.transpose(0, 2, 1)[::-1, ::-1]) == digests[::-1]
    assert slice_digests(np.pad(array, 3)) == digests
    changed = array.copy()
    changed[2, 0, 0] += 1
    assert [a == b for a, b in zip(slice_digests(changed), digests, strict=True)] == [1, 1, 0, 1]
    assert slice_digests(np.full((2, 12, 10), 7)) == ()
