"""One tiny cohort from table to scores, made once and shared by all tests of this folder."""

from __future__ import annotations

import csv
import importlib.metadata
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from nnunet_pst.nnunet.environment import host_version, make_folders, shell_environment

TRAINERS = Path(__file__).parent / "trainers"
TINY = "nnUNetTrainerPST25D_tiny"
DATASET = "DatasetPST"
SHAPE_ZYX = (10, 56, 64)
SPACING_ZYX_MM = (5.0, 1.0, 1.0)

#: A patient identifier from `tests/conftest.py`'s list of texts that no shared file may hold.
IDENTIFIER = "Mustermann"
#: User and machine of the training; shared files must not name them.
USER, HOSTNAME = "dr-inquisitive", "reading-room-17"


@dataclass(frozen=True)
class Workplace:
    """nnU-Net's folders and variables, as ``nnunet_pst env`` sets them, and commands to run."""

    variables: dict[str, str]

    @property
    def raw(self) -> Path:
        return Path(self.variables["nnUNet_raw"])

    @property
    def preprocessed(self) -> Path:
        return Path(self.variables["nnUNet_preprocessed"])

    @property
    def results(self) -> Path:
        return Path(self.variables["nnUNet_results"])

    @property
    def model(self) -> Path:
        return self.results / DATASET / f"{TINY}__nnUNetPlans__2d_5"

    def but(self, **variables: str | Path) -> Workplace:
        """The same workplace with some variables changed; folders are made."""
        changed = {name: str(value) for name, value in variables.items()}
        workplace = replace(self, variables={**self.variables, **changed})
        make_folders(workplace.variables)
        return workplace

    def run(self, *words: object) -> subprocess.CompletedProcess:
        """Run a command as a user does: its console script in a fresh process."""
        command = [str(Path(sys.executable).parent / str(words[0])), *map(str, words[1:])]
        return subprocess.run(
            command, env=self._environ(), capture_output=True, text=True, timeout=1800
        )

    def check(self, *words: object) -> str:
        """Run a command that must succeed, and return its output."""
        done = self.run(*words)
        assert done.returncode == 0, f"{words}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return done.stdout

    def call(self, *words: object) -> object:
        """Run the same entry point in this process, which saves the seconds of importing torch."""
        with self.entered(), pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
            # The host's own warnings are not ours to fix; those of our modules are tested apart.
            warnings.simplefilter("ignore")
            patch.setattr(sys, "argv", [str(word) for word in words])
            (script,) = importlib.metadata.entry_points(group="console_scripts", name=str(words[0]))
            answer = script.load()()
        assert answer in (None, 0), f"{words} ended with {answer}"
        return answer

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Set the variables in this process for a while."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.variables.items():
                patch.setenv(name, value)
            yield

    def _environ(self) -> dict[str, str]:
        return {**os.environ, **self.variables}


@pytest.fixture(scope="session")
def host() -> Callable[[str], str]:
    """Begin a message with the host's version."""
    return lambda message: f"nnunetv2 {host_version()}: {message}"


