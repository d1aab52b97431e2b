"""SEG and RTSTRUCT read back by other eyes: every voxel lies where the NIfTI has it.

The readers here share no code with the writers: pydicom and NumPy for the SEG, a point-in-polygon
test of matplotlib's for the contours, nibabel for the NIfTI.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest
from matplotlib.path import Path as Polygon
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from nnunet_pst.dicom.writing.segmentation_object import make_segmentation
from nnunet_pst.dicom.writing.source_images import DicomSource
from nnunet_pst.dicom.writing.structure_set import make_structure_set
from nnunet_pst.errors import InputError
from nnunet_pst.io.geometry import Grid
from nnunet_pst.io.volumes import Volume, write_volume

SHAPE_ZYX = (6, 14, 18)
NAME = "Müller^Jürgen"


def rotation(degrees: float, axis: int) -> np.ndarray:
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    turned = np.eye(3)
    one, other = [i for i in range(3) if i != axis]
    turned[one, one] = turned[other, other] = cosine
    turned[one, other], turned[other, one] = -sine, sine
    return turned


#: Columns: along columns, along rows, slice normal.
SAGITTAL = np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
CORONAL = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
CASES = {
    "axial": (np.eye(3), (1.0, 1.0, 4.0)),
    "non-square": (np.eye(3), (0.7, 1.9, 5.0)),
    "tilted": (rotation(23.3, 0), (0.625, 0.625, 3.6)),
    "sagittal": (SAGITTAL, (0.8, 1.1, 4.0)),
    "coronal": (CORONAL, (1.1, 0.8, 4.0)),
    "all at once": (rotation(20, 2) @ rotation(-35, 0) @ SAGITTAL, (0.7, 1.9, 3.3)),
}


def make_grid(case: str) -> Grid:
    direction, spacing = CASES[case]
    z, y, x = SHAPE_ZYX
    return Grid((x, y, z), spacing, (-31.25, 12.5, 101.75), tuple(direction.ravel()))


def make_mask() -> np.ndarray:
    """A lesion with two holes, a part that touches it at a corner, and one at the border."""
    mask = np.zeros(SHAPE_ZYX, bool)
    mask[1:5, 2:11, 3:13] = True
    mask[2:4, 4:7, 5:7] = False
    mask[2:4, 8, 9:11] = False
    mask[3, 11, 13] = True
    mask[4, 0, 0] = mask[4, 13, 17] = True
    return mask


def make_headers(grid: Grid, *, name: str = NAME) -> list[Dataset]:
    """Headers of a series, a slice each, in the grid's order."""
    study, series, frame = (generate_uid() for _ in range(3))
    direction = np.reshape(grid.direction, (3, 3))
    headers = []
    for index in range(grid.size_xyz[2]):
        header = Dataset()
        header.file_meta = FileMetaDataset()
        header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        header.SpecificCharacterSet = "ISO_IR 100"
        header.SOPClassUID, header.SOPInstanceUID = MRImageStorage, generate_uid()
        header.Modality, header.PatientName, header.PatientID = "MR", name, "4711"
        header.StudyInstanceUID, header.SeriesInstanceUID = study, series
        header.FrameOfReferenceUID, header.SeriesNumber = frame, 7
        header.InstanceNumber = index + 1
        header.Rows, header.Columns = grid.size_xyz[1], grid.size_xyz[0]
        header.ImageOrientationPatient = [*direction[:, 0], *direction[:, 1]]
        position = (grid.affine_lps_mm @ (0, 0, index, 1))[:3]
        header.ImagePositionPatient = [f"{value:.6f}" for value in position]
        header.PixelSpacing = [grid.spacing_xyz_mm[1], grid.spacing_xyz_mm[0]]
        header.SliceThickness = 3.0  # not the distance, as with a gap between slices
        headers.append(header)
    return headers


