"""The phantom: its truth is exact, its patients are the paper's in proportion, its bytes repeat."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage, stats
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from nnunet_pst.dataset.cohort_table import parse_cohort
from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.geometry import Grid
from nnunet_pst.io.volumes import lesion_count, read_image, read_mask
from nnunet_pst.phantom import cohort, patients
from nnunet_pst.phantom.acquisition import SEQUENCES, Protocol, returning_fat, tissue_signals
from nnunet_pst.phantom.cohort import (
    COARSE_SLICES,
    CohortPlan,
    RenderedPatient,
    assign_splits,
    render_patient,
    write_cohort,
)
from nnunet_pst.phantom.patients import draw_patient
from nnunet_pst.phantom.scanning import sample
from nnunet_pst.phantom.tissues import PROPERTIES, Properties, Tissue
from nnunet_pst.phantom.tumor import draw_tumor, even_directions, largest_diameter_mm

PLAN = CohortPlan(patients=3, seed=5, coarse=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom")
    write_cohort(folder, PLAN)
    return folder


@pytest.fixture(scope="module")
def rendered() -> list[RenderedPatient]:
    return [render_patient(draw_patient(0, number), 0, "small") for number in range(6)]


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def truths(folder: Path) -> dict[str, dict]:
    return {p.stem: json.loads(p.read_text()) for p in (folder / "truth").glob("phantom-*.json")}


# --- the patients ---


@pytest.fixture(scope="module")
def crowd() -> list[patients.PatientFacts]:
    return [draw_patient(0, number) for number in range(400)]


@pytest.mark.parametrize(
    ("field", "counts"),
    [
        ("sex", patients.SEX_COUNTS),
        ("location", patients.LOCATION_COUNTS),
        ("malignancy", patients.MALIGNANCY_COUNTS),
    ],
)
def test_400_patients_have_the_papers_proportions(crowd, field, counts):
    found = [sum(getattr(one, field) == name for one in crowd) for name in counts]
    expected = np.array(list(counts.values())) * len(crowd) / sum(counts.values())
    assert sum(found) == len(crowd)
    assert stats.chisquare(found, expected).pvalue > 0.05


@pytest.mark.parametrize(
    ("field", "mean", "deviation"), [("size_cm", 10.0, 4.4), ("age", 42.1, 17.8)]
)
def test_400_patients_have_the_papers_size_and_age(crowd, field, mean, deviation):
    values = np.array([getattr(one, field) for one in crowd], dtype=float)
    assert stats.ttest_1samp(values, mean).pvalue > 0.05
    assert values.std(ddof=1) == pytest.approx(deviation, rel=0.1)


def test_a_patient_does_not_depend_on_the_others(crowd):
    assert crowd[7] == draw_patient(0, 7) != draw_patient(1, 7)


def test_test_patients_are_the_papers_share_of_every_kind(crowd):
    splits = assign_splits(crowd)
    test = [one for one in crowd if splits[one.name] == "test"]
    assert len(test) == round(400 * 116 / 616)
    shares = [np.mean([one.location == "sacrum" for one in group]) for group in (crowd, test)]
    assert shares[0] == pytest.approx(shares[1], abs=0.03)
    assert set(assign_splits(crowd[:1]).values()) == {"train"}


# --- the tumor ---


@pytest.mark.parametrize("number", range(8))
def test_a_tumor_has_the_size_that_the_table_says(number):
    facts = draw_patient(3, number)
    tumor = draw_tumor(facts, np.random.default_rng(number))
    assert largest_diameter_mm(tumor, 5000) == pytest.approx(facts.size_cm * 10, rel=0.01)


def test_the_surface_is_at_depth_1_and_displaced_tissue_never_crosses():
    tumor = draw_tumor(draw_patient(0, 0), np.random.default_rng(0))
    rays = even_directions(50)
    surface = tumor.center.astype(np.float32) + rays * tumor.reach_mm(rays)[:, None]
    assert tumor.depth(surface) == pytest.approx(1, abs=1e-4)
    steps = np.linspace(0.2, 4, 60, dtype=np.float32)
    line = tumor.center.astype(np.float32) + rays[0] * steps[:, None] * 40
    before = np.linalg.norm(tumor.origin_of(line) - tumor.center, axis=1)
    assert (np.diff(before) > 0).all()


def test_the_drawn_tumor_has_that_size_too(rendered):
    for patient in rendered:
        anatomy = patient.anatomy
        points = np.argwhere(anatomy.tumor_mm > 0) * np.asarray(anatomy.spacing_zyx_mm)
        found = pdist(points[ConvexHull(points).vertices]).max()
        # Both ends are up to half a voxel's diagonal inside.
        voxel = np.linalg.norm(anatomy.spacing_zyx_mm)
        assert found == pytest.approx(patient.facts.size_cm * 10, abs=voxel)


def test_a_label_is_the_inside_of_the_tumor_on_every_grid(rendered):
    for patient in rendered[:2]:
        for sequence in ("T2", "DWI"):
            everywhere = sample(patient.anatomy, patient.anatomy.tumor_mm, patient.scans[sequence])
            assert np.array_equal(patient.labels[sequence].array > 0, everywhere > 0)


def test_every_label_is_one_piece_inside_the_volume(rendered):
    for patient in rendered:
        for label in patient.labels.values():
            assert lesion_count(label.array > 0) == 1
            assert not label.array[0].any()
            assert not label.array[-1].any()


# --- the images ---


def signals(**protocol) -> dict[str, float]:
    table = {
        name: np.array([getattr(PROPERTIES[tissue], name) for tissue in Tissue], dtype=float)
        for name in Properties.__dataclass_fields__
    }
    made = tissue_signals(Protocol(matrix=1, field_mm=1, slice_mm=1, **protocol), table)
    return {tissue.name: float(made[tissue]) for tissue in Tissue}


T1 = {"sequence": "T1", "tr_ms": 550, "te_ms": 11}
T2 = {"sequence": "T2", "tr_ms": 4000, "te_ms": 90}
DWI = {"sequence": "DWI", "tr_ms": 5000, "te_ms": 72, "fat_suppressed": True, "b_value": 1000}
CET1 = {**T1, "sequence": "CET1", "fat_suppressed": True}


@pytest.mark.parametrize(
    ("protocol", "order"),
    [
        (T1, ["FAT", "MARROW", "MUSCLE", "URINE", "CORTEX"]),
        (T2, ["URINE", "FAT", "TUMOR", "PROSTATE", "MUSCLE", "CORTEX"]),
        ({**T2, "fat_suppressed": True}, ["URINE", "TUMOR", "PROSTATE", "MUSCLE", "FAT"]),
        (DWI, ["TUMOR", "PROSTATE", "MUSCLE", "CORTEX"]),
        (CET1, ["TUMOR", "MUSCLE", "NECROSIS", "FAT"]),
    ],
)
def test_tissues_are_as_bright_as_they_are_in_people(protocol, order):
    found = signals(**protocol)
    assert sorted(order, key=lambda name: -found[name]) == order


def test_the_tumor_stands_out_most_on_t2_and_least_on_t1():
    contrast = {}
    for protocol in (T1, T2, DWI, CET1):
        found = signals(**protocol)
        contrast[protocol["sequence"]] = abs(np.log(found["TUMOR"] / found["MUSCLE"]))
    assert min(contrast, key=lambda name: contrast[name]) == "T1"
    assert max(contrast, key=lambda name: contrast[name]) == "T2"


def test_brightness_alone_does_not_find_the_tumor(rendered):
    def dice_of_brightest(patient: RenderedPatient) -> float:
        image, truth = patient.images["T2"].array, patient.labels["T2"].array > 0
        # The best threshold for this patient, which needs its label.
        best = 0.0
        for level in np.percentile(image[image > image.mean()], np.arange(5, 100, 5)):
            pieces, count = ndimage.label(image >= level)
            if not count:
                continue
            largest = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
            best = max(best, 2 * (largest & truth).sum() / (largest.sum() + truth.sum()))
        return float(best)

    assert np.mean([dice_of_brightest(patient) for patient in rendered]) < 0.5


def test_clutter_hides_the_tumor():
    facts = draw_patient(3, 1)
    plain = render_patient(facts, 3, "small")
    hidden = render_patient(facts, 3, "small", cluttered=True)
    assert np.isin([Tissue.RED_MARROW, Tissue.COLLAPSED_BOWEL], hidden.anatomy.tissue).all()
    assert not np.isin([Tissue.RED_MARROW, Tissue.COLLAPSED_BOWEL], plain.anatomy.tissue).any()

    def share_as_bright(patient: RenderedPatient) -> float:
        image, truth = patient.images["T2"].array, patient.labels["T2"].array > 0
        low, high = np.percentile(image[truth], (25, 75))
        alike = (image >= low) & (image <= high)
        return float((alike & truth).sum() / alike.sum())

    assert share_as_bright(hidden) < 0.5 * share_as_bright(plain)


def test_where_suppression_fails_fat_is_as_bright_as_without_it():
    protocol = Protocol(matrix=1, field_mm=1, slice_mm=1, **{**T2, "fat_suppressed": True})
    table = {
        name: np.array([getattr(PROPERTIES[tissue], name) for tissue in Tissue], dtype=float)
        for name in Properties.__dataclass_fields__
    }
    back = tissue_signals(protocol, table) + returning_fat(protocol, table)
    free = signals(**T2)
    assert back[Tissue.FAT] / back[Tissue.URINE] == pytest.approx(free["FAT"] / free["URINE"])
    assert returning_fat(protocol, table)[Tissue.MUSCLE] == 0


# --- the truth ---


def fine_grid(patient: RenderedPatient) -> Grid:
    """1.5 mm everywhere around the scanner's center, large enough for any tumor."""
    z = patient.labels["T2"].grid
    middle = z.origin_lps_mm[2] + z.spacing_xyz_mm[2] * (z.size_xyz[2] - 1) / 2
    size, step = (240, 200, 190), 1.5
    first = [-(n - 1) / 2 * step for n in size]
    return Grid(size, (step,) * 3, (first[0], first[1], middle + first[2]), z.direction)