def _write_image(path: Path, array: np.ndarray, spacing_zyx: tuple[float, ...]) -> None:
    """Write a (z, y, x) array on a grid whose axes are a little oblique to the scanner's."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing_zyx[::-1])
    image.SetOrigin((-31.5, 12.25, 40.0))
    cosine, sine = np.cos(0.1), np.sin(0.1)
    image.SetDirection((1, 0, 0, 0, cosine, -sine, 0, sine, cosine))
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


def _make_patient(
    seed: int, shape: tuple[int, int, int] = SHAPE_ZYX, spacing: tuple[float, ...] = SPACING_ZYX_MM
) -> tuple[np.ndarray, np.ndarray]:
    """Image and mask: a bright ellipsoid of 16 x 16 x 25 mm in a noisy body with air around."""
    rng = np.random.default_rng(seed)
    extent = np.multiply(shape, spacing)
    place = [(np.arange(n) + 0.5) * mm for n, mm in zip(shape, spacing, strict=True)]
    z, y, x = np.meshgrid(*place, indexing="ij")
    center = extent * (0.42, *rng.uniform(0.4, 0.6, 2))
    lesion = ((z - center[0]) / 12.5) ** 2 + ((y - center[1]) / 8) ** 2 + (
        (x - center[2]) / 8
    ) ** 2 <= 1
    body = ((y / extent[1] - 0.5) ** 2 + (x / extent[2] - 0.5) ** 2) <= 0.22
    image = body * rng.normal(300, 40, shape).clip(50) + lesion * 400
    return image.astype(np.int16), lesion.astype(np.uint8)


@pytest.fixture(scope="session")
def write_image() -> Callable[..., None]:
    """A function ``write(path, array_zyx, spacing_zyx_mm)``."""
    return _write_image


@pytest.fixture(scope="session")
def make_patient() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """A function ``make(seed, shape_zyx, spacing_zyx_mm)``: image and mask."""
    return _make_patient


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six training and two test patients, whose names and folders identify them."""
    folder = tmp_path_factory.mktemp("golden") / "secret-study-folder"
    rows = []
    for number in range(8):
        patient = f"{IDENTIFIER}-{number}"
        # Fields of view and slice counts differ, as in real cohorts.
        shape = (SHAPE_ZYX[0] + number % 2, SHAPE_ZYX[1], SHAPE_ZYX[2])
        image, mask = _make_patient(number, shape)
        _write_image(folder / f"{patient}_T2.nii.gz", image, SPACING_ZYX_MM)
        _write_image(folder / f"{patient}_T2_label.nii.gz", mask, SPACING_ZYX_MM)
        rows.append(
            {
                "patient": patient,
                "T2": f"{patient}_T2.nii.gz",
                "T2_label": f"{patient}_T2_label.nii.gz",
                "label_kind": "fine",
                "split": "test" if number >= 6 else "train",
                "malignancy": "benign" if number % 3 else "malignant",
            }
        )
    path = folder / "cohort-of-dr-x.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="session")
def empty_workplace(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """Empty folders, with the tests' trainers beside ours."""
    root = tmp_path_factory.mktemp("workplace")
    variables = shell_environment(
        root, {"nnUNet_def_n_proc": "1", "nnUNet_extTrainer": str(TRAINERS)}
    )
    one = dict.fromkeys(("nnUNet_n_proc_DA", "nnUNet_npp", "nnUNet_nps"), "1")
    who = {"USER": USER, "LOGNAME": USER, "PATH": _path_with_host_name(root / "bin")}
    workplace = Workplace({**variables, **one, **who, "NNUNET_PST_ENCODER_WEIGHTS": "none"})
    return workplace.but()


def _path_with_host_name(folder: Path) -> str:
    """Put a command ``hostname`` before the machine's own, which the host calls."""
    folder.mkdir()
    command = folder / "hostname"
    command.write_text(f"#!/bin/sh\necho {HOSTNAME}\n")
    command.chmod(0o755)
    return os.pathsep.join([str(folder), os.environ["PATH"]])


@pytest.fixture(scope="session")
def converted(empty_workplace: Workplace, table: Path) -> Workplace:
    """The workplace after ``convert``: masks of the training patients are coarse."""
    words = ("--dataset", DATASET, "--simulate-coarse", "1", "--far-negatives")
    empty_workplace.check("nnunet_pst", "convert", table, *words)
    return empty_workplace


@pytest.fixture(scope="session")
def planned(converted: Workplace) -> Workplace:
    """The workplace after ``plan``."""
    converted.check("nnunet_pst", "plan", DATASET)
    return converted


@pytest.fixture(scope="session")
def trained(planned: Workplace) -> Workplace:
    """The workplace after ``nnUNetv2_train``, validation included."""
    planned.check("nnUNetv2_train", DATASET, "2d_5", "0", "-tr", TINY, "-device", "cpu")
    return planned


@pytest.fixture(scope="session")
def predicted(trained: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Masks of the test patients, by ``nnUNetv2_predict``, with probabilities."""
    folder = tmp_path_factory.mktemp("predicted")
    images = trained.raw / DATASET / "imagesTs"
    words = ("-d", DATASET, "-c", "2d_5", "-tr", TINY, "-f", "0", "-device", "cpu")
    trained.check("nnUNetv2_predict", "-i", images, "-o", folder, *words, "--save_probabilities")
    return folder


@pytest.fixture(scope="session")
def validation_cases(planned: Workplace) -> list[str]:
    """Names of the cases on which fold 0 is validated."""
    splits = json.loads((planned.preprocessed / DATASET / "splits_final.json").read_text())
    return list(splits[0]["val"])


@pytest.fixture(scope="session")
def voxels() -> Callable[[Path], np.ndarray]:
    """A function that reads a mask as (z, y, x)."""
    return lambda path: sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