def places(mask_file: Path) -> np.ndarray:
    """Sorted LPS positions of all voxels of a NIfTI mask."""
    image = nibabel.load(mask_file)
    index = np.argwhere(np.asarray(image.dataobj) > 0)
    return in_order(nibabel.affines.apply_affine(image.affine, index) * (-1, -1, 1))


def in_order(points: np.ndarray) -> np.ndarray:
    rounded = np.round(points, 2) + 0.0
    return points[np.lexsort(rounded.T)]


def places_in_seg(file: Path) -> np.ndarray:
    """The same of a SEG, from its bits and its functional groups alone."""
    seg = dcmread(file)
    count = int(seg.NumberOfFrames) * seg.Rows * seg.Columns
    bits = np.unpackbits(np.frombuffer(seg.PixelData, np.uint8), bitorder="little")[:count]
    shared = seg.SharedFunctionalGroupsSequence[0]
    found = []
    for frame, groups in zip(
        bits.reshape(-1, seg.Rows, seg.Columns), seg.PerFrameFunctionalGroupsSequence, strict=True
    ):
        position = groups.PlanePositionSequence[0].ImagePositionPatient
        orientation = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
        row_mm, column_mm = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
        for row, column in np.argwhere(frame):
            along = column * column_mm * orientation[:3] + row * row_mm * orientation[3:]
            found.append(np.array(position, float) + along)
    return in_order(np.array(found))


def places_in_contours(file: Path, mask_file: Path) -> np.ndarray:
    """The same of an RTSTRUCT: centers of the NIfTI's voxels that lie within its contours."""
    image = nibabel.load(mask_file)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine
    inside = np.zeros(image.shape, int)
    centers = np.argwhere(np.ones(image.shape[:2]))
    for contour in dcmread(file).ROIContourSequence[0].ContourSequence:
        points = np.array(contour.ContourData, float).reshape(-1, 3)
        index = nibabel.affines.apply_affine(np.linalg.inv(lps), points)
        (slice_number,) = set(np.round(index[:, 2]).astype(int))
        assert np.abs(index[:, 2] - slice_number).max() < 1e-3
        within = Polygon(index[:, :2]).contains_points(centers)
        inside[..., slice_number] += within.reshape(image.shape[:2])
    return in_order(nibabel.affines.apply_affine(lps, np.argwhere(inside % 2)))


@pytest.fixture(params=CASES)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, list[Dataset]]:
    """A folder with mask.nii.gz, seg.dcm and rtstruct.dcm, and the headers behind them."""
    grid = make_grid(request.param)
    headers = make_headers(grid)
    source, about = DicomSource(tuple(headers)), {"name": "T2", "model_id": "abc"}
    write_volume(tmp_path / "mask.nii.gz", Volume(make_mask().astype(np.uint8), grid))
    seg = make_segmentation(source, make_mask(), **about)
    seg.save_as(tmp_path / "seg.dcm", enforce_file_format=True)
    structures = make_structure_set(source, make_mask(), grid, **about)
    structures.save_as(tmp_path / "rtstruct.dcm", enforce_file_format=True)
    return tmp_path, headers


def test_every_voxel_is_in_its_place(written: tuple[Path, list[Dataset]]):
    folder, _ = written
    wanted = places(folder / "mask.nii.gz")
    assert len(wanted) == make_mask().sum()
    seg, contours = (
        places_in_seg(folder / "seg.dcm"),
        places_in_contours(folder / "rtstruct.dcm", folder / "mask.nii.gz"),
    )
    assert seg.shape == contours.shape == wanted.shape
    assert np.abs(seg - wanted).max() < 2e-3
    assert np.abs(contours - wanted).max() < 2e-3