def test_undoing_the_true_motion_brings_every_label_onto_t2(rendered):
    for patient in rendered[:3]:
        grid = fine_grid(patient)
        fine = {
            name: sample(
                patient.anatomy,
                patient.anatomy.tumor_mm,
                replace(scan, grid=grid, protocol=replace(scan.protocol, slice_mm=1.5)),
            )
            for name, scan in patient.scans.items()
        }
        points = np.argwhere(fine["T2"] > -8)
        affine = grid.affine_lps_mm
        in_t2 = points[:, ::-1] * np.diag(affine)[:3] + affine[:3, 3]
        for name, scan in patient.scans.items():
            motion = scan.pose.after(patient.scans["T2"].pose.inverse()).matrix()
            there = in_t2 @ motion[:3, :3].T + motion[:3, 3]
            if scan.distortion is not None:
                appears = there.copy()
                for _ in range(20):
                    appears[:, 1] = there[:, 1] + scan.distortion.shift_mm(appears)
                there = appears
            index = (there - affine[:3, 3]) / np.diag(affine)[:3]
            moved = ndimage.map_coordinates(fine[name], index[:, ::-1].T, order=1, cval=-8) > 0
            wanted = fine["T2"][tuple(points.T)] > 0
            dice = 2 * (moved & wanted).sum() / (moved.sum() + wanted.sum())
            assert dice >= 0.97, f"{patient.facts.name} {name}"


