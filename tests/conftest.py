"""Fixtures that several test files share: small cohorts on disk, and planted identifiers."""

from __future__ import annotations

import csv
import gzip
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

CHECKOUT = Path(__file__).parents[1]

#: Every one is found in some place of the cohort that `planted_cohort` writes, and must be found in
#: nothing that a command leaves behind, but the key.
PLANTED = (
    "Mustermann",  # patient identifier, file names
    "Doe-4711",  # patient identifier
    "Quasimodo",  # image headers (descrip, keys)
    "20190304",  # a date in a covariate
    "8842917",  # a record number in a covariate
    "Klinikum-Nord",  # free text in a covariate
    "secret-study-folder",  # folder of the table
    "cohort-of-dr-x",  # name of the table
)

SIZE_XYZ = (20, 18, 16)
SPACING_XYZ = (1.5, 1.5, 5.0)


def make_image(
    array: np.ndarray,
    spacing: tuple[float, ...] = SPACING_XYZ,
    origin: tuple[float, ...] = (-12.0, 7.0, 30.0),
) -> sitk.Image:
    """An image of a (z, y, x) array."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    return image


def ball(center_zyx: tuple[int, int, int] = (8, 9, 10), radius_mm: float = 9.0) -> np.ndarray:
    """A round lesion, (z, y, x) of uint8, on the grid of `make_image`."""
    index = np.indices(SIZE_XYZ[::-1]).reshape(3, -1).T - np.asarray(center_zyx)
    distance = np.linalg.norm(index * np.asarray(SPACING_XYZ[::-1]), axis=1)
    return (distance <= radius_mm).reshape(SIZE_XYZ[::-1]).astype(np.uint8)


def ball_of(number: int) -> np.ndarray:
    """The lesion of a patient, because the same voxels in two patients are refused.

    It is `ball`, moved in the plane but for the first patient: all have the same slices and areas.
    """
    steps = (0, 1, -1, 2, -2, 3, -3)
    y, x = steps[number // len(steps) % 5], steps[number % len(steps)]
    return ball((8, 9 + y, 10 + x))


def noise(seed: int = 0) -> np.ndarray:
    """An image's voxels, (z, y, x) of int16."""
    return np.random.default_rng(seed).integers(0, 900, SIZE_XYZ[::-1]).astype(np.int16)


@dataclass
class CohortFiles:
    """A cohort on disk that a test may spoil before it writes the table.

    Parameters
    ----------
    folder
        Where images and table go.
    rows
        Cells by column, a dictionary a patient.
    """

    folder: Path
    rows: list[dict[str, object]] = field(default_factory=list)
    table_name: str = "cohort.csv"

    def image(self, name: str, array: np.ndarray, **geometry: tuple[float, ...]) -> str:
        """Write an image and return its name for a cell."""
        sitk.WriteImage(make_image(array, **geometry), str(self.folder / name))
        return name

    def add(self, patient: str, sequences: tuple[str, ...] = ("T2",), **cells: object) -> None:
        """Add a patient with a round lesion in every sequence."""
        row: dict[str, object] = {"patient": patient, "split": "train"}
        for number, name in enumerate(sequences):
            seed = 10 * len(self.rows) + number
            row[name] = self.image(f"{patient}_{name}.nii.gz", noise(seed))
            row[f"{name}_label"] = self.image(
                f"{patient}_{name}_label.nii.gz", ball_of(len(self.rows))
            )
        self.rows.append({**row, **cells})

    @property
    def table(self) -> Path:
        """Write the table as it is now and return its path."""
        path = self.folder / self.table_name
        columns = list(dict.fromkeys(column for row in self.rows for column in row))
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(self.rows)
        return path


@pytest.fixture
def cohort_files(tmp_path: Path) -> CohortFiles:
    """An empty cohort in a folder of its own."""
    folder = tmp_path / "cohort"
    folder.mkdir()
    return CohortFiles(folder)


@pytest.fixture
def small_cohort(cohort_files: CohortFiles) -> CohortFiles:
    """Two training patients and one test patient, T1 and T2."""
    for patient, split in (("anna", "train"), ("bert", "train"), ("cora", "test")):
        cohort_files.add(patient, ("T1", "T2"), split=split)
    return cohort_files


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """nnU-Net's raw folder, set and not yet made."""
    folder = tmp_path / "raw"
    monkeypatch.setenv("nnUNet_raw", str(folder))
    return folder


@pytest.fixture
def planted_cohort(tmp_path: Path) -> CohortFiles:
    """A cohort that carries every one of `PLANTED` wherever an identifier may hide."""
    folder = tmp_path / "secret-study-folder"
    folder.mkdir()
    cohort = CohortFiles(folder, table_name="cohort-of-dr-x.csv")
    formats = ("nii.gz", "mha", "nrrd")
    patients = ("Mustermann", "Doe-4711", "Mustermann-2")
    for number, (patient, suffix) in enumerate(zip(patients, formats, strict=True)):
        image = make_image(noise(number))
        for key in ("descrip", "aux_file", "intent_name", "db_name", "PatientName"):
            image.SetMetaData(key, "Quasimodo")
        sitk.WriteImage(image, str(folder / f"{patient}_T2.{suffix}"))
        if suffix == "nii.gz":
            plant_in_nifti(folder / f"{patient}_T2.{suffix}", "Quasimodo")
        cohort.rows.append(
            {
                "patient": patient,
                "T2": f"{patient}_T2.{suffix}",
                "T2_label": cohort.image(f"{patient}_T2_label.nii.gz", ball_of(number)),
                "split": "test" if number == 2 else "train",
                "label_kind": "fine",
                "age": 40 + number,
                "scanned": "20190304",
                "mrn": 8842917 + number,
                "impression": f"Klinikum-Nord, seen twice by {patient}",
                "origin": f"/mnt/{patient}",
            }
        )
    return cohort


def plant_in_nifti(path: Path, text: str) -> None:
    """Write a text where a NIfTI-1 header has room for one: descrip, aux_file, intent, db_name."""
    data = bytearray(gzip.decompress(path.read_bytes()))
    for offset, length in ((148, 80), (228, 24), (328, 16), (14, 18)):
        data[offset : offset + len(text)] = text.encode()[:length]
    path.write_bytes(gzip.compress(bytes(data)))


@pytest.fixture
def find_planted() -> Callable[..., list[str]]:
    """A function ``find(folder, *, except_files=())``: where a planted identifier is left.

    It looks at names and contents of all files, also inside of gzip and zip archives.
    """

    def find(folder: Path, *, except_files: tuple[Path, ...] = ()) -> list[str]:
        return [
            f"{path.relative_to(folder)}{inside}: {word}"
            for path in sorted(folder.rglob("*"))
            if path not in except_files
            for inside, content in _contents(path)
            for word in PLANTED
            if word.encode() in content or word in str(path.relative_to(folder))
        ]

    return find


def _contents(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        yield "", b""
        return
    data = path.read_bytes()
    yield "", data
    if data[:2] == b"\x1f\x8b":
        yield " (decompressed)", gzip.decompress(data)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                yield f" ({name})", name.encode() + b"\n" + archive.read(name)


@pytest.fixture(scope="session")
def sarcoma_table() -> Path:
    """The table of the real sarcoma patients, where this machine has them."""
    table = CHECKOUT.parent / "shared" / "data" / "sts" / "sts.csv"
    if not table.is_file():
        pytest.skip("the shared sarcoma data are not on this machine")
    return table
