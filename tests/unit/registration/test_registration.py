"""Registration: direction, determinism, known motion, and every rejection."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from nnunet_pst.errors import Fault, HostError, InputError
from nnunet_pst.io.geometry import Grid
from nnunet_pst.io.volumes import Volume, read_image, write_volume
from nnunet_pst.labels import IGNORE
from nnunet_pst.phantom.cohort import RenderedPatient, render_patient
from nnunet_pst.phantom.patients import draw_patient
from nnunet_pst.registration import ants_backend, policy
from nnunet_pst.registration.pictures import draw_registration
from nnunet_pst.registration.policy import (
    Obstacle,
    Placement,
    Registration,
    RegistrationSettings,
    register,
    require_engine,
)
from nnunet_pst.registration.preparation import evenly_lit
from nnunet_pst.registration.quality import Alignment
from nnunet_pst.registration.resampling import carry_label, resample_image
from nnunet_pst.registration.transforms import SpatialTransform, read_transform, write_transform

CHECKOUT = Path(__file__).parents[3]
DATA = CHECKOUT.parent / "shared" / "data"
FAST = RegistrationSettings(engine="simpleitk")


def grid(size=(12, 10, 8), spacing=(2.0, 2.0, 5.0), origin=(-10.0, 3.0, 40.0)) -> Grid:
    return Grid(size, spacing, origin, (1, 0, 0, 0, 1, 0, 0, 0, 1))


def shifted(x=0.0, y=0.0, z=0.0) -> SpatialTransform:
    matrix = np.eye(4)
    matrix[:3, 3] = x, y, z
    return SpatialTransform.from_matrix(matrix)


@pytest.fixture(scope="module")
def patient() -> RenderedPatient:
    return render_patient(draw_patient(0, 1), 0, "small")


def test_a_transform_maps_the_reference_to_the_moving_image(tmp_path: Path):
    turned = np.eye(4)
    turned[:3] = [[0, -1, 0, 5], [1, 0, 0, -2], [0, 0, 1, 7]]
    transform = SpatialTransform.from_matrix(turned)
    assert transform.map_points(np.array([[1.0, 2.0, 3.0]])) == pytest.approx(
        np.array([[3, -1, 10]])
    )
    back = transform.inverse().map_points(np.array([[3.0, -1.0, 10.0]]))
    assert back == pytest.approx(np.array([[1, 2, 3]]))
    (file,) = write_transform(tmp_path / "a", transform)
    # As any other program reads it.
    assert sitk.ReadTransform(str(file)).TransformPoint((1, 2, 3)) == pytest.approx((3, -1, 10))
    assert read_transform(tmp_path / "a").matrix == pytest.approx(turned)
    first = file.read_bytes()
    write_transform(tmp_path / "a", transform)
    assert file.read_bytes() == first


@pytest.mark.parametrize("text", ["", "nonsense", "#Insight Transform File V1.0\nTransform: X\n"])
def test_a_file_without_a_transform_is_refused(tmp_path: Path, text: str):
    (tmp_path / "a.tfm").write_text(text)
    for name, fault in (("a", Fault.DAMAGED), ("b", Fault.MISSING)):
        with pytest.raises(InputError) as caught:
            read_transform(tmp_path / name)
        assert caught.value.fault is fault


def test_resampling_follows_the_transform():
    values = np.random.default_rng(0).integers(5, 90, grid().shape_zyx).astype(np.int16)
    moving = Volume(values, grid())
    # A point of the reference is two pixels further along x in the moving image.
    resampled, covered = resample_image(moving, grid(), shifted(x=4.0))
    assert (resampled.array[:, :, :-2] == values[:, :, 2:]).all()
    assert not covered[:, :, -2:].any()
    assert covered[:, :, :-2].all()
    # The stated rule: outside is air, the smallest value of the image.
    assert (resampled.array[:, :, -2:] == values.min()).all()


def test_splines_stay_in_the_range_of_the_image():
    values = np.zeros(grid().shape_zyx, dtype=np.float32)
    values[:, :, 6:] = 100
    resampled, _ = resample_image(Volume(values, grid()), grid(), shifted(x=0.7), "bspline")
    assert resampled.array.min() >= 0
    assert resampled.array.max() <= 100


def test_a_carried_label_keeps_its_three_states():
    label = np.zeros(grid().shape_zyx, dtype=np.uint8)
    label[3:5, 4:7, 4:7] = 1
    label[6:] = IGNORE
    carried = carry_label(Volume(label, grid()), grid(), shifted(z=10.0))
    assert (carried[:-2] == label[2:]).all()
    # Nothing is annotated beyond the label's grid.
    assert (carried[-2:] == IGNORE).all()


@pytest.mark.parametrize("engine", ["ants", "simpleitk"])
@pytest.mark.parametrize("sequence", ["T1", "CET1"])
def test_a_known_motion_is_found(
    patient: RenderedPatient, tmp_path: Path, engine: str, sequence: str
):
    settings = RegistrationSettings(engine=engine)
    images = patient.images["T2"], patient.images[sequence]
    registration = register(*images, settings, scratch=tmp_path)
    assert registration.accepted, registration.reason
    label = patient.labels["T2"]
    affine = label.grid.affine_lps_mm
    points = np.argwhere(label.array)[:, ::-1] @ affine[:3, :3].T + affine[:3, 3]
    scans = patient.scans
    true = scans[sequence].pose.after(scans["T2"].pose.inverse()).matrix()
    error = np.linalg.norm(
        registration.transform.map_points(points) - (points @ true[:3, :3].T + true[:3, 3]), axis=1
    )
    # Pixels are 4 mm wide here, slices 6 mm thick; benchmarks/registration.py measures the rest.
    assert np.median(error) < 1.5
    assert error.max() < 2.5
    # The engine's own files are removed.
    assert not list(tmp_path.iterdir())


SCRIPT = """
import sys
from pathlib import Path
from nnunet_pst.registration.policy import RegistrationSettings, register
from nnunet_pst.io.volumes import read_image
folder, engine = Path(sys.argv[1]), sys.argv[2]
registration = register(
    read_image(folder / "T2.nii.gz"), read_image(folder / "T1.nii.gz"),
    RegistrationSettings(engine=engine),
)
print(registration.transform.matrix.tobytes().hex())
"""


@pytest.mark.parametrize("engine", ["ants", "simpleitk"])
def test_the_same_images_give_the_same_bytes(tmp_path: Path, patient: RenderedPatient, engine):
    for sequence in ("T1", "T2"):
        write_volume(tmp_path / f"{sequence}.nii.gz", patient.images[sequence])
    # Files keep geometry in single precision, so both read it from there.
    images = [read_image(tmp_path / f"{sequence}.nii.gz") for sequence in ("T2", "T1")]
    here = register(*images, RegistrationSettings(engine=engine))
    there = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), engine],
        capture_output=True,
        text=True,
        check=True,
    )
    assert here.transform.matrix is not None
    assert there.stdout.split()[-1] == here.transform.matrix.tobytes().hex()


@pytest.mark.slow
def test_a_deformable_transform_survives_its_files(tmp_path: Path, patient: RenderedPatient):
    # The policy decides whether it would be used.
    estimated = ants_backend.estimate(patient.images["T2"], patient.images["CET1"], "syn")
    assert estimated.matrix is None
    points = np.random.default_rng(0).uniform(-60, 60, (20, 3))
    points[:, 2] += middle_mm(patient)
    mapped = estimated.map_points(points)
    assert np.abs(estimated.inverse().map_points(mapped) - points).max() < 0.5
    write_transform(tmp_path / "a", estimated)
    read = read_transform(tmp_path / "a")
    assert read.matrix is None
    assert read.map_points(points) == pytest.approx(mapped, abs=1e-3)


def middle_mm(patient: RenderedPatient) -> float:
    return float(patient.images["T2"].grid.corners_lps_mm[:, 2].mean())


def obstacle(registration: Registration) -> Obstacle | None:
    """What kept the scanner's coordinates; checks that those are returned."""
    if registration.rejection is None:
        return None
    assert not registration.accepted
    assert registration.reason == f"{registration.rejection.text}; the scanner's alignment is kept"
    assert registration.transform.matrix == pytest.approx(np.eye(4))
    assert registration.displacement_mm == 0
    assert registration.after == registration.before
    return registration.rejection.obstacle