def test_sequences_do_move_against_each_other(folder):
    for truth in truths(folder).values():
        motions = {s: np.array(v["from_T2_lps_mm"]) for s, v in truth["sequences"].items()}
        assert motions["T2"] == pytest.approx(np.eye(4), abs=1e-12)
        assert all(not np.allclose(motions[s], np.eye(4), atol=0.1) for s in ("T1", "DWI", "CET1"))
        assert truth["sequences"]["DWI"]["distortion"] is not None


# --- the files ---


def test_the_table_is_a_cohort_that_convert_takes(folder):
    cohort, problems = parse_cohort(folder / "cohort.csv")
    assert problems == []
    assert len(cohort.patients) == PLAN.patients
    assert {sequence for one in cohort.patients for sequence in one.sequences} == set(SEQUENCES)


def test_slices_outside_first_and_last_hold_no_tumor_and_coarse_masks_end_early(folder):
    rows = {one.identifier: one for one in parse_cohort(folder / "cohort.csv")[0].patients}
    for name, truth in truths(folder).items():
        for sequence, facts in truth["sequences"].items():
            mask = read_mask(folder / name / f"{sequence}_label.nii.gz").array
            drawn = np.flatnonzero(mask.any(axis=(1, 2)))
            assert facts["first"] <= drawn[0] <= drawn[-1] <= facts["last"]
            if rows[name].split == "test":
                assert (drawn[0], drawn[-1]) == (facts["first"], facts["last"])
            else:
                assert len(drawn) <= 2 * COARSE_SLICES + 1