def test_references_are_the_slices_own(written: tuple[Path, list[Dataset]]):
    folder, headers = written
    by_uid = {header.SOPInstanceUID: header for header in headers}
    seg = dcmread(folder / "seg.dcm")
    for groups in seg.PerFrameFunctionalGroupsSequence:
        (image,) = groups.DerivationImageSequence[0].SourceImageSequence
        position = by_uid[image.ReferencedSOPInstanceUID].ImagePositionPatient
        assert groups.PlanePositionSequence[0].ImagePositionPatient == position
    structures = dcmread(folder / "rtstruct.dcm")
    for contour in structures.ROIContourSequence[0].ContourSequence:
        header = by_uid[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
        first = np.array(contour.ContourData[:3], float)
        normal = np.cross(header.ImageOrientationPatient[:3], header.ImageOrientationPatient[3:])
        assert abs(normal @ (first - np.array(header.ImagePositionPatient, float))) < 1e-3
        assert contour.NumberOfContourPoints * 3 == len(contour.ContourData)
    (frame,) = structures.ReferencedFrameOfReferenceSequence
    images = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0].ContourImageSequence
    assert {image.ReferencedSOPInstanceUID for image in images} == set(by_uid)


def test_patient_study_and_codes(written: tuple[Path, list[Dataset]]):
    folder, headers = written
    for name in ("seg.dcm", "rtstruct.dcm"):
        found = dcmread(folder / name)
        assert str(found.PatientName) == NAME
        assert (found.PatientID, found.StudyInstanceUID, found.FrameOfReferenceUID) == (
            "4711",
            headers[0].StudyInstanceUID,
            headers[0].FrameOfReferenceUID,
        )
        assert found.SeriesInstanceUID != headers[0].SeriesInstanceUID
        assert "AccessionNumber" in found  # type 2: there, though the source lacks it
    (segment,) = dcmread(folder / "seg.dcm").SegmentSequence
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "108369006"
    assert segment.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "49755003"
    assert segment.SegmentAlgorithmType == "AUTOMATIC"


def test_images_without_a_frame_of_reference():
    headers = make_headers(make_grid("axial"))
    for header in headers:
        del header.FrameOfReferenceUID
    with pytest.raises(InputError, match="FrameOfReferenceUID"):
        make_segmentation(DicomSource(tuple(headers)), make_mask(), name="T2", model_id="abc")


@pytest.mark.filterwarnings("ignore::UserWarning")  # of pydicom, over the damage itself
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ImagePositionPatient", None),
        ("Rows", 3),
        ("PatientSex", "Mustermann"),
        ("SOPClassUID", "x"),
    ],
)
def test_damaged_headers_are_one_line_that_names_nobody(name: str, value: object):
    headers = make_headers(make_grid("axial"))
    for header in headers:
        if name in header:
            delattr(header, name)
        if value is not None:
            setattr(header, name, value)
    with pytest.raises(InputError, match="headers don't allow") as caught:
        make_segmentation(DicomSource(tuple(headers)), make_mask(), name="T2", model_id="abc")
    assert "Mustermann" not in str(caught.value)


def test_headers_are_left_as_they_were():
    headers = make_headers(make_grid("axial"))
    before = [header.to_json() for header in headers]
    grid = make_grid("axial")
    make_structure_set(DicomSource(tuple(headers)), make_mask(), grid, name="T2", model_id="abc")
    assert [header.to_json() for header in headers] == before


def test_what_is_said_on_the_way_names_nobody(recwarn: pytest.WarningsRecorder):
    headers = make_headers(make_grid("axial"), name="Mustermann")  # highdicom warns of such names
    make_segmentation(DicomSource(tuple(headers)), make_mask(), name="T2", model_id="abc")
    assert [str(one.message) for one in recwarn if "Mustermann" in str(one.message)] == []