def test_another_body_is_flagged(patient: RenderedPatient):
    other = render_patient(draw_patient(0, 2), 0, "small")
    registration = register(patient.images["T2"], other.images["T1"], FAST)
    assert obstacle(registration) is Obstacle.ANATOMY


def test_hopeless_images_keep_the_scanners_alignment(patient: RenderedPatient):
    reference = patient.images["T2"]
    blank = Volume(np.zeros_like(reference.array), reference.grid)
    assert obstacle(register(reference, blank, FAST)) is Obstacle.BLANK
    x, y, _ = reference.grid.size_xyz
    thin_grid = Grid((x, y, 2), reference.grid.spacing_xyz_mm, reference.grid.origin_lps_mm,
                     reference.grid.direction)  # fmt: skip
    thin = Volume(reference.array[:2], thin_grid)
    assert obstacle(register(reference, thin, FAST)) is Obstacle.FEW_SLICES
    far_grid = Grid(reference.grid.size_xyz, reference.grid.spacing_xyz_mm, (900.0, 0.0, 0.0),
                    reference.grid.direction)  # fmt: skip
    far = register(reference, Volume(reference.array, far_grid), FAST)
    assert obstacle(far) is Obstacle.APART


@pytest.mark.parametrize(
    ("after", "moved_mm", "expected"),
    [
        (Alignment(0.9, 0.9, 1.0), 1.0, None),
        (Alignment(0.7, 0.9, 1.0), 1.0, Obstacle.INFORMATION),
        (Alignment(0.9, 0.8, 1.0), 1.0, Obstacle.OVERLAP),
        (Alignment(0.9, 0.9, 1.0), 55.0, Obstacle.MOTION),
        (Alignment(0.9, 0.9, 0.1), 1.0, Obstacle.COVERAGE),
    ],
)
def test_a_result_worse_than_the_scanners_is_rejected(after, moved_mm, expected):
    rejection = policy._worse(Alignment(0.8, 0.9, 1.0), after, moved_mm, RegistrationSettings())
    assert (rejection.obstacle if rejection else None) is expected