def test_images_are_positive_int16_with_noise_in_the_air(folder):
    paths = [path for path in folder.glob("*/*.nii.gz") if "label" not in path.name]
    assert len(paths) == PLAN.patients * len(SEQUENCES)
    for path in paths:
        image = read_image(path).array
        assert image.dtype == np.int16
        assert image.min() >= 0
        assert image[:, :3, :3].std() > 0


@pytest.mark.slow
def test_two_workers_write_the_same_bytes(folder, tmp_path):
    write_cohort(tmp_path / "two", PLAN, workers=2)
    assert hashes(tmp_path / "two") == hashes(folder)


def test_a_patient_does_not_depend_on_the_size_of_the_cohort(folder, tmp_path):
    write_cohort(tmp_path, replace(PLAN, patients=1, coarse=False))
    for name, digest in hashes(tmp_path).items():
        if "phantom-0001" in name and "label" not in name:
            assert hashes(folder)[name] == digest


def test_a_killed_run_is_finished_and_leaves_no_partial_files(folder, tmp_path):
    whole = hashes(folder)
    place = tmp_path / "killed"
    (place / "truth").mkdir(parents=True)
    (place / "truth" / "plan.json").write_bytes((folder / "truth" / "plan.json").read_bytes())
    (place / "phantom-0002.unfinished").mkdir()
    (place / "phantom-0002.unfinished" / "T1.nii.gz").write_bytes(b"half")
    (place / "phantom-0001").mkdir()
    (place / "phantom-0001" / "T1.nii.gz").write_bytes(b"whole, but its truth is missing")
    write_cohort(place, PLAN)
    assert hashes(place) == whole


def test_a_disk_without_room_for_one_patient_is_left_as_it_was(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cohort, "write_volume", full)
    with pytest.raises(InputError, match="No space left"):
        write_cohort(tmp_path / "new" / "cohort", PLAN)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_one_line():
    with pytest.raises(InputError) as caught:
        write_cohort(Path("/proc/nowhere/phantom"), PLAN)
    assert caught.value.fault is Fault.UNWRITABLE


def test_another_cohort_or_other_files_are_not_overwritten(folder, tmp_path):
    with pytest.raises(InputError) as caught:
        write_cohort(folder, CohortPlan(patients=4, seed=5, coarse=True))
    assert caught.value.fault is Fault.EXISTS
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError) as caught:
        write_cohort(tmp_path, PLAN)
    assert caught.value.fault is Fault.EXISTS
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_no_file_names_its_folder(folder):
    for path in folder.rglob("*"):
        if path.suffix in {".json", ".csv"}:
            assert str(folder.parent) not in path.read_text()