def make_multiframe(headers: list[Dataset], order: list[int]) -> Dataset:
    """The same series as one enhanced MR instance, its frames in another order."""
    from pydicom.uid import EnhancedMRImageStorage

    made = Dataset()
    made.update(headers[0])
    made.file_meta = headers[0].file_meta
    made.SOPClassUID, made.SOPInstanceUID = EnhancedMRImageStorage, generate_uid()
    made.NumberOfFrames = len(order)
    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = headers[0].PixelSpacing
    measures.SliceThickness = headers[0].SliceThickness
    orientation.ImageOrientationPatient = headers[0].ImageOrientationPatient
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    made.SharedFunctionalGroupsSequence = [shared]
    made.PerFrameFunctionalGroupsSequence = []
    for index in order:
        groups, position = Dataset(), Dataset()
        position.ImagePositionPatient = headers[index].ImagePositionPatient
        groups.PlanePositionSequence = [position]
        made.PerFrameFunctionalGroupsSequence.append(groups)
    for name in ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing"):
        delattr(made, name)
    return made


def test_a_multiframe_source(tmp_path: Path):
    grid, mask = make_grid("all at once"), make_mask()
    order = [3, 0, 5, 1, 4, 2]
    image = make_multiframe(make_headers(grid), order)
    source = DicomSource((image,), frames=tuple(order.index(index) + 1 for index in range(6)))
    write_volume(tmp_path / "mask.nii.gz", Volume(mask.astype(np.uint8), grid))
    seg = make_segmentation(source, mask, name="T2", model_id="abc")
    seg.save_as(tmp_path / "seg.dcm", enforce_file_format=True)
    structures = make_structure_set(source, mask, grid, name="T2", model_id="abc")
    structures.save_as(tmp_path / "rtstruct.dcm", enforce_file_format=True)
    wanted = places(tmp_path / "mask.nii.gz")
    assert np.abs(places_in_seg(tmp_path / "seg.dcm") - wanted).max() < 2e-3
    contours = places_in_contours(tmp_path / "rtstruct.dcm", tmp_path / "mask.nii.gz")
    assert np.abs(contours - wanted).max() < 2e-3
    for contour in structures.ROIContourSequence[0].ContourSequence:
        (reference,) = contour.ContourImageSequence
        groups = image.PerFrameFunctionalGroupsSequence[reference.ReferencedFrameNumber - 1]
        position = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
        normal = np.reshape(grid.direction, (3, 3))[:, 2]
        assert abs(normal @ (np.array(contour.ContourData[:3], float) - position)) < 1e-3


ORTHANC = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin")


@pytest.fixture(scope="module")
def archive_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an empty Orthanc that lives as long as this file's tests."""
    if ORTHANC is None:
        pytest.skip("Orthanc is not installed (apt-get install orthanc)")
    folder = tmp_path_factory.mktemp("orthanc")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "HttpPort": port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomServerEnabled": False,
        "Plugins": [],
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    address = f"http://127.0.0.1:{port}"
    with (folder / "log.txt").open("w") as log:
        server = subprocess.Popen([ORTHANC, folder / "orthanc.json"], stdout=log, stderr=log)
        try:
            _wait_for(address, server, folder / "log.txt")
            yield address
        finally:
            server.terminate()
            server.wait(timeout=30)


def _wait_for(address: str, server: subprocess.Popen, log: Path) -> None:
    for _ in range(300):
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"{address}/system", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    raise AssertionError(log.read_text())


def _ask(address: str, content: bytes | None = None) -> bytes:
    with urllib.request.urlopen(address, data=content, timeout=30) as answer:
        return answer.read()


@pytest.mark.parametrize("name", ["seg.dcm", "rtstruct.dcm"])
def test_orthanc_takes_them_and_gives_them_back(
    name: str, written: tuple[Path, list[Dataset]], archive_server: str
):
    folder, headers = written
    content = (folder / name).read_bytes()
    taken = json.loads(_ask(f"{archive_server}/instances", content))
    assert taken["Status"] == "Success"
    assert _ask(f"{archive_server}/instances/{taken['ID']}/file") == content
    study = json.loads(_ask(f"{archive_server}/studies/{taken['ParentStudy']}"))
    assert study["MainDicomTags"]["StudyInstanceUID"] == headers[0].StudyInstanceUID
    assert study["PatientMainDicomTags"]["PatientName"] == NAME