def test_a_wrong_estimate_falls_back(patient: RenderedPatient, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(policy, "_estimate", lambda *_: shifted(x=25.0))
    images = patient.images["T2"], patient.images["T1"]
    assert obstacle(register(*images, FAST)) is Obstacle.INFORMATION

    def gave_up(*_: object) -> SpatialTransform:
        raise InputError("no luck")

    monkeypatch.setattr(policy, "_estimate", gave_up)
    registration = register(*images, FAST)
    assert obstacle(registration) is Obstacle.NO_ESTIMATE
    assert registration.reason == "no luck; the scanner's alignment is kept"


def test_no_engine_keeps_the_scanners_coordinates(patient: RenderedPatient):
    registration = register(
        patient.images["T2"], patient.images["T1"], RegistrationSettings(engine="none")
    )
    assert registration.accepted
    assert registration.transform.matrix == pytest.approx(np.eye(4))
    assert registration.before.mutual_information > 0


@pytest.mark.parametrize(
    ("x_mm", "one_frame", "expected"),
    [
        (0.0, True, None),
        (900.0, True, Obstacle.APART),
        (0.0, False, Obstacle.FRAMES),
        (900.0, False, Obstacle.APART),
    ],
)
def test_no_engine_does_not_trust_every_coordinate(
    patient: RenderedPatient, x_mm: float, one_frame: bool, expected: Obstacle | None
):
    reference = patient.images["T2"]
    x, y, z = reference.grid.origin_lps_mm
    moved = replace(reference.grid, origin_lps_mm=(x + x_mm, y, z))
    registration = register(
        reference,
        Volume(patient.images["T1"].array, moved),
        RegistrationSettings(engine="none"),
        one_frame=one_frame,
    )
    assert obstacle(registration) is expected
    assert registration.placement is Placement.NO_ENGINE


def test_different_frames_are_no_obstacle_for_an_engine(patient: RenderedPatient):
    images = patient.images["T2"], patient.images["T1"]
    registration = register(*images, FAST, one_frame=False)
    assert registration.placement is Placement.REGISTERED


@pytest.mark.parametrize("deformable", [False, True])
def test_one_transform_after_another(deformable: bool):
    first, second = shifted(x=2.0), shifted(z=5.0)
    if deformable:  # anything but one affine
        second = SpatialTransform(
            sitk.CompositeTransform([second.to_moving]),
            sitk.CompositeTransform([second.to_reference]),
        )
    turned = SpatialTransform.from_matrix(np.diag([2.0, 1.0, 1.0, 1.0]))
    both = first.then(turned).then(second)
    assert both.map_points(np.array([[1.0, 0, 0]])) == pytest.approx(np.array([[6.0, 0, 5]]))
    back = both.inverse().map_points(np.array([[6.0, 0, 5]]))
    assert back == pytest.approx(np.array([[1.0, 0, 0]]))


def test_a_missing_engine_is_reported_before_any_work(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ants_backend.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(HostError, match=r"nnunet_pst\[ants\]"):
        require_engine(RegistrationSettings())
    require_engine(FAST)
    with pytest.raises(InputError) as caught:
        require_engine(RegistrationSettings(engine="simpleitk", model="syn"))
    assert caught.value.fault is Fault.UNSUPPORTED


def test_the_picture_is_the_same_twice(tmp_path: Path, patient: RenderedPatient):
    reference = patient.images["T2"]
    moving, _ = resample_image(patient.images["T1"], reference.grid, shifted(x=9))
    for name in ("a.png", "b.png"):
        draw_registration(tmp_path / name, reference, moving, moving, title="PST_0001_T1_to_T2")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert sitk.ReadImage(str(tmp_path / "a.png")).GetWidth() > 800


def dicom(folder: Path) -> Volume:
    if not folder.is_dir():
        pytest.skip("the shared images are not on this machine")
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    image = sitk.Cast(sitk.ReadImage(names), sitk.sitkInt16)
    place = Grid(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())
    return Volume(sitk.GetArrayFromImage(image), place)


@pytest.mark.slow
def test_a_real_dynamic_series_gets_no_worse():
    folder = DATA / "prostatex-0218"
    if not folder.is_dir():
        pytest.skip("the shared images are not on this machine")
    series = {int(float(path.name.split("-")[0])): path for path in folder.iterdir()}
    registration = register(dicom(series[5]), dicom(series[96]), RegistrationSettings())
    assert registration.after.mutual_information >= registration.before.mutual_information
    assert registration.accepted or registration.displacement_mm == 0


def test_brightness_near_the_coils_is_evened_out():
    tissue = np.zeros((10, 80, 80), dtype=np.float32)
    tissue[:, 5:-5, 5:-5] = np.random.default_rng(0).uniform(1, 2, (10, 70, 70))
    coil = np.exp(np.linspace(-0.8, 0.8, 80, dtype=np.float32))
    plain, shaded = (sitk.GetImageFromArray(array) for array in (tissue, tissue * coil))
    for image in (plain, shaded):
        image.SetSpacing((4.0, 4.0, 6.0))

    def likeness(*images: sitk.Image) -> float:
        values = [sitk.GetArrayFromImage(image)[:, 15:-15, 15:-15].ravel() for image in images]
        return float(np.corrcoef(*values)[0, 1])

    assert likeness(plain, shaded) < 0.6
    assert likeness(evenly_lit(plain), evenly_lit(shaded)) > 0.7


def test_a_blank_image_stays_as_it_is():
    blank = sitk.Image(8, 8, 4, sitk.sitkFloat32)
    assert not sitk.GetArrayFromImage(evenly_lit(blank + 3)).std()


@pytest.mark.parametrize(("z_mm", "flagged"), [(0.9, False), (1.5, True)])
def test_an_engine_that_agrees_with_the_scanner_is_not_flagged(
    patient: RenderedPatient, monkeypatch: pytest.MonkeyPatch, z_mm: float, flagged: bool
):
    image = patient.images["T2"]
    monkeypatch.setattr(policy, "_estimate", lambda *_: shifted(z=z_mm))
    registration = register(image, image, FAST)  # any motion makes it worse
    assert registration.displacement_mm == 0
    assert bool(registration.reason) == flagged
